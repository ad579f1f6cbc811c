"""Locks between processes: a file that one process at a time holds, until it lets go or ends, however it ends.

The file names its holder, for those who are refused and for those who only look.
"""

import contextlib
import json
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from vbot.errors import UserError
from vbot.liveness import Holder, this_process

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = "lock"
"""Name of the lock of a run directory or a study."""
_POLL_S = 0.05


class HeldError(Exception):
    """Another process holds the lock."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"held by process {holder or 'unknown'}")
        self.holder = holder
        """Its process id as text, and its machine if that is another one; empty if it has not said."""


@contextlib.contextmanager
def held(file: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock ``file``, which is made where it is missing.

    Raises:
        HeldError: another process holds it, and did not let go within ``wait_s``.
        OSError: the file cannot be written.
    """
    with file.open("a+") as stream:
        if fcntl is not None:
            end = time.monotonic() + wait_s
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= end:
                        raise HeldError(_named(holder(file))) from None
                    time.sleep(_POLL_S)
        stream.truncate(0)
        stream.write(json.dumps(this_process().to_dict()) + "\n")
        stream.flush()
        try:
            yield
        finally:
            stream.truncate(0)


@contextlib.contextmanager
def locked(directory: Path, who: str, instead: str) -> Iterator[None]:
    """Hold a directory, alone.

    Args:
        who, instead: for the error: who else may hold it, and what to do about it.

    Raises:
        UserError: somebody else holds it.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(held(directory / LOCK))
        except HeldError as error:
            process = f", process {error.holder}" if error.holder else ""
            raise UserError(f"{directory} is in use by {who}{process}; wait for its end, or {instead}") from None
        except OSError as error:
            raise UserError(f"cannot write {directory / LOCK}: {error.strerror}") from None
        yield


def holder(file: Path) -> Holder | None:
    """Who holds the lock ``file``, or held it until it was killed; None where nobody does. Takes no lock."""
    try:
        return Holder.read(json.loads(file.read_text()))
    except (OSError, ValueError):
        return None


def _named(found: Holder | None) -> str:
    if found is None:
        return ""
    return str(found.pid) if found.host == platform.node() else f"{found.pid} on {found.host}"
