"""Terms from outside the package: files given with ``--plugin`` and entry points of the group ``vbot.rewards``."""

import importlib.util
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from vbot.errors import UserError

GROUP = "vbot.rewards"


def load_plugins(files: Iterable[str | Path] = ()) -> list[Path]:
    """Import installed plugins, then plugin files, so that their terms register. Returns the files' paths.

    Raises:
        UserError: a plugin that is missing or does not import, with its name and the reason.
    """
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda e: e.name):
        try:
            entry.load()
        except Exception as error:
            raise UserError(f"reward plugin {entry.name!r} ({entry.value}) does not import: {_line(error)}") from error
    paths = [Path(file) for file in files]
    for path in paths:
        # A run keeps its plugins in one folder, each under its own name.
        if others := [p for p in paths if p.name == path.name and p.resolve() != path.resolve()]:
            raise UserError(f"two plugins have the same file name, {str(path)!r} and {str(others[0])!r}; rename one")
    return [_load_file(path) for path in paths]


def _load_file(file: Path) -> Path:
    if not file.is_file():
        raise UserError(f"no plugin file {str(file)!r}")
    path = file.resolve()
    name = f"vbot_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"plugin {str(file)!r} must be a Python file ending in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UserError(f"reward plugin {str(file)!r} does not import: {_line(error)}") from error
    return path


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
