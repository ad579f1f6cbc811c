"""A study: trials proposed by a sampler, run in processes, judged, and the best of them trained again.

What a study knows is a fold of its journal: ``Study`` reads the events that are there, and every new one is appended
before it takes effect. A study that was killed at any instant and is read again therefore asks for the same points.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vbot.errors import UserError
from vbot.interrupt import catch_interrupt
from vbot.layers import build
from vbot.run import EVALUATIONS, read_lines
from vbot.search.executor import GRACE_S, Ending, Job, Process, Runner, State, stop_orphans
from vbot.search.journal import Journal, write_snapshot
from vbot.search.objective import Objective
from vbot.search.pruning import Halving, until
from vbot.search.records import Plan, RunRecord
from vbot.search.sampler import Sampler
from vbot.search.space import Space, Values, identity
from vbot.terminal import duration

ATTEMPTS = 3
"""Of a run that crashes or is killed, the first one included."""

RETRAINED, MORE_SEEDS = 3, 2
"""Trials that are trained again, besides the defaults; and with how many more seeds."""
TICK_S = 20.0
"""Between two notes of the time, so that a kill forgets no more of the budget than this."""

_JUDGED = (State.COMPLETE, State.PRUNED)


class Study:
    """See the module.

    Args:
        directory: of the study, locked by the caller.
        journal: opened; its first event is the study's own.
        space, sampler, objective: as the plan says.
        start: what runs a job.
        say, show: where lines for a person go, and what tells of this moment only.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        directory: Path,
        plan: Plan,
        journal: Journal,
        space: Space,
        sampler: Sampler,
        objective: Objective,
        *,
        start: Callable[[Job], Runner] = Process,
        say: Callable[[str], None] = print,
        show: Callable[[Callable[[], str]], None] = lambda state: None,
        clock: Callable[[], float] = time.monotonic,
        poll_s: float = 0.5,
    ) -> None:
        self.directory, self.plan, self.space, self.sampler, self.objective = directory, plan, space, sampler, objective
        self.points: list[Values] = []
        self.runs: dict[str, RunRecord] = {}
        self.finished = False
        self._journal, self._start, self._clock, self._poll_s = journal, start, clock, poll_s
        self._say, self._show = say, show
        self._running: dict[str, Runner] = {}
        self._since: dict[str, float] = {}
        self._halving = Halving(objective, float(plan.config["train.steps"]))
        self._before_s = 0.0
        for event in journal.events[1:]:
            self._apply(event)
        self._started = self._noted = clock()

    # What is known.

    @property
    def elapsed_s(self) -> float:
        """Seconds of search so far, over all resumes."""
        return self._before_s + self._clock() - self._started

    def best(self) -> RunRecord | None:
        """The best first run of a trial."""
        judged = [r for r in self._firsts() if r.objective is not None and r.state is State.COMPLETE]
        return max(judged, key=lambda r: (r.objective or 0.0, -r.trial), default=None)

    def ranked(self) -> list[tuple[int, list[RunRecord]]]:
        """Trials that were trained again, with all their runs, the best mean first; else the best single run.

        A seed counts once all of them have ended with it: means over different seeds do not compare.
        """
        seeds: dict[int, dict[int, RunRecord]] = {}
        for run in self.runs.values():
            if run.state is not None:
                seeds.setdefault(run.seed, {})[run.trial] = run
        chosen = self._again()
        more = [seed for seed in seeds if seed != self.plan.seed and all(trial in seeds[seed] for trial in chosen)]
        if more:
            of = {trial: [seeds[seed][trial] for seed in (self.plan.seed, *more)] for trial in chosen}
            # One that failed with a seed that served the others is out.
            whole = [(trial, runs) for trial, runs in of.items() if all(r.objective is not None for r in runs)]
            if whole:
                return sorted(whole, key=lambda entry: -sum(r.objective or 0.0 for r in entry[1]))
        best = self.best()
        return [(best.trial, [best])] if best is not None else []

    def _firsts(self) -> list[RunRecord]:
        return [r for r in self.runs.values() if r.seed == self.plan.seed]

    # The loop.

    def search(self) -> None:
        """Go on until trials or budget are spent, then train the best again. Ctrl-C stops the runs and raises."""
        for run in self.runs.values():
            if run.state is None:  # it may still run, if the search was killed
                stop_orphans(self._run_dir(run))
        # A flag instead of an exception: between two lines of the journal there is no good place for one.
        with catch_interrupt() as interrupt:
            try:
                while self._step():
                    self._show(self._status)
                    if interrupt.requested:
                        raise KeyboardInterrupt
                    time.sleep(self._poll_s)
            except KeyboardInterrupt:
                self._stop_all("interrupted")
                self._snapshot("stopped")
                raise
            except BaseException:
                for process in self._running.values():
                    process.stop(Ending(State.STOPPED), GRACE_S)
                raise
        if not self.finished:
            self._note("finished", best=self.ranked()[0][0] if self.ranked() else None)
        self._snapshot()

    def _step(self) -> bool:
        """Look after what runs, start what may start; False when there is nothing left to do."""
        for name in list(self._running):
            self._watch(name)
        if self._left_s() <= 0:
            self._stop_all("the budget is spent")
            return False
        while len(self._running) < self.plan.jobs and (run := self._next_run()) is not None:
            self._begin(run)
        if self._clock() - self._noted >= TICK_S:
            self._note("tick")
        return bool(self._running)

    def _stop_all(self, reason: str) -> None:
        """All at the same time: the budget may be overrun by one grace, not by one for each run."""
        why = Ending(State.STOPPED, reason)
        for process in self._running.values():
            process.ask_to_stop(why)
        end = time.monotonic() + GRACE_S
        for process in self._running.values():
            process.stop(why, max(0.0, end - time.monotonic()))
        for name in list(self._running):
            self._watch(name)

    def _watch(self, name: str) -> None:
        process, run = self._running[name], self.runs[name]
        end = process.poll()
        evaluations = process.evaluations()
        # Also of one that has just finished: whether a look came in time must not decide.
        if end is None or end.state is State.COMPLETE:
            if (step := self._halving.pruned_at(evaluations) if self._may_be_pruned(run) else None) is not None:
                why = Ending(State.PRUNED, f"worse than half of the others at {step:,.0f} steps")
                process.stop(why, GRACE_S)
                end = why
                # Judged by what all others were judged by there: how far it got meanwhile is chance.
                evaluations = until(process.evaluations(), step)
            elif end is None:
                return
        objective = self.objective.sustained(evaluations) if end.state in _JUDGED else None
        del self._running[name]
        self._note(
            "ended",
            run=name,
            state=str(end.state),
            reason=end.reason,
            objective=objective,
            metrics=evaluations[-1] if evaluations else {},
            rungs=self._halving.rungs(evaluations),
            wall_s=round(self._clock() - self._since[name], 3),
        )
        self._say(self._line(run, end))
        self._snapshot()

    def _may_be_pruned(self, run: RunRecord) -> bool:
        """Not the defaults, which all else is measured by, nor the best when they are trained again."""
        return self.plan.prune and run.trial != 0 and run.seed == self.plan.seed

    def _begin(self, run: RunRecord) -> None:
        self._note("started", run=run.name)
        values = {**self.plan.config, **self.space.fixed, **self.points[run.trial], "train.seed": run.seed}
        config = build(values, dict.fromkeys(values, f"trial {run.trial}")).to_dict()
        self._since[run.name] = self._clock()
        job = Job(self._run_dir(run), config, tuple(map(Path, self.plan.plugins)))
        self._running[run.name] = self._start(job)
        self._snapshot()

    def _next_run(self) -> RunRecord | None:
        """What is to be started now: first what was begun, then new trials, then the best again."""
        waiting = [r for r in self.runs.values() if r.state is None and r.name not in self._running]
        if waiting:
            return next((r for r in waiting if self._left_s() >= self._rest_s(r)), None)
        if self._may_ask():
            values = self.sampler.ask()
            if values is not None:
                self._note("trial", trial=len(self.points), parameters=values)
                return self.runs[f"{len(self.points) - 1:03}"]
        if any(r.state is None for r in self._firsts()):
            return None
        # Seed after seed, so that what a budget allows compares.
        for seed in range(self.plan.seed + 1, self.plan.seed + 1 + MORE_SEEDS):
            for trial in self._again():
                name = f"{trial:03}-s{seed}"
                if name not in self.runs and self._left_s() >= self._run_s():
                    self._note("again", run=name, trial=trial, seed=seed)
                    return self.runs[name]
        return None

    def _again(self) -> list[int]:
        """The trials to be trained with more seeds: the best, and the defaults to compare them with."""
        judged = [r for r in self._firsts() if r.state is State.COMPLETE and r.objective is not None]
        order = [r.trial for r in sorted(judged, key=lambda r: (-(r.objective or 0.0), r.trial))]
        return [*order[:RETRAINED], *(trial for trial in order[RETRAINED:] if trial == 0)]

    def _may_ask(self) -> bool:
        """Whether a new trial can finish and leave the time to train the best again."""
        if len(self.points) >= self.plan.trials or any(r.seed != self.plan.seed for r in self.runs.values()):
            return False
        reserve_s = 0.0
        if self.plan.budget_s is not None:
            reserve_s = min(self._again_s(), 0.4 * self.plan.budget_s)
        return self._left_s() >= self._run_s() + reserve_s

    def _again_s(self) -> float:
        """How long it takes to train the best again."""
        runs = min(RETRAINED + 1, self.plan.trials) * MORE_SEEDS
        return -(-runs // self.plan.jobs) * self._run_s()

    def _rest_s(self, run: RunRecord) -> float:
        """How long a run that was begun still takes: it goes on from its last evaluation."""
        evaluations = read_lines(self._run_dir(run) / EVALUATIONS)
        done = evaluations[-1]["steps"] / self.plan.config["train.steps"] if evaluations else 0.0
        return max(0.0, 1 - done) * self._run_s()

    def _run_dir(self, run: RunRecord) -> Path:
        return self.directory / "trials" / run.name

    def _run_s(self) -> float:
        """How long a run takes, by the slowest so far; 0 while none has finished."""
        return max((r.wall_s for r in self.runs.values() if r.state is State.COMPLETE), default=0.0)

    def _left_s(self) -> float:
        return float("inf") if self.plan.budget_s is None else self.plan.budget_s - self.elapsed_s

    # The journal.

    def _note(self, event: str, **content: Any) -> None:
        self._noted = self._clock()
        self._apply(self._journal.append(event, elapsed_s=round(self.elapsed_s, 3), **content), live=True)

    def _apply(self, event: Mapping[str, Any], live: bool = False) -> None:
        """Take an event into account, one of now or one read from the journal."""
        if not live:
            self._before_s = event["elapsed_s"]
        match event["event"]:
            case "trial":
                self.points.append(dict(event["parameters"]))
                if live:
                    if identity(self.sampler.trials[-1].values) != identity(event["parameters"]):
                        raise RuntimeError("the journal holds another point than the sampler gave")
                else:
                    self.sampler.add(event["parameters"])
                run = RunRecord(f"{event['trial']:03}", event["trial"], self.plan.seed)
                self.runs[run.name] = run
            case "again":
                self.runs[event["run"]] = RunRecord(event["run"], event["trial"], event["seed"])
            case "ended":
                self._end(self.runs[event["run"]], event)
            case "finished":
                self.finished = True
            case "started" | "tick":
                pass
            case other:
                raise UserError(f"the journal holds an event of another version: {other!r}")

    def _end(self, run: RunRecord, event: Mapping[str, Any]) -> None:
        state = State(event["state"])
        run.wall_s += event["wall_s"]
        run.reason, run.metrics = event["reason"], dict(event["metrics"])
        run.stopped = state is State.STOPPED
        if run.stopped:
            return  # it goes on when there is time for it
        if state in (State.CRASHED, State.KILLED):
            run.failures += 1
            if run.failures < ATTEMPTS:
                return
        run.state, run.objective = state, event["objective"]
        if state in _JUDGED and run.seed == self.plan.seed:
            self._halving.add(run.name, event["rungs"])
        if run.seed == self.plan.seed:
            if run.objective is not None:
                self.sampler.tell(run.trial, run.objective)
            else:
                self.sampler.tell(run.trial, infeasible=state is State.DIVERGED)

    def _snapshot(self, status: str = "running") -> None:
        best = self.ranked()[0][0] if self.ranked() else None
        write_snapshot(
            self.directory,
            {
                "id": self.directory.name,
                "status": "finished" if self.finished else status,
                "phase": "again" if any(r.seed != self.plan.seed for r in self.runs.values()) else "search",
                "elapsed_s": round(self.elapsed_s, 1),
                "budget_s": self.plan.budget_s,
                "best": best,
                "trials": [
                    {
                        "id": run.trial,
                        "state": "RUNNING" if run.name in self._running else run.label,
                        "parameters": self.points[run.trial],
                        "objective": run.objective,
                        "metrics": run.metrics,
                        "seed": run.seed,
                        "run_dir": f"trials/{run.name}",
                        "reason": run.reason,
                    }
                    for run in self.runs.values()
                ],
            },
        )

    def _line(self, run: RunRecord, end: Ending) -> str:
        objective = f"{run.objective:.3f}" if run.objective is not None else "-"
        again = f" seed {run.seed}" if run.seed != self.plan.seed else ""
        reason = f"  {end.reason}" if end.reason else ""
        return f"trial {run.trial}{again}  {end.state}  {objective}{self._leader()}{reason}"

    def _leader(self) -> str:
        best = self.best()
        return f"  best {best.objective:.3f} (trial {best.trial})" if best is not None else ""

    def _status(self) -> str:
        """The live line: what runs and how far it is, the best so far, the time left."""
        parts = []
        for name, process in self._running.items():
            run, rows = self.runs[name], process.evaluations()
            done = rows[-1]["steps"] / self.plan.config["train.steps"] if rows else 0.0
            seed = f" seed {run.seed}" if run.seed != self.plan.seed else f" of {self.plan.trials}"
            parts.append(f"trial {run.trial}{seed}: {100 * min(done, 1.0):.0f} %")
        return f"{', '.join(parts)}{self._leader()}  {duration(self.elapsed_s)} so far{self._time_left()}"

    def _time_left(self) -> str:
        guess_s = float("inf")
        if self._run_s() > 0:  # pruning makes it less
            rounds = -(-(self.plan.trials - sum(r.state is not None for r in self._firsts())) // self.plan.jobs)
            again = sum(r.state is not None for r in self.runs.values() if r.seed != self.plan.seed)
            guess_s = rounds * self._run_s() + max(0.0, self._again_s() - again / self.plan.jobs * self._run_s())
        left_s = min(guess_s, self._left_s())
        return f", at most {duration(left_s)} left" if left_s < float("inf") else ""
