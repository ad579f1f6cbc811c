"""The penalties on motion against values worked out by hand."""

import pytest
import torch

from vbot.rewards import REGISTRY
from vbot.rewards.regularization import action_rate, ang_vel_xy, dof_acc, dof_vel, lin_vel_z, orientation, torques

TERMS = (orientation, lin_vel_z, ang_vel_xy, torques, dof_vel, dof_acc, action_rate)
TWO_JOINTS = [3.0, -4.0] + [0.0] * 10


def same(value, expected):
    torch.testing.assert_close(value, torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_orientation_is_zero_upright_one_on_the_side_and_never_more(make_state):
    gravity = [[0.0, 0.0, -1.0], [0.6, 0.0, -0.8], [0.0, -1.0, 0.0], [0.6, 0.8, 0.0]]
    same(orientation(make_state(projected_gravity_b=gravity)), [0.0, 0.36, 1.0, 1.0])  # 0.36 + 0.64


def test_orientation_does_not_tell_upright_from_upside_down(make_state):
    """As published: a robot on its back is a matter for the fall, not for this term."""
    same(orientation(make_state(1, projected_gravity_b=[0.0, 0.0, 1.0])), [0.0])


def test_lin_vel_z_sees_vertical_velocity_of_the_body_frame_only(make_state):
    body = [[1.0, 2.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, -0.5]]
    same(lin_vel_z(make_state(3, base_lin_vel_b=body, base_lin_vel_w=[0.0, 0.0, 9.0])), [0.0, 0.25, 0.25])


def test_ang_vel_xy_leaves_the_yaw_rate_free(make_state):
    same(ang_vel_xy(make_state(2, base_ang_vel_b=[[0.0, 0.0, 7.0], [3.0, -4.0, 7.0]])), [0.0, 25.0])  # 9 + 16


def test_torques_and_joint_speed_are_sums_of_squares(make_state):
    same(torques(make_state(2, joint_torque=[[0.0] * 12, TWO_JOINTS])), [0.0, 25.0])
    same(torques(make_state(1, joint_torque=2.0)), [48.0])  # 12 joints x 2^2
    same(dof_vel(make_state(2, joint_vel=[[0.0] * 12, TWO_JOINTS])), [0.0, 25.0])


def test_dof_acc_is_the_raw_difference_not_divided_by_the_step(make_state):
    # (1 - 4)^2 + (2 - -2)^2 = 9 + 16, at any step length.
    for step_s in (0.01, 0.02):
        s = make_state(1, joint_vel=[1.0, 2.0] + [0.0] * 10, prev_joint_vel=[4.0, -2.0] + [0.0] * 10, step_s=step_s)
        same(dof_acc(s), [25.0])
    same(dof_acc(make_state(1, joint_vel=5.0, prev_joint_vel=5.0)), [0.0])  # fast but steady


def test_action_rate_is_the_raw_difference_of_actions(make_state):
    same(action_rate(make_state(1, action=0.5, prev_action=0.25)), [0.75])  # 12 x 0.25^2
    same(action_rate(make_state(1, action=0.5, prev_action=0.5)), [0.0])


@pytest.mark.parametrize("term", TERMS)
def test_motion_is_penalised_in_every_phase_alike(make_state, term):
    moving = {
        "projected_gravity_b": [0.6, 0.0, -0.8],
        "base_lin_vel_b": 1.0,
        "base_ang_vel_b": 1.0,
        "joint_torque": 1.0,
        "joint_vel": 1.0,
        "action": 1.0,
    }
    before, after = term(make_state(2, ever_reached=[False, True], **moving)).tolist()
    assert before == after > 0
    spec = REGISTRY[term.__name__]
    assert (spec.penalty, spec.decay, spec.kind) == (True, False, "rate")
