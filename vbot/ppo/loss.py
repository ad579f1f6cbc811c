"""The loss of a mini-batch, and its slopes with respect to what the networks say, by hand.

Left to autograd, the dozens of small operations between the networks' outputs and the loss take as long as the
networks' own matrix products. The slopes are a few more operations on numbers that the loss has made anyway.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from vbot.config import PPOConfig
from vbot.ppo import gaussian


class Batch(NamedTuple):
    """Samples of one rollout, first dimension B = T * N, or of a mini-batch."""

    inputs: Tensor  # (B, num_obs), see ActorCritic
    actions: Tensor  # (B, num_actions)
    means: Tensor  # (B, num_actions), of the policy that acted
    log_probs: Tensor  # (B,), under the policy that acted
    advantages: Tensor  # (B,), zero mean and unit deviation over the rollout
    returns: Tensor  # (B,), in units of the value statistics, which include them
    values: Tensor  # (B,), outputs of the value network before the update, in the same units


class Outputs(NamedTuple):
    """What the networks say of a mini-batch; or the slopes of its loss with respect to that."""

    means: Tensor  # (B, num_actions)
    log_std: Tensor  # (num_actions,)
    values: Tensor  # (B,), in units of the value statistics


@torch.no_grad()
def slopes(
    batch: Batch, now: Outputs, old_log_std: Tensor, config: PPOConfig, entropy_scale: float
) -> tuple[Outputs, dict[str, Tensor]]:
    """Slopes of policy loss + value_loss_scale * value loss - entropy_scale * entropy; and what to report, () each.

    With advantage A and ratio r of the densities now and then, the policy loss is the mean of -min(A r, A clip(r)).
    Where the first is the smaller, its slope with respect to log r is -A r / B; elsewhere, where the ratio has been
    clipped, it is 0. The slopes of a Gaussian's log density, z being the action in deviations from the mean, are
    z / std with respect to the mean, and z^2 - 1 with respect to log std. The value loss is the mean of
    max((v - R)^2, (v' - R)^2), v' being v within value_clip of what it was. Where the second is the greater, v' does
    not move with v.
    """
    size, clip = len(batch.advantages), config.ratio_clip
    precision = torch.exp(-now.log_std)
    z = (batch.actions - now.means) * precision
    squares = z.square()
    ratios = torch.exp(gaussian.log_density(squares, now.log_std) - batch.log_probs)
    clipped = ratios.clamp(1 - clip, 1 + clip)
    gains, bounds = batch.advantages * ratios, batch.advantages * clipped
    of_log_prob = (torch.where(gains <= bounds, gains, 0.0) / -size).unsqueeze(1)

    misses = now.values - batch.returns
    errors = misses.square()
    if config.value_clip > 0:
        change = now.values - batch.values
        held = change.clamp(-config.value_clip, config.value_clip)
        held_errors = (batch.values + held - batch.returns).square()
        # Within the clip the two are the same but for rounding, which must not decide.
        misses = torch.where((errors < held_errors) & (change != held), 0.0, misses)
        errors = torch.maximum(errors, held_errors)

    return Outputs(
        means=of_log_prob * z * precision,
        log_std=(of_log_prob * (squares - 1)).sum(0) - entropy_scale,
        values=misses * (2 * config.value_loss_scale / size),
    ), {
        "policy_loss": -torch.minimum(gains, bounds).mean(),
        "value_loss": errors.mean(),
        "entropy": gaussian.entropy(now.log_std),
        "kl": gaussian.kl_divergence(batch.means, old_log_std, now.means, now.log_std).mean(),
        "clip_fraction": (ratios != clipped).float().mean(),
    }
