"""One peer's training against the clock, told to benchmarks/peers.py in JSON lines.

In *speed* sessions the first update warms up and the following ones are timed. In *success* sessions the clock stands
still while vbot's own evaluation judges the deterministic policy: the very held-out episodes that vbot.train looks at.
"""

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator

import torch
from common import IN_A_ROW

from vbot.config import EnvConfig
from vbot.evaluation import Evaluator, Policy
from vbot.rewards.sets import RewardSet
from vbot.settings import resolve
from vbot.sim import available_cores

HOLDS = 0.90
"""A session ends early when this success holds."""


class Session:
    """Give it to a training loop, which asks between updates whether to go on.

    Args:
        given: parsed options of ``options``.
    """

    def __init__(self, given: argparse.Namespace) -> None:
        self.seed: int = given.seed
        self.config = EnvConfig()
        self.reward_set_name: str = given.reward_set
        settings = resolve(given.reward_set)
        self.reward_set: RewardSet = settings.reward_set
        self.discount: float = settings.config.ppo.discount_factor
        """Per control step; every peer's, as it is a part of what the reward set asks for."""
        self.threads = available_cores()
        self._seconds = given.seconds if given.minutes is None else 60 * given.minutes
        self._evaluator: Evaluator | None = None
        if given.minutes is not None:
            self._evaluator = Evaluator(self.config, given.eval_episodes, given.seed, purpose="validation")
        self._every = self._next = int(given.eval_every)
        self._held = 0
        self._updates = -1
        self._started = time.perf_counter()
        self._first_steps = 0

    @property
    def share(self) -> float:
        """Of the training time that is over, in [0, 1]: what a schedule of the learning rate follows."""
        return min(1.0, (time.perf_counter() - self._started) / self._seconds)

    def go_on(self, steps: int, policy: Policy) -> bool:
        """Whether to do another update; called before each, the first one included.

        Args:
            steps: control steps so far, over all environments.
            policy: the deterministic policy of this moment.
        """
        self._updates += 1
        if self._updates == 0:  # everything is built: now it begins
            self._started = time.perf_counter()
        if self._evaluator is not None:
            return self._judge(self._evaluator, steps, policy)
        if self._updates < 1:
            return True
        if self._updates == 1:
            self._started, self._first_steps = time.perf_counter(), steps
            return True
        elapsed_s = time.perf_counter() - self._started
        if elapsed_s < self._seconds:
            return True
        tell(steps_per_s=(steps - self._first_steps) / elapsed_s, updates=self._updates - 1)
        return False

    def _judge(self, evaluator: Evaluator, steps: int, policy: Policy) -> bool:
        training_s = time.perf_counter() - self._started
        over = training_s >= self._seconds
        if steps < self._next and not over:
            return True
        with torch_threads(1):
            summary = evaluator(policy).summary()
        self._next = (steps // self._every + 1) * self._every
        self._held = self._held + 1 if summary["success_rate"] >= HOLDS else 0
        tell(
            steps=steps, training_s=training_s, **{k: summary[k] for k in ("success_rate", "reached_rate", "fall_rate")}
        )
        self._started = time.perf_counter() - training_s
        return not over and self._held < IN_A_ROW


def options(description: str | None) -> argparse.ArgumentParser:
    """The command line of a worker."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--reward-set", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10.0, help="measure speed for so long")
    parser.add_argument("--minutes", type=float, help="measure success instead, for at most so long")
    parser.add_argument("--eval-every", type=float, default=250e3, metavar="STEPS", help="of training")
    parser.add_argument("--eval-episodes", type=int, default=256)
    return parser


def tell(**row: float) -> None:
    """A JSON line for the parent."""
    print(json.dumps(row), file=_parent, flush=True)


_parent = sys.stdout


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """What libraries print is not for the parent."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Torch's idle workers spin on the cores that physics needs, so it has one thread while robots move."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def learning_on(threads: int, learn: Callable[[], object]) -> Callable[[], object]:
    """``learn`` on so many torch threads, whatever the number around it."""

    def learn_threaded() -> object:
        with torch_threads(threads):
            return learn()

    return learn_threaded
