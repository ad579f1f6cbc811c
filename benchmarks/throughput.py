"""What is left of the speed of physics in the environment, and in training with everything that it logs.

    python benchmarks/throughput.py [--json FILE]

Four speeds in control steps of 20 ms per second, on the same robots and threads:

- environment: Env.step under random actions (noise of an untrained policy): reward, observation, episodes, resets.
- physics of it: the very Batch.step calls of such a rollout, one after another, with nothing between them.
- training: updates of a real experiment, from rollout to log line, evaluations apart.
- physics of it: the same for a rollout of this training.

What physics costs depends on what the robots do (how many contacts, who lies on the ground), so physics alone is timed
on the states it is compared with: a rollout is recorded, then replayed in the same mujoco.batch.Batch. Physics gives
the same bits again, and the replay checks that it did. A repetition measures all four, one after another, each after an
untimed one of its own kind, because what ran before has filled the caches; figures are medians over the repetitions,
ratios medians of the ratios within each. "in physics" is the share of the wall-clock that was spent inside Batch.step
where it is called, without a replay.
"""

import contextlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import mujoco.batch
import numpy as np
import torch
from common import parser, print_table, write_json
from training import TimedExperiment, endless_settings, train

from vbot.config import EnvConfig
from vbot.env import Env
from vbot.evaluation import random_stream
from vbot.sim import MujocoSimulation, available_cores

STATE = ("time", "qpos", "qvel", "qacc_warmstart")
"""What a physics step starts from, besides the commands."""


class Tap:
    """Stands between a simulation and its Batch: times the steps, and on demand keeps what replays them."""

    def __init__(self, sim: MujocoSimulation) -> None:
        self.seconds = 0.0
        self._sim = sim
        self._batch = sim._batch
        self._fields = sim._fields
        self._recording: list[tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]] | None = None
        sim._batch = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def step(self, ids: np.ndarray | None = None, nstep: int = 1) -> None:
        if self._recording is not None:
            before = {name: self._fields[name].copy() for name in STATE}
            ctrl = self._fields["ctrl"].copy()
        start = time.perf_counter()
        try:
            self._batch.step(ids=ids, nstep=nstep)
        finally:
            self.seconds += time.perf_counter() - start
            if self._recording is not None:
                self._recording.append((before, ctrl, self._fields["qpos"].copy()))

    def alone(self, rollout: Callable[[], object]) -> float:
        """Seconds of the Batch.step calls of ``rollout`` with nothing between them.

        Raises:
            RuntimeError: the replay did not come out where the rollout did.
        """
        self._recording = []
        rollout()
        recording, self._recording = self._recording, None
        end = self._sim.state_dict()
        seconds = 0.0
        for number, (before, ctrl, qpos_after) in enumerate(recording):
            # After the first step only rows that an episode's end has changed, so that the others stay in the cache.
            changed = (self._fields["qpos"] != before["qpos"]).any(1)
            rows = np.flatnonzero(changed) if number else np.arange(len(ctrl))
            for name in STATE:
                self._fields[name][rows] = before[name][rows]
            self._fields["ctrl"][:] = ctrl
            start = time.perf_counter()
            with contextlib.suppress(mujoco.batch.SimulationError):  # the rollout had it too
                self._batch.step(nstep=self._sim._decimation)
            seconds += time.perf_counter() - start
            if not np.array_equal(self._fields["qpos"], qpos_after, equal_nan=True):
                raise RuntimeError("physics did not repeat itself: the replay is of other states than the rollout")
        self._sim.load_state_dict(end)
        return seconds


class RandomActions:
    """The environment of training, driven by the noise of an untrained policy."""

    def __init__(self, experiment: TimedExperiment) -> None:
        config = experiment.settings.config
        threads = config.train.threads
        generator = random_stream("benchmark", 0)
        self.env = Env(
            config.env, experiment.settings.reward_set, generator=generator, threads=threads, desynchronize=True
        )
        self.tap = Tap(_mujoco(self.env))
        self._actions = config.ppo.initial_std * torch.randn(
            config.ppo.rollouts, self.env.num_envs, self.env.num_actions, generator=generator
        )
        self.env.reset()

    @torch.no_grad()
    def rollout(self) -> None:
        for action in self._actions:
            self.env.step(action)
        self.env.take_episodes()


