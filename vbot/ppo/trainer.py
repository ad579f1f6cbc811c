"""Rollout, update, repeat; and everything needed to stop and go on bit for bit."""

import time
from typing import Any

import torch

from vbot.config import PPOConfig
from vbot.errors import UserError
from vbot.ppo.algorithm import PPO
from vbot.ppo.model import ActorCritic
from vbot.ppo.storage import Rollout
from vbot.ppo.vec_env import VecEnv


class Trainer:
    """Trains a model on an environment. All randomness comes from `seed` and from the environment.

    Public state: `model` (what acts and learns), `policy` (what to judge and to keep: the mean of the latest models),
    `rollout` (the latest one), `steps` (control steps so far, over all environments) and `iteration` (updates so far).
    """

    def __init__(self, env: VecEnv, config: PPOConfig, *, seed: int, device: torch.device) -> None:
        """Resets the environment once. Raises UserError when a rollout has fewer samples than mini-batches."""
        samples = config.rollouts * env.num_envs
        if config.mini_batches > samples:
            raise UserError(
                f"ppo.mini_batches must be at most ppo.rollouts * env.num_envs = {samples}, got {config.mini_batches}"
            )
        self.env = env
        self.config = config
        self.device = device
        # Weights are drawn on the CPU, so that a seed means the same weights on every device.
        init = torch.Generator().manual_seed(seed)
        self.model = ActorCritic(
            env.num_obs, env.num_actions, config, env.symmetry, obs_min_std=env.obs_min_std, generator=init
        ).to(device)
        self.generator = torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=init)))
        self.ppo = PPO(self.model, config, self.generator)
        self.policy = self.ppo.averaged
        self.rollout = Rollout(
            config.rollouts, env.num_envs, env.num_obs, env.num_actions, device=device, env_device=env.device
        )
        self.steps = 0
        self.iteration = 0
        self._collected = False
        self._collect_s = 0.0
        obs = env.reset()
        if obs.shape != (env.num_envs, env.num_obs):
            raise ValueError(
                f"VecEnv.reset must return (num_envs, num_obs) = ({env.num_envs}, {env.num_obs}), "
                f"got {tuple(obs.shape)}"
            )
        self.rollout.obs[-1].copy_(obs)

    def iterate(self, progress: float) -> dict[str, float]:
        """One rollout and one update; `progress` in [0, 1] is the share of the training budget spent.

        Returns the update's metrics, ``reward_mean`` (per control step), ``collect_s`` and ``learn_s``.
        """
        self.collect()
        return self.learn(progress)

    @torch.no_grad()
    def collect(self) -> Rollout:
        """Act for `config.rollouts` control steps from where the last rollout ended; return the rollout."""
        start = time.perf_counter()
        rollout = self.rollout
        rollout.obs[0].copy_(rollout.obs[-1])
        for t in range(rollout.steps):
            actions, means = self.model.act(rollout.obs[t], self.generator)
            rollout.add_actions(t, actions, means)
            rollout.add_step(t, self.env.step(actions.to(self.env.device)))
        self.steps += rollout.steps * self.env.num_envs
        self._collected = True
        self._collect_s = time.perf_counter() - start
        return rollout

    def learn(self, progress: float) -> dict[str, float]:
        """Update from the rollout just collected; see `iterate`. Raises RuntimeError without one."""
        if not self._collected:
            raise RuntimeError("Trainer.learn needs a new rollout: call collect() first")
        start = time.perf_counter()
        metrics = self.ppo.update(self.rollout, progress, self.iteration)
        metrics["reward_mean"] = self.rollout.rewards.mean().to(self.device)
        values = torch.stack(list(metrics.values())).tolist()  # the one synchronisation of the update
        self._collected = False
        self.iteration += 1
        return {
            **dict(zip(metrics, values, strict=True)),
            "collect_s": self._collect_s,
            "learn_s": time.perf_counter() - start,
        }

    def state_dict(self) -> dict[str, Any]:
        """All that training needs to go on bit for bit. Raises RuntimeError between collect() and learn().

        Holds references, as a module's state_dict does: save it before training goes on.
        """
        if self._collected:
            raise RuntimeError("Trainer.state_dict would lose the collected rollout: call learn() first")
        return {
            "model": self.model.state_dict(),
            "ppo": self.ppo.state_dict(),
            "generator": self.generator.get_state(),
            "env": self.env.state_dict(),
            "obs": self.rollout.obs[-1],
            "steps": self.steps,
            "iteration": self.iteration,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned, in a trainer of the same environment and configuration.

        The bits repeat on the same device with the same number of threads. Raises UserError when the number or kind
        of environments differs.
        """
        obs = self.rollout.obs[-1]
        if state["obs"].shape != obs.shape:
            raise UserError(
                "a run resumes with the environments it was saved with: (env.num_envs, num_obs) is "
                f"{tuple(state['obs'].shape)} in the checkpoint, {tuple(obs.shape)} here"
            )
        self.model.load_state_dict(state["model"])
        self.ppo.load_state_dict(state["ppo"])
        self.generator.set_state(state["generator"].cpu())
        self.env.load_state_dict(state["env"])
        obs.copy_(state["obs"])
        self.steps = state["steps"]
        self.iteration = state["iteration"]
        self._collected = False
