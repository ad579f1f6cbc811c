"""What a person sees of a run: one live line on a terminal, a log line now and then elsewhere."""

import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

REFRESH_INTERVAL_S = 0.2
"""Between two states of the line on a terminal: as often as an eye follows."""
LOG_INTERVAL_S = 15.0
"""Between two log lines where output is no terminal."""


class LiveLine:
    """Shows a line in place on a terminal, renewed now and then; elsewhere prints one once in a while."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._quiet = quiet
        self._in_place = self._stream.isatty()
        self._interval_s = REFRESH_INTERVAL_S if self._in_place else LOG_INTERVAL_S
        self._last = -float("inf")
        self._open = False

    def show(self, state: Callable[[], str]) -> None:
        """The state of this moment, asked for only when it is time for it: to put it into words takes a while too."""
        if self._quiet or time.monotonic() - self._last < self._interval_s:
            return
        self._last = time.monotonic()
        line = state()
        if self._in_place:
            # A line that wraps could not be replaced.
            self._stream.write(f"\r\x1b[2K{line[: shutil.get_terminal_size().columns - 1]}")
            self._open = True
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def say(self, line: str) -> None:
        """A line that stays."""
        if self._quiet:
            return
        self.close()
        self._stream.write(line + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave the live line as it is and go to the next."""
        if self._open:
            self._stream.write("\n")
            self._open = False


def duration(seconds: float) -> str:
    """``1:05`` or ``2:03:04``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def percent(rate: float | None) -> str:
    """``97.3 %``, or a dash where there is nothing to tell."""
    return "-" if rate is None else f"{100 * rate:.1f} %"
