"""Ctrl-C that lets the work in hand finish: what is interrupted in the middle cannot be saved."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """``requested`` becomes true with the first Ctrl-C; the second one stops at once."""

    requested = False


@contextmanager
def catch_interrupt() -> Iterator[Interrupt]:
    """Within it, Ctrl-C sets a flag instead of raising. For the main thread only, as signals are."""
    interrupt = Interrupt()

    def note(number: int, frame: FrameType | None) -> None:
        if interrupt.requested:
            raise KeyboardInterrupt
        interrupt.requested = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
