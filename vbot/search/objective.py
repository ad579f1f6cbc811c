"""What a run is judged by: success on held-out episodes, the best that it sustained, never the reward it was paid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vbot.errors import UserError, nearest

WINDOW = 3
"""Evaluations in a row whose mean counts: the best of many single ones would be the luckiest."""

TIE = 1e-3
"""What a whole episode's time costs, in success rate: it decides between equals and nothing else."""

METRICS = ("success_rate", "reached_rate", "fall_rate", "timeout_rate", "time_to_target_s", "path_efficiency",
           "mean_speed_mps", "contest_score")  # fmt: skip
"""Metrics of the task, as an evaluation reports them."""

NOISE = 0.05
"""Of a rate: what may lie between equal policies, each looked at in 256 episodes (a standard error is 0.03)."""


@dataclass(frozen=True)
class Objective:
    """A weighted sum of task metrics, the larger the better.

    Args:
        weights: metric -> weight.
        limit_s: the task's time limit; the time to a target that was never reached.
    """

    weights: Mapping[str, float]
    limit_s: float

    @classmethod
    def parse(cls, text: str, limit_s: float) -> "Objective":
        """``success_rate``, ``contest_score``, or a sum such as ``success_rate=1,fall_rate=-0.5``.

        Raises:
            UserError: no metric of the task, or no number.
        """
        weights: dict[str, float] = {}
        for part in text.split(","):
            name, equals, number = part.strip().partition("=")
            if name not in METRICS:
                raise UserError(f"--objective: {name!r} is no metric of the task{nearest(name, METRICS)}")
            try:
                weights[name] = float(number) if equals else 1.0
            except ValueError:
                raise UserError(f"--objective: the weight of {name} must be a number; got {number!r}") from None
        if set(weights) == {"success_rate"}:
            weights["time_to_target_s"] = -TIE * weights["success_rate"] / limit_s
        return cls(weights, limit_s)

    @property
    def noise(self) -> float:
        """The difference below which one evaluation is not worse than another."""
        whole = {"time_to_target_s": self.limit_s, "contest_score": 20.0}
        return NOISE * sum(abs(weight) * whole.get(name, 1.0) for name, weight in self.weights.items())

    def of(self, evaluation: Mapping[str, Any]) -> float:
        """The value of one evaluation.

        Raises:
            UserError: it lacks a metric: what is missing is no zero.
        """
        total = 0.0
        for name, weight in self.weights.items():
            if name not in evaluation:
                raise UserError(f"an evaluation lacks {name}; it says {', '.join(sorted(evaluation))}")
            value = evaluation[name]
            if value is None:  # a mean over no episode
                value = self.limit_s if name == "time_to_target_s" else 0.0
            total += weight * value
        return total

    def sustained(self, evaluations: Sequence[Mapping[str, Any]]) -> float | None:
        """The best mean of WINDOW evaluations in a row, of all where there are fewer; None where there is none."""
        values = [self.of(e) for e in evaluations]
        if not values:
            return None
        width = min(WINDOW, len(values))
        return max(sum(values[i : i + width]) / width for i in range(len(values) - width + 1))


def published_score(result: Mapping[str, Any], limit_s: float) -> float | None:
    """The composite score of the published pipeline, for comparison alone: it depends on the reward searched over.

    0.60 success + 0.25 (1 - terminations) + 0.10 min(reward / 10, 1) + 0.05 (1 - min(length / limit, 1)). None unless
    all of it is known: there, a crash was given 0.30 for what it did not report.
    """
    names = ("success_rate", "fall_rate", "return_mean", "duration_s")
    if any(result.get(name) is None for name in names):
        return None
    success, falls, income, duration_s = (float(result[name]) for name in names)
    return 0.6 * success + 0.25 * (1 - falls) + 0.1 * min(income / 10, 1) + 0.05 * (1 - min(duration_s / limit_s, 1))
