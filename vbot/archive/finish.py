"""What a training or a search does at its end: its results go into the library, and an entry into the journal.

Neither may cost a finished run its success: what cannot be written is one line of warning.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from vbot.archive.gather import runs_of
from vbot.archive.library import Library, library_directory
from vbot.archive.report import enter_training
from vbot.run import Run


def finish_training(run: Run, *, quiet: bool) -> None:
    """Archive a finished run and enter it into the journal beside it."""
    finish([run.path], lambda: enter_training(run), quiet=quiet)


def finish(paths: Sequence[Path], enter: Callable[[], Path | None], *, quiet: bool) -> None:
    """Archive the runs and searches ``paths``, and ``enter`` them into a journal, which gives its file."""
    library = Library(library_directory())
    try:
        library.add(runs_of(paths, _warn))
        if not quiet:
            print(f"archived in {library.directory}: python -m vbot.archive list")
    except Exception as error:  # whatever it is, the training itself has succeeded
        _warn(f"not archived: {error}; later: python -m vbot.archive rebuild {' '.join(map(str, paths))}")
    try:
        file = enter()
        if file is not None and not quiet:
            here = Path.cwd()
            print(f"journal: {file.relative_to(here) if file.is_relative_to(here) else file}")
    except Exception as error:
        _warn(f"no entry in the journal: {error}")


def _warn(message: str) -> None:
    print(f"warning: {' '.join(message.split())}", file=sys.stderr, flush=True)
