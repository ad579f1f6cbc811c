"""The files of a reward library, and the one way to change them: read all, decide, then replace, under a lock.

components/TERM.yaml   a reward term: what the registry says of it, and the configurations that pay it
configs/NAME.yaml      a configuration (one fingerprint): its settings, and the runs that trained it
rejected/NAME.yaml     either, after a person rejected it
.lock                  held while the files change
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from vbot.archive.entries import (
    REJECTED,
    Entry,
    Kind,
    State,
    config_name,
    describe,
    experiment,
    judge_component,
    kind_of,
    new_component,
    new_config,
    text_of,
    update_component,
    update_config,
    uses,
)
from vbot.errors import UserError, nearest
from vbot.locks import HeldError, held
from vbot.outcomes import Outcome
from vbot.rewards import REGISTRY
from vbot.rewards.plugins import load_plugins
from vbot.rewards.registry import TermSpec
from vbot.run import Run, write_atomically
from vbot.yaml_files import read_yaml

VARIABLE = "VBOT_LIBRARY"
"""Environment variable with the directory of the library."""
DIRECTORY = "reward_library"
FOLDERS: Mapping[Kind, str] = {"component": "components", "config": "configs"}
LOCK = ".lock"
WAIT_S = 60.0
"""For another process to finish its change; each takes well below a second."""
_FINGERPRINT = re.compile(r"^fingerprint: '?(\w+)'?$", re.MULTILINE)


def library_directory(given: Path | None = None) -> Path:
    """Where the library is: as given, else as ``VBOT_LIBRARY`` says, else ``reward_library`` where one works."""
    return given if given is not None else Path(os.environ.get(VARIABLE) or DIRECTORY)


class Library:
    """The library in ``directory``, which need not exist before something is added.

    Raises:
        UserError: of every method: a file is damaged or cannot be written, or another process keeps the lock.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def entries(self, kind: Kind) -> list[Entry]:
        """All entries of a kind by name, rejected ones among them."""
        found = [*self._read(FOLDERS[kind]), *(e for e in self._read(REJECTED) if kind_of(e) == kind)]
        return sorted(found, key=lambda entry: entry["name"])

    def find(self, name: str) -> Entry:
        """The entry called ``name``, or the only one whose name begins so.

        Raises:
            UserError: there is none, or there are several.
        """
        known = {entry["name"]: entry for kind in FOLDERS for entry in self.entries(kind)}
        if name in known:
            return known[name]
        several = [other for other in known if other.startswith(name)] if name else []
        if len(several) == 1:
            return known[several[0]]
        if several:
            raise UserError(f"{name!r} may be any of {', '.join(several)}; give more of the name")
        names = {*known, *(entry["reward_set"] for entry in known.values() if "reward_set" in entry)}
        raise UserError(f"the library {self.directory} has nothing called {name!r}{nearest(name, names)}")

    def add(self, runs: Iterable[tuple[Outcome, State]]) -> list[str]:
        """Take runs up into the entries of their configurations and terms; gives the names of what changed.

        A run that is there already changes nothing.
        """
        if not (found := list(runs)):
            return []
        with self._changing() as change:
            for outcome, state in found:
                change.add(outcome, state, self._run_name(outcome.run_dir))
            return change.write()

    def rebuild(self, runs: Iterable[tuple[Outcome, State]]) -> list[str]:
        """The same, and every registered term, and every entry told anew; what people wrote stays."""
        with self._changing() as change:
            for spec in REGISTRY.values():
                change.register(spec)
            for outcome, state in sorted(runs, key=lambda run: run[0].started or ""):
                change.add(outcome, state, self._run_name(outcome.run_dir))
            change.retell()
            return change.write()

    def decide(self, name: str, decision: Callable[[Entry], None]) -> Entry:
        """Change what a person may change of an entry, and what other entries say of it."""
        with self._changing() as change:
            entry = change.get(self.find(name)["name"])
            decision(entry)
            if kind_of(entry) == "config":
                update_config(entry, [])
                change.spread(entry)
            else:
                judge_component(entry)
            change.write()
            return entry

    def _read(self, folder: str) -> list[Entry]:
        return [_checked(read_yaml(file), file) for file in sorted((self.directory / folder).glob("*.yaml"))]

    def _run_name(self, run_dir: Path) -> str:
        """Its path from the directory that holds the library; of a run elsewhere the end of its path."""
        home, there = Path(os.path.abspath(self.directory)).parent, Path(os.path.abspath(run_dir))
        if there.is_relative_to(home):
            return there.relative_to(home).as_posix()
        return Path(*there.parts[-3:]).as_posix() if there.parent.name == "trials" else there.name

    @contextlib.contextmanager
    def _changing(self) -> Iterator["_Change"]:
        try:
            for folder in (*FOLDERS.values(), REJECTED):
                (self.directory / folder).mkdir(parents=True, exist_ok=True)
            with held(self.directory / LOCK, WAIT_S):
                yield _Change(self.directory)
        except HeldError as error:
            raise UserError(f"the library {self.directory} is kept locked by process {error.holder}") from None
        except OSError as error:
            raise UserError(f"cannot write the library {self.directory}: {error.strerror}") from None


