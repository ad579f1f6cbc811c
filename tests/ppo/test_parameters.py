import dataclasses

import pytest
import torch
from small_envs import SYMMETRY, CartPole
from torch import Tensor

from vbot.config import PPOConfig
from vbot.ppo import ActorCritic, Symmetry, Trainer
from vbot.ppo.parameters import Parameters

SMALL = PPOConfig(rollouts=8, policy_hidden_layer_sizes=(8, 6), value_hidden_layer_sizes=(4,), activation="tanh")


def make(symmetry: Symmetry | None) -> ActorCritic:
    """In float64, for differences."""
    return ActorCritic(4, 3, SMALL, symmetry, generator=torch.Generator().manual_seed(0)).double()


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def loss(model: ActorCritic) -> Tensor:
    """Something of all parameters, without any symmetry."""
    inputs, weights = random(20, 4, seed=0), torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    actions, values = model.mean(inputs), model.normalized_value(inputs)
    return (actions @ weights).sum() + (values - 2).square().sum() + model.log_std_param @ weights


@pytest.mark.parametrize("symmetry", [None, SYMMETRY], ids=["plain", "symmetric"])
def test_the_gradient_is_the_slope_along_whatever_keeps_the_symmetry(symmetry: Symmetry | None) -> None:
    """By central differences, which know nothing of layers and mirrors."""
    model = make(symmetry)
    parameters = Parameters(model)
    parameters.differentiate([loss(model)], [torch.ones((), dtype=torch.float64)])
    at = parameters.flat.detach().clone()

    def loss_at(point: Tensor) -> float:
        with torch.no_grad():
            parameters.flat.copy_(point)
            return float(loss(model))

    for seed in range(5):
        with torch.no_grad():
            parameters.flat.copy_(random(len(at), seed=seed))
        parameters.symmetrize()
        direction = parameters.flat.detach().clone()
        slope = (loss_at(at + 1e-6 * direction) - loss_at(at - 1e-6 * direction)) / 2e-6
        assert float(parameters.gradient @ direction) == pytest.approx(slope, rel=1e-5)


def test_the_gradient_of_a_symmetric_model_keeps_it_symmetric() -> None:
    model = make(SYMMETRY)
    parameters = Parameters(model)
    parameters.differentiate([loss(model)], [torch.ones((), dtype=torch.float64)])
    with torch.no_grad():
        parameters.flat.sub_(0.1 * parameters.gradient)
    before = parameters.flat.detach().clone()
    parameters.symmetrize()
    torch.testing.assert_close(parameters.flat.detach(), before, rtol=0, atol=1e-15)


def test_a_long_gradient_is_cut_to_the_limit_and_a_short_one_stays() -> None:
    parameters = Parameters(make(None))
    parameters.gradient.zero_()
    parameters.gradient[:2] = torch.tensor([3.0, -4.0])
    assert float(parameters.clip_gradient(10.0)) == 5.0
    assert parameters.gradient[:2].tolist() == [3.0, -4.0]
    assert float(parameters.clip_gradient(1.0)) == 5.0
    assert parameters.gradient[:2].tolist() == pytest.approx([0.6, -0.8])


def test_a_trained_policy_commutes_with_the_mirror() -> None:
    """Of the cart-pole everything changes its sign."""
    config = dataclasses.replace(SMALL, learning_rate=1e-2)
    trainer = Trainer(CartPole(64, seed=0), config, seed=0, device=torch.device("cpu"))
    for _ in range(20):
        trainer.iterate(0.0)
    obs = trainer.rollout.obs[0]
    actions = trainer.model.act_deterministic(obs)
    assert actions.std() > 0.1
    torch.testing.assert_close(trainer.model.act_deterministic(-obs), -actions, rtol=0, atol=1e-5)
    torch.testing.assert_close(trainer.model.value(-obs), trainer.model.value(obs), rtol=1e-5, atol=1e-5)
