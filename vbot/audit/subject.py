"""What is audited: a resolved configuration, and the incomes that its reward gives on states made to order."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from vbot.courses import Task, load_task
from vbot.rewards.cards import pays_for_living
from vbot.rewards.compute import RewardFunction
from vbot.rewards.probes import robots
from vbot.rewards.sets import RewardSet
from vbot.robot import Robot, load_robot
from vbot.settings import Settings
from vbot.sim import build_model
from vbot.state import CLOCK_PERIOD_S, State

CPU = torch.device("cpu")
_GAIT_SAMPLES = 8
"""States over one period of the gait that an income is averaged over."""


@dataclass(frozen=True)
class Subject:
    """The reward set of ``settings`` with its task, robot, control period and discount."""

    settings: Settings

    @property
    def reward_set(self) -> RewardSet:
        return self.settings.reward_set

    @cached_property
    def task(self) -> Task:
        return load_task(self.settings.config.env.task)

    @cached_property
    def robot(self) -> Robot:
        return load_robot(self.settings.config.env.robot)

    @cached_property
    def standing_height(self) -> float:
        """m."""
        env = self.settings.config.env
        return self.robot.standing_height(build_model(self.robot, self.task.course, env.physics_step_s))

    @property
    def step_s(self) -> float:
        """Control period."""
        return self.settings.config.env.step_s

    @property
    def discount(self) -> float:
        """Per control step."""
        return self.settings.config.ppo.discount_factor

    @property
    def horizon_s(self) -> float:
        """step / (1 - discount): how far ahead a reward still weighs; the limit of an episode at most."""
        steps = 1 / max(1 - self.discount, 1e-9)
        return min(steps * self.step_s, self.task.episode_limit_s)

    @property
    def names(self) -> list[str]:
        """Of the K terms, in the order of every (K, ...) here."""
        return [term.spec.name for term in self.reward_set.terms]

    @cached_property
    def rewards(self) -> Tensor:
        """(K,) bool: terms that pay."""
        return torch.tensor([not term.spec.penalty for term in self.reward_set.terms])

    @cached_property
    def rates(self) -> Tensor:
        """(K,) bool: terms that are paid for time."""
        return torch.tensor([term.spec.kind == "rate" for term in self.reward_set.terms])

    @cached_property
    def decaying(self) -> Tensor:
        """(K,) bool: terms that the set's time decay multiplies."""
        decays = self.reward_set.time_decay is not None
        return torch.tensor([decays and term.spec.decay for term in self.reward_set.terms])

    @cached_property
    def alive_type(self) -> Tensor:
        """(K,) bool: terms that pay a robot before the reach whatever it does."""
        return torch.tensor([pays_for_living(term.spec, term.params) for term in self.reward_set.terms])

    def decay_at(self, time_s: float) -> float:
        """Factor of the decaying terms."""
        decay = self.reward_set.time_decay
        if decay is None:
            return 1.0
        return min(1.0, max(decay.floor, 1 - decay.rate * time_s / self.task.episode_limit_s))

    def distances(self) -> list[float]:
        """3, 6 and 11 m, as far as the task spawns there; else the middle of its annulus."""
        low, high = self.task.spawn_min_m, self.task.spawn_max_m
        return [d for d in (3.0, 6.0, 11.0) if low <= d <= high] or [(low + high) / 2]

    def reward_function(self, num_envs: int) -> RewardFunction:
        return RewardFunction(self.reward_set, num_envs, CPU, self.step_s)

    def robots(self, distance: Tensor | float, speed: Tensor | float = 0.0, **fields: Any) -> State:
        """``vbot.rewards.probes.robots`` with this robot on this task. Time decay stands still in them."""
        return robots(
            distance,
            speed,
            **fields,
            episode_limit_s=math.inf,
            reach_radius_m=self.task.reach_radius_m,
            platform_radius_m=self.task.course.platform_radius_m,
            step_s=self.step_s,
            pose=self.robot.standing_pose,
            feet=len(self.robot.feet),
            action_scale=self.settings.config.env.action_scale,
            height_m=self.standing_height,
        )

    def incomes(self, s: State, before: State | None = None) -> Tensor:
        """(K, N) weighted income of one control step in these states, before any time decay.

        Args:
            before: what terms with memory saw one step earlier; the same states if None: a robot that goes on so.
        """
        function = self.reward_function(s.num_envs)
        if any(term.spec.stateful for term in self.reward_set.terms):
            function(before if before is not None else s)
        function(s)
        return function.weighted

    def mean_incomes(self, distance: Tensor, speed: Tensor, **fields: Any) -> Tensor:
        """(K, N) income of a control step at these distances and speeds (N,), averaged over a period of the gait."""
        phases = (torch.arange(_GAIT_SAMPLES) + 0.5) / _GAIT_SAMPLES * CLOCK_PERIOD_S
        given = {name: _repeated(value) for name, value in fields.items()}
        s = self.robots(_repeated(distance), _repeated(speed), time_s=phases.repeat_interleave(len(distance)), **given)
        return self.incomes(s).unflatten(1, (_GAIT_SAMPLES, -1)).mean(1)

    def one_time_incomes(self) -> tuple[Tensor, Tensor, Tensor]:
        """(K,) incomes of events that come once: arriving (first reach and fence), completing the stop, falling."""
        radius = self.task.reach_radius_m
        arriving = self.robots(0.9 * radius, 0.6, initial_distance=3.0, ever_reached=True, time_s=2.0)
        plain = self.incomes(arriving)[:, 0]
        arriving.first_reach[:] = True
        arriving.first_fence[:] = True
        arrival = self.incomes(arriving)[:, 0] - plain
        lasting = self.task.stop_duration_s
        stops = [
            self.robots(
                0.6 * radius, 0.0, initial_distance=3.0, ever_reached=True, time_s=9.0,
                time_since_reach=5.0, stopped_time=stopped,
            )
            for stopped in (lasting, lasting / 2)
        ]  # fmt: skip
        walking = self.robots(2 * radius, 0.6, initial_distance=3.0, time_s=2.0)
        stop = self.incomes(stops[0], walking)[:, 0] - self.incomes(stops[1])[:, 0]
        falling = self.robots(3.0, 0.0, initial_distance=3.0, time_s=2.0)
        upright = self.incomes(falling)[:, 0]
        falling.fallen[:] = True
        return arrival, stop, self.incomes(falling)[:, 0] - upright


def _repeated(value: Any) -> Any:
    return value.repeat(_GAIT_SAMPLES) if isinstance(value, Tensor) else value
