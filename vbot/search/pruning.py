"""Successive halving at steps that all runs share: whoever is clearly worse than half of the others ends there."""

from collections.abc import Mapping
from typing import Any

from vbot.search.objective import Objective

RUNGS = (0.25, 0.5)
"""Shares of a run's steps at which it is compared."""
PRUNE_AFTER = 4
"""Runs that must have been that far before any is pruned there."""


class Halving:
    """What runs had sustained at each rung.

    Args:
        objective: by which they are compared.
        steps: of a whole run.
    """

    def __init__(self, objective: Objective, steps: float) -> None:
        self._objective, self._steps = objective, steps
        self._seen: dict[str, dict[str, float]] = {str(share): {} for share in RUNGS}

    def rungs(self, evaluations: list[dict[str, Any]]) -> dict[str, float]:
        """Share of the steps -> what a run had sustained there, as far as it got."""
        values = {}
        for share in RUNGS:
            if evaluations and evaluations[-1]["steps"] >= share * self._steps:
                value = self._objective.sustained(until(evaluations, share * self._steps))
                values[str(share)] = value if value is not None else 0.0
        return values

    def add(self, name: str, rungs: Mapping[str, float]) -> None:
        """Take note of a run that has ended."""
        for share, value in rungs.items():
            self._seen[share][name] = value

    def pruned_at(self, evaluations: list[dict[str, Any]]) -> float | None:
        """The step at which a run was too bad to go on; None if it never was."""
        for share, mine in self.rungs(evaluations).items():
            others = sorted(self._seen[share].values())
            # By more than chance: early on, most runs are equally bad.
            if len(others) >= PRUNE_AFTER and mine < others[len(others) // 2] - self._objective.noise:
                return float(share) * self._steps
        return None


def until(evaluations: list[dict[str, Any]], step: float) -> list[dict[str, Any]]:
    """Evaluations up to the first at ``step`` or later."""
    beyond = next((i for i, e in enumerate(evaluations) if e["steps"] >= step), len(evaluations) - 1)
    return evaluations[: beyond + 1]
