"""Proximal policy optimisation (Schulman et al., "Proximal policy optimization algorithms", 2017)."""

import copy
from typing import Any

import torch
from torch import Tensor

from vbot.config import PPOConfig
from vbot.ppo import gaussian
from vbot.ppo.adam import Adam
from vbot.ppo.loss import Batch, Outputs, slopes
from vbot.ppo.model import ActorCritic
from vbot.ppo.parameters import Parameters
from vbot.ppo.storage import Rollout, generalized_advantages

KL_LEARNING_RATES = (1e-5, 1e-2)
"""Bounds of the learning rate under the ``kl`` schedule."""
KL_FACTOR = 1.5
"""The ``kl`` schedule divides or multiplies the learning rate by this."""
ENTROPY_BONUS_ENDS = 0.5
"""Share of the budget at which the entropy bonus, falling linearly, is gone: what is learned late is not to miss."""
AVERAGED_SHARE = 0.1, 0.3
"""Share of the updates so far, the latest of them, that the averaged policy is the mean of: at first and in the end."""


def standardize(x: Tensor, clip: float) -> Tensor:
    """``x`` (B,) to zero mean and unit deviation; where ``clip`` > 0, after bringing what is further out to there.

    Falls are what is far out: 10 to 20 deviations from the mean, one sample in a thousand. Unclipped they make up most
    of the gradient, and what tells a step forward from one on the spot is lost beside them.
    """

    def scaled(x: Tensor) -> Tensor:
        return (x - x.mean()) / (x.std(correction=0) + 1e-8)

    return scaled(scaled(x).clamp(-clip, clip)) if clip > 0 else scaled(x)


