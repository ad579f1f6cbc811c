"""Which policy of a run is its best: kept while it trains, chosen when it ends."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from vbot.proportions import Z95, wilson_interval

Row = Mapping[str, Any]
"""An evaluation, with the keys of ``vbot.evaluate --json``."""
Finalist = TypeVar("Finalist")


def rank(evaluation: Row) -> tuple[float, float]:
    """What the best of some policies is the greatest of: success, then a short time to the target."""
    time_s = evaluation["time_to_target_s"]
    return evaluation["success_rate"], -time_s if time_s is not None else -math.inf


def finalists(evaluations: Sequence[Row]) -> list[Row]:
    """The evaluations of a run whose policies it looks at once more in the end, the best first, four at most.

    Of 256 episodes even a policy that fails two in a hundred has every one now and then, and what is greatest of many
    evaluations is often the luckiest. Finalists are within the 95 % interval of the greatest success; where no robot
    ever succeeded, there is nothing to choose, and one is enough. What is none of them does not become one by later
    evaluations, so that a run need not keep it.
    """
    best_first = sorted(evaluations, key=rank, reverse=True)
    if not best_first or best_first[0]["success_rate"] == 0:
        return best_first[:1]
    least = max(_lower_end(e, Z95) for e in evaluations)
    return [e for e in best_first if e["success_rate"] >= least][:4]


def winner(evaluations: Sequence[Row]) -> Row:
    """The quickest to the target of those whose success is within a standard error of the greatest.

    What chance may part is told apart by time (the rule of Breiman et al., "Classification and regression trees",
    1984, with the error of a difference, which is sqrt(2) times that of one of them).
    """
    least = max(_lower_end(e, math.sqrt(2)) for e in evaluations)
    return max((e for e in evaluations if e["success_rate"] >= least), key=lambda e: rank(e)[::-1])


def choose(best: Sequence[Finalist], judge: Callable[[Finalist], Row]) -> Finalist:
    """The winner of some finalists; ``judge`` evaluates one on new episodes. One alone wins unseen."""
    if len(best) == 1:
        return best[0]
    seen = [judge(finalist) for finalist in best]
    return best[seen.index(winner(seen))]


def _lower_end(evaluation: Row, z: float) -> float:
    episodes = evaluation["episodes"]
    return wilson_interval(round(evaluation["success_rate"] * episodes), episodes, z)[0]
