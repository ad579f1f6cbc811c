"""Imports go one way, and the core dependencies are enough."""

import ast
import os
import subprocess
import sys
from importlib.util import resolve_name
from pathlib import Path

import pytest

import vbot

PACKAGE = Path(vbot.__file__).parent

# Bottom to top: a module imports only from lines above its own. A new module gets a line where it belongs.
ORDER = (
    "vbot",
    "vbot.errors",
    "vbot.ranges",
    "vbot.state",
    "vbot.findings",
    "vbot.proportions",
    "vbot.ranks",
    "vbot.terminal",
    "vbot.interrupt",
    "vbot.liveness",
    "vbot.locks",
    "vbot.cli",
    "vbot.yaml_files",
    "vbot.keys",
    "vbot.config",
    "vbot.layers",
    "vbot.run",
    "vbot.choice",
    "vbot.outcomes",
    "vbot.comparison",
    "vbot.comparison.statistics",
    "vbot.comparison.collect",
    "vbot.comparison.metrics",
    "vbot.comparison.groups",
    "vbot.comparison.table",
    "vbot.comparison.differences",
    "vbot.comparison.curves",
    "vbot.comparison.picture",
    "vbot.comparison.page",
    "vbot.rewards.registry",
    "vbot.rewards",
    "vbot.rewards.arrival",
    "vbot.rewards.regularization",
    "vbot.rewards.safety",
    "vbot.rewards.tracking",
    "vbot.rewards.plugins",
    "vbot.rewards.sets",
    "vbot.rewards.compute",
    "vbot.rewards.conformance",
    "vbot.rewards.probes",
    "vbot.rewards.cards",
    "vbot.rewards.charts",
    "vbot.rewards.scaffold",
    "vbot.rewards.__main__",
    "vbot.ppo.vec_env",
    "vbot.ppo.gaussian",
    "vbot.ppo.network",
    "vbot.ppo.normalize",
    "vbot.ppo.storage",
    "vbot.ppo.model",
    "vbot.ppo.parameters",
    "vbot.ppo.adam",
    "vbot.ppo.loss",
    "vbot.ppo.algorithm",
    "vbot.ppo.trainer",
    "vbot.ppo",
    "vbot.courses",
    "vbot.robot",
    "vbot.scene",
    "vbot.sim",
    "vbot.tracker",
    "vbot.observation",
    "vbot.episodes",
    "vbot.records",
    "vbot.settings",
    "vbot.env",
    "vbot.evaluation",
    "vbot.audit.subject",
    "vbot.audit.scripts",
    "vbot.audit.behaviours",
    "vbot.audit.optimum",
    "vbot.audit.landscape",
    "vbot.audit.sums",
    "vbot.audit.ghosts",
    "vbot.audit",
    "vbot.audit.report",
    "vbot.audit.rescore",
    "vbot.audit.diff",
    "vbot.audit.__main__",
    "vbot.detectors",
    "vbot.archive",
    "vbot.archive.entries",
    "vbot.archive.gather",
    "vbot.archive.library",
    "vbot.archive.report",
    "vbot.archive.finish",
    "vbot.archive.__main__",
    "vbot.search",
    "vbot.search.constraints",
    "vbot.search.space",
    "vbot.search.sources",
    "vbot.search.sampler",
    "vbot.search.gp",
    "vbot.search.optuna_samplers",
    "vbot.search.samplers",
    "vbot.search.journal",
    "vbot.search.executor",
    "vbot.search.objective",
    "vbot.search.pruning",
    "vbot.search.importance",
    "vbot.search.records",
    "vbot.search.study",
    "vbot.search.report",
    "vbot.search.memory",
    "vbot.search.__main__",
    "vbot.comparison.analysis",
    "vbot.comparison.__main__",
    "vbot.overview",
    "vbot.status",
    "vbot.dashboard",
    "vbot.intervals",
    "vbot.experiment",
    "vbot.train",
    "vbot.evaluate",
    "vbot.player",
    "vbot.play",
)

