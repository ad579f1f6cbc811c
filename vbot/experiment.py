"""One training run: configuration -> environment + PPO + evaluation -> run directory with a result."""

import dataclasses
import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vbot.choice import choose, finalists
from vbot.dashboard import Dashboard
from vbot.detectors import Watch, detect
from vbot.env import Env
from vbot.episodes import Episodes
from vbot.errors import DivergedError, UserError
from vbot.evaluation import CHOICE, CHOICE_FACTOR, VALIDATION, Evaluator, policy_content, random_stream
from vbot.interrupt import catch_interrupt
from vbot.intervals import Intervals
from vbot.ppo import Trainer
from vbot.records import Records, pack
from vbot.rewards.cards import pays_for_living
from vbot.run import Run
from vbot.settings import Settings
from vbot.sim import available_cores
from vbot.terminal import LiveLine, duration, percent

RECENT_EPISODES = 512
"""Training episodes that the live line speaks of."""
BEAT_S = 5.0
"""Between two heartbeats."""


class Experiment:
    """Builds environment and learner from ``settings``; ``train`` then writes into a run directory.

    Building comes first and writes nothing, so that what does not fit leaves no directory behind.

    Raises:
        UserError: the device is not there, or the settings do not fit each other.
    """

    run: Run
    _dashboard: Dashboard

    def __init__(self, settings: Settings, *, quiet: bool = False) -> None:
        self.settings = settings
        self._config = config = settings.config
        self._train = config.train
        self._threads = config.train.threads or available_cores()
        self._device = _device(config.train.device)
        self._env = Env(
            config.env,
            settings.reward_set,
            generator=random_stream("training", config.train.seed),
            threads=self._threads,
            desynchronize=True,
        )
        self._trainer = Trainer(self._env, config.ppo, seed=config.train.seed, device=self._device)
        self._evaluator = self._judge(config.train.eval_episodes, VALIDATION)
        self._watch = Watch()
        self._alive = torch.tensor([pays_for_living(t.spec, t.params) for t in settings.reward_set.terms])
        self._line = LiveLine(quiet=quiet)
        self._beaten = -math.inf
        self._steps_per_s: float | None = None
        self._recent: list[Episodes] = []
        self._elapsed_s = 0.0  # before this process took the run up
        self._evaluation_s = 0.0
        self._finalists: list[dict[str, Any]] = []  # evaluations and policies, the best so far first
        self._last_evaluation: dict[str, Any] | None = None
        self._evaluations = Intervals(config.train.eval_interval, default_parts=16, least_parts=1)
        self._checkpoints = Intervals(config.train.checkpoint_interval, default_parts=8, least_parts=5)

    @property
    def steps(self) -> int:
        """Control steps so far, over all environments."""
        return self._trainer.steps

    def train(self, run: Run, *, resume: bool = False) -> dict[str, Any]:
        """Train until the budget is spent, evaluate the best policy on fresh episodes, write the result into ``run``.

        Ctrl-C saves and raises KeyboardInterrupt.

        Args:
            resume: go on from the run's last saved state.

        Raises:
            UserError: a reward term gave NaN, the run to resume was of another configuration, or it is being trained.
            DivergedError: the networks broke.
        """
        with run.alone():
            return self._train_alone(run, resume)

    def _train_alone(self, run: Run, resume: bool) -> dict[str, Any]:
        self.run = run
        if resume:
            self._load(run.load_resume())
        self._dashboard = Dashboard(run.path, resumed_at=self.steps if resume else None)
        self._started = time.perf_counter() - self._elapsed_s
        if self.steps == 0:
            self._save_policy("init", None)
            self.run.save_resume(self._state())
        try:
            with catch_interrupt() as interrupt:
                while (progress := self._progress()) < 1:
                    self._iterate(progress)
                    if interrupt.requested:
                        self.run.save_resume(self._state())
                        raise KeyboardInterrupt
        finally:
            self._line.close()
            self._dashboard.close()
        return self._finish()

    def _iterate(self, progress: float) -> None:
        # One torch thread beside physics: torch's idle workers spin on the cores that physics needs.
        torch.set_num_threads(1)
        self._trainer.collect()
        self._env.raise_if_reward_not_finite()
        torch.set_num_threads(self._threads)
        metrics = self._trainer.learn(progress)
        if not all(math.isfinite(value) for value in metrics.values()):
            broken = ", ".join(name for name, value in metrics.items() if not math.isfinite(value))
            raise DivergedError(
                f"training diverged at {self.steps:,} steps: {broken} is not finite; the last good checkpoint is kept "
                "(try a smaller ppo.learning_rate)"
            )
        ended = self._env.take_episodes()
        self._log(metrics, ended)
        progress = self._progress()
        look, keep = self._evaluations.due(self.steps, progress), self._checkpoints.due(self.steps, progress)
        if look or progress >= 1:
            self._evaluate()
        if keep:
            self._save_policy(f"step_{self.steps}", self._last_evaluation if look else None)
        if look or keep:
            self.run.save_resume(self._state())

    def _progress(self) -> float:
        """Share of the budget spent, in [0, 1]."""
        if self._train.minutes is not None:
            return min(1.0, self._clock() / (60 * self._train.minutes))
        return min(1.0, self.steps / self._train.steps)

    def _clock(self) -> float:
        """Seconds of this run so far, resumed or not."""
        return time.perf_counter() - self._started

    def _log(self, metrics: Mapping[str, float], ended: Episodes | None) -> None:
        samples = self._config.ppo.rollouts * self._env.num_envs
        row: dict[str, Any] = {
            "steps": self.steps,
            "elapsed_s": round(self._clock(), 3),
            "steps_per_s": samples / (metrics["collect_s"] + metrics["learn_s"]),
            **metrics,
            "sim_failures": self._env.sim.failures,
        }
        self._dashboard.update(row, self.steps)
        counted = ended.select(ended.counted) if ended is not None else None
        if counted is not None and len(counted):
            self._recent.append(counted)
            while sum(map(len, self._recent[1:])) >= RECENT_EPISODES:
                self._recent.pop(0)
            names = self._env.term_names
            outcome = {
                "episodes": len(counted),
                "return_mean": float(counted.returns.mean()),
                "duration_s": float(counted.duration_s.mean()),
                **{key: value for key, value in counted.summary().items() if key.endswith("_rate")},
                "term_sums": dict(zip(names, counted.term_sums.mean(0).tolist(), strict=True)),
                "term_raw_means": dict(zip(names, counted.term_raw_means.mean(0).tolist(), strict=True)),
            }
            self._dashboard.episodes(outcome, self.steps)
            row |= outcome
        self.run.append_metrics(row)
        self._steps_per_s = row["steps_per_s"]
        self._line.show(self._status)
        self._beat("training")

    def _beat(self, doing: str) -> None:
        """Let the run's heart beat, if it is time for it."""
        now = time.monotonic()
        if now - self._beaten < BEAT_S:
            return
        self._beaten = now
        self.run.beat(
            doing=doing,
            steps=self.steps,
            progress=self._progress(),
            steps_per_s=self._steps_per_s,
            left_s=self._left_s(),
        )

    def _left_s(self) -> float:
        """Seconds of training that are left, if it goes on as so far."""
        progress = self._progress()
        return self._clock() * (1 - progress) / progress if progress else 0.0

    def _status(self) -> str:
        progress, left = self._progress(), self._left_s()
        speed = f"{(self._steps_per_s or 0.0) / 1e3:5.1f} k/s"
        parts = [f"{100 * progress:3.0f} %", f"{self.steps / 1e6:6.2f} M steps", speed]
        parts.append(f"{duration(left)} left")
        if self._recent:
            recent = Episodes.concatenate(self._recent)
            rates = recent.summary()
            parts.append(f"success {percent(rates['success_rate'])}")
            parts.append(f"falls {percent(rates['fall_rate'])}")
            parts.append(f"distance {float(recent.final_distance_m.mean()):.2f} m")
            parts.append(f"return {float(recent.returns.mean()):.0f}")
        return "  ".join(parts)

    def _evaluate(self) -> None:
        records = self._examine(self._evaluator)
        summary = records.episodes.summary()
        row = {
            "steps": self.steps,
            "elapsed_s": round(self._clock(), 3),
            "evaluation_s": round(self._evaluation_s, 3),
            "seed": self._train.seed,
            **summary,
        }
        self._last_evaluation = row
        self.run.append_evaluation(row)
        self.run.save_episodes(str(self.steps), pack(records))
        self._dashboard.evaluation(summary, self.steps)
        marker = ""
        policies = {e["evaluation"]["steps"]: e["policy"] for e in self._finalists} | {self.steps: self._policy()}
        best = finalists([*(e["evaluation"] for e in self._finalists), row])
        self._finalists = [{"evaluation": e, "policy": policies[e["steps"]]} for e in best]
        if best[0] is row:
            self._save_best(self._finalists[0])
            marker = "  <- best so far"
        self._line.say(
            f"{self.steps / 1e6:6.2f} M steps  {duration(self._clock())}  held-out success "
            f"{percent(summary['success_rate'])}  reached {percent(summary['reached_rate'])}  "
            f"falls {percent(summary['fall_rate'])}{marker}"
        )
        self._look_for_cheats(records)

    def _look_for_cheats(self, records: Records) -> None:
        """Write what the detectors see, keep the policy that shows it, and say what is new."""
        known = {row["name"] for row in self.run.findings()}
        seen = detect(records, self._env.task, self.settings.reward_set, self._config.env.step_s, self._alive)
        confirmed = self._watch.confirm(seen, self._progress(), self.run.evaluations())
        policy = f"step_{self.steps}"
        if any(e.episode is not None for e in confirmed):
            self._save_policy(policy, self._last_evaluation)
        rows = []
        for e in confirmed:
            replay = None
            if e.episode is not None:
                checkpoint = self.run.checkpoint_file(policy)
                replay = f"python -m vbot.play {checkpoint} --episode-seed {e.episode}"
            rows.append(
                {
                    "steps": self.steps,
                    **e.to_dict(),
                    "evaluation_seed": records.seed,
                    "evaluation_episodes": len(records),
                    "checkpoint": policy if replay else None,
                    "replay": replay,
                }
            )
            if e.finding.name not in known:
                self._line.say(f"  {e.finding}" + (f"; watch it: {replay}" if replay else ""))
        self.run.append_findings(rows)
        self._dashboard.findings(rows, self.steps)

    def _finish(self) -> dict[str, Any]:
        if not self._finalists or self._last_evaluation is None:
            raise RuntimeError("a finished run has at least its last evaluation")
        self._save_policy("final", self._last_evaluation)
        self.run.save_resume(self._state())
        best = self._choose()
        self._save_best(best)
        self._trainer.policy.load_state_dict(best["policy"]["model"])
        records = self._examine(self._judge(self._train.final_episodes, "final"))
        self.run.save_episodes("final", pack(records))
        summary = records.episodes.summary()
        result = {
            "status": "finished",
            "steps": self.steps,
            "elapsed_s": round(self._clock(), 3),
            "evaluation_s": round(self._evaluation_s, 3),
            "steps_per_s": self.steps / max(self._clock() - self._evaluation_s, 1e-9),
            "seed": self._train.seed,
            "task": self._config.env.task,
            "reward_set": self._config.reward.name,
            "fingerprint": self.settings.fingerprint,
            "sim_failures": self._env.sim.failures,
            "best": {"checkpoint": "best", "steps": best["evaluation"]["steps"], **summary},
            "final": self._last_evaluation,
        }
        self.run.finish(result)
        low, high = summary["success_ci95"]
        self._line.say(
            f"best policy on {summary['episodes']} fresh episodes: success {percent(summary['success_rate'])} "
            f"[{100 * low:.1f}, {100 * high:.1f}], falls {percent(summary['fall_rate'])}"
        )
        return result

    def _choose(self) -> dict[str, Any]:
        """The finalist that is best on new episodes."""
        if len(self._finalists) == 1:  # nothing to look at, and no environment to build for it
            return self._finalists[0]
        episodes = CHOICE_FACTOR * self._train.eval_episodes
        judge = self._judge(episodes, CHOICE)

        def look(finalist: Mapping[str, Any]) -> Mapping[str, Any]:
            self._trainer.policy.load_state_dict(finalist["policy"]["model"])
            return self._examine(judge).episodes.summary()

        chosen = choose(self._finalists, look)
        self._line.say(
            f"best of {len(self._finalists)} policies on {episodes} new episodes: that of "
            f"{chosen['evaluation']['steps'] / 1e6:.2f} M steps"
        )
        return chosen

    def _examine(self, evaluator: Evaluator) -> Records:
        """What the policy does, and the time that looking took."""
        start = time.perf_counter()
        torch.set_num_threads(1)
        records = evaluator.examine(self._act)
        self._evaluation_s += time.perf_counter() - start
        return records

    def _judge(self, episodes: int, purpose: str) -> Evaluator:
        return Evaluator(
            self._config.env,
            episodes,
            self._train.seed,
            purpose=purpose,
            threads=self._threads,
            reward_set=self.settings.reward_set,
            discount=self._config.ppo.discount_factor,
        )

    def _act(self, obs: Tensor) -> Tensor:
        """The deterministic policy for an environment on another device than the networks."""
        self._beat("evaluating")  # an evaluation may last for minutes
        return self._trainer.policy.act_deterministic(obs.to(self._device)).to(obs.device)

    def _policy(self) -> dict[str, Any]:
        return policy_content(self._trainer.policy, self._env, self._config, self.steps)

    def _save_policy(self, name: str, evaluation: Mapping[str, Any] | None) -> None:
        self.run.save_checkpoint(name, self._policy(), self.steps, evaluation)

    def _save_best(self, best: Mapping[str, Any]) -> None:
        evaluation = best["evaluation"]
        self.run.save_checkpoint("best", best["policy"], evaluation["steps"], evaluation)

    def _state(self) -> dict[str, Any]:
        """Everything to go on with, bit for bit."""
        return {
            "fingerprint": self.settings.fingerprint,
            "steps": self.steps,
            "elapsed_s": self._clock(),
            "evaluation_s": self._evaluation_s,
            "trainer": self._trainer.state_dict(),
            "finalists": self._finalists,
            "last_evaluation": self._last_evaluation,
            "evaluations": self._evaluations.done,
            "checkpoints": self._checkpoints.done,
            "watch": self._watch.before,
            "recent": [dataclasses.asdict(e) for e in self._recent],
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        if state["fingerprint"] != self.settings.fingerprint:
            code, was = self.settings.term_code, self.run.meta().get("term_code", {})
            changed = [name for name in code if name in was and was[name] != code[name]]
            what = f"the code of {', '.join(changed)}" if changed else "reward, environment or algorithm"
            raise UserError(
                f"{self.run.path} was made with fingerprint {state['fingerprint']}, its configuration now gives "
                f"{self.settings.fingerprint}: {what} changed; start a new run (python -m vbot.audit --diff tells more)"
            )
        self._trainer.load_state_dict(state["trainer"])
        self._elapsed_s, self._evaluation_s = state["elapsed_s"], state["evaluation_s"]
        self._finalists, self._last_evaluation = state["finalists"], state["last_evaluation"]
        self._evaluations.done, self._checkpoints.done = state["evaluations"], state["checkpoints"]
        self._watch.before = state["watch"]
        self._recent = [Episodes(**e) for e in state["recent"]]
        self.run.rewind(self.steps)
        if self._finalists:
            self._save_best(self._finalists[0])  # the file may be of a later evaluation, which comes again


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("train.device is cuda, but torch finds no CUDA device here; use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
