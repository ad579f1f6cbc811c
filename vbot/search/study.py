"""A study: trials proposed by a sampler, run in processes, judged, and the best of them trained again.

What a study knows is a fold of its journal: ``Study`` reads the events that are there, and every new one is appended
before it takes effect. A study that was killed at any instant and is read again therefore asks for the same points.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vbot.config import build
from vbot.errors import UserError
from vbot.search.executor import Ending, Job, Process, State
from vbot.search.journal import Journal, write_snapshot
from vbot.search.objective import Objective
from vbot.search.sampler import Sampler
from vbot.search.space import Space, Values, identity

ATTEMPTS = 3
"""Of a run that crashes or is killed, the first one included."""

RETRAINED, MORE_SEEDS = 3, 2
TICK_S = 20.0
"""Between two notes of the time, so that a kill forgets no more of the budget than this."""

_RUNGS = (0.25, 0.5)
"""Shares of a run's steps at which the worse half is pruned."""
_PRUNE_AFTER = 4
"""Runs that must have been that far before any is pruned there."""
_JUDGED = (State.COMPLETE, State.PRUNED)


@dataclass(frozen=True)
class Plan:
    """What a search was asked to do; it is the first event of the journal and never changes.

    Args:
        config: dotted key -> value of what is trained without a search, budget of a trial included.
        sampler, seed: who proposes, from which stream; the seed is also that of every trial's training.
        trials: points to try, the defaults among them.
        budget_s: s of search, over all resumes; None for no limit.
        plugins: files with reward terms.
    """

    config: Mapping[str, Any]
    sampler: str
    seed: int
    trials: int
    budget_s: float | None
    prune: bool = True
    jobs: int = 1
    plugins: Sequence[str] = ()


class Runner(Protocol):
    """What runs a job; ``Process`` is the one that trains."""

    def poll(self) -> Ending | None: ...
    def evaluations(self) -> list[dict[str, Any]]: ...
    def stop(self, why: Ending) -> None: ...


@dataclass
class RunRecord:
    """A training of a trial's point with one seed."""

    name: str
    trial: int
    seed: int
    state: State | None = None
    """None until it has ended for good."""
    reason: str = ""
    failures: int = 0
    objective: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    wall_s: float = 0.0


