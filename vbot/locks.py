"""Locks between processes: a file that one process at a time holds, until it lets go or ends, however it ends."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_POLL_S = 0.05


class HeldError(Exception):
    """Another process holds the lock."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"held by process {holder or 'unknown'}")
        self.holder = holder
        """Its process id as text; empty if it has not said."""


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
                        stream.seek(0)
                        raise HeldError(stream.read().strip()) from None
                    time.sleep(_POLL_S)
        stream.seek(0)
        stream.truncate()
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        yield
