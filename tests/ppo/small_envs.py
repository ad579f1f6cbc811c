"""Small batched environments with known answers, written against the VecEnv protocol."""

import math
from typing import Any

import torch
from torch import Tensor

from vbot.ppo import Step, Symmetry

SYMMETRY = Symmetry(
    obs_index=torch.tensor([0, 2, 1, 3]),
    obs_sign=torch.tensor([1.0, -1.0, -1.0, -1.0]),
    action_index=torch.tensor([1, 0, 2]),
    action_sign=torch.tensor([1.0, 1.0, -1.0]),
)
"""Of four observations and three actions, with every kind of entry: a pair with and without a sign, one alone."""


class CartPole:
    """Barto, Sutton & Anderson, "Neuronlike adaptive elements that can solve difficult learning control problems"
    (1983), with the constants of its common benchmark: 0.02 s Euler steps, force +-10 N, 500 steps, reward 1.

    The action's sign chooses the force. Mirror: the whole state and the force change sign.
    """

    num_obs, num_actions = 4, 1
    obs_min_std = torch.zeros(4)
    gravity, cart_kg, pole_kg, half_length_m, force_n, step_s, limit = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02, 500

    def __init__(self, num_envs: int, seed: int, *, mirror: bool = True) -> None:
        self.num_envs = num_envs
        self.device = torch.device("cpu")
        self.generator = torch.Generator().manual_seed(seed)
        self.symmetry: Symmetry | None = None
        if mirror:
            self.symmetry = Symmetry(torch.arange(4), -torch.ones(4), torch.arange(1), -torch.ones(1))
        self.state = torch.zeros(num_envs, 4)
        self.age = torch.zeros(num_envs, dtype=torch.int64)

    def _start(self) -> Tensor:
        return torch.rand(self.num_envs, 4, generator=self.generator) * 0.1 - 0.05

    def reset(self) -> Tensor:
        self.state = self._start()
        self.age.zero_()
        return self.state

    def step(self, actions: Tensor) -> Step:
        _, x_dot, theta, theta_dot = self.state.unbind(1)
        force = self.force_n * actions[:, 0].sign_()  # in place: what the learner keeps must not follow
        total_kg, pole = self.cart_kg + self.pole_kg, self.pole_kg * self.half_length_m
        push = (force + pole * theta_dot**2 * theta.sin()) / total_kg
        theta_acc = (self.gravity * theta.sin() - theta.cos() * push) / (
            self.half_length_m * (4 / 3 - self.pole_kg * theta.cos() ** 2 / total_kg)
        )
        x_acc = push - pole * theta_acc * theta.cos() / total_kg
        rates = torch.stack((x_dot, x_acc, theta_dot, theta_acc), dim=1)
        final = self.state + self.step_s * rates
        self.age += 1
        terminated = (final[:, 0].abs() > 2.4) | (final[:, 2].abs() > math.radians(12))
        truncated = (self.age >= self.limit) & ~terminated
        done = terminated | truncated
        self.state = torch.where(done[:, None], self._start(), final)
        self.age[done] = 0
        return Step(self.state, torch.ones(self.num_envs), terminated, truncated, final[truncated])

    def state_dict(self) -> dict[str, Any]:
        return {"state": self.state, "age": self.age, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state, self.age = state["state"].clone(), state["age"].clone()
        self.generator.set_state(state["generator"])


class Clock:
    """Reward 1 every step, whatever the action; terminated at `limit` steps. Observation: the age over the limit.

    Ages are spread at the start. Buffers are reused by the next step, as the protocol allows.
    """

    num_obs, num_actions = 1, 1
    symmetry: Symmetry | None = None
    obs_min_std = torch.zeros(1)

    def __init__(self, num_envs: int, limit: int) -> None:
        self.num_envs, self.limit = num_envs, limit
        self.device = torch.device("cpu")
        self.age = torch.arange(num_envs) % limit
        self.obs = torch.zeros(num_envs, 1)

    def observe(self) -> Tensor:
        return self.age[:, None] / self.limit

    def reset(self) -> Tensor:
        return self.obs.copy_(self.observe())

    def step(self, actions: Tensor) -> Step:
        reward = self.reward()
        self.age += 1
        final = self.observe()
        done = self.age >= self.limit
        self.age[done] = 0
        self.obs.copy_(self.observe())
        terminated, truncated = self.ends(done)
        return Step(self.obs, reward, terminated, truncated, final[truncated])

    def reward(self) -> Tensor:
        return torch.ones(self.num_envs)

    def ends(self, done: Tensor) -> tuple[Tensor, Tensor]:
        return done, torch.zeros_like(done)

    def state_dict(self) -> dict[str, Any]:
        return {"age": self.age}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.age = state["age"].clone()


class Treadmill(Clock):
    """Reward -8 on the first step, 1 on all later ones, for ever; truncated at `limit` steps.

    Observation: 0 before the first step, 1 after it. With gamma 0.9 their values are -8 + 9 = 1 and 10, if and only
    if the truncated step is followed by the value before the reset, and not after it.
    """

    def observe(self) -> Tensor:
        return (self.age > 0).float()[:, None]

    def reward(self) -> Tensor:
        return torch.where(self.age > 0, 1.0, -8.0)

    def ends(self, done: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(done), done