class Study:
    """See the module.

    Args:
        directory: of the study, locked by the caller.
        journal: opened; its first event is the study's own.
        space, sampler, objective: as the plan says.
        start: what runs a job.
        say: where lines for a person go.
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
        clock: Callable[[], float] = time.monotonic,
        poll_s: float = 0.5,
    ) -> None:
        self.directory, self.plan, self.space, self.sampler, self.objective = directory, plan, space, sampler, objective
        self.points: list[Values] = []
        self.runs: dict[str, RunRecord] = {}
        self.finished = False
        self._journal, self._start, self._say, self._clock, self._poll_s = journal, start, say, clock, poll_s
        self._running: dict[str, Runner] = {}
        self._since: dict[str, float] = {}
        self._rungs: dict[float, dict[str, float]] = {share: {} for share in _RUNGS}
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
        """Trials that were trained again, with all their runs, the best mean first; else the best single run."""
        again = {r.trial for r in self.runs.values() if r.seed != self.plan.seed and r.state is State.COMPLETE}
        if not again:
            best = self.best()
            return [(best.trial, [best])] if best is not None else []
        of = {t: [r for r in self.runs.values() if r.trial == t and r.state is State.COMPLETE] for t in sorted(again)}
        most = max(map(len, of.values()))  # a mean over fewer seeds does not compare
        whole = [(t, runs) for t, runs in of.items() if len(runs) == most]
        return sorted(whole, key=lambda entry: -sum(r.objective or 0.0 for r in entry[1]) / most)

    def _firsts(self) -> list[RunRecord]:
        return [r for r in self.runs.values() if r.seed == self.plan.seed]

    # The loop.

    def search(self) -> None:
        """Go on until trials or budget are spent, then train the best again. Ctrl-C stops the runs and raises."""
        try:
            while self._step():
                time.sleep(self._poll_s)
        except BaseException:
            for process in self._running.values():
                process.stop(Ending(State.STOPPED, "interrupted"))
            self._note("tick")
            raise
        if not self.finished:
            self._note("finished", best=self.ranked()[0][0] if self.ranked() else None)
            self._snapshot()

    def _step(self) -> bool:
        """Look after what runs, start what may start; False when there is nothing left to do."""
        for name in list(self._running):
            self._watch(name)
        left_s = self._left_s()
        if left_s <= 0:
            for name, process in list(self._running.items()):
                process.stop(Ending(State.STOPPED, "the budget is spent"))
                self._watch(name)
            return False
        while len(self._running) < self.plan.jobs and (run := self._next_run()) is not None:
            self._begin(run)
        if self._clock() - self._noted >= TICK_S:
            self._note("tick")
        return bool(self._running)

    def _watch(self, name: str) -> None:
        process, run = self._running[name], self.runs[name]
        end = process.poll()
        evaluations = process.evaluations()
        # Also of one that has just finished: whether a look came in time must not decide.
        if end is None or end.state is State.COMPLETE:
            if (step := self._pruned_at(run, evaluations)) is not None:
                why = Ending(State.PRUNED, f"in the lower half at {step:,.0f} steps")
                process.stop(why)
                end = why
                # Judged by what all others were judged by there: how far it got meanwhile is chance.
                evaluations = self._until(process.evaluations(), step)
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
            rungs={str(share): value for share in _RUNGS if (value := self._at(share, evaluations)) is not None},
            wall_s=round(self._clock() - self._since[name], 3),
        )
        self._say(self._line(run, end))
        self._snapshot()

    def _begin(self, run: RunRecord) -> None:
        self._note("started", run=run.name)
        values = {**self.plan.config, **self.space.fixed, **self.points[run.trial], "train.seed": run.seed}
        config = build(values, dict.fromkeys(values, f"trial {run.trial}")).to_dict()
        self._since[run.name] = self._clock()
        job = Job(self.directory / "trials" / run.name, config, tuple(map(Path, self.plan.plugins)))
        self._running[run.name] = self._start(job)
        self._snapshot()

    def _next_run(self) -> RunRecord | None:
        """What is to be started now: first what was begun, then new trials, then the best again."""
        waiting = [r for r in self.runs.values() if r.state is None and r.name not in self._running]
        if waiting:
            return waiting[0]
        if self._may_ask():
            values = self.sampler.ask()
            if values is not None:
                self._note("trial", trial=len(self.points), parameters=values)
                return self.runs[f"{len(self.points) - 1:03}"]
        if any(r.state is None for r in self._firsts()):
            return None
        for trial in self._again():
            for seed in range(self.plan.seed + 1, self.plan.seed + 1 + MORE_SEEDS):
                name = f"{trial:03}-s{seed}"
                if name not in self.runs and self._left_s() >= self._run_s():
                    self._note("again", run=name, trial=trial, seed=seed)
                    return self.runs[name]
        return None

    def _again(self) -> list[int]:
        """The trials to be trained with more seeds."""
        judged = [r for r in self._firsts() if r.state is State.COMPLETE and r.objective is not None]
        return [r.trial for r in sorted(judged, key=lambda r: (-(r.objective or 0.0), r.trial))[:RETRAINED]]

    def _may_ask(self) -> bool:
        """Whether a new trial can finish and leave the time to train the best again."""
        if len(self.points) >= self.plan.trials or any(r.seed != self.plan.seed for r in self.runs.values()):
            return False
        reserve_s = 0.0
        if self.plan.budget_s is not None:
            rounds = -(-RETRAINED * MORE_SEEDS // self.plan.jobs)
            reserve_s = min(rounds * self._run_s(), 0.4 * self.plan.budget_s)
        return self._left_s() >= self._run_s() + reserve_s

    def _run_s(self) -> float:
        """How long a run takes, by the slowest so far; 0 while none has finished."""
        return max((r.wall_s for r in self.runs.values() if r.state is State.COMPLETE), default=0.0)

    def _left_s(self) -> float:
        return float("inf") if self.plan.budget_s is None else self.plan.budget_s - self.elapsed_s

    # Pruning: successive halving at steps that all runs share.

    def _pruned_at(self, run: RunRecord, evaluations: list[dict[str, Any]]) -> float | None:
        """The step at which a run was too bad to go on; None if it never was.

        Trial 0 is never pruned, it is what all else is measured by, nor are the best when they are trained again.
        """
        if not self.plan.prune or run.trial == 0 or run.seed != self.plan.seed:
            return None
        for share in _RUNGS:
            mine, others = self._at(share, evaluations), sorted(self._rungs[share].values())
            if mine is not None and len(others) >= _PRUNE_AFTER and mine < others[len(others) // 2]:
                return self._rung_step(share)
        return None

    def _rung_step(self, share: float) -> float:
        return share * float(self.plan.config["train.steps"])

    def _until(self, evaluations: list[dict[str, Any]], step: float) -> list[dict[str, Any]]:
        """Evaluations up to the first at ``step`` or later."""
        beyond = next((i for i, e in enumerate(evaluations) if e["steps"] >= step), len(evaluations) - 1)
        return evaluations[: beyond + 1]

    def _at(self, share: float, evaluations: list[dict[str, Any]]) -> float | None:
        """The objective that a run had sustained at a rung; None before it gets there."""
        step = self._rung_step(share)
        if not evaluations or evaluations[-1]["steps"] < step:
            return None
        return self.objective.sustained(self._until(evaluations, step))

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
        if state is State.STOPPED:
            return  # it goes on when there is time for it
        if state in (State.CRASHED, State.KILLED):
            run.failures += 1
            if run.failures < ATTEMPTS:
                return
        run.state, run.objective = state, event["objective"]
        for share, value in event["rungs"].items():
            if state in _JUDGED and run.seed == self.plan.seed:
                self._rungs[float(share)][run.name] = value
        if run.seed == self.plan.seed:
            if run.objective is not None:
                self.sampler.tell(run.trial, run.objective)
            else:
                self.sampler.tell(run.trial, infeasible=state is State.DIVERGED)

    def _snapshot(self) -> None:
        best = self.ranked()[0][0] if self.ranked() else None
        write_snapshot(
            self.directory,
            {
                "id": self.directory.name,
                "status": "finished" if self.finished else "running",
                "phase": "again" if any(r.seed != self.plan.seed for r in self.runs.values()) else "search",
                "elapsed_s": round(self.elapsed_s, 1),
                "budget_s": self.plan.budget_s,
                "best": best,
                "trials": [
                    {
                        "id": run.trial,
                        "state": str(run.state) if run.state else "RUNNING" if run.name in self._running else "WAITING",
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
        best = self.best()
        objective = f"{run.objective:.3f}" if run.objective is not None else "-"
        leader = f"  best {best.objective:.3f} (trial {best.trial})" if best is not None else ""
        again = f" seed {run.seed}" if run.seed != self.plan.seed else ""
        reason = f"  {end.reason}" if end.reason else ""
        return f"trial {run.trial}{again}  {end.state}  {objective}{leader}{reason}"
