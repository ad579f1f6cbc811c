"""Policy and value networks with their normalisers; mirror-equivariant where a symmetry is given."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vbot.config import PPOConfig
from vbot.errors import UserError
from vbot.ppo.normalize import RunningMoments
from vbot.ppo.vec_env import Symmetry

MIN_STD, MAX_STD = 0.02, 4.0
"""Bounds of the standard deviation of the action noise."""
OBS_CLIP = 10.0
"""Normalised observations are clipped to +- this many standard deviations."""

_ACTIVATIONS = {"elu": lambda: nn.ELU(inplace=True), "relu": lambda: nn.ReLU(inplace=True), "tanh": nn.Tanh}


class ActorCritic(nn.Module):
    """A Gaussian policy with state-independent deviation, and a value function, as two separate networks.

    With a mirror M the policy's mean is (f(o) + M f(M o)) / 2 and the value (v(o) + v(M o)) / 2, so that the policy
    commutes with the mirror and the value ignores it, exactly and from the first step on.

    Both networks read *inputs*: observations normalised, clipped and, under symmetry, paired with their mirror
    image; shape (B, K, num_obs) with K = 2 under symmetry and 1 otherwise. They are made by `encode`, once per
    rollout. The value network predicts in units of `value_moments`; `value` converts to the units of the return.
    """

    obs_index: Tensor
    obs_sign: Tensor
    action_index: Tensor
    action_sign: Tensor

    def __init__(
        self,
        num_obs: int,
        num_actions: int,
        config: PPOConfig,
        symmetry: Symmetry | None = None,
        *,
        generator: torch.Generator,
    ) -> None:
        """Weights are drawn from `generator` (on the CPU). Raises UserError on an impossible `initial_std`."""
        super().__init__()
        if not MIN_STD <= config.initial_std <= MAX_STD:
            raise UserError(f"ppo.initial_std must be in [{MIN_STD}, {MAX_STD}], got {config.initial_std}")
        self.symmetric = config.symmetry and symmetry is not None
        if config.symmetry and symmetry is not None:
            symmetry.validate(num_obs, num_actions)
            for name, tensor in symmetry._asdict().items():
                # Not persistent: the mirror is the environment's, not learned.
                self.register_buffer(name, tensor.detach().clone(), persistent=False)
        self.obs_moments = RunningMoments(num_obs, min_std=1e-2)
        self.value_moments = RunningMoments(1, min_std=1e-4)
        # A small last layer: the first actions are noise around zero, whatever the observation.
        self.actor = _mlp((num_obs, *config.policy_hidden_layer_sizes, num_actions), config.activation, 0.01, generator)
        self.critic = _mlp((num_obs, *config.value_hidden_layer_sizes, 1), config.activation, 1.0, generator)
        self.log_std_param = nn.Parameter(torch.full((num_actions,), math.log(config.initial_std)))

    def encode(self, obs: Tensor) -> Tensor:
        """Observations (B, num_obs) -> inputs of the networks (B, K, num_obs)."""
        x = self.obs_moments.normalize(obs).clamp_(-OBS_CLIP, OBS_CLIP)
        if not self.symmetric:
            return x.unsqueeze(1)
        # Mirroring after normalising is right because the moments are symmetric themselves (`observe`).
        return torch.stack((x, self._mirror_obs(x)), dim=1)

    def mean(self, inputs: Tensor) -> Tensor:
        """Inputs (B, K, num_obs) -> mean of the policy (B, num_actions)."""
        # Flat rows: on 3-d inputs a linear layer returns a view, and in-place activations on views cost copies.
        out = self.actor(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
        if not self.symmetric:
            return out.squeeze(1)
        return 0.5 * (out[:, 0] + out[:, 1].index_select(1, self.action_index) * self.action_sign)

    def normalized_value(self, inputs: Tensor) -> Tensor:
        """Inputs (B, K, num_obs) -> value (B,) in units of `value_moments`."""
        return self.critic(inputs.flatten(0, 1)).view(inputs.shape[:2]).mean(dim=1)

    @property
    def log_std(self) -> Tensor:
        """(num_actions,) log of the noise's standard deviation; mirrored joints share theirs."""
        if not self.symmetric:
            return self.log_std_param
        return 0.5 * (self.log_std_param + self.log_std_param.index_select(0, self.action_index))

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
        return mean + noise * self.log_std.exp(), mean

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
        self.obs_moments.update(torch.cat((obs, self._mirror_obs(obs))) if self.symmetric else obs)

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

    def _mirror_obs(self, obs: Tensor) -> Tensor:
        return obs.index_select(1, self.obs_index) * self.obs_sign


def _mlp(sizes: Sequence[int], activation: str, last_gain: float, generator: torch.Generator) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(len(sizes) - 1):
        last = i == len(sizes) - 2
        # skip_init: the default initialisation would draw from the global generator.
        linear = nn.utils.skip_init(nn.Linear, sizes[i], sizes[i + 1])
        nn.init.orthogonal_(linear.weight, gain=last_gain if last else math.sqrt(2), generator=generator)
        nn.init.zeros_(linear.bias)
        layers.append(linear)
        if not last:
            layers.append(_ACTIVATIONS[activation]())
    return nn.Sequential(*layers)
