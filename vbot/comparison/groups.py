"""Runs in their order, and what the seeds of each configuration come to, task by task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from vbot.comparison.collect import Collection
from vbot.comparison.metrics import RETURN, Metric, require_one_reward
from vbot.comparison.statistics import Aggregate, Improvement, aggregate, improvement
from vbot.outcomes import Outcome

SHORT = 8
"""Digits of a fingerprint that tables show."""

_FEW_EPISODES = 100
"""Evaluations of fewer are noisy themselves, which an interval between seeds does not tell."""

_UNEVEN = 1.25
"""Ratio of the steps of two seeds from which a group is said to mix budgets."""


@dataclass(frozen=True)
class Group:
    """Everything of one configuration: what shares a fingerprint.

    Its statistics are of finished runs only, and of each seed only one, that with the most steps: a second training
    of a seed is no second seed, and neither is a checkpoint.
    """

    fingerprint: str
    members: Sequence[Outcome]
    metric: Metric

    @property
    def label(self) -> str:
        return f"{self.members[0].reward_set} {self.fingerprint[:SHORT]}"

    @cached_property
    def seeds(self) -> Mapping[int | None, Outcome]:
        """Seed -> the run that counts for it."""
        counted: dict[int | None, Outcome] = {}
        for o in self.members:
            if o.state != "finished" or o.validated or self.metric.value(o) is None:
                continue
            if o.seed not in counted or (o.steps or 0) > (counted[o.seed].steps or 0):
                counted[o.seed] = o
        return dict(sorted(counted.items(), key=lambda item: item[0] if item[0] is not None else -1))

    @cached_property
    def scores(self) -> list[float]:
        return [value for o in self.seeds.values() if (value := self.metric.value(o)) is not None]

    @cached_property
    def aggregate(self) -> Aggregate | None:
        """None where no run has finished."""
        return aggregate(self.scores) if self.scores else None

    def improvement(self, on: "Group") -> Improvement | None:
        """How probably a seed of this beats one of ``on``; None where one of them has no finished run."""
        if not self.scores or not on.scores or on is self:
            return None
        better, worse = (self.scores, on.scores) if self.metric.higher else (on.scores, self.scores)
        return improvement(better, worse)

    @property
    def notes(self) -> list[str]:
        """What a reader of its statistics must know."""
        said = []
        steps = [o.steps for o in self.seeds.values() if o.steps]
        if steps and max(steps) > _UNEVEN * min(steps):
            said.append(f"budgets differ: {min(steps):,} to {max(steps):,} steps")
        episodes = min(
            (int((o.evaluation or {}).get("episodes", _FEW_EPISODES)) for o in self.seeds.values()), default=0
        )
        if 0 < episodes < _FEW_EPISODES:
            said.append(f"only {episodes} episode{'s' * (episodes > 1)} a seed")
        runs = [o for o in self.members if not o.path.is_file()]
        unfinished = sum(o.state == "unfinished" for o in runs)
        if unfinished:
            said.append(f"{unfinished} unfinished left out")
        if (again := len(runs) - unfinished - len(self.seeds)) > 0:
            said.append(f"{again} more of the same seeds, or without a value, left out")
        return said


@dataclass(frozen=True)
class Table:
    """The runs of one task, the best first, and their groups, the best interquartile mean first."""

    task: str
    metric: Metric
    runs: Sequence[Outcome]
    groups: Sequence[Group]
    first: Group
    """The group that was given first, of those with a finished run: what the others are measured against."""

    def group(self, outcome: Outcome) -> Group:
        return next(g for g in self.groups if g.fingerprint == outcome.fingerprint)


@dataclass(frozen=True)
class Comparison:
    """All that the commands show: a table for each task, for tasks are not ranked against each other."""

    metric: Metric
    tables: Sequence[Table]
    broken: Sequence[Outcome]
    names: Mapping[Path, str]
    skipped: Sequence[Path] = field(default_factory=list)

    @property
    def groups(self) -> list[Group]:
        return [g for t in self.tables for g in t.groups]

    def to_dict(self) -> dict[str, Any]:
        return {
            "by": self.metric.name,
            "runs": [_run(o, t, place) for t in self.tables for place, o in enumerate(t.runs, 1)]
            + [{"path": str(o.path), "state": o.state, "problem": o.problem} for o in self.broken],
            "groups": [_group(g, t) for t in self.tables for g in t.groups],
            "skipped": [str(p) for p in self.skipped],
        }


def compare(collection: Collection, metric: Metric) -> Comparison:
    """Rank and group.

    Raises:
        UserError: the return of different rewards was asked for.
    """
    sound = [o for o in collection.outcomes if o.state != "broken"]
    tables = []
    for task in dict.fromkeys(o.task or "" for o in sound):
        runs = [o for o in sound if (o.task or "") == task]
        members: dict[str, list[Outcome]] = {}
        for o in runs:
            members.setdefault(o.fingerprint or "", []).append(o)
        groups = [Group(fingerprint, of, metric) for fingerprint, of in members.items()]
        if metric.name == RETURN:
            require_one_reward(runs, {g.fingerprint: g.label for g in groups})
        ordered = sorted(runs, key=lambda o: _order(o, metric, collection.names))
        ranked = sorted(groups, key=lambda g: _rank(metric, g.aggregate.iqm if g.aggregate else None))
        first = next((g for g in groups if g.scores), groups[0])
        tables.append(Table(task, metric, ordered, ranked, first))
    broken = [o for o in collection.outcomes if o.state == "broken"]
    return Comparison(metric, tables, broken, collection.names, collection.skipped)


def _rank(metric: Metric, value: float | None) -> tuple[bool, float]:
    """What has no value comes last, whatever the metric; it is no zero."""
    return value is None, (-value if metric.higher else value) if value is not None else 0.0


def _order(outcome: Outcome, metric: Metric, names: Mapping[Path, str]) -> tuple[Any, ...]:
    """Between equals: success, then the shorter time, as a run chooses its best policy; then the name."""
    evaluation = outcome.evaluation or {}
    time_s = evaluation.get("time_to_target_s")
    return (
        *_rank(metric, metric.value(outcome)),
        -(evaluation.get("success_rate") or 0.0),
        float("inf") if time_s is None else time_s,
        names[outcome.path],
    )


def _run(o: Outcome, table: Table, place: int) -> dict[str, Any]:
    row = {
        "path": str(o.path),
        "state": o.state,
        "problem": o.problem,
        "task": o.task,
        "rank": place if table.metric.value(o) is not None else None,
        "reward_set": o.reward_set,
        "fingerprint": o.fingerprint,
        "seed": o.seed,
        "started": o.started,
        "steps": o.steps,
        "elapsed_s": o.elapsed_s,
        "steps_per_s": o.steps_per_s,
        "evaluation": dict(o.evaluation) if o.evaluation is not None else None,
        "evaluated_on": None if o.evaluation is None else "validation" if o.validated else "final",
        "findings": list(o.findings),
    }
    return row | ({RETURN: table.metric.value(o)} if table.metric.name == RETURN else {})


def _group(g: Group, table: Table) -> dict[str, Any]:
    improved = g.improvement(table.first)
    return {
        "task": table.task,
        "fingerprint": g.fingerprint,
        "reward_set": g.members[0].reward_set,
        "metric": g.metric.key,
        "runs": [str(o.path) for o in g.members],
        "counted": {str(seed): str(o.path) for seed, o in g.seeds.items()},
        "statistics": g.aggregate.to_dict() if g.aggregate is not None else None,
        "improvement_on": table.first.fingerprint,
        "improvement": improved.to_dict() if improved is not None else None,
        "notes": g.notes,
    }