class _Change:
    """Entries as they are to be, until ``write``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._entries: dict[str, Entry] = {}
        self._files: dict[str, Path] = {}  # as they were read
        # The same configuration under another name of its reward, or in a file that a person renamed, is the same.
        self._named = {
            found[1]: file.stem for file in _files(directory) if (found := _FINGERPRINT.search(file.read_text()))
        }

    def get(self, name: str, make: Callable[[], Entry] | None = None) -> Entry:
        """The entry of this name, read once; made where there is none."""
        if name not in self._entries:
            for folder in (*FOLDERS.values(), REJECTED):
                file = self._directory / folder / f"{name}.yaml"
                if file.is_file():
                    self._entries[name], self._files[name] = _checked(read_yaml(file), file), file
                    break
            else:
                if make is None:
                    raise UserError(f"the library {self._directory} no longer has {name!r}")
                self._entries[name] = make()
        return self._entries[name]

    def add(self, outcome: Outcome, state: State, run_name: str) -> None:
        run = Run.open(outcome.run_dir)
        if outcome.fingerprint is None or outcome.reward_set is None:
            raise UserError(f"{outcome.run_dir} cannot be archived: {outcome.problem or 'it says no fingerprint'}")
        fingerprint, config = outcome.fingerprint, outcome.config
        name = self._named.setdefault(fingerprint, config_name(outcome.reward_set, fingerprint))
        entry = self.get(name, lambda: new_config(name, fingerprint, config, outcome.meta.get("term_code", {})))
        result = run.result() if state == "finished" else None
        update_config(entry, [experiment(run_name, state, outcome.meta, config["train"], result, outcome.findings)])
        for spec in _specs(run, entry["settings"]["reward"]["terms"]):
            self.register(spec)
        self.spread(entry)

    def register(self, spec: TermSpec) -> None:
        entry = self.get(spec.name, lambda: new_component(spec.name))
        if kind_of(entry) != "component":
            raise UserError(f"{spec.name} is a reward term, and a configuration of the library; rename its file")
        describe(entry, spec)
        judge_component(entry)

    def spread(self, config: Entry) -> None:
        """Tell the components of a configuration what it has come to."""
        for term in config["settings"]["reward"]["terms"]:
            entry = self.get(term, lambda term=term: new_component(term))  # type: ignore[misc]
            update_component(entry, config["name"], uses(term, config))

    def retell(self) -> None:
        """Tell every entry anew from the experiments of the configurations."""
        for file in _files(self._directory):
            self.get(file.stem)
        for entry in self._entries.values():
            if kind_of(entry) == "component":
                entry["experiments"] = []
                judge_component(entry)
        for entry in [e for e in self._entries.values() if kind_of(e) == "config"]:
            update_config(entry, [])
            self.spread(entry)

    def write(self) -> list[str]:
        changed = []
        for name, entry in sorted(self._entries.items()):
            folder = REJECTED if entry["status"] == REJECTED else FOLDERS[kind_of(entry)]
            file, before = self._directory / folder / f"{name}.yaml", self._files.get(name)
            text = text_of(entry)
            if before == file and file.read_text() == text:
                continue
            write_atomically(file, text.encode())
            if before is not None and before != file:
                before.unlink()
            changed.append(name)
        return changed


def _files(directory: Path) -> list[Path]:
    return sorted(file for folder in (*FOLDERS.values(), REJECTED) for file in (directory / folder).glob("*.yaml"))


def _checked(entry: Entry, file: Path) -> Entry:
    needed = ("name", "status", "decided_by", "experiments")
    if missing := [key for key in needed if key not in entry]:
        raise UserError(f"{file} is no entry of a library: it lacks {', '.join(missing)}")
    if entry["name"] != file.stem:
        raise UserError(f"{file} says that its name is {entry['name']!r}; name and file must be the same")
    return entry


def _specs(run: Run, terms: Iterable[str]) -> list[TermSpec]:
    """What is known of the terms of a run: from the registry, else from the run's own plugins."""
    with REGISTRY.borrowed():
        if any(term not in REGISTRY for term in terms):
            # A plugin that no longer imports: its terms are known by what the runs say of them.
            with contextlib.suppress(UserError):
                load_plugins(run.plugins)
        return [REGISTRY[term] for term in terms if term in REGISTRY]
