"""Penalties on how the robot moves, in every phase. Scales and ranges: the published section001 sets."""

import torch

from vbot.rewards import LogUniform, State, Uniform, penalty


@penalty(scale=-0.05, search=Uniform(-0.3, -0.01))
def orientation(s: State) -> torch.Tensor:
    """Tilt, g_x^2 + g_y^2 of the unit vector of gravity in the base frame; no unit."""
    return s.projected_gravity_b[:, :2].square().sum(1)


@penalty(scale=-0.3, search=Uniform(-2.0, -0.05))
def lin_vel_z(s: State) -> torch.Tensor:
    """Bouncing, v_z^2 in the base frame; (m/s)^2."""
    return s.base_lin_vel_b[:, 2].square()


@penalty(scale=-0.03, search=Uniform(-0.3, -0.01))
def ang_vel_xy(s: State) -> torch.Tensor:
    """Rolling and pitching, w_x^2 + w_y^2 in the base frame; (rad/s)^2."""
    return s.base_ang_vel_b[:, :2].square().sum(1)


@penalty(scale=-1e-5, search=LogUniform(-1e-3, -1e-6))
def torques(s: State) -> torch.Tensor:
    """Effort, the sum over joints of tau^2; (N m)^2."""
    return s.joint_torque.square().sum(1)


@penalty(scale=-5e-5, search=LogUniform(-1e-3, -1e-5))
def dof_vel(s: State) -> torch.Tensor:
    """Joint speed, the sum over joints of qdot^2; (rad/s)^2."""
    return s.joint_vel.square().sum(1)


@penalty(scale=-2.5e-7, search=LogUniform(-1e-5, -1e-8))
def dof_acc(s: State) -> torch.Tensor:
    """Change of joint speed, the sum over joints of (qdot - previous qdot)^2, not divided by the step; (rad/s)^2."""
    return (s.joint_vel - s.prev_joint_vel).square().sum(1)


@penalty(scale=-0.01, search=Uniform(-0.05, -0.001))
def action_rate(s: State) -> torch.Tensor:
    """Change of the action, the sum over joints of (a - previous a)^2, not divided by the step; no unit."""
    return (s.action - s.prev_action).square().sum(1)
