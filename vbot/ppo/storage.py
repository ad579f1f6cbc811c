"""A rollout's buffers, allocated once, and the advantages computed from them."""

import torch
from torch import Tensor

from vbot.ppo.vec_env import Step


class Rollout:
    """T control steps of N environments.

    What the policy reads and writes lies on the learner's device; what only the environment reports lies on the
    environment's, and moves once per rollout.
    """

    def __init__(
        self,
        steps: int,
        num_envs: int,
        num_obs: int,
        num_actions: int,
        *,
        device: torch.device,
        env_device: torch.device,
    ) -> None:
        self.steps = steps
        self.obs = torch.zeros(steps + 1, num_envs, num_obs, device=device)
        """(T + 1, N, num_obs); the last row is what the next rollout starts from."""
        self.actions = torch.zeros(steps, num_envs, num_actions, device=device)
        self.means = torch.zeros(steps, num_envs, num_actions, device=device)
        """(T, N, num_actions) means of the policy that acted; its deviation is one vector, the model's."""
        self.rewards = torch.zeros(steps, num_envs, device=env_device)
        self.terminated = torch.zeros(steps, num_envs, dtype=torch.bool, device=env_device)
        self.truncated = torch.zeros(steps, num_envs, dtype=torch.bool, device=env_device)
        self._truncated_obs = [torch.zeros(0, num_obs, device=env_device)] * steps

    def add_actions(self, t: int, actions: Tensor, means: Tensor) -> None:
        """Keep what is about to be done on ``obs[t]``: before the step, which may write into the actions."""
        self.actions[t] = actions
        self.means[t] = means

    def add_step(self, t: int, step: Step) -> None:
        """Keep what came of it."""
        self.rewards[t] = step.reward
        self.terminated[t] = step.terminated
        self.truncated[t] = step.truncated
        self._truncated_obs[t] = step.truncated_obs.clone()
        # The one transfer to the learner per step. The next actions, read back from its device, wait for it, so an
        # environment that reuses its buffers can't overwrite what is under way.
        self.obs[t + 1].copy_(step.obs, non_blocking=True)

    @property
    def truncated_obs(self) -> Tensor:
        """(n, num_obs) observations before the reset, where ``truncated``, step by step."""
        return torch.cat(self._truncated_obs)


def generalized_advantages(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    discount: float,
    lambda_: float,
) -> Tensor:
    """Advantages (T, N); all arguments (T, N). Schulman et al., "High-dimensional continuous control using
    generalized advantage estimation", 2016, eq. 16.

    delta_t = r_t + discount * next_value_t * (not terminated_t) - value_t, with next_value the value of the
    observation *before* the reset. The sum over later deltas stops at the end of an episode, of either kind.
    """
    deltas = torch.where(terminated, rewards, rewards + discount * next_values) - values
    carry = discount * lambda_ * (~(terminated | truncated)).to(deltas.dtype)
    advantages = torch.empty_like(deltas)
    following = torch.zeros_like(deltas[0])
    for t in range(deltas.shape[0] - 1, -1, -1):
        following = torch.addcmul(deltas[t], carry[t], following, out=advantages[t])
    return advantages
