"""The reward terms for one robot, in plain floats: a function per term of ``vbot.rewards``, of the same name.

Scales, parameters, decay and kinds come from vbot's own reward set, so a set is written down once. A new term needs
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
        ValueError: the set pays a term that has no formula here.
    """

    def __init__(self, reward_set: RewardSet, step_s: float, limit_s: float) -> None:
        per_step = step_s / reward_set.scale_dt
        self._terms = []
        for term in reward_set.terms:
            spec = term.spec
            if spec.name not in TERMS:
                raise ValueError(f"reward term {spec.name!r} has no formula for a single robot in {__file__}")
            weight = term.scale * (per_step if spec.kind == "rate" else 1.0)
            clip = None if spec.clip is None else (spec.clip[0] * per_step, spec.clip[1] * per_step)
            self._terms.append((TERMS[spec.name], dict(term.params), weight, clip, spec.decay))
        self._decay = reward_set.time_decay
        self._limit_s = limit_s

    def __call__(self, r: Any) -> float:
        decay = self._decay
        factor = 1.0 if decay is None else min(max(1 - decay.rate * r.time_s / self._limit_s, decay.floor), 1.0)
        total = 0.0
        for function, params, weight, clip, decays in self._terms:
            paid = weight * function(r, **params)
            if clip is not None:
                paid = min(max(paid, clip[0]), clip[1])
            total += paid * factor if decays else paid
        return total


# Leading to the target.


@_term
def progress(r: Any) -> float:
    return r.prev_distance - r.distance


@_term
def position_tracking(r: Any, sigma: float) -> float:
    return math.exp(-r.distance / sigma)


@_term
def fine_position_tracking(r: Any, sigma: float, radius: float, after_reach: bool) -> float:
    return math.exp(-r.distance / sigma) if r.distance < radius and (r.ever_reached or not after_reach) else 0.0


@_term
def heading_tracking(r: Any, sigma: float) -> float:
    return 0.0 if r.ever_reached else math.exp(-abs(r.bearing_error) / sigma)


@_term
def forward_velocity(r: Any, max_speed: float, min_speed: float) -> float:
    return 0.0 if r.ever_reached else min(max(r.target_speed, min_speed), max_speed)


@_term
def distance_progress(r: Any, low: float, high: float) -> float:
    return 0.0 if r.ever_reached else min(max(1 - r.distance / max(r.initial_distance, 1e-6), low), high)


@_term
def approach_scale(r: Any) -> float:
    return 0.0 if r.ever_reached else r.prev_distance - r.distance


@_term
def alive_bonus(r: Any) -> float:
    return 0.0 if r.ever_reached else 1.0


@_term
def trot(r: Any) -> float:
    if r.ever_reached:
        return 0.0
    first_half = math.sin(r.clock_phase) > 0
    swings = (first_half, not first_half, not first_half, first_half)
    return sum(touches != swing for touches, swing in zip(r.foot_contact, swings, strict=True)) / 4 - 0.5


@_term
def turn(r: Any) -> float:
    return 0.0 if r.ever_reached else abs(r.prev_bearing_error) - abs(r.bearing_error)


# Arriving and stopping.


@_term
def arrival_bonus(r: Any) -> float:
    return 1.0 if r.first_reach else 0.0


@_term
def inner_fence_bonus(r: Any) -> float:
    return 1.0 if r.first_fence else 0.0


@_term
def stay(r: Any, speed_sigma: float) -> float:
    return math.exp(-((r.planar_speed / speed_sigma) ** 2)) if r.reached else 0.0


def _stopping(r: Any, max_speed: float, window_s: float) -> bool:
    return r.ever_reached and r.time_since_reach < window_s - 0.1 * r.step_s and r.planar_speed < max_speed


@_term
def stop_scale(r: Any, max_speed: float, window_s: float, speed_sigma: float, yaw_sigma: float) -> float:
    if not _stopping(r, max_speed, window_s):
        return 0.0
    slow = 0.8 * math.exp(-((r.planar_speed / speed_sigma) ** 2))
    return slow + 1.2 * math.exp(-((r.ang_vel_b[2] / yaw_sigma) ** 4))


@_term
def zero_ang_bonus(r: Any, max_yaw_rate: float, max_speed: float, window_s: float) -> float:
    return 1.0 if _stopping(r, max_speed, window_s) and abs(r.ang_vel_b[2]) < max_yaw_rate else 0.0


@_term
def near_target_speed(r: Any, radius: float, slope: float, low: float, high: float) -> float:
    if r.distance >= radius:
        return 0.0
    return max(r.planar_speed - min(max(slope * r.distance, low), high), 0.0) ** 2


@_term
def departure_penalty(r: Any, min_speed: float) -> float:
    lost = r.distance - r.prev_distance
    return max(lost, 0.0) if r.ever_reached and lost > min_speed * r.step_s else 0.0


# How the robot moves, and where it must not be.


@_term
def orientation(r: Any) -> float:
    return r.gravity_b[0] ** 2 + r.gravity_b[1] ** 2


@_term
def lin_vel_z(r: Any) -> float:
    return r.lin_vel_b[2] ** 2


@_term
def ang_vel_xy(r: Any) -> float:
    return r.ang_vel_b[0] ** 2 + r.ang_vel_b[1] ** 2


@_term
def torques(r: Any) -> float:
    return float(r.joint_torque.dot(r.joint_torque))


@_term
def dof_vel(r: Any) -> float:
    return float(r.joint_vel.dot(r.joint_vel))


@_term
def dof_acc(r: Any) -> float:
    change = r.joint_vel - r.prev_joint_vel
    return float(change.dot(change))


@_term
def action_rate(r: Any) -> float:
    change = r.action - r.prev_action
    return float(change.dot(change))


@_term
def boundary_penalty(r: Any, margin: float) -> float:
    return max(r.radius - (r.platform_radius - margin), 0.0)


@_term
def termination(r: Any) -> float:
    return 1.0 if r.fallen else 0.0
