"""What stands in folders of runs: what runs, what stopped, what finished, the best so far, and what to do next.

Only looks: nothing is written and no lock is taken.
"""

import os
import shlex
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from vbot import outcomes
from vbot.choice import rank
from vbot.errors import UserError
from vbot.liveness import Holder
from vbot.locks import LOCK, holder
from vbot.outcomes import BEST, SNAPSHOT, STAGES
from vbot.run import CHECKPOINTS, CONFIG, RESULT, RESUME, Run, read_lines
from vbot.search.journal import JOURNAL
from vbot.terminal import duration
from vbot.yaml_files import read_yaml

SILENT_S = 600.0
"""What works on another machine counts as running until nothing was heard of it for so long: a heart beats every few
seconds, evaluations included, but a machine may be busy and clocks may differ."""

State = Literal["running", "stopped", "died", "broken", "finished"]


@dataclass(frozen=True)
class Entry:
    """A run or a study, at this moment. What is not known is None."""

    path: Path
    kind: Literal["run", "study"]
    state: State
    """``stopped``: it said so, as after Ctrl-C or an error. ``died``: it did not."""
    why: str = ""
    """Of what does not run: why, in a line. Of what runs on another machine: where, and when it was heard of."""
    resume: str | None = None
    """Command that goes on with what stopped or died; of a run without a checkpoint, one that begins anew."""
    reward_set: str | None = None
    task: str | None = None
    seed: int | None = None
    fingerprint: str | None = None
    doing: str | None = None
    progress: float | None = None
    """Share of the budget spent."""
    steps: int | None = None
    steps_per_s: float | None = None
    left_s: float | None = None
    """Seconds left: of a run as it goes, of a study of its budget."""
    ended: float | None = None
    """When it finished, s since 1970."""
    evaluation: Mapping[str, Any] | None = None
    """Keys of ``vbot.evaluate --json``: of a finished run its best policy on fresh episodes, else the last evaluation;
    of a study the best trial's."""
    best_so_far: float | None = None
    """Of an unfinished run, the best success rate of its evaluations; of a study, the objective of the best trial."""
    best_trial: int | None = None
    findings: tuple[str, ...] = ()
    """What the detectors saw when they last saw something."""
    findings_at: int | None = None
    """Steps of that evaluation."""
    replay: str | None = None
    """Command that shows the first of them."""
    trials: Mapping[str, int] = field(default_factory=dict)
    """Of a study: state -> number of runs."""

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True)
class Overview:
    """Everything found, in the order of the folders."""

    folders: tuple[Path, ...]
    time: float
    """s since 1970"""
    entries: tuple[Entry, ...]

    def of(self, *states: State) -> list[Entry]:
        return [e for e in self.entries if e.state in states]

    def finished(self) -> list[Entry]:
        """The latest first."""
        return sorted(self.of("finished"), key=lambda e: -(e.ended or 0.0))

    def best(self) -> dict[str, Entry]:
        """Task -> the best that was judged on fresh episodes; where nothing was, the best as it is judged so far."""
        found: dict[str, Entry] = {}
        for e in self.entries:
            if e.task is not None and e.evaluation is not None:
                known = found.get(e.task)
                if known is None or _worth(e) > _worth(known):
                    found[e.task] = e
        return dict(sorted(found.items()))

    def next(self) -> list[tuple[str, str]]:
        """Commands that suggest themselves, each with its reason."""
        commands = [(e.resume, f"{e.path} {e.state}") for e in self.of("died", "stopped") if e.resume]
        commands += [
            (e.replay, f"look whether {e.path} cheats: {', '.join(e.findings)}") for e in self.of("running") if e.replay
        ]
        for task, e in self.best().items():
            if e.state != "finished" or e.evaluation is None or e.evaluation["success_rate"] == 0:
                continue
            if e.kind == "study":
                command = f"python -m vbot.train {_configured(e.path, BEST)}"
                commands.append((command, f"{task}: the best of a search, with the steps of a whole training"))
                continue
            commands.append((f"python -m vbot.play {quoted(e.path)}", f"{task}: watch the best"))
            seeds = {o.seed for o in self.of("finished") if o.fingerprint == e.fingerprint and o.seed is not None}
            if len(seeds) == 1:
                again = f"python -m vbot.train {_configured(e.path, CONFIG)} --seed {max(seeds) + 1}"
                commands.append((again, f"{task}: the best has one seed; is it luck?"))
        if not self.entries:
            commands.append(("python -m vbot.train --reward-set swift", "nothing has been trained here"))
        return commands

    def to_dict(self) -> dict[str, Any]:
        return {
            "time": self.time,
            "folders": [str(folder) for folder in self.folders],
            **{state: [e.to_dict() for e in self.of(state)] for state in ("running", "stopped", "died", "broken")},
            "finished": [e.to_dict() for e in self.finished()],
            "best": {task: e.to_dict() for task, e in self.best().items()},
            "next": [{"command": command, "why": why} for command, why in self.next()],
        }


