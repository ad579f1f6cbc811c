"""The environment with real physics: income adds up, ends are told apart, spawns are fair, resumes are exact."""

import dataclasses

import pytest
import torch

from vbot.config import EnvConfig
from vbot.env import Env
from vbot.errors import UserError
from vbot.observation import Observation
from vbot.settings import resolve

PHASE5 = resolve("phase5").reward_set


def make_env(n: int = 32, *, task: str = "section001", reward_set=PHASE5, seed: int = 0, **options) -> Env:
    config = EnvConfig(num_envs=n, task=task)
    return Env(config, reward_set, generator=torch.Generator().manual_seed(seed), threads=1, **options)


def noise(n: int, steps: int, scale: float, seed: int = 1) -> torch.Tensor:
    return scale * torch.randn(steps, n, 12, generator=torch.Generator().manual_seed(seed))


def test_weighted_terms_of_an_episode_sum_exactly_to_its_return():
    env = make_env()
    env.reset()
    paid = torch.zeros(32, dtype=torch.float64)
    returns = []
    for action in noise(32, 300, 4.0):
        step = env.step(action)
        paid += step.reward
        ended = step.terminated | step.truncated
        returns += paid[ended].tolist()
        paid[ended] = 0
    episodes = env.take_episodes()
    assert len(episodes) == len(returns) > 10
    assert torch.equal(episodes.term_sums.sum(1), episodes.returns)
    # and that return is what the learner was paid, up to the float32 rounding of each step
    assert episodes.returns.numpy() == pytest.approx(returns, rel=1e-5, abs=1e-3)


def test_falling_terminates_and_pays_the_termination_penalty_once():
    env = make_env(4)
    env.reset()
    legs_away = torch.tensor([0.0, 6.0, 6.0]).repeat(4).expand(4, 12)
    while (ended := env.take_episodes()) is None:
        step = env.step(legs_away)
    assert step.terminated.any()
    assert not (step.terminated & step.truncated).any()
    assert ended.fell.all()
    assert ended.term_sums[:, env.term_names.index("termination")].tolist() == [-200.0] * len(ended)


def test_running_out_of_time_truncates_at_the_limit_of_the_task():
    env = make_env(3, task="section001-contest", reward_set=None)
    env.reset()
    for k in range(1, 501):
        step = env.step(torch.zeros(3, 12))
        assert step.truncated.all().item() == (k == 500)
        assert not step.terminated.any()
    episodes = env.take_episodes()
    assert episodes.timeout.all()
    assert not (episodes.success | episodes.fell).any()
    assert episodes.duration_s.tolist() == pytest.approx([10.0] * 3)


def test_standing_at_the_target_truncates_as_a_success():
    env = make_env(2)
    env.task = dataclasses.replace(env.task, spawn_min_m=0.2, spawn_max_m=0.3)
    env.reset()
    steps = 0
    while (ended := env.take_episodes()) is None or len(ended) < 1:
        step = env.step(torch.zeros(2, 12))
        steps += 1
        assert steps < 200
    # The robot is dropped standing, sways for a moment, and then needs half a second in a row.
    assert ended.success.all()
    assert not ended.timeout.any()
    assert step.truncated.any()
    assert not step.terminated.any()
    assert 0.5 <= float(ended.duration_s.max()) < 2.0


def test_what_was_cut_off_is_observed_before_the_reset_and_what_begins_after_it():
    env = make_env(64, task="section001-contest", desynchronize=True)
    env.reset()
    far, time = -8, -3  # of the columns after the vectors: distance in 12 m, what is left of 20 s in 20 s
    fell, cut = 0, 0
    for action in noise(64, 150, 2.0):
        step = env.step(action)
        assert (step.obs[step.terminated | step.truncated, time] == 1).all()
        if (ended := env.take_episodes()) is None:
            assert step.truncated_obs.shape == (0, env.num_obs)
            continue
        fell, cut = fell + int(ended.fell.sum()), cut + int(ended.timeout.sum())
        assert step.truncated_obs[:, time].tolist() == [0.5] * int(ended.timeout.sum())  # 10 s a contest
        left = 12 * step.truncated_obs[:, far]
        assert left.tolist() == pytest.approx(ended.final_distance_m[ended.timeout].clamp(max=12).tolist())
    assert fell > 50
    assert cut >= 10


def test_a_new_episode_is_seen_whole_and_the_others_beside_it_untouched():
    env = make_env(64)
    env.reset()
    begun = 0
    for action in noise(64, 120, 4.0):
        step = env.step(action)
        ended, s = step.terminated | step.truncated, env.state
        begun += int(ended.sum())
        torch.testing.assert_close(step.obs, Observation(env.robot)(s))
        offset = s.target_pos_w - s.base_pos_w[:, :2]
        torch.testing.assert_close(s.distance, torch.linalg.vector_norm(offset, dim=1))
        facing = torch.atan2(s.target_vec_b[:, 1], s.target_vec_b[:, 0])
        torch.testing.assert_close(s.bearing_error, facing)
        torch.testing.assert_close(s.joint_pos[ended], s.default_joint_pos[ended])
        for at_rest in (s.base_lin_vel_b, s.base_ang_vel_b, s.joint_vel, s.prev_joint_vel, s.action, s.foot_vel_w):
            assert not at_rest[ended].any()
        torch.testing.assert_close(
            s.projected_gravity_b[ended], torch.tensor([[0.0, 0.0, -1.0]]).expand(ended.sum(), 3)
        )
        torch.testing.assert_close(s.prev_distance[ended], s.initial_distance[ended])
        assert (s.distance != s.prev_distance)[~ended].any()
    assert begun > 20


