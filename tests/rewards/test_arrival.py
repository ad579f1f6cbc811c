"""The arrival and stopping terms against values worked out by hand."""

from math import exp

import pytest
import torch

from vbot.rewards import REGISTRY
from vbot.rewards.arrival import (
    arrival_bonus,
    departure_penalty,
    inner_fence_bonus,
    near_target_speed,
    stay,
    stop_scale,
    zero_ang_bonus,
)

FINAL_ENVELOPE = {"radius": 1.2, "slope": 0.5, "low": 0.05, "high": 0.6}


def same(value, expected):
    torch.testing.assert_close(value, torch.tensor(expected), rtol=1e-4, atol=1e-6)


def along_x(*speeds):
    return [[v, 0.0, 0.0] for v in speeds]


def turning(*rates):
    return [[0.0, 0.0, w] for w in rates]


def test_bonuses_are_paid_on_their_one_step(make_state):
    s = make_state(
        3, reached=True, ever_reached=True, first_reach=[True, False, False], first_fence=[False, True, False]
    )
    same(arrival_bonus(s), [1.0, 0.0, 0.0])
    same(inner_fence_bonus(s), [0.0, 1.0, 0.0])
    assert REGISTRY["arrival_bonus"].kind == REGISTRY["inner_fence_bonus"].kind == "event"


def test_stop_scale_adds_a_slow_part_and_a_steady_part(make_state):
    s = make_state(
        distance=0.3,
        ever_reached=True,
        base_lin_vel_w=along_x(0.0, 0.2, 0.0, 0.1),
        base_ang_vel_b=turning(0.0, 0.0, 0.1, -0.2),
    )
    # 0.8 + 1.2; 0.8 e^-(0.2/0.2)^2 + 1.2; 0.8 + 1.2 e^-(0.1/0.1)^4; 0.8 e^-(1/4) + 1.2 e^-16
    same(stop_scale(s), [2.0, 0.8 * exp(-1) + 1.2, 0.8 + 1.2 * exp(-1), 0.8 * exp(-0.25) + 1.2 * exp(-16)])


def test_stop_terms_use_the_planar_speed(make_state):
    s = make_state(2, ever_reached=True, base_lin_vel_w=[[0.12, 0.16, 5.0], [0.24, 0.32, 0.0]])
    same(stop_scale(s), [0.8 * exp(-1) + 1.2, 0.0])  # speed 0.2 whatever v_z is; 0.4 is too fast
    same(zero_ang_bonus(s), [1.0, 0.0])


@pytest.mark.parametrize("term", [stop_scale, zero_ang_bonus])
def test_stop_terms_are_paid_after_the_reach_only(make_state, term):
    value = term(make_state(2, ever_reached=[False, True]))
    assert value[0] == 0
    assert value[1] > 0


@pytest.mark.parametrize("term", [stop_scale, zero_ang_bonus])
def test_stop_terms_are_paid_below_their_speed_only(make_state, term):
    value = term(make_state(3, ever_reached=True, base_lin_vel_w=along_x(0.29, 0.3, 0.31)))
    assert (value > 0).tolist() == [True, False, False]


@pytest.mark.parametrize("term", [stop_scale, zero_ang_bonus])
@pytest.mark.parametrize(("step_s", "steps"), [(0.005, 100), (0.01, 50), (0.02, 25), (0.04, 13)])
def test_stop_window_is_half_a_second_counted_in_steps(make_state, term, step_s, steps):
    """50 steps of 10 ms, the first being the reach; 40 ms steps at 0, 0.04, ... 0.48 are 13."""
    clock, paid = torch.zeros(1), 0
    for _ in range(2 * steps):
        paid += int(term(make_state(1, ever_reached=True, time_since_reach=clock, step_s=step_s)).item() > 0)
        clock = clock + step_s  # rounded to float32 at each step, as an environment's clock is
    assert paid == steps


