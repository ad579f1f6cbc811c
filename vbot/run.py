"""The run directory: the one place of its file names and of how each file is written.

config.yaml               resolved configuration, and the origin of every value
meta.json                 versions, git commit, seed, machine, fingerprint
audit.json                what the audit at the start said of the reward
metrics.jsonl             a line per update
eval.jsonl                a line per evaluation
findings.jsonl            what the detectors saw, a line per finding and evaluation
episodes/STEPS.npz        records of an evaluation's episodes (vbot.records); final.npz of those that end the run
events.out.tfevents.*     TensorBoard
checkpoints/NAME.pt       init, step_*, best, final; registry.yaml lists them with their evaluation
checkpoints/resume.state  everything to go on bit for bit, replaced at every periodic checkpoint
plugins/                  the plugin files, as they were
lock                      held by who trains (vbot.locks)
heartbeat.json            how far the run is and who trains it; of a run that stopped, why; gone when it has finished
result.json               written last: its existence means that the run finished

torch is imported where tensors are read or written: what only looks at runs starts in a tenth of the time without it.
"""

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

import vbot
from vbot.config import Config
from vbot.errors import UserError
from vbot.liveness import this_process
from vbot.locks import locked
from vbot.yaml_files import read_yaml, write_yaml

CONFIG, META, AUDIT, RESULT = "config.yaml", "meta.json", "audit.json", "result.json"
METRICS, EVALUATIONS, FINDINGS = "metrics.jsonl", "eval.jsonl", "findings.jsonl"
HEARTBEAT = "heartbeat.json"
EPISODES = "episodes"
CHECKPOINTS, CHECKPOINT_LIST, RESUME = "checkpoints", "registry.yaml", "resume.state"
PLUGINS = "plugins"
_FORMAT = "vbot checkpoint 2"


