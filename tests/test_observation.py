"""The observation: its parts by hand, and its mirror image."""

import pytest
import torch

from vbot.config import EnvConfig, PPOConfig
from vbot.env import Env
from vbot.observation import Observation
from vbot.ppo import Trainer
from vbot.robot import load_robot

ROBOT = load_robot("vbot")


@pytest.fixture
def env() -> Env:
    env = Env(EnvConfig(num_envs=8), None, generator=torch.Generator().manual_seed(2), threads=1)
    env.reset()
    return env


def parts(env: Env, obs: torch.Tensor) -> dict[str, torch.Tensor]:
    layout = Observation(ROBOT).layout
    return dict(zip(layout, obs.split(list(layout.values()), dim=1), strict=True))


def test_layout_adds_up_to_the_size(env):
    assert env.num_obs == 3 + 3 + 3 + 3 * 12 + 2 + 6 + 2 == 55


def test_a_standing_robot_sees_its_target_and_the_whole_time(env):
    p = parts(env, env.reset())
    s = env.state
    assert p["projected_gravity_b"].tolist() == [pytest.approx([0, 0, -1])] * 8
    assert p["joint_pos"].abs().max() == 0
    assert p["time_to_20_s"].tolist() == [[1.0]] * 8
    assert p["reached"].sum() == p["ever_reached"].sum() == 0
    bearing = torch.atan2(p["target_direction_b"][:, 1], p["target_direction_b"][:, 0])
    assert bearing.tolist() == pytest.approx(s.bearing_error.tolist(), abs=1e-5)
    assert p["target_direction_b"].norm(dim=1).tolist() == pytest.approx([1.0] * 8)
    assert p["distance_far"][:, 0].tolist() == pytest.approx((s.distance / 12).tolist())
    assert p["distance_near"].tolist() == [[1.0]] * 8


def test_the_near_range_resolves_the_last_metre_and_the_clocks_run(env):
    s = env.state
    s.distance = torch.full((8,), 0.3)
    s.target_vec_b = torch.tensor([0.3, 0.0]).expand(8, 2)
    s.reached = s.ever_reached = torch.ones(8, dtype=torch.bool)
    s.time_since_reach = torch.full((8,), 3.0)
    s.time_s = torch.full((8,), 5.0)
    p = parts(env, Observation(ROBOT)(s))
    assert p["distance_far"][0].item() == pytest.approx(0.3 / 12)
    assert p["distance_near"][0].item() == pytest.approx(0.3)
    assert p["reached"][0].item() == p["ever_reached"][0].item() == 1
    assert p["time_since_reach"][0].item() == 1  # saturated
    assert p["time_to_20_s"][0].item() == pytest.approx(0.75)
    assert p["clock"][0].tolist() == [0, 0]  # silent at the target


@pytest.mark.parametrize("task", ["section001", "section001-contest"])
def test_time_does_not_run_faster_where_there_is_less_of_it(task):
    """A policy trained for 20 s must not see, half way through a contest of 10 s, what it saw when it was late."""
    env = Env(EnvConfig(num_envs=2, task=task), None, generator=torch.Generator().manual_seed(2), threads=1)
    seen = [parts(env, env.reset())["time_to_20_s"][0].item()]
    for _ in range(50):
        step = env.step(torch.zeros(2, env.num_actions))
    seen.append(parts(env, step.obs)["time_to_20_s"][0].item())
    assert seen == pytest.approx([1.0, 1 - 50 * 0.02 / 20])


def test_the_clock_turns_once_in_half_a_second_on_the_way(env):
    observe = Observation(ROBOT)
    for time_s, clock in ((5.0, [0, 1]), (5.125, [1, 0]), (5.25, [0, -1]), (5.5, [0, 1])):
        env.state.time_s = torch.full((8,), time_s)
        assert parts(env, observe(env.state))["clock"][0].tolist() == pytest.approx(clock, abs=1e-4)


def test_a_robot_on_its_target_sees_no_infinity(env):
    s = env.state
    s.distance = torch.zeros(8)
    s.target_vec_b = torch.zeros(8, 2)
    assert torch.isfinite(Observation(ROBOT)(s)).all()


def test_the_mirror_undoes_itself_and_flips_what_is_lateral(env):
    m = env.symmetry
    obs = torch.randn(5, 55, generator=torch.Generator().manual_seed(0))
    image = obs[:, m.obs_index] * m.obs_sign
    assert torch.equal(image[:, m.obs_index] * m.obs_sign, obs)
    seen, mirrored = parts(env, obs), parts(env, image)
    assert torch.equal(mirrored["base_lin_vel_b"], seen["base_lin_vel_b"] * torch.tensor([1, -1, 1]))
    assert torch.equal(mirrored["base_ang_vel_b"], seen["base_ang_vel_b"] * torch.tensor([-1, 1, -1]))
    assert torch.equal(mirrored["target_direction_b"], seen["target_direction_b"] * torch.tensor([1, -1]))
    # FR <- FL, the hip's angle changes sign, thigh and calf do not
    assert torch.equal(mirrored["joint_vel"][:, :3], seen["joint_vel"][:, 3:6] * torch.tensor([-1, 1, 1]))
    assert torch.equal(mirrored["time_to_20_s"], seen["time_to_20_s"])
    assert torch.equal(mirrored["clock"], -seen["clock"])  # half a period apart


def test_how_long_the_robot_has_stood_is_not_observed(env):
    s = env.state
    s.reached = s.ever_reached = torch.ones(8, dtype=torch.bool)
    before = Observation(ROBOT)(s)
    s.stopped_time = torch.full((8,), 0.25)
    assert torch.equal(Observation(ROBOT)(s), before)


def test_the_first_reach_is_no_jolt_to_networks_that_have_seen_none(env):
    model = Trainer(env, PPOConfig(rollouts=4), seed=0, device=env.device).model
    for _ in range(100):
        model.observe(env.reset())
    s = env.state
    s.reached = s.ever_reached = torch.ones(8, dtype=torch.bool)
    s.time_since_reach = torch.full((8,), 1.0)
    p = parts(env, model.encode(Observation(ROBOT)(s)))
    for name in ("reached", "ever_reached", "time_since_reach"):
        assert p[name].tolist() == [[2.0]] * 8  # from a mean of 0, in units of a half
