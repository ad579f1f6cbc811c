import dataclasses

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from vbot.config import PPOConfig
from vbot.ppo.loss import Batch, Outputs, slopes

B, A = 4_000, 3
CONFIG = PPOConfig(ratio_clip=0.2, value_clip=0.3, value_loss_scale=0.7)
ENTROPY_SCALE = 0.05


def policy(means: Tensor, log_std: Tensor) -> Independent:
    return Independent(Normal(means, log_std.exp().expand_as(means)), 1)


def mini_batch(dtype: torch.dtype) -> tuple[Batch, Outputs, Tensor]:
    """Samples, some of which have moved beyond the clips either way; the outputs now; the log deviation then."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype)

    old_log_std, old_means, old_values = 0.3 * random(A), random(B, A), random(B) / 3
    actions = old_means + old_log_std.exp() * random(B, A)
    batch = Batch(
        inputs=random(B, 2),
        actions=actions,
        means=old_means,
        log_probs=policy(old_means, old_log_std).log_prob(actions),
        advantages=random(B),
        returns=random(B),
        values=old_values,
    )
    now = Outputs(old_means + 0.1 * random(B, A), old_log_std + 0.05 * random(A), random(B) / 3)
    return batch, Outputs(*(x.requires_grad_() for x in now)), old_log_std


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value_clip", [0.3, 0.0])
def test_slopes_are_those_of_the_loss_as_it_is_written(value_clip: float, dtype: torch.dtype) -> None:
    """Schulman et al. 2017, equations 7 and 9, and the clipped value loss, by autograd and torch's distributions."""
    config = dataclasses.replace(CONFIG, value_clip=value_clip)
    batch, now, old_log_std = mini_batch(dtype)
    acts, acted = policy(now.means, now.log_std), policy(batch.means, old_log_std)
    ratio = torch.exp(acts.log_prob(batch.actions) - batch.log_probs)
    clipped = ratio.clip(0.8, 1.2)
    policy_loss = -torch.min(batch.advantages * ratio, batch.advantages * clipped).mean()
    error = (now.values - batch.returns) ** 2
    if value_clip:
        near = torch.max(torch.min(now.values, batch.values + value_clip), batch.values - value_clip)
        error = torch.max(error, (near - batch.returns) ** 2)
    loss = policy_loss + 0.7 * error.mean() - ENTROPY_SCALE * acts.entropy().mean()

    actual, report = slopes(batch, now, old_log_std, config, ENTROPY_SCALE)
    for slope, expected in zip(actual, torch.autograd.grad(loss, now), strict=True):
        torch.testing.assert_close(slope, expected)
    kl = torch.distributions.kl_divergence(acted, acts).mean()
    beyond = ((ratio - 1).abs() > 0.2).double().mean()
    assert 0.1 < beyond < 0.9  # or the clip was not tried
    for name, expected in {
        "policy_loss": policy_loss,
        "value_loss": error.mean(),
        "entropy": acts.entropy().mean(),
        "kl": kl,
        "clip_fraction": beyond,
    }.items():
        assert float(report[name]) == pytest.approx(float(expected.detach()), rel=1e-4), name