def _mujoco(env: Env) -> MujocoSimulation:
    if not isinstance(env.sim, MujocoSimulation):
        raise TypeError(f"this benchmark looks inside MujocoSimulation; the environment has {type(env.sim).__name__}")
    return env.sim


def measure(experiment: TimedExperiment, warmup: int, repetitions: int) -> list[dict[str, float]]:
    """Seconds per rollout or update, by side, a dict per repetition."""
    random = RandomActions(experiment)
    tap = Tap(_mujoco(experiment._env))
    samples: list[dict[str, float]] = []
    updates = 0

    def after_update(training_s: float) -> bool:
        nonlocal updates
        updates += 1
        if updates > warmup and (updates - warmup) % 2 == 0:
            sample = {"training": training_s, "training, in place": tap.seconds}
            torch.set_num_threads(1)  # as while collecting: see Experiment
            sample["physics of training"] = tap.alone(experiment._trainer.collect)
            torch.set_num_threads(experiment.settings.config.train.threads)
            experiment._trainer.learn(0.0)  # the recorded rollout is learnt from like any other, off the clock
            experiment._env.take_episodes()
            torch.set_num_threads(1)
            random.rollout()
            random.tap.seconds = 0.0
            start = time.perf_counter()
            random.rollout()
            sample["environment"] = time.perf_counter() - start
            sample["environment, in place"] = random.tap.seconds
            sample["physics of environment"] = random.tap.alone(random.rollout)
            samples.append(sample)
            print(f"repetition {len(samples)} of {repetitions}", file=sys.stderr)
        tap.seconds = 0.0
        return len(samples) < repetitions

    for _ in range(5):  # robots settle from the spawn into what random actions make of them
        random.rollout()
    train(experiment, after_update)
    return samples


def summarize(samples: list[dict[str, float]], steps: int) -> list[dict[str, Any]]:
    """Rows of the table; ``steps`` are the control steps of a rollout."""
    rows = []
    for side, name in (("environment", "environment, random actions"), ("training", "training, with all its logs")):
        physics = f"physics of {side}"
        rows.append(
            {
                "side": f"physics alone, states of {side}",
                "steps_per_s": steps / statistics.median(s[physics] for s in samples),
                "ratio": 1.0,
                "in_physics": 1.0,
            }
        )
        rows.append(
            {
                "side": name,
                "steps_per_s": steps / statistics.median(s[side] for s in samples),
                "ratio": statistics.median(s[physics] / s[side] for s in samples),
                "in_physics": statistics.median(s[f"{side}, in place"] / s[side] for s in samples),
            }
        )
    return rows


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--reward-set", default="phase5", metavar="NAME")
    options.add_argument("--num-envs", type=int, default=EnvConfig.num_envs, metavar="N", help="default: training's")
    options.add_argument("--threads", type=int, default=available_cores(), metavar="N", help="default: every core")
    options.add_argument("--repetitions", type=int, default=30, metavar="N")
    options.add_argument("--warmup", type=int, default=40, metavar="UPDATES", help="of training before the first one")
    given = options.parse_args()
    experiment = TimedExperiment(endless_settings(given.reward_set, given.num_envs, given.threads), quiet=True)
    samples = measure(experiment, given.warmup, given.repetitions)
    steps = experiment.settings.config.ppo.rollouts * given.num_envs
    rows = summarize(samples, steps)
    print_table(
        ("", "steps/s", "ratio", "in physics"),
        [(r["side"], f"{r['steps_per_s']:,.0f}", f"{r['ratio']:.2f}", f"{r['in_physics']:.0%}") for r in rows],
    )
    settings = {key: value for key, value in vars(given).items() if key != "json"}
    write_json(given.json, rows, settings=settings, samples_s=samples)


if __name__ == "__main__":
    main()
