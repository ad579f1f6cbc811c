"""Which runs there are to archive: run directories, the trials of searches, and folders of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from vbot.archive.entries import State
from vbot.errors import UserError
from vbot.outcomes import SNAPSHOT, STAGES, Outcome, read
from vbot.run import CONFIG
from vbot.yaml_files import read_yaml

_OF_TRIALS: Mapping[str, State] = {"COMPLETE": "finished", "PRUNED": "pruned", "DIVERGED": "diverged"}
"""What a trial's state says of its configuration; one that crashed or was killed says nothing."""


def runs_of(paths: Iterable[Path], say: Callable[[str], None]) -> Iterator[tuple[Outcome, State]]:
    """Finished runs, and the trials of searches that ended; ``say`` gets a line for each that is broken.

    Raises:
        UserError: a path is no run, no search and no folder.
    """
    for path in paths:
        if (path / SNAPSHOT).is_file():
            for row in read_yaml(path / SNAPSHOT)["trials"]:
                if row["state"] in _OF_TRIALS:
                    yield from _run(path / row["run_dir"], _OF_TRIALS[row["state"]], say)
        elif (path / STAGES).is_file():
            yield from runs_of((path / name for name in read_yaml(path / STAGES)["stages"]), say)
        elif (path / CONFIG).is_file():
            yield from _run(path, "finished", say)
        elif path.is_dir():
            yield from runs_of((p for p in sorted(path.iterdir()) if _is_one(p)), say)
        else:
            raise UserError(f"{path} is no run, no search and no folder of them")


def _is_one(path: Path) -> bool:
    return (path / CONFIG).is_file() or (path / STAGES).is_file()


def _run(run_dir: Path, state: State, say: Callable[[str], None]) -> Iterator[tuple[Outcome, State]]:
    if not (run_dir / CONFIG).is_file():
        return
    outcome = read(run_dir)
    if outcome.state == "broken":
        say(f"left out: {run_dir} is broken: {outcome.problem}")
    elif outcome.state == "finished" or state != "finished":
        yield outcome, state
