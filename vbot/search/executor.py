"""Runs trials: each is a ``python -m vbot.train`` of its own, watched from outside through its run directory.

A search may be killed between any two lines. What it leaves running is found again by the run directory on its
command line and stopped before the same run is taken up, from its checkpoint: no run is ever trained twice at once.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from vbot.errors import UserError
from vbot.keys import flatten
from vbot.run import CHECKPOINTS, CONFIG, EVALUATIONS, RESULT, RESUME, read_lines, write_atomically
from vbot.search.space import identity, native
from vbot.yaml_files import read_yaml, write_yaml

TRAIN = (sys.executable, "-m", "vbot.train")
_OF_A_SEARCH = ("--no-archive", "--quiet")
"""A search archives its trials at its end, together."""

GRACE_S = 20.0
"""For a training to save itself after Ctrl-C, before it is killed."""


class State(StrEnum):
    """How a run ended. Only COMPLETE and PRUNED say how good it is."""

    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"  # stopped by the study: worse than others were at this step
    DIVERGED = "DIVERGED"  # the networks broke; doing it again would break them again
    CRASHED = "CRASHED"  # ended with an error
    KILLED = "KILLED"  # ended by a signal that the study did not send
    STOPPED = "STOPPED"  # by Ctrl-C or the end of the budget; it can go on


@dataclass(frozen=True)
class Ending:
    """How a run ended, and why, in one line."""

    state: State
    reason: str = ""


@dataclass(frozen=True)
class Job:
    """A run to be done.

    Args:
        run_dir: its run directory, which need not exist yet.
        config: the whole configuration by sections, seed and budget included.
        plugins: files with reward terms.
    """

    run_dir: Path
    config: Mapping[str, Any]
    plugins: Sequence[Path] = ()

    @property
    def log(self) -> Path:
        """What the training printed: the last line tells why it failed."""
        return self.run_dir.with_suffix(".log")


class Runner(Protocol):
    """A run under way, as a study sees it; ``Process`` is the one that trains."""

    def poll(self) -> Ending | None: ...
    def evaluations(self) -> list[dict[str, Any]]: ...
    def ask_to_stop(self, why: Ending) -> None: ...
    def stop(self, why: Ending, within_s: float) -> None: ...


class Process:
    """A run under way.

    It goes on from its checkpoint where there is one, starts anew where the last attempt left none, and does nothing
    where that one has finished.

    Args:
        job: the run.
        command: what trains; tests give another.

    Raises:
        UserError: the files cannot be written.
    """

    def __init__(self, job: Job, command: Sequence[str] = TRAIN) -> None:
        self.job = job
        self._checked = False
        self._stopped: Ending | None = None
        self._process: subprocess.Popen[bytes] | None = None
        stop_orphans(job.run_dir)
        if _finished(job.run_dir):  # before the search that began it could take note of it
            self.resumed = True
            return
        self.resumed = (job.run_dir / CHECKPOINTS / RESUME).is_file()
        config_file = job.run_dir.with_suffix(".yaml")
        try:
            job.run_dir.parent.mkdir(parents=True, exist_ok=True)
            if self.resumed:
                arguments = ["--resume", str(job.run_dir.absolute()), *_OF_A_SEARCH]
            else:
                _remove(job.run_dir)
                write_atomically(config_file, write_yaml(dict(job.config)).encode())
                arguments = ["--config", str(config_file), "--run-dir", str(job.run_dir.absolute())]
                arguments += [part for plugin in job.plugins for part in ("--plugin", str(plugin))]
                arguments += ["--no-audit", *_OF_A_SEARCH]  # the search has looked at what its rewards pay for
            with job.log.open("ab") as log:
                # A session of its own: Ctrl-C on the terminal is for the search, which then stops its runs in order.
                self._process = subprocess.Popen(
                    [*command, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            raise UserError(f"cannot start the run {job.run_dir}: {error.strerror or error}") from None

    def poll(self) -> Ending | None:
        """How the run ended; None while it runs. A run whose configuration is not what was asked for is ended."""
        if not self._checked and (self.job.run_dir / CONFIG).is_file():
            self._checked = True
            if differences := drift(self.job.config, self.job.run_dir):
                self.stop(Ending(State.CRASHED, f"configuration drift: {'; '.join(differences)}"))
        code = self._process.poll() if self._process is not None else 0
        if code is None:
            return None
        if self._stopped is not None:
            return self._stopped
        return ending(code, self.job)

    def evaluations(self) -> list[dict[str, Any]]:
        """The evaluations so far, in the order of their steps."""
        return read_lines(self.job.run_dir / EVALUATIONS)

    def ask_to_stop(self, why: Ending) -> None:
        """Have the run save itself and end, and ``poll`` say ``why``."""
        if self._process is not None and self._process.poll() is None:
            self._stopped = why
            self._process.send_signal(signal.SIGINT)

    def stop(self, why: Ending, within_s: float = GRACE_S) -> None:
        """The same, and return when it has ended; what takes longer than ``within_s`` is killed."""
        self.ask_to_stop(why)
        if self._process is not None:
            try:
                self._process.wait(within_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def ending(code: int, job: Job) -> Ending:
    """What an exit code says, together with the run directory."""
    if code == 0:
        if not _finished(job.run_dir):
            return Ending(State.CRASHED, "it ended without a result")
        if differences := drift(job.config, job.run_dir):
            return Ending(State.CRASHED, f"configuration drift: {'; '.join(differences)}")
        return Ending(State.COMPLETE)
    if code == 3:
        return Ending(State.DIVERGED, _last_line(job.log))
    if code == 130:
        return Ending(State.STOPPED, "interrupted")
    if code < 0 or code == 137:
        number = -code if code < 0 else 9
        return Ending(State.KILLED, f"ended by signal {number}")
    return Ending(State.CRASHED, _last_line(job.log) or f"exit code {code}")


def drift(asked: Mapping[str, Any], run_dir: Path) -> list[str]:
    """Where the configuration that a run wrote down differs from the one that was asked for; a line for each key."""
    got = read_yaml(run_dir / CONFIG)
    got.pop("origin", None)
    wanted_values, got_values = flatten(dict(asked), "asked"), flatten(got, "got")
    lines = []
    for key in sorted(wanted_values.keys() | got_values.keys()):
        wanted, found = native(wanted_values.get(key)), native(got_values.get(key))
        if identity({"": wanted}) != identity({"": found}):
            lines.append(f"{key} is {found}, asked was {wanted}")
    return lines


def stop_orphans(run_dir: Path) -> int:
    """Kill what a dead search left running in ``run_dir``; gives their number, and returns when they are gone."""
    found = _processes_of(run_dir)
    for process in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    while set(found) & set(_processes_of(run_dir)):
        time.sleep(0.05)
    return len(found)


def _processes_of(run_dir: Path) -> list[int]:
    """Ids of the processes that train in this run directory; one that plays or plots it is left alone.

    A zombie has no command line.
    """
    wanted = str(run_dir.absolute())
    return [
        number
        for number, arguments in _command_lines()
        if any((option, wanted) in pairwise(arguments) for option in ("--run-dir", "--resume"))
    ]


def _command_lines() -> Iterator[tuple[int, list[str]]]:
    """Id and arguments of every process there is."""
    if Path("/proc/self/cmdline").exists():
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):  # it has just ended
                    content = (entry / "cmdline").read_bytes()
                    yield int(entry.name), [os.fsdecode(part) for part in content.split(b"\0")]
        return
    # -ww: whole lines, whatever COLUMNS says. A space in the path of a run hides it here, and nowhere else.
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=False)
    for row in listed.stdout.splitlines():
        number, _, arguments = row.strip().partition(" ")
        yield int(number), arguments.split()


def _remove(run_dir: Path) -> None:
    """Remove what an attempt without a checkpoint left, so that the next may use the name."""
    if run_dir.exists():
        target = run_dir.with_name(f"{run_dir.name}.failed-{sum(1 for _ in run_dir.parent.glob(f'{run_dir.name}.f*'))}")
        run_dir.rename(target)


def _finished(run_dir: Path) -> bool:
    return (run_dir / CONFIG).is_file() and (run_dir / RESULT).is_file()


def _last_line(file: Path) -> str:
    lines = file.read_text(errors="replace").strip().splitlines() if file.is_file() else []
    return lines[-1].strip() if lines else ""
