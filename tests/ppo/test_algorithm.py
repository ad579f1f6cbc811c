import dataclasses
import math

import pytest
import torch
from small_envs import CartPole, Clock, Treadmill

from vbot.config import PPOConfig
from vbot.ppo import Trainer
from vbot.ppo.algorithm import standardize
from vbot.ppo.model import MAX_STD

SMALL = PPOConfig(rollouts=8, policy_hidden_layer_sizes=(16,), value_hidden_layer_sizes=(16,))
CPU = torch.device("cpu")


def cart_pole_trainer(**changes: object) -> Trainer:
    config = dataclasses.replace(SMALL, **changes)  # type: ignore[arg-type]
    return Trainer(CartPole(10, seed=0), config, seed=0, device=CPU)


def test_the_policy_that_acted_is_where_the_first_mini_batch_starts() -> None:
    """One epoch of one mini-batch sees ratios of 1: no KL, nothing clipped, a surrogate of mean advantage zero.

    In the first iteration, where normalising starts, and later, where statistics have moved between rollouts.
    """
    trainer = cart_pole_trainer(learning_epochs=1, mini_batches=1, learning_rate=1e-2)
    for _ in range(4):
        metrics = trainer.iterate(0.0)
        assert metrics["kl"] == pytest.approx(0, abs=1e-6)
        assert metrics["clip_fraction"] == 0
        assert metrics["policy_loss"] == pytest.approx(0, abs=1e-5)


def test_every_sample_is_used_once_per_epoch_when_mini_batches_do_not_divide() -> None:
    """80 samples in 7 mini-batches; the rewards' own indices tell which were drawn."""
    trainer = cart_pole_trainer(learning_epochs=2, mini_batches=7)
    seen: list[torch.Tensor] = []
    trainer.ppo.model.critic.register_forward_pre_hook(
        lambda _, args: seen.append(args[0].detach().clone()) if torch.is_grad_enabled() else None
    )
    trainer.iterate(0.0)
    assert sorted(len(x) for x in seen) == [11] * 8 + [12] * 6
    first, second = (torch.cat(part).unique(dim=0) for part in (seen[:7], seen[7:]))
    assert len(first) == 80
    assert torch.equal(first, second)
    assert not torch.equal(seen[0][:11], seen[7][:11])  # in another order


def test_linear_schedule_falls_to_its_end() -> None:
    trainer = cart_pole_trainer(learning_rate=1e-3, learning_rate_end=0.1)
    rates = [trainer.iterate(progress)["learning_rate"] for progress in (0.0, 0.5, 1.0, 1.3)]
    assert rates == pytest.approx([1e-3, 5.5e-4, 1e-4, 1e-4])


def test_constant_schedule_ignores_progress() -> None:
    trainer = cart_pole_trainer(learning_rate=3e-4, learning_rate_schedule="constant")
    assert [trainer.iterate(p)["learning_rate"] for p in (0.0, 1.0)] == pytest.approx([3e-4, 3e-4])


@pytest.mark.parametrize(
    ("kl_target", "rate", "expected"),
    [
        (1e9, 1e-4, 1e-4 * 1.5**3),  # far below the target: up at each mini-batch but the first of four
        (1e-9, 1e-3, 1e-3 / 1.5**3),  # far above it: down
        (1e9, 8e-3, 1e-2),  # bounds
        (1e-9, 2e-5, 1e-5),
    ],
)
def test_kl_schedule_moves_by_a_factor_within_its_bounds(kl_target: float, rate: float, expected: float) -> None:
    trainer = cart_pole_trainer(
        learning_rate=rate, learning_rate_schedule="kl", kl_target=kl_target, learning_epochs=2, mini_batches=2
    )
    assert trainer.iterate(0.0)["learning_rate"] == pytest.approx(expected)


