"""Which process works on something, and whether it still lives. Who only looks takes no lock that others might need:
a process is told by its id and its start, as ids come again.
"""

import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Holder:
    """A process on some machine."""

    pid: int
    host: str
    """Name of the machine, for people."""
    machine: str
    """Where ids mean what they mean here: this boot of the kernel, this namespace of ids."""
    process_started: str
    """Its start as the machine tells it, only to be compared; empty where it cannot be told."""

    def lives(self) -> bool | None:
        """Whether the process is there; None where that cannot be told from here."""
        if self.machine != _machine():
            return None
        started = _start_of(self.pid)
        return None if started == "" or self.process_started == "" else started == self.process_started

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, content: Any) -> "Holder | None":
        """The holder of which ``content`` tells, beside other things; None where it tells of none."""
        try:
            return cls(int(content["pid"]), *(str(content[key]) for key in ("host", "machine", "process_started")))
        except (TypeError, KeyError, ValueError):
            return None


def this_process() -> Holder:
    return _of(os.getpid())


@cache
def _of(pid: int) -> Holder:
    return Holder(pid, platform.node(), _machine(), _start_of(pid) or "")


@cache
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return platform.node()


def _start_of(pid: int) -> str | None:
    """Start of a process; None where it is gone, or is but a zombie; empty where this machine does not tell."""
    if sys.platform == "linux":
        try:
            # What stands before the last bracket is the name of the program, which may hold anything.
            state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return None if state in "ZX" else rest[18]  # field 22 of proc(5): clock ticks after boot
        except (OSError, ValueError, IndexError):
            return "" if _hidden(pid) else None
    try:
        listed = subprocess.run(
            ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
        ).stdout.strip()
    except OSError:
        return ""
    state, _, started = listed.partition(" ")
    return None if state.startswith("Z") or not listed else started.strip()


def _hidden(pid: int) -> bool:
    """Whether there is such a process, of another user and not shown."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        pass
    return False
