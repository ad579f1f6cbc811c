"""Outcomes of episodes: the summary and the recorder, against values worked out by hand."""

import dataclasses
import math

import pytest
import torch

from vbot.episodes import EpisodeRecorder, Episodes
from vbot.proportions import wilson_interval
from vbot.rewards.conformance import random_states
from vbot.state import State

torch.set_num_threads(1)
CPU = torch.device("cpu")


# The summary.


def episodes(**fields: list) -> Episodes:
    """Episodes of 20 s that stood still 4 m from the target, but for ``fields``."""
    n = len(next(iter(fields.values())))
    neutral = {
        **dict.fromkeys(("success", "fell", "timeout", "reached", "fenced"), [False] * n),
        "counted": [True] * n,
        "duration_s": [20.0] * n,
        "reach_time_s": [math.nan] * n,
        **dict.fromkeys(("initial_distance_m", "reach_distance_m", "final_distance_m"), [4.0] * n),
        **dict.fromkeys(("path_m", "returns"), [0.0] * n),
        "term_sums": [[]] * n,
        "term_raw_means": [[]] * n,
    }
    return Episodes(**{name: torch.tensor(value) for name, value in {**neutral, **fields}.items()})


FIVE = episodes(
    # stops at the target; the same, by a longer way; reaches it and falls; falls at the fence; walks past for 20 s
    success=[True, True, False, False, False],
    fell=[False, False, True, True, False],
    timeout=[False, False, False, False, True],
    reached=[True, True, True, False, False],
    fenced=[True, True, True, True, False],
    duration_s=[9.0, 11.0, 6.0, 5.0, 20.0],
    reach_time_s=[8.0, 10.0, 5.0, math.nan, math.nan],
    initial_distance_m=[4.5, 8.5, 4.5, 3.0, 3.0],
    reach_distance_m=[0.5, 0.5, 0.5, 0.7, 3.0],
    path_m=[4.0, 16.0, 5.0, 2.5, 10.0],
)


def test_rates_are_shares_of_all_episodes():
    summary = FIVE.summary()
    rates = ("success_rate", "reached_rate", "fall_rate", "timeout_rate")
    assert summary["episodes"] == 5
    assert [summary[name] for name in rates] == pytest.approx([0.4, 0.6, 0.4, 0.2])
    assert summary["success_ci95"] == list(wilson_interval(2, 5))


def test_time_to_the_target_is_that_of_the_first_reach_over_successes():
    assert FIVE.summary()["time_to_target_s"] == pytest.approx((8 + 10) / 2)


def test_path_efficiency_is_straight_over_walked_way_where_the_target_was_reached():
    assert FIVE.summary()["path_efficiency"] == pytest.approx((4 / 4 + 8 / 16 + 4 / 5) / 3)


def test_mean_speed_is_path_over_time_to_the_first_reach_or_to_the_end():
    expected = (4 / 8 + 16 / 10 + 5 / 5 + 2.5 / 5 + 10 / 20) / 5
    assert FIVE.summary()["mean_speed_mps"] == pytest.approx(expected)


def test_the_contest_gives_a_point_for_fence_and_centre_each_and_none_to_a_robot_that_fell():
    """Points 2, 2, 0 (reached and fell), 0, 0: a mean of 0.8, of ten robots 8."""
    assert FIVE.summary()["contest_score"] == pytest.approx(8.0)
    assert episodes(fenced=[True], reached=[False]).summary()["contest_score"] == pytest.approx(10.0)
    assert episodes(fenced=[True], reached=[True], reach_time_s=[1.0]).summary()["contest_score"] == pytest.approx(20.0)
    assert episodes(fell=[True], fenced=[True], reached=[True]).summary()["contest_score"] == 0.0


def test_a_mean_over_no_episode_is_none_and_a_summary_of_none_is_refused():
    summary = episodes(timeout=[True]).summary()
    assert (summary["time_to_target_s"], summary["path_efficiency"], summary["mean_speed_mps"]) == (None, None, 0.0)
    with pytest.raises(ValueError, match="at least one episode"):
        FIVE.select(torch.zeros(5, dtype=torch.bool)).summary()


