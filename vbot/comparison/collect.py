"""What a command line of paths means: runs, checkpoints, studies, folders of them, and what lies among them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vbot.errors import UserError, nearest
from vbot.outcomes import SNAPSHOT, Outcome, gather
from vbot.run import CHECKPOINTS, CONFIG

_DEPTH = 3
"""How far below a folder runs are looked for."""


@dataclass(frozen=True)
class Collection:
    """Outcomes, in the order given, and what was no run."""

    outcomes: list[Outcome]
    skipped: list[Path]

    @property
    def names(self) -> Mapping[Path, str]:
        """Path -> its name among these: without the folder they share, and without ``checkpoints``."""
        paths = [o.path.absolute() for o in self.outcomes]
        shared = 0
        if paths:
            parents = [p.parent.parts for p in paths]
            while all(len(p) > shared and p[shared] == parents[0][shared] for p in parents):
                shared += 1
        short = ("/".join(part for part in p.parts[shared:] if part != CHECKPOINTS) for p in paths)
        return {o.path: name for o, name in zip(self.outcomes, short, strict=True)}


def collect(paths: Iterable[Path]) -> Collection:
    """What the paths hold. A shell's ``runs/*`` also names what is no run: that is skipped and told.

    Raises:
        UserError: a path does not exist, or there is no run at all.
    """
    runs: list[Path] = []
    skipped: list[Path] = []
    for path in paths:
        if not path.exists():
            beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
            raise UserError(f"there is no {path}{nearest(path.name, beside) if beside else ''}")
        found = list(_runs(path, _DEPTH))
        runs += found
        if not found:
            skipped.append(path)
    if not runs:
        what = ", ".join(map(str, skipped[:3])) or "nothing"
        raise UserError(f"no run, checkpoint or study among what was given: {what} (a run directory has a {CONFIG})")
    return Collection(gather(runs), skipped)


def _runs(path: Path, depth: int) -> Iterator[Path]:
    if path.is_file():
        if path.parent.name == CHECKPOINTS and path.suffix == ".pt":
            yield path
    elif (path / SNAPSHOT).is_file() or (path / CONFIG).is_file():
        yield path
    elif depth:
        for child in sorted(p for p in path.iterdir() if p.is_dir()):
            yield from _runs(child, depth - 1)
