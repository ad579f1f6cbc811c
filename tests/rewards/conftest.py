"""States for the tests of reward terms, as fixtures: ``make_state`` (neutral, by hand) and ``random_state``."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from vbot.rewards import State
from vbot.rewards.conformance import random_states

torch.set_num_threads(1)

MakeState = Callable[..., State]


def build_state(n: int = 4, **fields: Any) -> State:
    """n robots that stand upright at rest, 3 m from a target in the middle of the disc and facing it.

    A field may be overridden by whatever broadcasts to its shape: a number, one row, or a row for each robot. The
    positions and the distances of the past follow ``distance``.
    """
    distance = torch.as_tensor(fields.get("distance", 3.0), dtype=torch.float32).expand(n)
    zero, still = torch.zeros(n), torch.zeros(n, dtype=torch.bool)
    vector, joints, feet = torch.zeros(n, 3), torch.zeros(n, 12), torch.zeros(n, 4)
    standing = torch.tensor([0.0, 0.9, -1.8]).repeat(4).expand(n, 12)
    neutral: dict[str, torch.Tensor] = {
        "base_pos_w": torch.stack([-distance, zero, zero + 0.28], 1),
        "base_quat_w": torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(n, 4),
        "base_lin_vel_w": vector,
        "base_lin_vel_b": vector,
        "base_ang_vel_b": vector,
        "projected_gravity_b": torch.tensor([0.0, 0.0, -1.0]).expand(n, 3),
        "joint_pos": standing,
        "joint_vel": joints,
        "prev_joint_vel": joints,
        "joint_torque": joints,
        "default_joint_pos": standing,
        "action": joints,
        "prev_action": joints,
        "target_pos_w": torch.zeros(n, 2),
        "target_yaw_w": zero,
        "target_vec_b": torch.stack([distance, zero], 1),
        "distance": distance,
        "prev_distance": distance,
        "initial_distance": distance,
        "min_distance": distance,
        "bearing_error": zero,
        "heading_error": zero,
        "foot_contact": torch.ones(n, 4, dtype=torch.bool),
        "foot_force": feet + 40.0,
        "foot_height": feet,
        "foot_vel_w": torch.zeros(n, 4, 3),
        "foot_air_time": feet,
        "reached": still,
        "ever_reached": still,
        "first_reach": still,
        "first_fence": still,
        "stopped_time": zero,
        "time_since_reach": zero,
        "fallen": still,
        "time_s": zero + 1.0,
        "episode_limit_s": zero + 20.0,
        "radius": distance,
        "platform_radius": zero + 11.0,
    }
    step_s = fields.pop("step_s", 0.02)
    for name, value in fields.items():
        like = neutral[name]
        neutral[name] = torch.as_tensor(value, dtype=like.dtype).expand(like.shape)
    return State(**{name: value.clone() for name, value in neutral.items()}, step_s=step_s)


@pytest.fixture
def make_state() -> MakeState:
    return build_state


@pytest.fixture
def random_state() -> Callable[[int, int], State]:
    return random_states
