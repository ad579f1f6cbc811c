"""The one exception for mistakes a user can mend, and the helper that finds the name they meant."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what the user typed or wrote: one line, shown without a traceback, exit code 2.

    The message states the law, what was given, the nearest valid name, and where to fix it.
    """


def nearest(name: str, names: Iterable[str]) -> str:
    """End of an error message: ``; did you mean 'x'?``, or the list of valid names when none is near."""
    known = sorted(set(names))
    match = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if match:
        return f"; did you mean {match[0]!r}?"
    if not known:
        return "; none is registered"
    listed = ", ".join(known[:30]) + (", ..." if len(known) > 30 else "")
    return f"; known: {listed}"


class DivergedError(UserError):
    """Training broke numerically. Exit code 3, so that a search can tell it from a mistake."""