def look(folders: Iterable[Path]) -> Overview:
    """See the module.

    Raises:
        UserError: there is no such folder.
    """
    folders = tuple(folders)
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"no folder {str(folder)!r}; give the one that holds the runs")
    found: dict[Path, Entry] = {}
    for folder in folders:
        for path in find(folder):
            if (entry := _entry(path)) is not None:
                found.setdefault(path.resolve(), entry)
    return Overview(folders, time.time(), tuple(found.values()))


def find(folder: Path) -> Iterator[Path]:
    """Runs and studies at and below a folder, by name; what is below one of them belongs to it."""
    if os.path.isfile(folder / CONFIG) or os.path.isfile(folder / STAGES):
        yield folder
        return
    with suppress(OSError):  # not ours to read
        below = sorted(e.name for e in os.scandir(folder) if e.is_dir(follow_symlinks=False))
        for name in below:
            if not name.startswith("."):
                yield from find(folder / name)


def quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _entry(path: Path) -> Entry | None:
    """A run or study, broken or not; None if it was moved away meanwhile."""
    study = os.path.isfile(path / JOURNAL) or os.path.isfile(path / STAGES)
    try:
        return _study(path) if study else _run(path)
    except (UserError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        return Entry(path, "study" if study else "run", "broken", why=why) if path.is_dir() else None


def _worth(e: Entry) -> tuple[bool, float, float]:
    return (e.state == "finished" or e.kind == "study", *rank(e.evaluation or {}))


def _configured(path: Path, config: str) -> str:
    """Arguments of vbot.train: a configuration of a run or study, and its plugins."""
    plugins = "".join(f" --plugin {quoted(plugin)}" for plugin in Run(path).plugins)
    return f"--config {quoted(path / config)}{plugins}"


# Runs.


def _run(path: Path) -> Entry:
    outcome = outcomes.read(path)
    entry = Entry(
        path,
        "run",
        "finished",
        reward_set=outcome.reward_set,
        task=outcome.task,
        seed=outcome.seed,
        fingerprint=outcome.fingerprint,
        steps=outcome.steps,
        steps_per_s=outcome.steps_per_s,
        evaluation=outcome.evaluation,
        findings=outcome.findings,
    )
    if outcome.state == "finished":
        return replace(entry, progress=1.0, ended=(path / RESULT).stat().st_mtime)
    if outcome.state == "broken":
        return replace(entry, state="broken", why=outcome.problem)
    run = Run(path)
    rows = outcome.evaluations()
    entry = replace(
        entry,
        evaluation=rows[-1] if rows else None,
        best_so_far=outcome.evaluation["success_rate"] if outcome.evaluation else None,
    )
    if warnings := [row for row in run.findings() if row["level"] != "note"]:
        last = [row for row in warnings if row["steps"] == warnings[-1]["steps"]]
        entry = replace(
            entry,
            findings=tuple(dict.fromkeys(row["name"] for row in last)),
            findings_at=last[0]["steps"],
            replay=next((row["replay"] for row in last if row["replay"]), None),
        )
    else:
        entry = replace(entry, findings=())
    beat = run.heartbeat() or {}
    entry = replace(entry, doing=beat.get("doing"), progress=beat.get("progress"), steps=beat.get("steps", entry.steps))
    state, why = _pulse(Holder.read(beat), beat.get("time", 0.0))
    if "ended" in beat:
        state, why = "stopped", beat["ended"]
    if state == "running":
        return replace(
            entry,
            state="running",
            why=why,
            steps_per_s=beat.get("steps_per_s"),
            left_s=beat.get("left_s"),
        )
    if (path / CHECKPOINTS / RESUME).is_file():
        resume = f"python -m vbot.train --resume {quoted(path)}"
    else:
        resume = (
            f"python -m vbot.train {_configured(path, CONFIG)} --run-dir {quoted(path.with_name(path.name + '-again'))}"
        )
    return replace(entry, state=state, why=why, resume=resume)


def _pulse(found: Holder | None, heard: float) -> tuple[State, str]:
    """Whether a process works, and what is to be said of it; ``heard`` is when it last did something, s since 1970."""
    if found is None:
        return "died", "nobody works on it, and it does not say why"
    ago_s = max(0.0, time.time() - heard)
    match found.lives():
        case True:
            return "running", ""
        case False:
            return "died", f"process {found.pid} is gone, it was last heard of {duration(ago_s)} ago"
    if ago_s < SILENT_S:
        return "running", f"on {found.host}, heard of {duration(ago_s)} ago"
    return "died", f"nothing was heard of process {found.pid} on {found.host} for {duration(ago_s)}"


# Studies.


def _study(path: Path) -> Entry:
    parts = [path / name for name in read_yaml(path / STAGES)["stages"]] if (path / STAGES).is_file() else [path]
    snapshots = {part: read_yaml(part / SNAPSHOT) for part in parts if (part / SNAPSHOT).is_file()}
    now = next((part for part in parts if snapshots.get(part, {}).get("status") != "finished"), parts[-1])
    snapshot = snapshots.get(now, {"status": None, "best": None, "trials": []})
    config = read_yaml(now / CONFIG)
    heard, events = (now / JOURNAL).stat().st_mtime, read_lines(now / JOURNAL)  # the time at least every 20 s
    entry = Entry(
        path,
        "study",
        "finished",
        reward_set=config["reward"]["name"],
        task=config["env"]["task"],
        seed=config["train"]["seed"],
        trials=dict(Counter(t["state"] for s in snapshots.values() for t in s["trials"])),
        doing=now.name if len(parts) > 1 else None,
        **_best_trial(now, snapshot),
    )
    if snapshot["status"] == "finished":
        return replace(entry, ended=(now / SNAPSHOT).stat().st_mtime)
    state, why = _pulse(holder(path / LOCK), heard)
    if state == "died" and snapshot["status"] != "running":
        state, why = "stopped", "Ctrl-C" if snapshot["status"] == "stopped" else "it has not begun"
    left_s = None
    if (budget_s := events[0]["budget_s"]) is not None:
        since_s = time.time() - heard if state == "running" else 0.0
        left_s = max(0.0, budget_s - events[-1]["elapsed_s"] - since_s)
    if state != "running":
        resume = f"python -m vbot.search --resume {quoted(path)}"
        return replace(entry, state=state, why=why, left_s=left_s, resume=resume)
    beats = {t["id"]: Run(now / t["run_dir"]).heartbeat() or {} for t in snapshot["trials"] if t["state"] == "RUNNING"}
    doing = [f"trial {trial} at {100 * beat.get('progress', 0.0):.0f} %" for trial, beat in beats.items()]
    speeds = [beat["steps_per_s"] for beat in beats.values() if beat.get("steps_per_s")]
    return replace(
        entry,
        state="running",
        why=why,
        left_s=left_s,
        doing=", ".join([*([now.name] if len(parts) > 1 else []), *doing]),
        steps_per_s=sum(speeds) if speeds else None,
    )


def _best_trial(study: Path, snapshot: Mapping[str, Any]) -> dict[str, Any]:
    runs = [t for t in snapshot["trials"] if t["id"] == snapshot["best"]]
    objectives = [t["objective"] for t in runs if t["objective"] is not None]
    if not objectives:
        return {}
    return {
        "best_trial": snapshot["best"],
        "best_so_far": sum(objectives) / len(objectives),
        "evaluation": outcomes.read(study / runs[0]["run_dir"]).evaluation,
    }
