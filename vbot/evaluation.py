"""Judging a policy: deterministic actions, held-out episodes, every one run to its own end."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vbot.config import Config, EnvConfig, PPOConfig
from vbot.env import Env
from vbot.episodes import Episodes
from vbot.errors import UserError
from vbot.ppo import ActorCritic
from vbot.records import RecordKeeper, Records, concatenate
from vbot.rewards.sets import RewardSet
from vbot.run import find_checkpoint, load_checkpoint

BATCH = 1024
"""Most episodes that are simulated side by side."""

VALIDATION = "validation"
"""The random stream of the held-out episodes of a training."""
CHOICE = "choice"
"""That of the episodes by which a training chooses among its best policies in the end."""
CHOICE_FACTOR = 2
"""These are this many times as many as those of VALIDATION."""

Policy = Callable[[Tensor], Tensor]


def random_stream(purpose: str, seed: int) -> torch.Generator:
    """A generator of its own for every purpose: a seed used in training never repeats in an evaluation."""
    digest = hashlib.sha256(f"{purpose}/{seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))


class Evaluator:
    """Runs a policy on the same held-out episodes every time; keeps its environment between calls.

    Args:
        purpose: name of the random stream; training uses VALIDATION, the evaluate command "evaluate".
        reward_set: also record the income of the episodes; without it their returns are 0.
        discount: per control step, for the discounted sums of ``examine``.
    """

    def __init__(
        self,
        config: EnvConfig,
        episodes: int,
        seed: int,
        *,
        purpose: str,
        threads: int = 0,
        reward_set: RewardSet | None = None,
        discount: float = 1.0,
    ) -> None:
        self._episodes, self._seed, self._purpose, self._discount = episodes, seed, purpose, discount
        self._generator = random_stream(purpose, seed)
        self._env = Env(
            dataclasses.replace(config, num_envs=min(episodes, BATCH)),
            reward_set,
            generator=self._generator,
            threads=threads,
            auto_reset=False,
        )

    def __call__(self, policy: Policy) -> Episodes:
        """Run the episodes; ``policy`` maps observations (N, num_obs) to actions (N, num_actions)."""
        return self.examine(policy).episodes

    def examine(self, policy: Policy) -> Records:
        """Run the same episodes, and keep more of them."""
        env = self._env
        self._generator.set_state(random_stream(self._purpose, self._seed).get_state())
        parts: list[Records] = []
        terms, first = tuple(env.term_names), 0
        while first < self._episodes:
            obs = env.reset()
            env.live[self._episodes - first :] = False
            keeper = RecordKeeper(env.num_envs, len(terms), self._discount)
            keeper.begin(env.state)
            while bool(env.live.any()):
                live = env.live.clone()
                obs = env.step(policy(obs)).obs
                keeper.add(env.state, env.term_raw, live)
            episodes = env.take_episodes()
            if episodes is None:
                raise RuntimeError("the environment ended episodes and kept none")
            parts.append(keeper.end(episodes, terms, self._purpose, self._seed, first))
            first += len(episodes)
        return concatenate(parts)


def policy_content(model: ActorCritic, env: Env, config: Config, steps: int) -> dict[str, Any]:
    """What a checkpoint holds: the model and what is needed to rebuild it and its environment."""
    return {
        "model": {key: value.cpu().clone() for key, value in model.state_dict().items()},
        "num_obs": env.num_obs,
        "num_actions": env.num_actions,
        "env": dataclasses.asdict(config.env),
        "ppo": dataclasses.asdict(config.ppo),
        "validation": {"seed": config.train.seed, "episodes": config.train.eval_episodes},
        "steps": steps,
    }


@dataclasses.dataclass(frozen=True)
class LoadedPolicy:
    """A policy from a checkpoint, and the environment it was trained in."""

    file: Path
    model: ActorCritic
    env: EnvConfig
    steps: int
    validation: dict[str, int] | None
    """Seed and number of the held-out episodes that judged it in training; None in checkpoints of old."""

    def __call__(self, obs: Tensor) -> Tensor:
        return self.model.act_deterministic(obs)


def load_policy(path: Path, *, task: str | None = None) -> LoadedPolicy:
    """Load the policy of a run directory or a checkpoint file.

    Args:
        task: another task than the one it was trained on.

    Raises:
        UserError: no such run or checkpoint, or one that does not fit this version's environment.
    """
    file = find_checkpoint(path)
    content = load_checkpoint(file)
    try:
        env = EnvConfig(**content["env"])
        ppo = PPOConfig(**content["ppo"])
        if task is not None:
            env = dataclasses.replace(env, task=task)
        probe = Env(dataclasses.replace(env, num_envs=1), None, generator=torch.Generator())
        if (probe.num_obs, probe.num_actions) != (content["num_obs"], content["num_actions"]):
            raise UserError(
                f"{file} was trained with {content['num_obs']} observations and {content['num_actions']} actions, this "
                f"version has {probe.num_obs} and {probe.num_actions}"
            )
        model = ActorCritic(
            probe.num_obs, probe.num_actions, ppo, probe.symmetry, generator=torch.Generator().manual_seed(0)
        )
        model.load_state_dict(content["model"])
    except (KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{file} does not fit this version of vbot: {reason}") from None
    return LoadedPolicy(file, model.eval(), env, content["steps"], content.get("validation"))