class Run:
    """A run directory on disk. ``Run.create`` begins one, ``Run.open`` finds one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held = False
        self._beat: dict[str, Any] = {}

    @classmethod
    def create(
        cls,
        path: Path,
        config: Config,
        fingerprint: str,
        plugins: Iterable[Path],
        term_code: Mapping[str, str] | None = None,
    ) -> "Run":
        """Make the directory and write what is known at the start.

        Args:
            term_code: reward term -> hash of its code, to tell later which of them has changed.

        Raises:
            UserError: there is a run already, or the directory cannot be written.
        """
        if os.path.exists(path / CONFIG):
            raise UserError(f"{path} already holds a run; go on with --resume {path}, or give another --run-dir")
        try:
            (path / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
            with _alone(path):
                if os.path.exists(path / CONFIG):  # by now: two may begin at the same time
                    raise UserError(f"{path} already holds a run, which has just begun; give another --run-dir")
                (path / PLUGINS).mkdir(exist_ok=True)
                for plugin in plugins:
                    shutil.copyfile(plugin, path / PLUGINS / plugin.name)
                meta = json.dumps(_meta(config, fingerprint, term_code), indent=2)
                write_atomically(path / META, meta.encode() + b"\n")
                content = {**config.to_dict(), "origin": dict(sorted(config.origins.items()))}
                write_atomically(path / CONFIG, write_yaml(content).encode())
        except OSError as error:
            raise UserError(f"cannot write run directory {path}: {error.strerror}") from None
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "Run":
        """The run in ``path``; UserError if there is none."""
        if not os.path.isfile(path / CONFIG):
            raise UserError(f"{path} is no run directory: it has no {CONFIG}")
        return cls(path)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the run, alone, as long as it is trained, with a heartbeat from beginning to end.

        Within it, it may be asked for again.

        Raises:
            UserError: somebody else trains it.
        """
        if self._held:
            yield
            return
        with _alone(self.path):
            self._held, self._beat = True, {}
            self.beat(doing="starting")
            try:
                yield
            except BaseException as error:
                if not (self.path / RESULT).is_file():
                    why = "Ctrl-C" if isinstance(error, KeyboardInterrupt) else " ".join(str(error).split())
                    self.beat(ended=why or type(error).__name__)
                raise
            else:
                (self.path / HEARTBEAT).unlink(missing_ok=True)
            finally:
                self._held = False

    def beat(self, **known: Any) -> None:
        """Say that the run lives, and what is known of it by now; what was said before and is not said anew stays."""
        self._beat.update(known)
        content = {**this_process().to_dict(), "time": time.time(), **self._beat}
        with contextlib.suppress(OSError):  # no training should end for it
            # Not flushed to the disk: it is of no use after a power cut, and training would wait for the disk.
            write_atomically(self.path / HEARTBEAT, json.dumps(content).encode() + b"\n", flush=False)

    def heartbeat(self) -> dict[str, Any] | None:
        """The last heartbeat: what ``beat`` was told, ``time`` (s since 1970) and the keys of ``liveness.Holder``.

        ``ended``: why the run stopped; not there in a run that goes on or was killed. None where there is none.
        """
        try:
            content = json.loads((self.path / HEARTBEAT).read_text())
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    @property
    def plugins(self) -> list[Path]:
        return sorted((self.path / PLUGINS).glob("*.py"))

    @property
    def config_file(self) -> Path:
        return self.path / CONFIG

    def meta(self) -> dict[str, Any]:
        return json.loads((self.path / META).read_text())

    def result(self) -> dict[str, Any] | None:
        """The result, or None while the run has not finished."""
        file = self.path / RESULT
        return json.loads(file.read_text()) if file.is_file() else None

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the result: the last act of a run, whose heart stops first."""
        (self.path / HEARTBEAT).unlink(missing_ok=True)
        write_atomically(self.path / RESULT, json.dumps(result, indent=2).encode() + b"\n")

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        self._append(METRICS, row)

    def append_evaluation(self, row: Mapping[str, Any]) -> None:
        self._append(EVALUATIONS, row)

    def evaluations(self) -> list[dict[str, Any]]:
        return read_lines(self.path / EVALUATIONS)

    def append_findings(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self._append(FINDINGS, row)

    def findings(self) -> list[dict[str, Any]]:
        """What the detectors saw: a finding of ``vbot.findings`` with ``steps``, ``share`` and how to replay it."""
        return read_lines(self.path / FINDINGS)

    def save_episodes(self, name: str, content: bytes) -> None:
        """Keep packed episode records as ``episodes/NAME.npz``."""
        (self.path / EPISODES).mkdir(exist_ok=True)
        write_atomically(self.path / EPISODES / f"{name}.npz", content)

    def episode_files(self) -> list[Path]:
        """Records of the evaluations, in the order of their steps, those that ended the run last."""
        found = (self.path / EPISODES).glob("*.npz")
        return sorted(found, key=lambda file: int(file.stem) if file.stem.isdigit() else sys.maxsize)

    def rewind(self, steps: int) -> None:
        """Drop what was logged after ``steps``: a resumed run goes through it again."""
        for file in self.episode_files():
            if not (file.stem.isdigit() and int(file.stem) <= steps):
                file.unlink()
        for name in (METRICS, EVALUATIONS, FINDINGS):
            file = self.path / name
            if name == FINDINGS and not file.is_file():
                continue
            kept = [row for row in read_lines(file) if row["steps"] <= steps]
            write_atomically(file, "".join(json.dumps(row) + "\n" for row in kept).encode())
        kept_checkpoints = [c for c in self.checkpoints() if c["steps"] <= steps]
        self._write_checkpoint_list(kept_checkpoints)

    def save_checkpoint(
        self, name: str, content: Mapping[str, Any], steps: int, evaluation: Mapping[str, Any] | None
    ) -> None:
        """Save a policy as ``checkpoints/NAME.pt`` and list it. ``content`` holds tensors and plain values only."""
        file = self.checkpoint_file(name)
        save_state(file, {"format": _FORMAT, **content})
        listed = [c for c in self.checkpoints() if c["name"] != name]
        listed.append({"name": name, "file": file.name, "steps": steps, "evaluation": evaluation})
        self._write_checkpoint_list(listed)

    def checkpoints(self) -> list[dict[str, Any]]:
        """What ``registry.yaml`` lists: name, file, steps, evaluation."""
        file = self.path / CHECKPOINTS / CHECKPOINT_LIST
        return read_yaml(file)["checkpoints"] if file.is_file() else []

    def checkpoint_file(self, name: str) -> Path:
        return self.path / CHECKPOINTS / f"{name}.pt"

    def save_resume(self, state: Mapping[str, Any]) -> None:
        save_state(self.path / CHECKPOINTS / RESUME, {"format": _FORMAT, **state})

    def load_resume(self) -> dict[str, Any]:
        """What ``save_resume`` saved last; UserError if the run never got that far or the file cannot be read."""
        file = self.path / CHECKPOINTS / RESUME
        if not file.is_file():
            raise UserError(f"{self.path} stopped before its training began; start it again in another directory")
        return load_checkpoint(file)

    def _write_checkpoint_list(self, listed: list[dict[str, Any]]) -> None:
        text = yaml.safe_dump({"checkpoints": listed}, sort_keys=False)
        write_atomically(self.path / CHECKPOINTS / CHECKPOINT_LIST, text.encode())

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        with (self.path / name).open("a") as file:
            file.write(json.dumps(row) + "\n")


def find_checkpoint(path: Path) -> Path:
    """The checkpoint file meant by a run directory (its best, else its latest) or by a checkpoint file.

    Raises:
        UserError: there is no such thing.
    """
    if os.path.isfile(path):
        return path
    if not os.path.exists(path):
        raise UserError(f"no run directory or checkpoint {str(path)!r}")
    listed = {c["name"]: c for c in Run.open(path).checkpoints()}
    if not listed:
        raise UserError(f"{path} has no checkpoint yet")
    name = next((n for n in ("best", "final") if n in listed), max(listed, key=lambda n: listed[n]["steps"]))
    return path / CHECKPOINTS / listed[name]["file"]


def load_checkpoint(file: Path) -> dict[str, Any]:
    """Content of a checkpoint file; UserError if it is none of ours."""
    import torch

    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for foreign files; each means the same to the user
        raise UserError(f"{file} is no vbot checkpoint: {(str(error) or repr(error)).splitlines()[0]}") from None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise UserError(
            f"{file} is no vbot checkpoint, or one of another version (this one reads {_FORMAT!r}); train anew"
        )
    return content


def read_lines(file: Path) -> list[dict[str, Any]]:
    """Rows of a .jsonl file; a torn last line, left by a kill, is dropped."""
    if not file.is_file():
        return []
    rows = []
    lines = file.read_text().split("\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            if number == len(lines):
                break
            raise UserError(f"{file}:{number} is no valid JSON; the file was damaged") from None
    return rows


def save_state(file: Path, state: Mapping[str, Any]) -> None:
    """Save tensors and plain values so that the file is either the old one or the whole new one."""
    import torch

    temporary = file.with_name(f".{file.name}.tmp")
    with temporary.open("wb") as stream:
        torch.save(dict(state), stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, file)


def write_atomically(file: Path, content: bytes, *, flush: bool = True) -> None:
    """Write a file so that whoever looks finds the old one or the whole new one, a kill or not.

    Args:
        flush: wait until it is on the disk, so that the same holds after a power cut.
    """
    temporary = file.with_name(f".{file.name}.tmp")
    with temporary.open("wb") as stream:
        stream.write(content)
        if flush:
            stream.flush()
            os.fsync(stream.fileno())
    os.replace(temporary, file)


def _alone(path: Path) -> contextlib.AbstractContextManager[None]:
    return locked(path, "another training", "stop it first")


def _meta(config: Config, fingerprint: str, term_code: Mapping[str, str] | None) -> dict[str, Any]:
    import torch

    packages = ("torch", "mujoco", "numpy")
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": sys.argv,
        "fingerprint": fingerprint,
        "term_code": dict(term_code or {}),
        "seed": config.train.seed,
        "versions": {
            "vbot": vbot.__version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in packages},
        },
        "git_commit": _git_commit(),
        "machine": {
            "system": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
    }


def _git_commit() -> str | None:
    """Commit of vbot's own source tree, with ``+`` where it has changes; None where vbot is installed from a wheel."""
    source = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(source), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # installed inside somebody's repository is not in it
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--", str(source)) else "")
    except (OSError, subprocess.SubprocessError):
        return None
