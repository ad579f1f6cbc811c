"""States made to order: what term cards and the audit ask reward terms about.

The robots here are drawn, not simulated: a body that moves as told, over a gait whose joint speeds, efforts and
footfalls grow with its speed about as those of a trained trot do.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vbot.rewards.registry import TermSpec
from vbot.state import CLOCK_PERIOD_S, State

STANDING_POSE = (0.0, 0.9, -1.8) * 4
"""rad, of VBot."""
_LEG_M = 0.25
"""Hip to foot when standing."""
_OMEGA = 2 * math.pi / CLOCK_PERIOD_S
_FULL_STRIDE_MPS = 1.0
"""From this speed on the body bounces and rolls as much as it ever does."""


@dataclass(frozen=True)
class Gait:
    """Joints, feet and wobble of N robots that trot; J joints, F feet."""

    joint_pos: Tensor  # (N, J) rad
    joint_vel: Tensor  # (N, J) rad/s
    joint_torque: Tensor  # (N, J) N m
    action: Tensor  # (N, J)
    foot_contact: Tensor  # (N, F) bool
    foot_height: Tensor  # (N, F) m
    foot_force: Tensor  # (N, F) N
    height_m: Tensor  # (N,) of the base
    rise_mps: Tensor  # (N,) vertical speed of the base
    roll_rad: Tensor  # (N,)
    roll_rate: Tensor  # (N,) rad/s


def draw_gait(
    speed: Tensor, time_s: Tensor, pose: Tensor, *, feet: int = 4, height_m: float = 0.257, action_scale: float = 0.5
) -> Gait:
    """A trot in time with the clock at ``speed`` (N,) m/s and ``time_s`` (N,); it stands where the speed is 0.

    A foot stays on the ground for half a period while the body goes on, so a leg swings through
    speed * period / 2 / leg length, split evenly to both sides of the standing ``pose`` (J,). Diagonal pairs, feet 0
    and 3 against 1 and 2, swing in turn.
    """
    pace, phase = speed.abs(), _OMEGA * time_s
    stride = (pace / _FULL_STRIDE_MPS).clamp(max=1.0)
    joints = len(pose)
    leg = torch.arange(joints) * feet // joints
    side = torch.where((leg % 4 == 0) | (leg % 4 == 3), 1.0, -1.0)
    amplitude = (pace * CLOCK_PERIOD_S / 4 / _LEG_M)[:, None] * side
    swing, swing_rate = torch.sin(phase)[:, None], _OMEGA * torch.cos(phase)[:, None]
    foot = torch.arange(feet)
    in_air = torch.sin(phase)[:, None] * torch.where((foot % 4 == 0) | (foot % 4 == 3), 1.0, -1.0) > 0
    in_air = in_air & (pace > 0)[:, None]
    return Gait(
        joint_pos=pose + amplitude * swing,
        joint_vel=amplitude * swing_rate,
        joint_torque=(5.0 + 4.0 * pace[:, None] * swing.abs()).expand(-1, joints),
        action=amplitude * swing / action_scale,
        foot_contact=~in_air,
        foot_height=0.05 * stride[:, None] * in_air,
        foot_force=80.0 * ~in_air,
        height_m=height_m + 0.01 * stride * torch.sin(2 * phase),
        rise_mps=0.01 * stride * 2 * _OMEGA * torch.cos(2 * phase),
        roll_rad=0.04 * stride * torch.sin(phase),
        roll_rate=0.04 * stride * _OMEGA * torch.cos(phase),
    )


def robots(
    distance: Tensor | float,
    speed: Tensor | float = 0.0,
    *,
    ever_reached: Tensor | bool = False,
    time_since_reach: Tensor | float = 0.0,
    stopped_time: Tensor | float = 0.0,
    time_s: Tensor | float = 0.0,
    initial_distance: Tensor | float = 0.0,
    episode_limit_s: float = 20.0,
    reach_radius_m: float = 0.5,
    platform_radius_m: float = 11.0,
    step_s: float = 0.02,
    pose: tuple[float, ...] = STANDING_POSE,
    feet: int = 4,
    action_scale: float = 0.5,
    height_m: float = 0.257,
) -> State:
    """Upright robots ``distance`` m from a target in the middle of the disc, facing it and walking at ``speed`` m/s.

    Everything but the last nine broadcasts to one row per robot. ``initial_distance`` is at least the distance.
    ``ever_reached`` holds for every robot within the reach radius that has a time since its reach.
    """
    given = (distance, speed, ever_reached, time_since_reach, stopped_time, time_s, initial_distance)
    d, v, was_there, since, stopped, time, start = torch.broadcast_tensors(
        *(torch.atleast_1d(torch.as_tensor(value, dtype=torch.float32)) for value in given)
    )
    n, j = len(d), len(pose)
    zero, none = torch.zeros(n), torch.zeros(n, dtype=torch.bool)
    standing = torch.tensor(pose)
    now, before = (
        draw_gait(v, t, standing, feet=feet, height_m=height_m, action_scale=action_scale)
        for t in (time, time - step_s)
    )
    half = now.roll_rad / 2
    linear = torch.stack((v, zero, now.rise_mps), 1)
    return State(
        base_pos_w=torch.stack((-d, zero, now.height_m), 1),
        base_quat_w=torch.stack((half.cos(), half.sin(), zero, zero), 1),
        base_lin_vel_w=linear,
        base_lin_vel_b=linear.clone(),
        base_ang_vel_b=torch.stack((now.roll_rate, zero, zero), 1),
        projected_gravity_b=torch.stack((zero, -now.roll_rad.sin(), -now.roll_rad.cos()), 1),
        joint_pos=now.joint_pos,
        joint_vel=now.joint_vel,
        prev_joint_vel=before.joint_vel,
        joint_torque=now.joint_torque.contiguous(),
        default_joint_pos=standing.expand(n, j).clone(),
        action=now.action,
        prev_action=before.action,
        target_pos_w=torch.zeros(n, 2),
        target_yaw_w=zero.clone(),
        target_vec_b=torch.stack((d, zero), 1),
        distance=d.clone(),
        prev_distance=(d + v * step_s).clamp(min=0.0),
        initial_distance=torch.maximum(start, d),
        min_distance=d.clone(),
        bearing_error=zero.clone(),
        heading_error=zero.clone(),
        foot_contact=now.foot_contact,
        foot_force=now.foot_force,
        foot_height=now.foot_height,
        foot_vel_w=linear[:, None, :].expand(n, feet, 3) * (~now.foot_contact)[..., None],
        foot_air_time=torch.where(now.foot_contact, 0.0, CLOCK_PERIOD_S / 4),
        reached=d < reach_radius_m,
        ever_reached=was_there > 0,
        first_reach=none.clone(),
        first_fence=none.clone(),
        stopped_time=stopped.clone(),
        time_since_reach=since.clone(),
        fallen=none.clone(),
        time_s=time.clone(),
        episode_limit_s=torch.full((n,), episode_limit_s),
        radius=d.clone(),
        platform_radius=torch.full((n,), platform_radius_m),
        step_s=step_s,
    )


def raw(spec: TermSpec, s: State, params: Mapping[str, Any] | None = None) -> Tensor:
    """(N,) raw values of a term on states out of the blue: a term with memory sees them as its first step."""
    given = {**spec.params, **(params or {})}
    if spec.stateful:
        return spec.function(s.num_envs, s.distance.device, **given)(s)
    return spec.function(s, **given)


def mirrored(s: State) -> State:
    """The left-right mirror image of VBot's states: in a symmetric gait that is half a clock period later."""
    joints = torch.tensor([3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8])
    hips = torch.tensor([-1.0, 1.0, 1.0] * 4)
    feet = torch.tensor([1, 0, 3, 2])
    vector, axial = torch.tensor([1.0, -1.0, 1.0]), torch.tensor([-1.0, 1.0, -1.0])
    images: dict[str, Any] = {
        "base_quat_w": s.base_quat_w * torch.tensor([1.0, -1.0, 1.0, -1.0]),
        "base_ang_vel_b": s.base_ang_vel_b * axial,
        "foot_vel_w": s.foot_vel_w[:, feet] * vector,
        "time_s": s.time_s + CLOCK_PERIOD_S / 2,
    }
    for name in ("base_pos_w", "base_lin_vel_w", "base_lin_vel_b", "projected_gravity_b"):
        images[name] = getattr(s, name) * vector
    for name in ("joint_pos", "joint_vel", "prev_joint_vel", "joint_torque", "default_joint_pos"):
        images[name] = getattr(s, name)[:, joints] * hips
    for name in ("action", "prev_action"):
        images[name] = getattr(s, name)[:, joints] * hips
    for name in ("target_pos_w", "target_vec_b"):
        images[name] = getattr(s, name) * vector[:2]
    for name in ("target_yaw_w", "bearing_error", "heading_error"):
        images[name] = -getattr(s, name)
    for name in ("foot_contact", "foot_force", "foot_height", "foot_air_time"):
        images[name] = getattr(s, name)[:, feet]
    return dataclasses.replace(s, **images)