class PPO:
    """The update from one rollout: epochs of mini-batches on the clipped surrogate, value loss and entropy."""

    def __init__(self, model: ActorCritic, config: PPOConfig, generator: torch.Generator) -> None:
        """`generator` draws the mini-batches; it and the model are on the learner's device."""
        self.model = model
        self.config = config
        self.generator = generator
        self.parameters = Parameters(model)
        self._normalized = False  # known to be; asking the device in every update would wait for it
        # The rate is a tensor so that the kl schedule never waits for the device.
        rate = torch.tensor(config.learning_rate, device=self.parameters.flat.device)
        self.optimizer = Adam([self.parameters.flat], lr=rate, fused=True)
        self.averaged = copy.deepcopy(model)
        """The policy to judge and to keep: the running mean of the parameters, with the model's own normalisers.

        Late in a training each update mends some falls and makes others, and no model is without; their mean nearly is.
        It spans a share of the updates (polynomial-decay averaging: Shamir and Zhang, "Stochastic gradient descent for
        non-smooth optimization", 2013), and a small one while much is learned: the mean of models that do different
        things does none of them.
        """
        self.averaged.obs_moments, self.averaged.value_moments = model.obs_moments, model.value_moments
        self._average = Parameters(self.averaged).flat

    @property
    def learning_rate(self) -> Tensor:
        """() on the learner's device; changed in place."""
        return self.optimizer.param_groups[0]["lr"]

    def update(self, rollout: Rollout, progress: float, iteration: int) -> dict[str, Tensor]:
        """Learn from a rollout; return metrics as 0-d tensors, means over the mini-batches.

        `progress` is the share of the training budget spent, in [0, 1]: of it are functions the learning rate (under
        the linear schedule), the bound of the advantages, the entropy bonus and the length of the running mean.
        `iteration` counts the updates before this one.
        """
        config, model = self.config, self.model
        share = min(max(progress, 0.0), 1.0)
        if config.learning_rate_schedule == "linear":
            self.learning_rate.fill_(config.learning_rate * (1 + share * (config.learning_rate_end - 1)))
        obs = rollout.obs[:-1].flatten(0, 1)
        first = not self._normalized and bool(model.obs_moments.count == 0)
        self._normalized = True
        if first:
            # The first rollout was collected on raw observations. Learning from it on raw ones would fit the weights
            # to inputs that never come again. Its actions stay valid: a policy whose last layer is near zero acts
            # the same on both.
            model.observe(obs)
            rollout.means.copy_(model.act_deterministic(obs).view_as(rollout.means))
        old_log_std = model.log_std_param.detach().clone()
        # Early it counts to learn walking, late not to fall.
        clip = config.advantage_clip / max(1 - share, 1e-3)
        entropy_scale = config.entropy_loss_scale * max(1 - share / ENTROPY_BONUS_ENDS, 0.0)
        batch, about_values = self._batch(rollout, old_log_std, clip)

        parts: list[dict[str, Tensor]] = []
        for _ in range(config.learning_epochs):
            order = torch.randperm(len(obs), generator=self.generator, device=obs.device)
            parted = (x.index_select(0, order).tensor_split(config.mini_batches) for x in batch)
            for mini_batch in map(Batch._make, zip(*parted, strict=True)):
                inputs = mini_batch.inputs
                now = Outputs(model.mean(inputs), model.log_std_param, model.normalized_value(inputs))
                gradient, part = slopes(mini_batch, now, old_log_std, config, entropy_scale)
                # The first mini-batch is seen by the very policy that acted: its KL is zero and says nothing.
                if config.learning_rate_schedule == "kl" and parts:
                    self._adapt_learning_rate(part["kl"])
                self.parameters.differentiate(now, gradient)
                part["grad_norm"] = self.parameters.clip_gradient(config.grad_norm_clip)
                self.optimizer.advance()
                model.project()
                parts.append(part)
        self.parameters.symmetrize()
        self._take_into_average(share, iteration)

        if not first:
            # Not before: the policy that learns must see what the policy that acted saw, or ratios would not
            # start at 1.
            model.observe(obs)
        metrics = {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}
        metrics["learning_rate"] = self.learning_rate.clone()
        metrics["action_std"] = model.log_std_param.detach().exp().mean()
        return metrics | about_values

    @torch.no_grad()
    def _take_into_average(self, progress: float, iteration: int) -> None:
        first, last = AVERAGED_SHARE
        averaged = first + (last - first) * progress
        self._average.lerp_(self.parameters.flat, 1 / (1 + averaged * iteration))

    @torch.no_grad()
    def _batch(self, rollout: Rollout, log_std: Tensor, advantage_clip: float) -> tuple[Batch, dict[str, Tensor]]:
        """Flatten a rollout into samples; also metrics of the values: their mean, and how well they fit the returns."""
        config, model = self.config, self.model
        device = rollout.obs.device
        rewards, terminated, truncated = (
            x.to(device) for x in (rollout.rewards, rollout.terminated, rollout.truncated)
        )
        inputs = model.encode(rollout.obs.flatten(0, 1))
        outputs = model.normalized_value(inputs).view(rollout.steps + 1, -1)
        all_values = model.value_moments.denormalize(outputs)
        values, next_values = all_values[:-1], all_values[1:].clone()
        cut = rollout.truncated.nonzero(as_tuple=True)
        next_values[tuple(index.to(device) for index in cut)] = model.value(rollout.truncated_obs.to(device))
        advantages = generalized_advantages(
            rewards, values, next_values, terminated, truncated, config.discount_factor, config.lambda_param
        )
        returns = (advantages + values).flatten()
        about_values = {
            # Values that rise past anything an episode earns feed on themselves, through what truncation cuts off.
            "value_mean": values.mean(),
            "explained_variance": 1 - advantages.var(correction=0) / returns.var(correction=0).clamp_min(1e-12),
        }
        model.observe_returns(returns)
        actions, means = rollout.actions.flatten(0, 1), rollout.means.flatten(0, 1)
        batch = Batch(
            inputs=inputs[: len(actions)],
            actions=actions,
            means=means,
            log_probs=gaussian.log_prob(actions, means, log_std),
            advantages=standardize(advantages.flatten(), advantage_clip),
            returns=model.value_moments.normalize(returns),
            values=outputs[:-1].flatten(),
        )
        return batch, about_values

    def _adapt_learning_rate(self, kl: Tensor) -> None:
        """Keep the KL from the policy that acted within a factor of two of the target."""
        target = self.config.kl_target
        rate = self.learning_rate
        rate.copy_(torch.where(kl > 2 * target, rate / KL_FACTOR, torch.where(kl < target / 2, rate * KL_FACTOR, rate)))
        rate.clamp_(*KL_LEARNING_RATES)

    def state_dict(self) -> dict[str, Any]:
        """Optimiser, learning rate included, and average; model and generator are their owners' to save."""
        return {"optimizer": self.optimizer.state_dict(), "average": self._average.detach()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, onto this device."""
        self._normalized = False
        device = self.learning_rate.device
        self.optimizer.load_state_dict(state["optimizer"])
        self._average.data.copy_(state["average"])
        for group in self.optimizer.param_groups:
            group["lr"] = group["lr"].to(device)  # the optimiser moves its moments, not its rate
