"""How success went while training, seed by seed and over seeds; and what each term paid at the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from vbot.comparison.groups import Group
from vbot.comparison.metrics import last_metrics
from vbot.errors import UserError
from vbot.outcomes import Outcome

MOST = 8
"""Configurations that are drawn together: more could not be told apart."""


@dataclass(frozen=True)
class Line:
    """Success of one run at its evaluations."""

    outcome: Outcome
    steps: list[float]
    success: list[float]


@dataclass(frozen=True)
class Curve:
    """Success of a configuration against control steps of training.

    ``low`` and ``high``: the range of the seeds; of a single run the 95 % interval of its episodes.
    """

    group: Group
    lines: Sequence[Line]
    seeds: int
    steps: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]

    @property
    def band(self) -> str:
        return f"mean and range of {self.seeds} seeds" if self.seeds > 1 else "one seed, 95 % interval of its episodes"


def curves(groups: Sequence[Group]) -> list[Curve]:
    """Curves of the first MOST groups that have any evaluation."""
    found = (curve(g) for g in groups)
    return [c for c in found if c is not None][:MOST]


def curve(group: Group) -> Curve | None:
    """None without an evaluation.

    The mean is of the finished runs if there are any, and between the last first evaluation and the first last one:
    elsewhere some seeds are missing, and it would jump.
    """
    runs = {o.run_dir: o for o in group.members if not o.path.is_file()}
    lines = {directory: line for directory, o in runs.items() if (line := _line(o)) is not None}
    if not lines:
        return None
    counted = {o.run_dir for o in group.seeds.values()} & lines.keys() or lines.keys()
    of = [lines[directory] for directory in lines if directory in counted]
    start, end = max(line.steps[0] for line in of), min(line.steps[-1] for line in of)
    if len(of) == 1 or start >= end:
        return _single(group, list(lines.values()), of[0])
    looked = sorted({x for line in of for x in line.steps if start <= x <= end})
    at = sorted({*looked, *_crossings(looked, of)})
    values = np.stack([np.interp(at, line.steps, line.success) for line in of])
    bands = (values.mean(0).tolist(), values.min(0).tolist(), values.max(0).tolist())
    return Curve(group, list(lines.values()), len(of), at, *bands)


def _crossings(at: list[float], of: Sequence[Line]) -> list[float]:
    """Steps between those of ``at`` where two seeds cross: the range of the seeds has its corners there."""
    found = []
    for a, b in combinations([np.interp(at, line.steps, line.success) for line in of], 2):
        gap = a - b
        for k in np.flatnonzero(gap[:-1] * gap[1:] < -1e-12):  # no rounding error where they meet
            found.append(float(at[k] + gap[k] / (gap[k] - gap[k + 1]) * (at[k + 1] - at[k])))
    return found


def _line(outcome: Outcome) -> Line | None:
    try:
        rows = outcome.evaluations()
        return Line(outcome, [r["steps"] for r in rows], [r["success_rate"] for r in rows]) if rows else None
    except (UserError, KeyError):
        return None


def _single(group: Group, lines: list[Line], line: Line) -> Curve:
    rows = line.outcome.evaluations()
    ends = [row.get("success_ci95", (row["success_rate"],) * 2) for row in rows]
    return Curve(group, lines, 1, line.steps, line.success, [low for low, _ in ends], [high for _, high in ends])


def income(group: Group) -> dict[str, float]:
    """Term -> what it paid in an episode at the end of training, the mean over the runs; the largest sums first."""
    chosen = list(group.seeds.values()) or [o for o in group.members if not o.path.is_file()]
    of_runs = []
    for outcome in chosen:
        rows = [row["term_sums"] for row in last_metrics(outcome) if "term_sums" in row]
        if rows:
            of_runs.append({term: float(np.mean([row.get(term, 0.0) for row in rows])) for term in rows[-1]})
    terms = {term for sums in of_runs for term in sums}
    mean = {term: float(np.mean([sums.get(term, 0.0) for sums in of_runs])) for term in terms}
    return dict(sorted(mean.items(), key=lambda item: (-abs(item[1]), item[0])))