def test_selected_and_joined_episodes_keep_their_fields_together():
    joined = Episodes.concatenate([FIVE.select(FIVE.fell), FIVE.select(FIVE.success)])
    assert len(joined) == 4
    assert joined.path_m.tolist() == [5.0, 2.5, 4.0, 16.0]
    assert joined.fell.tolist() == [True, True, False, False]


# The recorder.


def state(n: int = 1, **fields) -> State:
    """n robots at rest, not there yet, but for ``fields``."""
    s = random_states(n, 0)
    neutral = {
        **dict.fromkeys(("ever_reached", "first_reach", "first_fence", "fallen", "reached"), False),
        **dict.fromkeys(("base_lin_vel_w", "time_s"), 0.0),
        **dict.fromkeys(("distance", "initial_distance"), 4.0),
    }
    changes = {}
    for name, value in {**neutral, **fields}.items():
        like = getattr(s, name)
        changes[name] = torch.as_tensor(value, dtype=like.dtype).expand(like.shape).clone()
    return dataclasses.replace(s, **changes, step_s=0.5)


def recorder(n: int = 1, num_terms: int = 0) -> EpisodeRecorder:
    made = EpisodeRecorder(n, num_terms, CPU)
    made.begin(torch.arange(n), partial=False)
    return made


def end(made: EpisodeRecorder, s: State, ids=(0,), success=False) -> Episodes:
    """End the episodes of ``ids`` and take them."""
    n = s.num_envs
    timeout = torch.full((n,), not success) & ~s.fallen
    made.end(torch.tensor(ids), s, torch.full((n,), success), timeout)
    return made.take()


def test_the_path_is_planar_and_ends_with_the_first_reach():
    made = recorder()
    made.add(state(time_s=0.5, distance=3.0, base_lin_vel_w=[0.6, 0.8, 5.0]), None, None)  # 1 m/s, 0.5 m
    made.add(state(time_s=1.0, distance=0.7, first_fence=True, base_lin_vel_w=[0.0, 2.0, 0.0]), None, None)  # 1 m
    reach = state(time_s=1.5, distance=0.4, first_reach=True, ever_reached=True, base_lin_vel_w=[0.5, 0.0, 0.0])
    made.add(reach, None, None)  # 0.25 m
    last = state(time_s=2.0, distance=0.1, ever_reached=True, base_lin_vel_w=[3.0, 0.0, 0.0])
    made.add(last, None, None)  # after the reach: not on the way
    ended = end(made, last, success=True)
    assert ended.path_m.tolist() == pytest.approx([1.75])
    assert ended.reach_time_s.tolist() == pytest.approx([1.5])
    assert ended.duration_s.tolist() == pytest.approx([2.0])
    assert [ended.initial_distance_m.item(), ended.reach_distance_m.item()] == pytest.approx([4.0, 0.4])
    assert ended.final_distance_m.tolist() == pytest.approx([0.1])
    flags = [getattr(ended, f).item() for f in ("success", "fell", "timeout", "reached", "fenced", "counted")]
    assert flags == [True, False, False, True, True, True]


def test_an_episode_that_never_reaches_has_its_whole_path_and_no_reach_time():
    made = recorder()
    for step in range(1, 5):
        last = state(time_s=0.5 * step, distance=4.0 - 0.5 * step, base_lin_vel_w=[1.0, 0.0, 0.0], fallen=step == 4)
        made.add(last, None, None)
    ended = end(made, last)
    assert ended.path_m.tolist() == pytest.approx([2.0])
    assert math.isnan(ended.reach_time_s.item())
    assert ended.reach_distance_m.tolist() == pytest.approx([2.0])  # the final distance
    assert [ended.fell.item(), ended.reached.item(), ended.fenced.item()] == [True, False, False]


