"""Policy and value networks with their normalisers; mirror-equivariant where a symmetry is given."""

import math

import torch
from torch import Tensor, nn

from vbot.config import PPOConfig
from vbot.errors import UserError
from vbot.ppo.network import Mirror, Perceptron
from vbot.ppo.normalize import RunningMoments
from vbot.ppo.vec_env import Symmetry

MIN_STD, MAX_STD = 0.02, 4.0
"""Bounds of the standard deviation of the action noise."""
OBS_CLIP = 10.0
"""Normalised observations are clipped to +- this many standard deviations."""
MIN_OBS_STD = 1e-2
"""The least deviation that an observation is divided by: what hardly varies at all tells nothing."""


class ActorCritic(nn.Module):
    """A Gaussian policy with state-independent deviation, and a value function, as two separate networks.

    Under a symmetry the policy's mean commutes with the mirror and the value ignores it, from the first step on and for
    as long as the parameters are their own image under `mirror`; whoever changes them keeps them so (`Parameters`).

    Both networks read *inputs*, (B, num_obs): observations normalised and clipped, made by `encode` once per rollout.
    The value network predicts in units of `value_moments`; `value` converts to the units of the return.
    """

    obs_index: Tensor
    obs_sign: Tensor
    mirror: Mirror | None
    """Of the parameters, in the order of ``parameters()``, laid end to end; None without a symmetry."""

    def __init__(
        self,
        num_obs: int,
        num_actions: int,
        config: PPOConfig,
        symmetry: Symmetry | None = None,
        *,
        obs_min_std: Tensor | None = None,
        generator: torch.Generator,
    ) -> None:
        """Weights are drawn from `generator` (on the CPU); `obs_min_std` is that of `VecEnv`, none being zeros.

        Raises UserError on an impossible `initial_std` and, under symmetry, on odd layer sizes; ValueError on a
        `symmetry` or `obs_min_std` that breaks its contract.
        """
        super().__init__()
        if not MIN_STD <= config.initial_std <= MAX_STD:
            raise UserError(f"ppo.initial_std must be in [{MIN_STD}, {MAX_STD}], got {config.initial_std}")
        least = torch.zeros(num_obs) if obs_min_std is None else obs_min_std
        if least.shape != (num_obs,) or not bool((least >= 0).all()):
            raise ValueError(f"obs_min_std must be ({num_obs},) numbers >= 0, got {least.tolist()}")
        of_policy = of_value = None
        if config.symmetry and symmetry is not None:
            symmetry.validate(num_obs, num_actions)
            if not torch.equal(least, least[symmetry.obs_index]):
                raise ValueError(f"obs_min_std must be equal for both of a mirrored pair, got {least.tolist()}")
            obs_mirror = Mirror(symmetry.obs_index.cpu(), symmetry.obs_sign.cpu())
            action_mirror = Mirror(symmetry.action_index.cpu(), symmetry.action_sign.cpu())
            of_policy, of_value = (obs_mirror, action_mirror), (obs_mirror, Mirror.identity(1))
            # Not persistent: the mirror is the environment's, not learned.
            self.register_buffer("obs_index", obs_mirror.order.clone(), persistent=False)
            self.register_buffer("obs_sign", obs_mirror.sign.clone(), persistent=False)
        self.obs_moments = RunningMoments(num_obs, min_std=least.clamp(min=MIN_OBS_STD))
        self.value_moments = RunningMoments(1, min_std=1e-4)
        policy_sizes = (num_obs, *config.policy_hidden_layer_sizes, num_actions)
        value_sizes = (num_obs, *config.value_hidden_layer_sizes, 1)
        # A small last layer: the first actions are noise around zero, whatever the observation.
        self.actor = Perceptron(policy_sizes, config.activation, last_gain=0.01, generator=generator, mirrors=of_policy)
        self.critic = Perceptron(value_sizes, config.activation, last_gain=1.0, generator=generator, mirrors=of_value)
        self.log_std_param = nn.Parameter(torch.full((num_actions,), math.log(config.initial_std)))
        """(num_actions,) log of the noise's standard deviation; mirrored joints share theirs."""
        self.mirror = None
        if self.actor.mirror is not None and self.critic.mirror is not None:
            noise = Mirror(action_mirror.order, torch.ones(num_actions))
            self.mirror = Mirror.join([noise, self.actor.mirror, self.critic.mirror])

    def encode(self, obs: Tensor) -> Tensor:
        """Observations (B, num_obs) -> inputs of the networks (B, num_obs)."""
        # Mirror images stay mirror images, because the moments are symmetric themselves (`observe`).
        return self.obs_moments.normalize(obs).clamp_(-OBS_CLIP, OBS_CLIP)

    def mean(self, inputs: Tensor) -> Tensor:
        """Inputs (B, num_obs) -> mean of the policy (B, num_actions)."""
        return self.actor(inputs)

    def normalized_value(self, inputs: Tensor) -> Tensor:
        """Inputs (B, num_obs) -> value (B,) in units of `value_moments`."""
        return self.critic(inputs).squeeze(1)

    def forward(self, obs: Tensor) -> Tensor:
        """Observations (B, num_obs) -> mean of the policy (B, num_actions)."""
        return self.mean(self.encode(obs))

    # no_grad and not inference_mode below: an environment may keep the actions and write into them later.

    @torch.no_grad()
    def act_deterministic(self, obs: Tensor) -> Tensor:
        """Observations (B, num_obs) -> actions without noise (B, num_actions)."""
        return self.forward(obs)

    @torch.no_grad()
    def act(self, obs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Observations (B, num_obs) -> sampled actions and their means, (B, num_actions) each."""
        mean = self.forward(obs)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        return mean + noise * self.log_std_param.exp(), mean

    @torch.no_grad()
    def value(self, obs: Tensor) -> Tensor:
        """Observations (B, num_obs) -> expected discounted return (B,), in the reward's units."""
        return self.value_moments.denormalize(self.normalized_value(self.encode(obs)))

    @torch.no_grad()
    def observe(self, obs: Tensor) -> None:
        """Merge observations (B, num_obs) into the observation statistics.

        Under symmetry with their mirror images: a mirrored pair of features must have equal deviation, and means
        equal up to the sign, or normalised observations would not be mirror images where observations are.
        """
        self.obs_moments.update(obs, Mirror(self.obs_index, self.obs_sign) if self.mirror is not None else None)

    @torch.no_grad()
    def observe_returns(self, returns: Tensor) -> None:
        """Merge returns (B,) into the value statistics; the network's outputs are read in the new units from now on.

        Deliberately without rescaling the last layer to keep the value in reward units (Pop-Art): as returns rise,
        the moving mean carries every value along, where the network alone would follow slowly. On cart-pole 15 of
        16 seeds learned with the moving units, 9 with Pop-Art.
        """
        self.value_moments.update(returns.unsqueeze(1))

    @torch.no_grad()
    def project(self) -> None:
        """Bring the noise back into its bounds. Clamping in the forward pass would leave no gradient to return by."""
        self.log_std_param.clamp_(math.log(MIN_STD), math.log(MAX_STD))
