"""Terms from outside the package: plugin files and installed plugins."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import vbot
from vbot.errors import UserError
from vbot.rewards import REGISTRY
from vbot.rewards.plugins import load_plugins
from vbot.run import Run
from vbot.settings import resolve

TERM = '''
from vbot.rewards import State, Uniform, reward

@reward(scale={scale}, search=Uniform(0.0, 5.0))
def {name}(s: State, *, height: float = 0.3):
    """Height over the wanted one; m."""
    return s.base_pos_w[:, 2] - height
'''


pytestmark = pytest.mark.usefixtures("own_terms")


def plugin(file: Path, name: str, scale: float = 1.5) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(TERM.format(name=name, scale=scale))
    return file


def test_a_plugin_file_registers_its_terms(tmp_path):
    file = plugin(tmp_path / "mine.py", "hover")
    assert "hover" not in REGISTRY
    assert load_plugins([str(file)]) == [file.resolve()]
    assert (REGISTRY["hover"].scale, REGISTRY["hover"].params) == (1.5, {"height": 0.3})
    assert REGISTRY["hover"].file == str(file)
    config = resolve("phase5", assignments=["reward.terms.hover=0.5"]).config
    assert config.reward.terms["hover"] == {"scale": 0.5, "height": 0.3}


def test_a_plugin_given_twice_is_one(tmp_path):
    file = plugin(tmp_path / "mine.py", "hover")
    before = len(REGISTRY)
    load_plugins([file, file])
    assert len(REGISTRY) == before + 1


def test_a_missing_plugin_is_named(tmp_path):
    for missing in (tmp_path / "none.py", tmp_path):
        with pytest.raises(UserError, match=f"no plugin file '{missing}'"):
            load_plugins([missing])


def test_a_plugin_is_a_python_file(tmp_path):
    file = plugin(tmp_path / "mine.txt", "hover")
    with pytest.raises(UserError, match=rf"'{file}' must be a Python file ending in \.py"):
        load_plugins([file])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("def term(:\n  pass", "SyntaxError: "),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        (TERM.format(name="hover", scale=-1.0), "ValueError: reward term 'hover' at "),
        (TERM.format(name="alive_bonus", scale=1.0), "ValueError: reward term 'alive_bonus' is registered twice: "),
    ],
    ids=["import", "syntax", "run", "law", "taken name"],
)
def test_a_plugin_that_does_not_import_is_named_with_the_reason_in_one_line(tmp_path, text, reason):
    file = tmp_path / "broken.py"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        load_plugins([file])
    assert str(error.value).startswith(f"reward plugin '{file}' does not import: {reason}")
    assert "\n" not in str(error.value)


def test_the_copy_that_a_run_keeps_has_the_fingerprint_of_the_original(tmp_path):
    file = plugin(tmp_path / "mine.py", "hover")
    files = load_plugins([file])
    settings = resolve("phase5", assignments=["reward.terms.hover=0.5"])
    run = Run.create(tmp_path / "run", settings.config, settings.fingerprint, files)
    file.unlink()
    del REGISTRY._terms["hover"]  # as in a new process
    load_plugins(run.plugins)
    assert resolve(config_file=run.config_file).fingerprint == settings.fingerprint


def test_two_plugins_of_one_file_name_are_refused(tmp_path):
    """A run keeps its plugins by their file names: one of the two would be lost, and the resume with it."""
    files = [plugin(tmp_path / "a" / "terms.py", "hover"), plugin(tmp_path / "b" / "terms.py", "sink")]
    with pytest.raises(UserError) as error:
        Run.create(tmp_path / "run", resolve("phase5").config, "0" * 16, load_plugins(files))
    assert all(str(file) in str(error.value) for file in files)


# Installed plugins.


def installed(directory: Path, name: str, module: str, text: str) -> None:
    """What an installer leaves of a distribution with one module and one entry point."""
    (directory / f"{module}.py").write_text(text)
    info = directory / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[vbot.rewards]\n{name} = {module}\n")


def python(directory: Path, code: str) -> subprocess.CompletedProcess:
    """Run code in a process of its own that finds vbot and what is installed in ``directory``."""
    path = os.pathsep.join([str(directory), str(Path(vbot.__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)


def test_the_terms_of_an_installed_plugin_are_there_after_loading(tmp_path):
    installed(tmp_path, "hovering", "vbot_hovering", TERM.format(name="hover", scale=1.5))
    code = """
from vbot.rewards import REGISTRY
from vbot.rewards.plugins import load_plugins
before = "hover" in REGISTRY
load_plugins()
print(before, REGISTRY["hover"].scale, REGISTRY["hover"].file)
"""
    done = python(tmp_path, code)
    assert done.stdout.split() == ["False", "1.5", str(tmp_path / "vbot_hovering.py")], done.stderr


def test_an_installed_plugin_that_does_not_import_stops_a_command_and_is_named(tmp_path):
    installed(tmp_path, "broken", "vbot_broken", "import no_such_package")
    run_dir = tmp_path / "run"
    code = f"""
from vbot.cli import run_command
from vbot.train import main
run_command(lambda: main(["--reward-set", "phase5", "--run-dir", {str(run_dir)!r}]))
"""
    done = python(tmp_path, code)
    reason = "ModuleNotFoundError: No module named 'no_such_package'"
    assert done.stderr == f"error: reward plugin 'broken' (vbot_broken) does not import: {reason}\n"
    assert (done.returncode, done.stdout, run_dir.exists()) == (2, "", False)