def test_the_return_is_the_sum_of_the_terms_and_raw_values_are_means_per_step():
    made = recorder(2, num_terms=2)
    incomes = torch.tensor([[[1.0, 10.0], [-0.25, -2.0]], [[2.0, 20.0], [-0.5, -4.0]]])  # step, term, environment
    for income in incomes:
        made.add(state(2), income, 3.0 * income)
    ended = end(made, state(2), ids=(1, 0))
    assert ended.term_sums.tolist() == [[30.0, -6.0], [3.0, -0.75]]
    assert ended.returns.tolist() == [24.0, 2.25]
    assert ended.term_raw_means.tolist() == [[45.0, -9.0], [4.5, -1.125]]


def test_a_thousand_small_incomes_lose_nothing_to_rounding():
    made, standing = recorder(num_terms=2), state()
    for _ in range(1000):
        made.add(standing, torch.tensor([[1000.0], [1e-3]]), torch.zeros(2, 1))
    ended = end(made, standing)
    assert ended.term_sums[0].tolist() == pytest.approx([1e6, 1.0], rel=1e-6)
    assert ended.returns.item() == ended.term_sums.sum().item()


def test_only_the_environments_that_ended_are_kept_and_begin_anew():
    made, income = recorder(2, num_terms=1), torch.ones(1, 2)
    walking = state(2, base_lin_vel_w=[1.0, 0.0, 0.0], first_fence=[True, False])
    made.add(walking, income, 3 * income)
    assert end(made, walking, ids=(0,)).path_m.tolist() == [0.5]
    made.begin(torch.tensor([0]), partial=False)
    walking = state(2, base_lin_vel_w=[1.0, 0.0, 0.0])
    made.add(walking, income, 5 * income)
    ended = end(made, walking, ids=(0, 1))
    assert ended.path_m.tolist() == [0.5, 1.0]
    assert ended.fenced.tolist() == [False, False]
    assert ended.returns.tolist() == [1.0, 2.0]
    assert ended.term_raw_means.tolist() == [[5.0], [4.0]]


def test_an_episode_that_began_in_the_middle_does_not_count_and_the_next_does():
    made = EpisodeRecorder(2, 0, CPU)
    made.begin(torch.tensor([0, 1]), partial=True)
    made.begin(torch.tensor([1]), partial=False)
    made.add(state(2), None, None)
    assert end(made, state(2), ids=(0, 1)).counted.tolist() == [False, True]
    made.begin(torch.tensor([0]), partial=False)
    made.add(state(2), None, None)
    assert end(made, state(2), ids=(0,)).counted.tolist() == [True]


def test_episodes_are_taken_once_and_in_the_order_they_ended():
    made = recorder(3)
    assert made.take() is None
    made.add(state(3), None, None)
    nothing, s = torch.zeros(3, dtype=torch.bool), state(3, initial_distance=[1.0, 2.0, 3.0])
    made.end(torch.tensor([2]), s, nothing, ~nothing)
    made.end(torch.tensor([0, 1]), s, nothing, ~nothing)
    assert made.take().initial_distance_m.tolist() == [3.0, 1.0, 2.0]
    assert made.take() is None


def test_memory_that_was_saved_goes_on_elsewhere():
    made, resumed = recorder(num_terms=1), EpisodeRecorder(1, 1, CPU)
    walking = state(base_lin_vel_w=[1.0, 0.0, 0.0], first_fence=True)
    made.add(walking, torch.tensor([[2.0]]), torch.tensor([[4.0]]))
    saved = made.state_dict()
    made.add(walking, torch.tensor([[5.0]]), torch.tensor([[5.0]]))  # must not reach what was saved
    resumed.load_state_dict(saved)
    resumed.add(state(), torch.tensor([[1.0]]), torch.tensor([[2.0]]))
    ended = end(resumed, state())
    assert (ended.path_m.item(), ended.fenced.item(), ended.counted.item()) == (0.5, True, True)
    assert (ended.returns.item(), ended.term_raw_means.item()) == (3.0, 3.0)
