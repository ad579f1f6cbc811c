"""The files of a new term: a plugin that works as it is, and its test."""

import keyword
from pathlib import Path

from vbot.errors import UserError
from vbot.rewards.registry import Registry

_TERM = '''"""A reward term of our own; load it with ``--plugin {file}``."""

import torch

from vbot.rewards import {ranges}State, Uniform, {decorator}


@{decorator}(scale={scale}, search=Uniform({low}, {high}), tune={{"{param}": {param_range}}})
def {name}(s: State, *, {param}: float = {default}) -> torch.Tensor:
    """{formula}"""
    return {code}
'''

_TEST = '''"""{name}: the laws that every term keeps, and values worked out by hand."""

from pathlib import Path

import pytest
import torch

from vbot.rewards import REGISTRY
from vbot.rewards.conformance import check_term
from vbot.rewards.plugins import load_plugins
from vbot.rewards.probes import raw, robots

load_plugins([Path(__file__).with_name("{file}")])


def test_it_keeps_the_laws_of_terms():
    check_term(REGISTRY["{name}"])


def test_values_by_hand():
    s = robots({at})
    assert raw(REGISTRY["{name}"], s).tolist() == pytest.approx({expected}, abs=1e-4)
'''

_REWARD = {
    "decorator": "reward",
    "ranges": "LogUniform, ",
    "scale": "0.5",
    "low": "0.1",
    "high": "2.0",
    "param": "sigma",
    "param_range": "LogUniform(0.5, 5.0)",
    "default": "2.0",
    "formula": "Closeness to the target, exp(-d / sigma), before the first reach; d and sigma in m.",
    "code": "torch.exp(-s.distance / sigma) * ~s.ever_reached",
    "at": "distance=torch.tensor([0.0, 2.0, 6.0])",
    "expected": "[1.0, 0.3679, 0.0498]",
}
_PENALTY = {
    "decorator": "penalty",
    "ranges": "",
    "scale": "-0.5",
    "low": "-2.0",
    "high": "-0.1",
    "param": "max_speed",
    "param_range": "Uniform(0.5, 3.0)",
    "default": "1.5",
    "formula": "Planar speed over the allowed one, max(v - max_speed, 0); m/s.",
    "code": "(s.planar_speed - max_speed).clamp(min=0.0)",
    "at": "distance=3.0, speed=torch.tensor([0.0, 1.5, 2.0])",
    "expected": "[0.0, 0.0, 0.5]",
}


def write_term(name: str, directory: Path, registry: Registry, *, penalty: bool = False) -> tuple[Path, Path]:
    """Write ``NAME.py`` and ``test_NAME.py``; returns their paths.

    Raises:
        UserError: the name is taken or no identifier, a file is there already, or cannot be written.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UserError(f"a term's name must be an identifier, as in gentle_stop; got {name!r}")
    if name in registry:
        raise UserError(f"the name {name!r} is taken by {registry[name].place}")
    file, test = directory / f"{name}.py", directory / f"test_{name}.py"
    for path in (file, test):
        if path.exists():
            raise UserError(f"{path} exists already; give another name, or move it away")
    words = {"name": name, "file": file.name, **(_PENALTY if penalty else _REWARD)}
    try:
        file.write_text(_TERM.format(**words))
        test.write_text(_TEST.format(**words))
    except OSError as error:
        file.unlink(missing_ok=True)
        raise UserError(f"cannot write in {directory}: {error.strerror}") from None
    return file, test