def test_the_entropy_bonus_widens_the_noise_and_its_absence_does_not() -> None:
    """The action has no effect on the reward of Clock, so only the bonus has a say, up to noise."""
    std = {}
    for bonus in (0.0, 1.0):
        config = dataclasses.replace(SMALL, entropy_loss_scale=bonus, learning_rate=1e-2)
        trainer = Trainer(Clock(64, limit=10), config, seed=0, device=CPU)
        for _ in range(5):
            std[bonus] = trainer.iterate(0.0)["action_std"]
    assert std[1.0] > 1.5 * config.initial_std
    assert std[0.0] == pytest.approx(config.initial_std, rel=0.3)


def test_the_entropy_bonus_falls_to_nothing_by_half_of_the_budget() -> None:
    """Adam's first steps go by the sign of the gradient, so that even a fading bonus moves the noise."""

    def first_update(bonus: float, progress: float) -> float:
        trainer = cart_pole_trainer(entropy_loss_scale=bonus, learning_rate_schedule="constant")
        return trainer.iterate(progress)["action_std"]

    assert first_update(100.0, 0.49) > first_update(0.0, 0.49)
    for late in (0.5, 0.8, 1.0):
        assert first_update(100.0, late) == first_update(0.0, late)


@pytest.mark.parametrize(
    ("progress", "weight"),
    [
        # Worked out from the recursion: of a tenth of the updates, as at first, the i-th of t models weighs
        # i (i + 1) ... (i + 8), and of a fifth, as at half, i (i + 1) (i + 2) (i + 3).
        (0.0, lambda i: math.prod(range(i, i + 9))),
        (0.5, lambda i: math.prod(range(i, i + 4))),
    ],
)
def test_the_averaged_policy_is_the_mean_of_the_models_the_latest_weighing_most(progress, weight) -> None:
    trainer = cart_pole_trainer(learning_rate=1e-2, learning_rate_schedule="constant")
    models = []
    for t in range(1, 13):
        trainer.iterate(progress)
        models.append(torch.cat([p.detach().flatten() for p in trainer.model.parameters()]).double())
        weights = torch.tensor([float(weight(i)) for i in range(1, t + 1)], dtype=torch.float64)
        actual = torch.cat([p.detach().flatten() for p in trainer.policy.parameters()])
        expected = (torch.stack(models).T @ (weights / weights.sum())).float()
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(actual, models[-1].float(), atol=1e-3)


def test_the_averaged_policy_sees_what_the_model_sees() -> None:
    trainer = cart_pole_trainer()
    for _ in range(3):
        trainer.iterate(0.0)
    obs = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(trainer.policy.encode(obs), trainer.model.encode(obs))
    assert trainer.policy.state_dict().keys() == trainer.model.state_dict().keys()


@pytest.mark.parametrize(
    ("env", "obs", "values"),
    [
        (Treadmill(50, limit=10), [0.0, 1.0], [1.0, 10.0]),
        # A reward of 1 for 10, 5 and 1 more steps: (1 - 0.9^k) / 0.1.
        (Clock(50, limit=10), [0.0, 0.5, 0.9], [6.5132, 4.0951, 1.0]),
    ],
    ids=["truncated", "terminated"],
)
def test_values_go_on_past_a_truncation_and_end_at_a_termination(
    env: Clock, obs: list[float], values: list[float]
) -> None:
    config = dataclasses.replace(SMALL, discount_factor=0.9, learning_rate=1e-2, rollouts=20, value_clip=0.0)
    trainer = Trainer(env, config, seed=0, device=CPU)
    for iteration in range(80):
        metrics = trainer.iterate(iteration / 80)
    assert trainer.model.value(torch.tensor(obs)[:, None]).tolist() == pytest.approx(values, abs=0.3)
    assert metrics["explained_variance"] > 0.95
    assert min(values) < metrics["value_mean"] < max(values)