def test_zero_ang_bonus_needs_a_steady_yaw(make_state):
    s = make_state(ever_reached=True, base_ang_vel_b=turning(0.0, 0.049, -0.051, 0.051))
    same(zero_ang_bonus(s), [1.0, 1.0, 0.0, 0.0])
    same(zero_ang_bonus(s, max_yaw_rate=0.1), [1.0, 1.0, 1.0, 1.0])


def test_near_target_speed_of_phase5_is_the_squared_speed_inside_half_a_metre(make_state):
    s = make_state(distance=[0.49, 0.5, 0.1, 0.1], base_lin_vel_w=along_x(0.6, 0.6, -0.4, 0.0))
    same(near_target_speed(s), [0.36, 0.0, 0.16, 0.0])  # 0.6^2; outside; (-0.4)^2; at rest


def test_near_target_speed_of_final_allows_a_speed_that_falls_with_the_distance(make_state):
    s = make_state(
        7, distance=[1, 1, 1, 0.02, 0.8, 1.19, 1.2], base_lin_vel_w=along_x(0.7, 0.5, 0.2, 0.25, 0.7, 0.7, 0.7)
    )
    # allowed: 0.5; 0.5; 0.5; clip(0.01) = 0.05; 0.4; 0.595; outside the radius
    expected = [0.2**2, 0.0, 0.0, 0.2**2, 0.3**2, 0.105**2, 0.0]
    same(near_target_speed(s, **FINAL_ENVELOPE), expected)


def test_near_target_speed_allows_no_more_than_its_upper_bound(make_state):
    s = make_state(1, distance=2.0, base_lin_vel_w=along_x(1.0))
    same(near_target_speed(s, **{**FINAL_ENVELOPE, "radius": 3.0}), [0.16])  # 1.0 - min(0.5 x 2, 0.6) = 0.4


def test_departure_penalty_is_metres_lost_faster_than_one_metre_per_second(make_state):
    # At 10 ms the published bound is 0.01 m a step: 1 m/s.
    s = make_state(5, step_s=0.01, ever_reached=True, prev_distance=0.4, distance=[0.42, 0.411, 0.409, 0.4, 0.35])
    same(departure_penalty(s), [0.02, 0.011, 0.0, 0.0, 0.0])


def test_departure_penalty_keeps_its_speed_at_another_control_rate(make_state):
    s = make_state(2, step_s=0.02, ever_reached=True, prev_distance=0.4, distance=[0.419, 0.421])
    same(departure_penalty(s), [0.0, 0.021])
    same(departure_penalty(s, min_speed=0.5), [0.019, 0.021])  # bound 0.01 m


def test_departure_penalty_starts_with_the_reach(make_state):
    s = make_state(2, prev_distance=0.4, distance=0.5, ever_reached=[False, True])
    same(departure_penalty(s), [0.0, 0.1])


def test_departure_penalty_never_pays_for_coming_closer(make_state):
    s = make_state(1, ever_reached=True, prev_distance=1.0, distance=0.5)
    same(departure_penalty(s, min_speed=-100.0), [0.0])


def test_stay_pays_slowness_within_the_reach_radius_for_as_long_as_it_lasts(make_state):
    s = make_state(
        4,
        reached=[True, True, False, True],
        ever_reached=True,
        base_lin_vel_w=[[0.0, 0.0, 0.0], [0.09, 0.12, 5.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
        time_since_reach=[0.0, 0.0, 0.0, 9.0],
    )
    same(stay(s), [1.0, exp(-1), 0.0, 1.0])  # 0.15 m/s horizontally is one sigma


def test_kind_and_sign():
    assert REGISTRY["departure_penalty"].kind == "event"
    for name in ("departure_penalty", "near_target_speed"):
        assert REGISTRY[name].penalty
        assert not REGISTRY[name].decay
    for name in ("arrival_bonus", "inner_fence_bonus", "stop_scale", "zero_ang_bonus"):
        assert not REGISTRY[name].penalty
        assert REGISTRY[name].decay
