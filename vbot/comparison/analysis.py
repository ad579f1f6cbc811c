"""What a study tells of its parameters: which mattered, in which direction, what to do next. Reads, never writes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vbot.errors import UserError
from vbot.outcomes import SNAPSHOT
from vbot.ranges import Choice
from vbot.rewards import REGISTRY
from vbot.rewards.plugins import load_plugins
from vbot.run import CONFIG, PLUGINS
from vbot.search.executor import State
from vbot.search.importance import LEAST_TRIALS, Importance, importance
from vbot.search.journal import JOURNAL
from vbot.search.sampler import Trial
from vbot.search.sources import SPACE, search_space
from vbot.search.space import Parameter, Space
from vbot.settings import resolve
from vbot.yaml_files import read_yaml

_TOP = 5
_EDGE = 0.1
"""Within this share of a range from its end, a good value may well have better ones beyond."""


@dataclass(frozen=True)
class Analysis:
    """What is known after the trials that finished with the study's own seed.

    ``importance``: the largest share first; None where there are too few trials to tell.
    ``top``: rows of ``state.yaml``, the best objective first.
    """

    study: Path
    trials: int
    space: Space
    importance: Sequence[Importance] | None
    top: Sequence[Mapping[str, Any]]

    @property
    def recommendations(self) -> list[str]:
        """What to do next, each with its reason."""
        if self.importance is None:
            if self.trials >= LEAST_TRIALS:
                return [f"All {self.trials} trials have the same objective: nothing can be told. Give them more steps."]
            return [f"Go on searching: of {self.trials} trials nothing can be told, {LEAST_TRIALS} are the least."]
        said = [_advice(f, self._parameter(f.key), self.top) for f in self.importance if f.told]
        rest = [f.key for f in self.importance if not f.told]
        if not said:
            said.append(f"Nothing stands out from chance in {self.trials} trials: more trials, or fewer parameters.")
        elif rest:
            count = f"The other {len(rest)} do" if len(rest) > 1 else f"{rest[0]} does"
            said.append(
                f"{count} not stand out from chance: leave them at their defaults, and search what did (--only)."
            )
        best = self.top[0]
        if best["id"] == 0:
            said.append("The defaults are the best that was tried.")
        elif all(row["seed"] == best["seed"] for row in self._rows(best["id"])):
            said.append(f"Trial {best['id']} was trained with one seed only: train it with more before believing it.")
        return said

    def direction(self, f: Importance) -> str:
        """Which values did well."""
        if not f.told:
            return "not told"
        if f.correlation is None:
            return f"best: {_plain(self.top[0]['parameters'][f.key])}"
        if abs(f.correlation) ** 2 < f.share / 2:  # the parabola explains far more than a line would
            return "best inside the range" if self._inside(f.key) else "best at the ends of the range"
        return "higher is better" if f.correlation > 0 else "lower is better"

    def to_dict(self) -> dict[str, Any]:
        return {
            "study": str(self.study),
            "trials": self.trials,
            "importance_ranking": [
                {
                    "parameter": f.key,
                    "importance": f.share,
                    "direction": self.direction(f),
                    "correlation": f.correlation,
                    "p": f.p,
                    "stands_out": f.told,
                }
                for f in self.importance or ()
            ],
            "top_5_configs": [
                {
                    "rank": rank,
                    "trial": row["id"],
                    "objective": row["objective"],
                    "parameters": dict(row["parameters"]),
                    "metrics": dict(row["metrics"]),
                    "run_dir": str(self.study / row["run_dir"]),
                }
                for rank, row in enumerate(self.top, 1)
            ],
            "recommendations": self.recommendations,
        }

    def _parameter(self, key: str) -> Parameter:
        return next(p for p in self.space.parameters if p.key == key)

    def _inside(self, key: str) -> bool:
        parameter = self._parameter(key)
        return bool(abs(np.median([parameter.unit(row["parameters"][key]) for row in self.top]) - 0.5) < 0.25)

    def _rows(self, trial: int) -> list[Mapping[str, Any]]:
        return [row for row in read_yaml(self.study / SNAPSHOT)["trials"] if row["id"] == trial]


def analyse(study: Path) -> Analysis:
    """Read a study, running or not.

    Raises:
        UserError: there is none, or no trial of it has finished.
    """
    if not (study / SNAPSHOT).is_file() or not (study / JOURNAL).is_file():
        stages = ", ".join(str(file.parent) for file in sorted(study.glob(f"*/{SNAPSHOT}")))
        hint = f" (studies in it: {stages})" if stages else ""
        raise UserError(f"--importance takes the directory of a study, with its {SNAPSHOT}; {study} is none{hint}")
    with REGISTRY.borrowed():
        load_plugins(sorted((study / PLUGINS).glob("*.py")))
        settings = resolve(config_file=study / CONFIG)
        begun = _begun(study)
        source = str(study / SPACE) if begun["source"] == SPACE else begun["source"]
        space = search_space(settings, source, begun["only"])
    seed = settings.config.train.seed
    try:
        # As in the report: what was pruned was judged earlier, and other seeds repeat the points of the best.
        rows = [
            row
            for row in read_yaml(study / SNAPSHOT)["trials"]
            if row["state"] == State.COMPLETE and row["seed"] == seed and row["objective"] is not None
        ]
        trials = [Trial(row["parameters"], space.units(row["parameters"]), "known", row["objective"]) for row in rows]
    except (KeyError, TypeError) as error:
        raise UserError(f"{study / SNAPSHOT} does not fit the study's search space: {error}") from None
    if not rows:
        raise UserError(f"no trial of {study} has finished: there is nothing to tell yet")
    top = sorted(rows, key=lambda row: (-row["objective"], row["id"]))[:_TOP]
    return Analysis(study, len(rows), space, importance(space, trials, seed), top)


def text(found: Analysis) -> str:
    """As a person reads it."""
    from vbot.comparison.table import Column, fit

    lines = [f"{found.study}: {found.trials} finished trials, {len(found.space)} parameters"]
    ranking = found.importance or ()
    if ranking:
        columns = [
            Column("parameter", [f.key for f in ranking]),
            Column("importance", [f"{f.share:.2f}" for f in ranking], True),
            Column("correlation", ["-" if f.correlation is None else f"{f.correlation:+.2f}" for f in ranking], True),
            Column("p", [f"{f.p:.3f}" for f in ranking], True),
            Column("direction", [found.direction(f) for f in ranking]),
        ]
        lines += ["", fit(columns, None)[0]]
        lines += ["", "importance: share of the variance of the objective's ranks; p: by chance, of the most important"]
    keys = [f.key for f in ranking if f.told] or list(found.top[0]["parameters"])[:_TOP]
    columns = [
        Column("", [str(rank) for rank, _ in enumerate(found.top, 1)], True),
        Column("trial", [str(row["id"]) for row in found.top], True),
        Column("objective", [f"{row['objective']:.3f}" for row in found.top], True),
        *(Column(found._parameter(key).short, [_plain(row["parameters"][key]) for row in found.top]) for key in keys),
    ]
    lines += ["", f"the best {len(found.top)} (all parameters: --yaml)", fit(columns, None)[0]]
    return "\n".join([*lines, "", "recommendations", *(f"- {advice}" for advice in found.recommendations)])


def _advice(f: Importance, parameter: Parameter, top: Sequence[Mapping[str, Any]]) -> str:
    values = [row["parameters"][f.key] for row in top]
    if not parameter.ordered:
        return f"{f.key}: {_plain(values[0])} was in the best trial; keep to what the best {len(top)} have."
    units = [parameter.unit(value) for value in values]
    low, high = min(values), max(values)
    told = f"{f.key}: the best {len(top)} have {_plain(low)} to {_plain(high)}"
    end = "upper" if min(units) > 1 - _EDGE else "lower" if max(units) < _EDGE else None
    if end is not None and not isinstance(parameter.range, Choice):
        return f"{told}, all at the {end} end of {parameter.range}: widen the range there."
    return f"{told}; search there."


def _begun(study: Path) -> dict[str, Any]:
    """The first event of the journal: what the study was asked. Its lock is not needed to read."""
    with (study / JOURNAL).open() as file:
        try:
            first = json.loads(file.readline())
            return {"source": first["source"], "only": first["only"]}
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{study / JOURNAL} does not begin as a search's") from None


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
