"""The environment: actions in; observation, reward, terminated and truncated out, for N robots at once.

An episode is *terminated* when the robot falls (base or head on the ground, tilt, joint speed, off the disc, broken
physics) and *truncated* when its time is over or it succeeded. Success is truncation: standing at the target goes on
being worth something, and only its value says so to the learner.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vbot.config import EnvConfig
from vbot.courses import Task, load_task
from vbot.episodes import EpisodeRecorder, Episodes
from vbot.observation import Observation
from vbot.ppo.vec_env import Step
from vbot.rewards.compute import RewardFunction
from vbot.rewards.sets import RewardSet
from vbot.robot import Robot, load_robot
from vbot.sim import MujocoSimulation, Simulation
from vbot.state import State
from vbot.tracker import StateTracker

ACTION_LIMIT = 10.0
"""Actions are clipped here: far outside what a policy uses, so that a diverging one cannot break physics."""


class Env:
    """N robots on a task; follows ``vbot.ppo.VecEnv``.

    Args:
        reward_set: what is paid; None gives rewards of 0, for evaluation and play.
        generator: source of spawns; its state is part of ``state_dict``.
        threads: of physics; 0 takes every core.
        desynchronize: let first episodes begin at random times of their limit, so that not all end together; they
            are not counted.
        auto_reset: start a new episode where one ended. Without it an environment stops there, and is no longer
            simulated: for running every episode to its own end.
        simulate: makes the physics; by default MuJoCo on the CPU.
    """

    def __init__(
        self,
        config: EnvConfig,
        reward_set: RewardSet | None,
        *,
        generator: torch.Generator,
        threads: int = 0,
        desynchronize: bool = False,
        auto_reset: bool = True,
        simulate: Callable[[Robot, Task], Simulation] | None = None,
    ) -> None:
        self.config = config
        self.task = load_task(config.task)
        self.robot = load_robot(config.robot)
        self.sim: Simulation = (
            simulate(self.robot, self.task)
            if simulate is not None
            else MujocoSimulation(
                self.robot,
                self.task.course,
                config.num_envs,
                physics_step_s=config.physics_step_s,
                decimation=config.decimation,
                threads=threads,
            )
        )
        self.num_envs = config.num_envs
        self.num_actions = len(self.robot.joints)
        self.device = self.sim.device
        self._observation = Observation(self.robot)
        self.num_obs = self._observation.size
        self.symmetry = self._observation.symmetry(self.device)
        self.obs_min_std = self._observation.min_std(self.device)
        self._tracker = StateTracker(self.task, self.robot, self.num_envs, config.step_s, self.device)
        self._reward = (
            RewardFunction(reward_set, self.num_envs, self.device, config.step_s) if reward_set is not None else None
        )
        self._recorder = EpisodeRecorder(self.num_envs, len(self.term_names), self.device)
        self._generator = generator
        self._desynchronize = desynchronize
        self._auto_reset = auto_reset
        self._standing = self._tracker.state.default_joint_pos
        self._no_obs = torch.zeros(0, self.num_obs, device=self.device)
        self._all = torch.arange(self.num_envs, device=self.device)
        self.live = torch.ones(self.num_envs, dtype=torch.bool, device=self.device)
        """(N,) bool: episodes under way; all of them with auto_reset."""

    @property
    def state(self) -> State:
        """The State of this moment."""
        return self._tracker.state

    @property
    def term_names(self) -> list[str]:
        """Names of the K reward terms, in the order of the columns of ``Episodes.term_sums``."""
        return self._reward.names if self._reward is not None else []

    @property
    def term_raw(self) -> Tensor:
        """(K, N) raw values of the last step, overwritten by the next; K is 0 without a reward."""
        return self._reward.raw if self._reward is not None else torch.zeros(0, self.num_envs, device=self.device)

    def reset(self) -> Tensor:
        """Start every episode; observations (N, num_obs)."""
        with torch.inference_mode():
            self.live[:] = True
            age = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
            if self._desynchronize:
                limit = self._tracker.limit_steps
                age = torch.randint(limit, (self.num_envs,), generator=self._generator, device=self.device)
            self._begin(self._all, age, partial=self._desynchronize)
            obs = self._observation(self.state)
        return obs.clone()

    def step(self, actions: Tensor) -> Step:
        """Advance one control step under ``actions`` (N, num_actions)."""
        # Hundreds of small operations: without the bookkeeping of autograd they take a fifth less.
        with torch.inference_mode():
            return self._step(actions)

    def _step(self, actions: Tensor) -> Step:
        s = self.state
        smoothing = self.config.action_smoothing
        applied = actions.clamp(-ACTION_LIMIT, ACTION_LIMIT)
        if smoothing:
            applied = (1 - smoothing) * applied + smoothing * s.action
        live = None if self._auto_reset else self.live.nonzero().squeeze(1)
        self.sim.step(torch.add(self._standing, applied, alpha=self.config.action_scale), live)
        self._tracker.advance(applied, self.sim.readings)
        if self._reward is not None:
            reward = self._reward(s)
            self._recorder.add(s, self._reward.weighted, self._reward.raw)
        else:
            reward = torch.zeros(self.num_envs, device=self.device)
            self._recorder.add(s, None, None)
        terminated = s.fallen.clone()  # beginning a new episode clears the flag in the State
        success = self._tracker.succeeded
        timeout = self._tracker.timed_out & ~(terminated | success)
        truncated = success | timeout
        if not self._auto_reset:  # what has ended does not end again
            terminated &= self.live
            truncated &= self.live
        truncated_obs = self._no_obs
        ended = (terminated | truncated).nonzero().squeeze(1)
        if len(ended):
            self._recorder.end(ended, s, success, timeout)
            cut = ended[truncated.index_select(0, ended)]
            if len(cut):
                truncated_obs = self._observation(s, cut)
            if self._auto_reset:
                self._begin(ended, torch.zeros_like(ended), partial=False)
            else:
                self.live[ended] = False
        return Step(self._observation(s), reward, terminated, truncated, truncated_obs)

    def take_episodes(self) -> Episodes | None:
        """Episodes that ended since the last call; None if none did."""
        return self._recorder.take()

    def raise_if_reward_not_finite(self) -> None:
        """Raise UserError naming the terms that gave NaN or infinity."""
        if self._reward is not None:
            self._reward.raise_if_not_finite()

    def _begin(self, ids: Tensor, age_steps: Tensor, *, partial: bool) -> None:
        """Spawn new episodes in environments ``ids`` (n,): area-uniform in the annulus, yaw uniform."""
        n, task = len(ids), self.task
        u = torch.rand(n, 4, generator=self._generator, device=self.device)
        low, high = task.spawn_min_m**2, task.spawn_max_m**2
        radius = torch.sqrt(u[:, 0] * (high - low) + low)
        around, yaw, target_yaw = (2 * torch.pi * u[:, 1:]).unbind(1)
        height = torch.full((n,), self.sim.standing_height, device=self.device)
        zero = torch.zeros_like(yaw)
        self.sim.reset(
            ids,
            torch.stack((radius * torch.cos(around), radius * torch.sin(around), height), dim=1),
            torch.stack((torch.cos(yaw / 2), zero, zero, torch.sin(yaw / 2)), dim=1),
            self._standing[ids],
        )
        target = torch.zeros(n, 2, device=self.device)
        self._tracker.begin(ids, target, target_yaw - torch.pi, age_steps, self.sim.readings)
        self._recorder.begin(ids, partial)
        if self._reward is not None:
            self._reward.reset(ids)

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on. Take the ended episodes first."""
        return {
            "sim": self.sim.state_dict(),
            "tracker": self._tracker.state_dict(),
            "recorder": self._recorder.state_dict(),
            "reward": self._reward.state_dict() if self._reward is not None else {},
            "live": self.live.clone(),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sim.load_state_dict(state["sim"])
        self._tracker.load_state_dict(state["tracker"])
        self._recorder.load_state_dict(state["recorder"])
        if self._reward is not None:
            self._reward.load_state_dict(state["reward"])
        self.live = state["live"].clone()
        self._generator.set_state(state["generator"])
