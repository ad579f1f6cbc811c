"""The State: geometry by hand, and the memory of an episode."""

import math

import mujoco
import numpy as np
import pytest
import torch

from vbot.courses import load_task
from vbot.robot import load_robot
from vbot.sim import Readings
from vbot.tracker import StateTracker

ROBOT = load_robot("vbot")
TASK = load_task("section001")
STEP_S = 0.02


def readings(n: int = 1, *, x=0.0, y=0.0, quat=(1.0, 0.0, 0.0, 0.0), velocity=(0.0, 0.0, 0.0)) -> Readings:
    """A robot at (x, y), standing in the air."""
    position = torch.tensor([x, y, 0.28], dtype=torch.float32).expand(n, 3).clone()
    return Readings(
        base_pos_w=position,
        base_quat_w=torch.tensor(quat, dtype=torch.float32).expand(n, 4).clone(),
        base_lin_vel_w=torch.tensor(velocity, dtype=torch.float32).expand(n, 3).clone(),
        base_ang_vel_b=torch.zeros(n, 3),
        joint_pos=torch.tensor(ROBOT.standing_pose).expand(n, 12).clone(),
        joint_vel=torch.zeros(n, 12),
        joint_torque=torch.zeros(n, 12),
        foot_height=torch.zeros(n, 4),
        foot_vel_w=torch.zeros(n, 4, 3),
        foot_force=torch.zeros(n, 4),
        foot_contact=torch.ones(n, 4, dtype=torch.bool),
        base_contact=torch.zeros(n, dtype=torch.bool),
        failed=torch.zeros(n, dtype=torch.bool),
    )


def tracker(r: Readings, task=TASK) -> StateTracker:
    n = len(r.base_pos_w)
    t = StateTracker(task, ROBOT, n, STEP_S, torch.device("cpu"))
    ids = torch.arange(n)
    t.begin(ids, torch.zeros(n, 2), torch.zeros(n), torch.zeros(n, dtype=torch.long), r)
    return t


def yawed(degrees: float) -> tuple[float, float, float, float]:
    half = math.radians(degrees) / 2
    return math.cos(half), 0.0, 0.0, math.sin(half)


def test_target_is_seen_in_the_frame_of_the_robot():
    # At (3, 0), facing +y: the target at the origin is 3 m to the left.
    s = tracker(readings(x=3.0, quat=yawed(90))).state
    assert s.distance.item() == pytest.approx(3.0)
    assert s.target_vec_b[0].tolist() == pytest.approx([0.0, 3.0], abs=1e-6)
    assert s.bearing_error.item() == pytest.approx(math.pi / 2)
    assert s.heading_error.item() == pytest.approx(-math.pi / 2)  # yaw 0 is wanted, 90 degrees it is


def test_heading_error_takes_the_short_way_round():
    t = tracker(readings(x=3.0, quat=yawed(170)))
    t.begin(
        torch.arange(1),
        torch.zeros(1, 2),
        torch.tensor([math.radians(-170)]),
        torch.zeros(1).long(),
        readings(x=3.0, quat=yawed(170)),
    )
    assert math.degrees(t.state.heading_error.item()) == pytest.approx(20.0, abs=1e-3)


def test_velocity_is_turned_into_the_body_frame():
    # Facing +y and moving with +x in the world: the robot slides to its right.
    s = tracker(readings(x=3.0, quat=yawed(90), velocity=(1.0, 0.0, 0.5))).state
    assert s.base_lin_vel_b[0].tolist() == pytest.approx([0.0, -1.0, 0.5], abs=1e-6)
    assert s.planar_speed.item() == pytest.approx(1.0)
    assert s.target_speed.item() == pytest.approx(-1.0)  # away from the target


def test_any_rotation_is_mujocos():
    g = torch.Generator().manual_seed(3)
    quats, velocities = torch.randn(20, 4, generator=g), torch.randn(20, 3, generator=g)
    for quat, velocity in zip((quats / quats.norm(dim=1, keepdim=True)).tolist(), velocities.tolist(), strict=True):
        s = tracker(readings(x=3.0, quat=quat, velocity=velocity)).state
        back, expected = np.zeros(4), np.zeros(3)
        mujoco.mju_negQuat(back, np.array(quat))
        for seen, of in ((s.base_lin_vel_b, velocity), (s.projected_gravity_b, [0.0, 0.0, -1.0])):
            mujoco.mju_rotVecQuat(expected, np.array(of), back)
            assert seen[0].tolist() == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize(("tilt_deg", "fallen"), [(0, False), (74, False), (76, True), (120, True), (180, True)])
def test_tilt_is_measured_to_the_full_half_turn(tilt_deg, fallen):
    half = math.radians(tilt_deg) / 2
    r = readings(x=3.0, quat=(math.cos(half), math.sin(half), 0.0, 0.0))
    t = tracker(r)
    t.advance(torch.zeros(1, 12), r)
    assert t.state.projected_gravity_b[0, 2].item() == pytest.approx(-math.cos(math.radians(tilt_deg)), abs=1e-6)
    assert t.state.fallen.item() is fallen


