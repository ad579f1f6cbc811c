"""The tracking terms against values worked out by hand."""

from math import exp, pi

import torch

from vbot.rewards import REGISTRY
from vbot.rewards.tracking import (
    alive_bonus,
    approach_scale,
    distance_progress,
    fine_position_tracking,
    forward_velocity,
    heading_tracking,
    position_tracking,
    progress,
    trot,
)

GATE = [False, True]  # before, after the first reach


def same(value, expected):
    torch.testing.assert_close(value, torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_position_tracking_falls_by_e_every_five_metres_and_has_no_gate(make_state):
    s = make_state(distance=[0.0, 5.0, 10.0, 5.0], ever_reached=[False, False, False, True])
    same(position_tracking(s), [1.0, exp(-1), exp(-2), exp(-1)])  # 0/5, 5/5, 10/5, 5/5


def test_position_tracking_of_the_kit_is_dead_far_away(make_state):
    s = make_state(distance=[0.5, 1.0, 0.0, 12.6])
    same(position_tracking(s, sigma=0.5), [exp(-1), exp(-2), 1.0, 0.0])  # exp(-25.2) = 1e-11


def test_fine_position_tracking_is_paid_inside_its_radius_only(make_state):
    s = make_state(distance=[0.0, 0.5, 2.4999, 2.5])
    same(fine_position_tracking(s), [1.0, exp(-1), exp(-4.9998), 0.0])  # 0.5/0.5 = 1, 2.4999/0.5 = 4.9998


def test_fine_position_tracking_after_reach_pays_nothing_to_a_robot_that_hovers(make_state):
    s = make_state(2, distance=0.55, ever_reached=GATE)
    same(fine_position_tracking(s), [exp(-1.1), exp(-1.1)])  # 0.55/0.5
    same(fine_position_tracking(s, after_reach=True), [0.0, exp(-1.1)])


def test_heading_tracking_is_even_in_the_bearing_and_ends_with_the_reach(make_state):
    s = make_state(bearing_error=[0.0, 0.5, -0.5, pi])
    same(heading_tracking(s), [1.0, exp(-1), exp(-1), exp(-2 * pi)])
    same(heading_tracking(make_state(2, bearing_error=0.5, ever_reached=GATE)), [exp(-1), 0.0])


def test_forward_velocity_is_the_velocity_towards_the_target_within_its_caps(make_state):
    # The target is in the direction +x; walking along y brings the robot no nearer.
    walk = [[0.4, 0.0, 0.0], [0.0, 0.9, 0.0], [1.7, 0.0, 0.0], [-1.7, 0.0, 0.0]]
    same(forward_velocity(make_state(base_lin_vel_w=walk)), [0.4, 0.0, 0.6, -1.0])
    same(forward_velocity(make_state(base_lin_vel_w=walk), max_speed=2.0), [0.4, 0.0, 1.7, -1.0])


def test_forward_velocity_sees_a_target_in_any_direction(make_state):
    # Target at (3, 4) from the base, direction (0.6, 0.8): 0.5 x 0.6 + 0.25 x 0.8 = 0.3 + 0.2.
    s = make_state(
        1, base_pos_w=[0.0, 0.0, 0.28], target_pos_w=[3.0, 4.0], distance=5.0, base_lin_vel_w=[0.5, 0.25, 9.0]
    )
    same(forward_velocity(s), [0.5])


def test_forward_velocity_ends_with_the_reach(make_state):
    same(forward_velocity(make_state(2, base_lin_vel_w=[0.4, 0.0, 0.0], ever_reached=GATE)), [0.4, 0.0])


def test_distance_progress_is_the_share_of_the_way_and_clipped_when_it_moves_away(make_state):
    s = make_state(initial_distance=8.0, distance=[8.0, 2.0, 12.0, 20.0])
    same(distance_progress(s), [0.0, 0.75, -0.5, -0.5])  # 1 - 2/8; 1 - 12/8 = -0.5; 1 - 20/8 = -1.5
    same(distance_progress(make_state(2, initial_distance=8.0, distance=2.0, ever_reached=GATE)), [0.75, 0.0])


def test_approach_scale_is_metres_gained_before_the_reach(make_state):
    s = make_state(3, prev_distance=3.0, distance=[2.98, 3.0, 3.05])
    same(approach_scale(s), [0.02, 0.0, -0.05])
    same(approach_scale(make_state(2, prev_distance=3.0, distance=2.98, ever_reached=GATE)), [0.02, 0.0])


def test_approach_scale_pays_metres_not_time_and_its_weighted_value_is_capped():
    spec = REGISTRY["approach_scale"]
    assert (spec.kind, spec.clip) == ("event", (0.0, 1.0))


def test_alive_bonus_ends_with_the_reach(make_state):
    same(alive_bonus(make_state(2, ever_reached=GATE)), [1.0, 0.0])


def test_progress_is_metres_gained_and_what_exceeds_a_speed_is_charged(make_state):
    s = make_state(5, prev_distance=3.0, distance=[2.98, 2.96, 2.9, 3.1, 3.0])
    same(progress(s), [0.02, 0.02, -0.04, -0.1, 0.0])  # 1.5 m/s * 20 ms = 0.03: 0.03 - 0.01, 0.03 - 0.07
    same(progress(s, charge=0.0), [0.02, 0.03, 0.03, -0.1, 0.0])
    same(progress(s, max_speed=0.5, charge=4.0), [-0.03, -0.11, -0.35, -0.1, 0.0])


def test_progress_pays_nothing_for_a_round_trip(make_state):
    away_and_back = make_state(4, prev_distance=[3.0, 3.02, 3.04, 3.02], distance=[3.02, 3.04, 3.02, 3.0])
    same(progress(away_and_back).sum(), 0.0)
    sprinted_back = make_state(2, prev_distance=[3.0, 3.04], distance=[3.04, 3.0])
    same(progress(sprinted_back).sum(), -0.02)  # -0.04 + 0.03 - 0.01


def test_trot_is_diagonal_pairs_in_time_with_the_clock(make_state):
    # A period is 0.5 s. In its first half FR and RL (0 and 3) swing, in its second FL and RR (1 and 2).
    first, second, standing = [False, True, True, False], [True, False, False, True], [True] * 4
    s = make_state(
        6, time_s=[0.1, 0.1, 0.4, 0.6, 0.1, 0.4], foot_contact=[first, second, second, first] + [standing] * 2
    )
    same(trot(s), [0.5, -0.5, 0.5, 0.5, 0.0, 0.0])
    same(trot(make_state(2, time_s=0.1, foot_contact=first, ever_reached=GATE)), [0.5, 0.0])


def test_navigation_rewards_decay_and_keep_float32(make_state):
    for term in (
        position_tracking,
        fine_position_tracking,
        heading_tracking,
        forward_velocity,
        distance_progress,
        approach_scale,
        alive_bonus,
    ):
        assert REGISTRY[term.__name__].decay
        assert not REGISTRY[term.__name__].penalty
        assert term(make_state(5)).dtype == torch.float32