# What these may import of vbot besides their own package. Physics knows no rewards, learning no environment,
# and a search only what can be written into a configuration and read from runs: its trials are runs like any other.
ISLANDS = {
    "vbot.ppo": {"vbot.errors", "vbot.config", "vbot.run"},
    "vbot.rewards": {"vbot.errors", "vbot.ranges", "vbot.state", "vbot.yaml_files", "vbot.config", "vbot.cli"},
    "vbot.courses": {"vbot.errors"},
    "vbot.robot": {"vbot.errors", "vbot.yaml_files"},
    "vbot.sim": {"vbot.errors", "vbot.courses", "vbot.robot"},
    "vbot.tracker": {"vbot.errors", "vbot.state", "vbot.courses", "vbot.robot", "vbot.sim"},
    "vbot.search": {
        "vbot.errors",
        "vbot.archive.entries",
        "vbot.archive.finish",
        "vbot.archive.gather",
        "vbot.archive.library",
        "vbot.archive.report",
        "vbot.audit.report",
        "vbot.detectors",
        "vbot.findings",
        "vbot.locks",
        "vbot.ranges",
        "vbot.proportions",
        "vbot.ranks",
        "vbot.terminal",
        "vbot.interrupt",
        "vbot.cli",
        "vbot.yaml_files",
        "vbot.keys",
        "vbot.config",
        "vbot.layers",
        "vbot.rewards",
        "vbot.rewards.plugins",
        "vbot.rewards.registry",
        "vbot.rewards.sets",
        "vbot.run",
        "vbot.outcomes",
        "vbot.courses",
        "vbot.sim",
        "vbot.episodes",
        "vbot.settings",
    },
    "vbot.observation": {"vbot.errors", "vbot.state", "vbot.robot", "vbot.ppo.vec_env"},
}


def module_name(file: Path) -> str:
    parts = ("vbot", *file.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def imported(source: str, package: str) -> set[str]:
    """Modules of vbot that a module of ``package`` imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module
            names = {f"{base}.{alias.name}" for alias in node.names}
            found.update(name if name in FILES else base for name in names)
    return {name for name in found if name in FILES}


def imports_of(module: str) -> set[str]:
    file = FILES[module]
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    return imported(file.read_text(), package) - {module}


def test_every_import_is_seen():
    source = """
import vbot.sim as physics, torch
from vbot import run, __version__
from vbot.ppo import ActorCritic
from . import env
from .rewards.sets import read_set
def late():
    from vbot.play import main
"""
    expected = {"sim", "run", "ppo", "env", "rewards.sets", "play"}
    assert imported(source, "vbot") == {"vbot"} | {f"vbot.{name}" for name in expected}


def test_every_module_has_its_line():
    assert len(ORDER) == len(set(ORDER))
    missing, gone = set(FILES) - set(ORDER), set(ORDER) - set(FILES)
    assert not missing, f"give each a line in ORDER, above everything that may import it: {sorted(missing)}"
    assert not gone, f"these are no modules any more: {sorted(gone)}"


@pytest.mark.parametrize("module", FILES)
def test_no_import_runs_back_up(module):
    place = {name: line for line, name in enumerate(ORDER)}
    back = [name for name in imports_of(module) if place.get(name, -1) > place.get(module, len(ORDER))]
    assert not back, f"{module} imports {back} from above it"


@pytest.mark.parametrize("island", ISLANDS)
def test_an_island_imports_only_what_it_is_allowed(island):
    members = [name for name in FILES if name == island or name.startswith(f"{island}.")]
    assert members
    for module in members:
        outside = {name for name in imports_of(module) if name not in members}
        assert outside <= ISLANDS[island], f"{module} imports {sorted(outside - ISLANDS[island])}"


def test_every_module_imports_with_the_core_dependencies_alone():
    code = f"""
import importlib, sys

class NoExtras:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("matplotlib", "imageio", "optuna", "onnx", "onnxruntime", "gymnasium"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, NoExtras())
for name in {sorted(FILES)!r}:
    importlib.import_module(name)
    print(name)
"""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == sorted(FILES)  # and no module prints or parses arguments when imported
