import dataclasses

import pytest
import torch
from small_envs import SYMMETRY

from vbot.config import PPOConfig
from vbot.errors import UserError
from vbot.ppo import ActorCritic, Symmetry
from vbot.ppo.model import MAX_STD
from vbot.ppo.parameters import Parameters


def make(
    symmetry: Symmetry | None = SYMMETRY, obs_min_std: torch.Tensor | None = None, **changes: object
) -> ActorCritic:
    config = dataclasses.replace(PPOConfig(), **changes)  # type: ignore[arg-type]
    model = ActorCritic(4, 3, config, symmetry, obs_min_std=obs_min_std, generator=torch.Generator().manual_seed(0))
    for parameter in model.parameters():  # away from the small last layer and equal deviations
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    Parameters(model).symmetrize()
    return model


def observations(rows: int = 200) -> torch.Tensor:
    """Far from mirror-symmetric: different scales, offsets and skew."""
    x = torch.randn(rows, 4, generator=torch.Generator().manual_seed(2))
    return x * torch.tensor([1.0, 3.0, 0.2, 2.0]) + torch.tensor([5.0, 1.0, 0.5, -2.0])


@pytest.mark.parametrize("activation", ["elu", "relu", "tanh"])
def test_policy_commutes_with_the_mirror_and_value_ignores_it(activation: str) -> None:
    model, obs = make(activation=activation), observations()
    model.observe(obs)
    model.observe_returns(torch.tensor([3.0, 7.0]))
    mirrored = obs[:, SYMMETRY.obs_index] * SYMMETRY.obs_sign
    actions = model.act_deterministic(obs)
    assert actions.std() > 0.1  # there is something to mirror
    expected = actions[:, SYMMETRY.action_index] * SYMMETRY.action_sign
    torch.testing.assert_close(model.act_deterministic(mirrored), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.value(mirrored), model.value(obs), rtol=0, atol=1e-5)
    assert model.log_std_param[0] == model.log_std_param[1] != model.log_std_param[2]


def test_without_symmetry_the_policy_is_the_plain_network() -> None:
    obs = observations()
    config = dataclasses.replace(PPOConfig(), symmetry=False)
    switched_off = ActorCritic(4, 3, config, SYMMETRY, generator=torch.Generator().manual_seed(0))
    for model in (make(symmetry=None), switched_off):
        torch.testing.assert_close(model(obs), model.actor(obs.clamp(-10, 10)))


def test_value_is_the_network_in_units_of_the_returns() -> None:
    model, obs = make(), observations()
    network = model.value(obs)  # mean 0, deviation 1 before any return
    model.observe_returns(torch.tensor([10.0, 30.0]))
    torch.testing.assert_close(model.value(obs), network * 10 + 20)
    model.observe_returns(torch.tensor([40.0]))  # of 10, 30, 40: mean 80 / 3, variance 2600 / 3 - (80 / 3)^2
    torch.testing.assert_close(model.value(obs), network * 12.472191 + 26.666667)


def test_sampled_actions_have_the_stated_deviation_and_repeat_with_the_generator() -> None:
    model = make()
    obs = observations(1).expand(100_000, 4)
    actions, mean = model.act(obs, torch.Generator().manual_seed(3))
    torch.testing.assert_close((actions - mean).std(0), model.log_std_param.exp().detach(), rtol=0.02, atol=0)
    again, _ = model.act(obs, torch.Generator().manual_seed(3))
    assert torch.equal(actions, again)


def test_noise_returns_from_its_bound() -> None:
    model = make()
    model.log_std_param.data.fill_(100.0)
    model.project()
    torch.testing.assert_close(model.log_std_param.exp(), torch.full((3,), MAX_STD))


def test_building_leaves_the_global_generator_alone_and_repeats_with_its_own() -> None:
    state = torch.get_rng_state()
    first, second = make(), make()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_impossible_initial_std_is_refused() -> None:
    with pytest.raises(UserError, match=r"ppo.initial_std must be in \[0.02, 4.0\], got 9"):
        make(initial_std=9.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"obs_index": torch.tensor([1, 2, 0, 3])}, "obs_index must be its own inverse"),
        ({"obs_index": torch.arange(3)}, "must have shape"),
        ({"action_index": torch.tensor([1, 0, 3])}, "must lie in"),
        ({"action_sign": torch.tensor([1.0, -1.0, 1.0])}, "equal for both of a pair"),
        ({"action_sign": torch.tensor([1.0, 1.0, 0.5])}, r"must be \+1 or -1"),
    ],
)
def test_a_mirror_that_does_not_undo_itself_is_refused(change: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(SYMMETRY._replace(**change))


def test_observations_are_divided_by_no_less_than_the_environment_asks_for_nor_than_a_hundredth() -> None:
    model = make(symmetry=None, obs_min_std=torch.tensor([0.5, 0.0, 0.0, 2.0]))
    model.observe(torch.tensor([[0.0, 7.0, 0.0, 0.0], [0.2, 7.0, 6.0, 6.0]]))  # deviations 0.1, 0, 3, 3
    inputs = model.encode(torch.tensor([[0.3, 7.01, 6.0, 6.0]]))
    torch.testing.assert_close(inputs, torch.tensor([[0.4, 1.0, 1.0, 1.0]]), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("least", "message"),
    [
        ([0.5, 0.5, 0.1, 0.0], "equal for both of a mirrored pair"),
        ([0.5, 0.5, 0.5], r"must be \(4,\) numbers >= 0"),
        ([0.5, -0.1, -0.1, 0.0], r"must be \(4,\) numbers >= 0"),
        ([float("nan"), 0.0, 0.0, 0.0], r"must be \(4,\) numbers >= 0"),
    ],
)
def test_impossible_least_deviations_are_refused(least: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(obs_min_std=torch.tensor(least))
