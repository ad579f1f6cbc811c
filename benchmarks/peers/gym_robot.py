"""The single robot as gymnasium knows environments."""

from typing import Any

import gymnasium
import numpy as np
from single import SingleRobot

from vbot.env import ACTION_LIMIT


class GymRobot(gymnasium.Env):
    """Its first episode begins at a random time of its limit, as in vbot's training, so that not all end together."""

    def __init__(self, robot: SingleRobot, seed: int) -> None:
        self._robot = robot
        limit_steps = round(robot.task.episode_limit_s / robot.step_s)
        self._age_steps = int(np.random.default_rng(seed).integers(limit_steps))
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (robot.num_obs,), np.float32)
        self.action_space = gymnasium.spaces.Box(-ACTION_LIMIT, ACTION_LIMIT, (robot.num_actions,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        age_steps, self._age_steps = self._age_steps, 0
        return self._robot.reset(age_steps=age_steps), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return (*self._robot.step(action), {})
