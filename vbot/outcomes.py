"""What a run directory, a study or a checkpoint has come to: the one reading that status, compare and archive share.

Reading writes nothing, needs no registry, and takes broken and unfinished runs as what they are.
"""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from vbot.choice import rank
from vbot.errors import UserError
from vbot.run import CHECKPOINTS, CONFIG, META, METRICS, RESULT, Run, read_lines
from vbot.yaml_files import read_yaml

SNAPSHOT, BEST = "state.yaml", "best.yaml"
"""Of a study, whose trials are runs below it; and its best configuration, once there is one."""
STAGES = "stages.yaml"
"""Of a search in stages: the names of its studies, which are below it."""

State = Literal["finished", "unfinished", "broken"]


@dataclass(frozen=True)
class Outcome:
    """A run, or one checkpoint of it."""

    path: Path
    state: State
    problem: str = ""
    """Of a broken run: what is wrong with it, in a line."""
    reward_set: str | None = None
    task: str | None = None
    seed: int | None = None
    fingerprint: str | None = None
    """Of reward, environment and algorithm; runs that differ only in seed and budget share it."""
    started: str | None = None
    """ISO 8601, with the time zone."""
    steps: int | None = None
    elapsed_s: float | None = None
    steps_per_s: float | None = None
    """Control steps per second of training, evaluations apart."""
    evaluation: Mapping[str, Any] | None = None
    """Keys of ``vbot.evaluate --json``: of a finished run its best policy on fresh episodes, of an unfinished one the
    best evaluation so far, of a checkpoint the evaluation it was saved with. None where there is none."""
    findings: tuple[str, ...] = ()
    """Names of what the detectors saw at the last evaluation that saw anything."""
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def run_dir(self) -> Path:
        return self.path.parent.parent if self.path.is_file() else self.path

    @property
    def validated(self) -> bool:
        """Whether the evaluation is on the run's validation episodes, by which policies are chosen: that flatters.

        Of a finished run it is not: its best policy is judged on episodes that nothing in the run has seen.
        """
        return self.evaluation is not None and (self.state != "finished" or self.path.is_file())

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The resolved configuration as nested plain values; UserError if it cannot be read."""
        content = read_yaml(self.run_dir / CONFIG)
        content.pop("origin", None)
        return content

    def evaluations(self) -> list[dict[str, Any]]:
        """Rows of eval.jsonl."""
        return Run.open(self.run_dir).evaluations()


def read(path: Path) -> Outcome:
    """The outcome of a run directory or of a checkpoint file in one.

    Raises:
        UserError: ``path`` is neither.
    """
    if path.is_file():
        return _checkpoint(path)
    run = Run.open(path)
    try:
        return _run(run)
    except (UserError, OSError, ValueError, KeyError, TypeError) as error:
        return Outcome(path, "broken", problem=_problem(error))


def gather(paths: Iterable[Path]) -> list[Outcome]:
    """The outcomes of run directories, checkpoints and studies, a study's trials one by one, in the order given.

    Raises:
        UserError: a path is none of them.
    """
    found: dict[Path, Outcome] = {}
    for path in paths:
        for run in trials(path) if (path / SNAPSHOT).is_file() else [path]:
            found.setdefault(run, read(run))
    return list(found.values())


def trials(study: Path) -> list[Path]:
    """Run directories of a study, in the order of its ``state.yaml``.

    Raises:
        UserError: it cannot be read.
    """
    try:
        listed = [study / row["run_dir"] for row in read_yaml(study / SNAPSHOT)["trials"]]
    except (KeyError, TypeError):
        raise UserError(f"{study / SNAPSHOT} lists no trials; the file was damaged") from None
    return [path for path in listed if (path / CONFIG).is_file()]


def _problem(error: Exception) -> str:
    """What is wrong with a run, in a line."""
    match error:
        case FileNotFoundError():
            return f"{Path(error.filename).name} is missing"
        case UserError() | OSError():
            return " ".join(str(error).split())
        case KeyError():
            return f"its files lack {error}"
        case ValueError():
            return f"{META} or {RESULT} is no valid JSON: {' '.join(str(error).split())}"
        case _:
            return f"its files hold something else than a run's: {' '.join(str(error).split())}"


def _run(run: Run) -> Outcome:
    meta, result = run.meta(), run.result()
    if result is not None:
        known, evaluation = result, result["best"]
    else:
        known, evaluation = _so_far(run)
    findings = run.findings()
    last = max((row["steps"] for row in findings), default=None)
    return Outcome(
        run.path,
        "finished" if result is not None else "unfinished",
        reward_set=known["reward_set"],
        task=known["task"],
        seed=meta["seed"],
        fingerprint=meta["fingerprint"],
        started=meta["started"],
        steps=known["steps"],
        elapsed_s=known["elapsed_s"],
        steps_per_s=known["steps_per_s"],
        evaluation=evaluation,
        findings=tuple(dict.fromkeys(row["name"] for row in findings if row["steps"] == last)),
        meta=meta,
    )


def _so_far(run: Run) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """What an unfinished run's files tell: the keys of a result, and its best evaluation."""
    config = read_yaml(run.config_file)
    rows = read_lines(run.path / METRICS)
    known = {
        "reward_set": config["reward"]["name"],
        "task": config["env"]["task"],
        "steps": rows[-1]["steps"] if rows else 0,
        "elapsed_s": rows[-1]["elapsed_s"] if rows else 0.0,
        "steps_per_s": statistics.median(row["steps_per_s"] for row in rows) if rows else None,
    }
    return known, max(run.evaluations(), key=rank, default=None)


def _checkpoint(file: Path) -> Outcome:
    run = Run.open(file.parent.parent)
    listed = [c for c in run.checkpoints() if c["file"] == file.name]
    if file.parent.name != CHECKPOINTS or not listed:
        raise UserError(f"{file} is no checkpoint of a run: {run.path / CHECKPOINTS} does not list it")
    whole = read(run.path)
    return replace(whole, path=file, steps=listed[0]["steps"], evaluation=listed[0]["evaluation"])
