"""What runs can be ranked by, and why the return is no such thing across rewards."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vbot.errors import UserError, nearest
from vbot.outcomes import Outcome
from vbot.run import METRICS as METRICS_FILE
from vbot.terminal import duration

RETURN = "return"
_TAIL_BYTES = 65_536


@dataclass(frozen=True)
class Metric:
    """A number of a run.

    Args:
        name: as ``--by`` takes it.
        key: of an evaluation, or of an outcome.
        head: of its column, with the unit.
        higher: whether more is better.
        text: the number as a table shows it.
    """

    name: str
    key: str
    head: str
    higher: bool
    text: Callable[[float], str]

    def value(self, outcome: Outcome) -> float | None:
        """None where the run does not tell."""
        if outcome.state == "broken":
            return None
        if self.name == RETURN:
            return last_return(outcome)
        found = getattr(outcome, self.key) if hasattr(outcome, self.key) else (outcome.evaluation or {}).get(self.key)
        return None if found is None else float(found)

    def cell(self, outcome: Outcome) -> str:
        value = self.value(outcome)
        return "-" if value is None else self.text(value)


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f}"


METRICS: Mapping[str, Metric] = {
    m.name: m
    for m in (
        Metric("success", "success_rate", "success %", True, _percent),
        Metric("time", "time_to_target_s", "time s", False, "{:.2f}".format),
        Metric("falls", "fall_rate", "falls %", False, _percent),
        Metric("contest", "contest_score", "contest", True, "{:.2f}".format),
        Metric("speed", "steps_per_s", "steps/s", True, "{:,.0f}".format),
        Metric("wall", "elapsed_s", "wall", False, duration),
        Metric("steps", "steps", "steps", False, "{:,.0f}".format),
        Metric("reached", "reached_rate", "reached %", True, _percent),
        Metric("timeouts", "timeout_rate", "timeouts %", False, _percent),
        Metric("path", "path_efficiency", "path efficiency", True, "{:.3f}".format),
        Metric("pace", "mean_speed_mps", "pace m/s", True, "{:.2f}".format),
        Metric(RETURN, "return_mean", "return", True, "{:.4g}".format),
    )
}
"""By the name that ``--by`` takes."""

COLUMNS = ("success", "time", "falls", "contest", "speed", "wall")
"""Metrics that every table shows, in this order."""


def find_metric(name: str) -> Metric:
    """The metric of ``--by NAME``; the key of an evaluation is as good. UserError with the nearest name."""
    for metric in METRICS.values():
        if name in (metric.name, metric.key):
            return metric
    raise UserError(f"--by: runs are not ranked by {name!r}{nearest(name, METRICS)}")


def require_one_reward(outcomes: Sequence[Outcome], names: Mapping[str, str]) -> None:
    """UserError unless all of these are known to have been paid by the same reward.

    Args:
        names: fingerprint -> the name of its configuration.
    """
    firsts = {o.fingerprint or "": o for o in outcomes}
    if len({_reward(o) for o in firsts.values()}) > 1:
        raise UserError(
            f"--by return: {', '.join(names[f] for f in firsts)} are not known to be paid by the same reward, and the "
            "sum of one reward says nothing beside that of another; rank by success, time, falls or contest"
        )


def _reward(outcome: Outcome) -> str:
    """What pays a run, as text: scales, parameters and code; its fingerprint where the code was not recorded."""
    reward = {key: value for key, value in outcome.config["reward"].items() if key != "name"}
    return json.dumps([reward, outcome.meta.get("term_code") or outcome.fingerprint], sort_keys=True)


def last_return(outcome: Outcome) -> float | None:
    """Mean return of the last training episodes that were logged."""
    for row in reversed(last_metrics(outcome)):
        if "return_mean" in row:
            return float(row["return_mean"])
    return None


def last_metrics(outcome: Outcome) -> list[dict[str, Any]]:
    """The last rows of metrics.jsonl; a line torn at either end of what is read is left out."""
    file = outcome.run_dir / METRICS_FILE
    if not file.is_file():
        return []
    with file.open("rb") as stream:
        end = stream.seek(0, 2)
        stream.seek(max(0, end - _TAIL_BYTES))
        lines = stream.read().split(b"\n")
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and (outcome.steps is None or row.get("steps", 0) <= outcome.steps):
            rows.append(row)
    return rows