def test_value_clip_slows_the_value() -> None:
    """From the same rollout, values clipped to 0.01 deviations move less than free ones."""
    moved = {}
    for clip in (0.0, 0.01):
        config = dataclasses.replace(SMALL, value_clip=clip, learning_epochs=20)
        trainer = Trainer(Clock(50, limit=10), config, seed=0, device=CPU)
        critic, obs = trainer.model.critic, trainer.collect().obs[0].clone()
        weights = {name: tensor.clone() for name, tensor in critic.state_dict().items()}
        trainer.learn(0.0)
        after = trainer.model.value(obs)
        critic.load_state_dict(weights)  # before and after in the same units
        moved[clip] = (after - trainer.model.value(obs)).abs().mean().item()
    assert moved[0.01] < 0.5 * moved[0.0]


def test_gradient_clip_bounds_the_step_and_the_reported_norm_is_the_one_before() -> None:
    """Adam divides by |gradient| + 1e-8: gradients of 1e-12 move nothing, those clipped to 1 move by the rate."""
    moved = {}
    for clip in (1e-12, 1.0):
        trainer = cart_pole_trainer(grad_norm_clip=clip, learning_rate=1e-2)
        before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
        assert trainer.iterate(0.0)["grad_norm"] > 1e-3
        pairs = zip(before, trainer.model.parameters(), strict=True)
        moved[clip] = max((a - b).abs().max().item() for a, b in pairs)
    assert moved[1e-12] < 1e-4
    assert moved[1.0] > 1e-2


def test_the_noise_stays_within_its_bounds() -> None:
    trainer = cart_pole_trainer(entropy_loss_scale=100.0, learning_rate=0.1)
    for _ in range(5):
        metrics = trainer.iterate(0.0)
    assert metrics["action_std"] == pytest.approx(MAX_STD)


def test_each_observation_acted_on_enters_the_statistics_once() -> None:
    trainer = Trainer(CartPole(10, seed=0, mirror=False), SMALL, seed=0, device=CPU)
    seen = []
    for _ in range(3):
        seen.append(trainer.collect().obs[:-1].reshape(-1, 4).double())
        trainer.learn(0.0)
    moments = trainer.model.obs_moments
    assert moments.count == 3 * 8 * 10
    torch.testing.assert_close(moments.mean, torch.cat(seen).mean(0))
    torch.testing.assert_close(moments.var, torch.cat(seen).var(0, correction=0))


def test_advantages_far_out_are_brought_to_the_clip_before_they_are_scaled() -> None:
    """Variance (18 + 2 * 81) / 20 = 9: a third and 3. At 2 of it the variance is (18 / 9 + 2 * 4) / 20 = 1/2."""
    advantages = torch.tensor([1.0, -1.0] * 9 + [9.0, -9.0]) + 5
    free = torch.tensor([1 / 3, -1 / 3] * 9 + [3.0, -3.0])
    torch.testing.assert_close(standardize(advantages, 0.0), free)
    torch.testing.assert_close(standardize(advantages, 4.0), free)
    clipped = torch.tensor([1 / 3, -1 / 3] * 9 + [2.0, -2.0]) * 2**0.5
    torch.testing.assert_close(standardize(advantages, 2.0), clipped)


def test_advantages_are_bound_at_first_and_free_at_the_end_of_the_budget() -> None:
    """From the same rollout, what a tight bound changes of an update at the beginning it does not change at the end."""

    def after_update(clip: float, progress: float) -> torch.Tensor:
        config = dataclasses.replace(SMALL, advantage_clip=clip, learning_rate_schedule="constant")
        trainer = Trainer(CartPole(32, seed=0), config, seed=0, device=CPU)
        trainer.collect()
        trainer.learn(progress)
        return trainer.ppo.parameters.flat.detach()

    assert (after_update(0.5, 0.0) - after_update(0.0, 0.0)).abs().max() > 1e-3
    torch.testing.assert_close(after_update(0.5, 1.0), after_update(0.0, 1.0), atol=1e-5, rtol=1e-5)
