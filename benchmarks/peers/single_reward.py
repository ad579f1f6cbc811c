"""The terms of swift for one robot, in plain floats: a function per term of ``vbot.rewards``, of the same name.

Scales, parameters and kinds come from vbot's own reward set, so a set is written down once. A new term needs
its formula here, and the test that compares the two environments then covers it.
"""

import math
from collections.abc import Callable
from typing import Any

from vbot.rewards.sets import RewardSet

TERMS: dict[str, Callable[..., float]] = {}


def _term(function: Callable[..., float]) -> Callable[..., float]:
    TERMS[function.__name__] = function
    return function


class SingleReward:
    """Sums a set's terms for a ``SingleRobot``, as ``vbot.rewards.compute.RewardFunction`` does for many.

    Raises:
        ValueError: the set pays a term that has no formula here, or has a time decay.
    """

    def __init__(self, reward_set: RewardSet, step_s: float) -> None:
        if reward_set.time_decay is not None:
            raise ValueError("a reward with a time decay is not written out for a single robot")
        per_step = step_s / reward_set.scale_dt
        self._terms = []
        for term in reward_set.terms:
            spec = term.spec
            if spec.name not in TERMS:
                raise ValueError(f"reward term {spec.name!r} has no formula for a single robot in {__file__}")
            weight = term.scale * (per_step if spec.kind == "rate" else 1.0)
            self._terms.append((TERMS[spec.name], dict(term.params), weight))

    def __call__(self, r: Any) -> float:
        return sum(weight * function(r, **params) for function, params, weight in self._terms)


# Leading to the target.


@_term
def progress(r: Any, max_speed: float, charge: float) -> float:
    gained = r.prev_distance - r.distance
    return gained - (1 + charge) * max(gained - max_speed * r.step_s, 0.0)


@_term
def trot(r: Any) -> float:
    if r.ever_reached:
        return 0.0
    first_half = math.sin(r.clock_phase) > 0
    swings = (first_half, not first_half, not first_half, first_half)
    return sum(touches != swing for touches, swing in zip(r.foot_contact, swings, strict=True)) / 4 - 0.5


@_term
def heading_tracking(r: Any, sigma: float) -> float:
    if r.ever_reached:
        return 0.0
    ahead, left = r.target_direction_b
    return math.exp(-abs(math.atan2(left, ahead)) / sigma)


# Arriving and stopping.


@_term
def stay(r: Any, speed_sigma: float) -> float:
    return math.exp(-((r.planar_speed / speed_sigma) ** 2)) if r.reached else 0.0


@_term
def near_target_speed(r: Any, radius: float, slope: float, low: float, high: float) -> float:
    if r.distance >= radius:
        return 0.0
    return max(r.planar_speed - min(max(slope * r.distance, low), high), 0.0) ** 2


# How the robot moves, and where it must not be.


@_term
def orientation(r: Any) -> float:
    return r.gravity_b[0] ** 2 + r.gravity_b[1] ** 2


@_term
def ang_vel_xy(r: Any) -> float:
    return r.ang_vel_b[0] ** 2 + r.ang_vel_b[1] ** 2


@_term
def action_rate(r: Any) -> float:
    change = r.action - r.prev_action
    return float(change.dot(change))


@_term
def termination(r: Any) -> float:
    return 1.0 if r.fallen else 0.0