def test_falls_base_contact_broken_physics_joint_speed_and_the_edge():
    r = readings(6, x=3.0)
    t = tracker(r)
    r.base_contact[1] = True
    r.failed[2] = True
    r.joint_vel[3, 5] = -100.5
    r.base_pos_w[4, 0] = 12.51
    r.base_pos_w[5, 0] = 12.49
    t.advance(torch.zeros(6, 12), r)
    assert t.state.fallen.tolist() == [False, True, True, True, True, False]


def walk(t: StateTracker, distances, speed=1.0):
    for x in distances:
        t.advance(torch.zeros(1, 12), readings(x=x, velocity=(speed, 0.0, 0.0)))
        yield t.state


def test_fence_and_reach_are_paid_once_and_their_clock_runs_on():
    t = tracker(readings(x=1.0))
    seen = [
        (s.first_fence.item(), s.first_reach.item(), s.reached.item(), s.ever_reached.item(), s.time_since_reach.item())
        for s in walk(t, [0.8, 0.7, 0.45, 0.6, 0.9, 0.4])
    ]
    flags = [row[:4] for row in seen]
    assert flags == [
        (False, False, False, False),
        (True, False, False, False),
        (False, True, True, True),
        (False, False, False, True),
        (False, False, False, True),  # outside again
        (False, False, True, True),  # and back: nothing is paid twice
    ]
    assert [row[4] for row in seen] == pytest.approx([0, 0, 0, 0.02, 0.04, 0.06])
    assert t.state.min_distance.item() == pytest.approx(0.4)
    assert t.state.prev_distance.item() == pytest.approx(0.9)


def test_success_takes_half_a_second_of_standing_in_a_row():
    t = tracker(readings(x=1.0))
    for _ in walk(t, [0.3] * 24, speed=0.14):
        assert not t.succeeded.item()
    assert t.state.stopped_time.item() == pytest.approx(0.48)
    for _ in walk(t, [0.3], speed=0.16):  # a moment too fast: the count begins again
        assert t.state.stopped_time.item() == 0
    for _ in walk(t, [0.3] * 24, speed=0.14):
        assert not t.succeeded.item()
    for _ in walk(t, [0.3], speed=0.14):
        assert t.succeeded.item()


def test_a_robot_that_falls_while_standing_has_not_succeeded():
    t = tracker(readings(x=1.0))
    for _ in walk(t, [0.3] * 24, speed=0.0):
        pass
    r = readings(x=0.3)
    r.base_contact[:] = True
    t.advance(torch.zeros(1, 12), r)
    assert t.state.fallen.item()
    assert not t.succeeded.item()


def test_time_runs_out_after_exactly_the_limit():
    t = tracker(readings(x=3.0))
    for k, _ in enumerate(walk(t, [3.0] * 1000), 1):
        assert t.timed_out.item() == (k == 1000)
    assert t.state.time_s.item() == pytest.approx(20.0)


def test_air_time_counts_from_lift_off_and_is_zero_in_contact():
    t = tracker(readings(x=3.0))
    seen = []
    for contact in (True, False, False, False, True):
        r = readings(x=3.0)
        r.foot_contact[0, 2] = contact
        t.advance(torch.zeros(1, 12), r)
        seen.append(t.state.foot_air_time[0, 2].item())
    assert seen == pytest.approx([0, 0.02, 0.04, 0.06, 0])


def test_previous_action_and_joint_speed_are_those_of_the_step_before():
    r = readings(x=3.0)
    t = tracker(r)
    for k in range(3):
        r.joint_vel[:] = 10.0 + k  # physics overwrites its readings in place
        t.advance(torch.full((1, 12), float(k)), r)
    assert t.state.action.unique().tolist() == [2]
    assert t.state.prev_action.unique().tolist() == [1]
    assert t.state.joint_vel.unique().tolist() == [12]
    assert t.state.prev_joint_vel.unique().tolist() == [11]


def test_a_new_episode_forgets_everything_of_the_old_one():
    r = readings(2, x=1.0)
    t = tracker(r)
    for x in (0.7, 0.4, 0.4):
        step = readings(2, x=x)
        step.foot_contact[:] = False
        t.advance(torch.ones(2, 12), step)
    new = readings(2, x=0.4)
    new.base_pos_w[1] = torch.tensor([5.0, 0.0, 0.28])
    t.begin(torch.tensor([1]), torch.zeros(1, 2), torch.zeros(1), torch.zeros(1).long(), new)
    fresh = tracker(readings(1, x=5.0)).state
    for name in t.state.__slots__:
        value = getattr(t.state, name)
        if isinstance(value, torch.Tensor):
            assert torch.equal(value[1], getattr(fresh, name)[0]), name
    assert t.state.ever_reached.tolist() == [True, False]
    assert t.state.time_s.tolist() == pytest.approx([0.06, 0])
    # and both bonuses can be earned anew
    for x in (0.7, 0.4):
        t.advance(torch.zeros(2, 12), readings(2, x=x))
        assert (t.state.first_fence | t.state.first_reach).tolist() == [False, True]


def test_spawning_inside_the_fence_earns_no_bonus():
    t = tracker(readings(x=0.6))
    for s in walk(t, [0.6, 0.55, 0.45]):
        assert not s.first_fence.item()
    assert s.first_reach.item()
