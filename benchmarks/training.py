"""A real training run under a benchmark's stopwatch: run directory, logs and all, update by update."""

import contextlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from vbot.experiment import Experiment
from vbot.run import Run
from vbot.settings import Settings, resolve

ENDLESS_STEPS = 10**12
"""Budget of a training that the benchmark ends: nothing that comes by shares of the budget (evaluations, checkpoints)
falls into what is timed."""


class _Enough(Exception):
    pass


class TimedExperiment(Experiment):
    """An experiment that tells the wall-clock of each update, and stops when it is told to."""

    after_update: Callable[[float], bool]
    """Called between updates with the seconds of the last one; training goes on while it returns true."""

    def _iterate(self, progress: float) -> None:
        start = time.perf_counter()
        super()._iterate(progress)
        if not self.after_update(time.perf_counter() - start):
            raise _Enough

    def run_in(self, directory: Path) -> None:
        """Train into ``directory`` until ``after_update`` says that it is enough."""
        with contextlib.suppress(_Enough):
            self.train(Run.create(directory, self.settings.config, self.settings.fingerprint, []))


def endless_settings(reward_set: str, num_envs: int, threads: int, seed: int = 0) -> Settings:
    """The defaults of training on the CPU, with a budget that never ends."""
    options = {"env.num_envs": num_envs, "train.threads": threads, "train.steps": ENDLESS_STEPS, "train.seed": seed}
    return resolve(reward_set, options={**options, "train.device": "cpu"})


def train(experiment: TimedExperiment, after_update: Callable[[float], bool]) -> None:
    """Train into a directory that is gone afterwards, for as long as ``after_update`` returns true."""
    experiment.after_update = after_update
    with tempfile.TemporaryDirectory() as directory:
        experiment.run_in(Path(directory) / "run")
