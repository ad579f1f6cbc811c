"""State: what reward terms, observations and episode rules see, one row per environment.

This is the contract of plugin authors. Every field is a tensor whose first dimension is the environment, float32
unless said otherwise, in SI units. The suffix ``_w`` is the world frame (z up), ``_b`` the frame of the robot's
base (x forward, y left, z up). A reward sees the state after the physics of a control step and before any reset.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

CLOCK_PERIOD_S = 0.5
"""Of the clock that policies see and terms may pay for keeping time with. Without one a deterministic policy can stand
still for ever in a state from which action noise used to move it; a gait of about this period lets it step in time."""


@dataclass(slots=True)
class State:
    """A batch of N environments with J joints and F feet (VBot: J = 12, F = 4). Read-only for terms."""

    # The base.
    base_pos_w: Tensor  # (N, 3) m
    base_quat_w: Tensor  # (N, 4) w x y z
    base_lin_vel_w: Tensor  # (N, 3) m/s
    base_lin_vel_b: Tensor  # (N, 3) m/s
    base_ang_vel_b: Tensor  # (N, 3) rad/s
    projected_gravity_b: Tensor  # (N, 3) unit vector of gravity; (0, 0, -1) when upright

    # The joints, in the order of the robot's actuators, and the actions.
    joint_pos: Tensor  # (N, J) rad
    joint_vel: Tensor  # (N, J) rad/s
    prev_joint_vel: Tensor  # (N, J) rad/s, one control step ago
    joint_torque: Tensor  # (N, J) N m, applied by the actuators
    default_joint_pos: Tensor  # (N, J) rad, the standing pose
    action: Tensor  # (N, J) as applied, after clipping and smoothing
    prev_action: Tensor  # (N, J) one control step ago

    # The target. "Bearing" is the direction to the target seen from the robot's nose, "heading" the final yaw.
    target_pos_w: Tensor  # (N, 2) m
    target_yaw_w: Tensor  # (N,) rad
    target_vec_b: Tensor  # (N, 2) m, from base to target in the base's yaw frame (x forward, y left)
    distance: Tensor  # (N,) m, planar, base to target
    prev_distance: Tensor  # (N,) m, one control step ago
    initial_distance: Tensor  # (N,) m, at spawn
    min_distance: Tensor  # (N,) m, smallest so far in the episode
    bearing_error: Tensor  # (N,) rad in [-pi, pi], 0 when the nose points at the target
    heading_error: Tensor  # (N,) rad in [-pi, pi], target yaw minus yaw

    # The feet, in the robot's order of feet.
    foot_contact: Tensor  # (N, F) bool
    foot_force: Tensor  # (N, F) N, magnitude of the net contact force
    foot_height: Tensor  # (N, F) m, lowest point of the foot over the ground
    foot_vel_w: Tensor  # (N, F, 3) m/s
    foot_air_time: Tensor  # (N, F) s since the foot left the ground, 0 in contact

    # Memory of the episode.
    reached: Tensor  # (N,) bool, distance < reach radius now
    ever_reached: Tensor  # (N,) bool, reached now or earlier in the episode
    first_reach: Tensor  # (N,) bool, true on the one step of the first reach
    first_fence: Tensor  # (N,) bool, true on the one step of the first entry into the inner fence
    stopped_time: Tensor  # (N,) s in a row that the robot is reached and slow
    time_since_reach: Tensor  # (N,) s since the first reach, 0 before it and on its step
    fallen: Tensor  # (N,) bool

    # Time and place.
    time_s: Tensor  # (N,) s since the episode began
    episode_limit_s: Tensor  # (N,) s
    radius: Tensor  # (N,) m, of the base from the middle of the course
    platform_radius: Tensor  # (N,) m, of the course's platform

    step_s: float  # control period in s, the time between prev_* and now

    @property
    def num_envs(self) -> int:
        return self.distance.shape[0]

    @property
    def clock_phase(self) -> Tensor:
        """(N,) rad, grows by 2 pi every CLOCK_PERIOD_S from 0 at the episode's beginning."""
        return self.time_s * (2 * math.pi / CLOCK_PERIOD_S)

    @property
    def planar_speed(self) -> Tensor:
        """(N,) m/s, horizontal speed of the base."""
        return torch.hypot(self.base_lin_vel_w[:, 0], self.base_lin_vel_w[:, 1])

    @property
    def target_speed(self) -> Tensor:
        """(N,) m/s, horizontal velocity of the base towards the target; negative when it moves away."""
        # By hand: a sum over two columns is slow.
        x, y = (self.base_lin_vel_w[:, :2] * (self.target_pos_w - self.base_pos_w[:, :2])).unbind(1)
        return (x + y) / self.distance.clamp(min=1e-6)