def test_spawns_are_area_uniform_in_the_annulus_with_any_yaw():
    env = make_env(4000, reward_set=None)
    env.reset()
    distance = env.state.distance
    assert distance.min() >= 2
    assert distance.max() <= 12
    # Share of the annulus 2..12 within r: (r^2 - 4) / 140. Half its area lies within sqrt(74) = 8.602 m.
    assert (distance < 74**0.5).float().mean().item() == pytest.approx(0.5, abs=0.025)
    assert (distance < 5).float().mean().item() == pytest.approx(21 / 140, abs=0.02)
    bearing = env.state.bearing_error
    quarters = torch.histc(bearing, 4, min=-torch.pi, max=torch.pi) / 4000
    assert quarters.tolist() == pytest.approx([0.25] * 4, abs=0.025)
    around = torch.atan2(env.state.base_pos_w[:, 1], env.state.base_pos_w[:, 0])
    assert (torch.histc(around, 4, min=-torch.pi, max=torch.pi) / 4000).tolist() == pytest.approx([0.25] * 4, abs=0.025)


@pytest.mark.parametrize(
    ("task", "low", "high", "limit"),
    [
        ("section001", 2, 12, 20),
        ("section001-near", 2, 5, 20),
        ("section001-mid", 5, 8, 20),
        ("section001-far", 8, 11, 20),
        ("section001-contest", 10, 12, 10),
    ],
)
def test_tasks_have_their_annulus_and_limit(task, low, high, limit):
    env = make_env(500, task=task, reward_set=None)
    env.reset()
    assert low <= env.state.distance.min() < low + 0.5
    assert high - 0.5 < env.state.distance.max() <= high
    assert env.state.episode_limit_s.unique().tolist() == [limit]


def test_training_starts_are_spread_over_the_limit_and_those_episodes_are_not_counted():
    env = make_env(200, desynchronize=True)
    env.reset()
    time_s = env.state.time_s
    assert torch.histc(time_s, 4, min=0, max=20).min() > 30
    standing = torch.zeros(200, 12)
    for _ in range(100):
        env.step(standing)
    first = env.take_episodes()
    assert first.timeout.any()
    assert not first.counted.any()


def test_without_auto_reset_every_environment_runs_one_episode_and_stops():
    env = make_env(16, auto_reset=False)
    env.reset()
    ends = torch.zeros(16)
    for action in noise(16, 1000, 4.0):
        before = env.live.clone()
        env.step(action)
        ends += before & ~env.live
        if not env.live.any():
            break
    assert ends.tolist() == [1.0] * 16
    assert len(env.take_episodes()) == 16


def test_going_on_from_a_saved_state_is_bit_for_bit():
    env, other = make_env(desynchronize=True), make_env(seed=9, desynchronize=True)
    env.reset()
    other.reset()
    actions = noise(32, 120, 4.0)
    for action in actions[:60]:
        env.step(action)
    env.take_episodes()
    other.load_state_dict(env.state_dict())
    for action in actions[60:]:
        a, b = env.step(action), other.step(action)
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    a, b = env.take_episodes(), other.take_episodes()
    assert len(a) > 5
    assert torch.equal(a.term_sums, b.term_sums)
    assert torch.equal(a.path_m, b.path_m)


def test_mirrored_robots_under_mirrored_actions_see_mirrored_worlds():
    """Physics, robot and observation agree on what left and right are; the symmetric policy relies on it."""
    env = make_env(2, reward_set=None)
    env.reset()
    quat = torch.tensor([[0.9659, 0.0, 0.0, 0.2588], [0.9659, 0.0, 0.0, -0.2588]])
    position = torch.tensor([[-3.0, 1.0, 0.28], [-3.0, -1.0, 0.28]])
    ids = torch.arange(2)
    env.sim.reset(ids, position, quat / quat.norm(dim=1, keepdim=True), env.state.default_joint_pos)
    env._tracker.begin(ids, torch.zeros(2, 2), torch.zeros(2), torch.zeros(2, dtype=torch.long), env.sim.readings)
    m = env.symmetry
    for action in noise(1, 25, 0.05):  # gently: hard contacts amplify the real robot's slight lopsidedness
        mirrored = action[:, m.action_index] * m.action_sign
        obs = env.step(torch.cat((action, mirrored))).obs
        image = obs[:1, m.obs_index] * m.obs_sign
        seen = slice(0, -2)  # the clock is the same for both: its mirror image is half a period later
        assert (image - obs[1:])[:, seen].abs().max() < 0.01 * obs.abs().max()
        assert (obs[0] - obs[1]).abs().max() > 0.5 * obs.abs().max()  # the two are not the same robot


def test_unknown_task_and_robot_are_named():
    with pytest.raises(UserError, match="no task is named 'section01'; did you mean 'section001"):
        make_env(1, task="section01")
