"""The decorators: every law, what they register, and what belongs to a term's source."""

import importlib.util
import inspect
import math
import sys
from pathlib import Path

import pytest
import torch

from vbot.errors import UserError
from vbot.rewards import Choice, LogUniform, Registry, Uniform

HERE = Path(__file__).resolve()


def load(file: Path, text: str):
    """Import a file that holds ``text``."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    spec = importlib.util.spec_from_file_location("_".join(file.with_suffix("").parts[1:]), file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where inspect finds the file of a class
    spec.loader.exec_module(module)
    return module


def near(s, *, sigma: float = 5.0):
    """Closeness, exp(-d / sigma)."""
    return torch.exp(-s.distance / sigma)


class Best:
    """Smallest distance so far, m."""

    def __init__(self, num_envs, device, *, start: float = 9.0):
        self.best = torch.full((num_envs,), start, device=device)

    def __call__(self, s):
        self.best = torch.minimum(self.best, s.distance)
        return self.best

    def reset(self, mask):
        self.best[mask] = 9.0


# What is registered.


def test_a_term_is_registered_under_its_name_and_given_back_unchanged():
    registry = Registry()
    tune = {"sigma": LogUniform(0.5, 10.0)}
    decorated = registry.reward(scale=2, search=Uniform(0.5, 5.0), tune=tune, decay=True, clip=(0.0, 1.0))(near)
    assert decorated is near
    assert list(registry) == ["near"]
    spec = registry["near"]
    assert (spec.function, spec.scale, spec.kind, spec.penalty, spec.stateful) == (near, 2.0, "rate", False, False)
    assert (spec.search, spec.tune, spec.params) == (Uniform(0.5, 5.0), tune, {"sigma": 5.0})
    assert (spec.decay, spec.clip, spec.doc) == (True, (0.0, 1.0), "Closeness, exp(-d / sigma).")
    assert spec.place == f"{HERE}:{inspect.getsourcelines(near)[1]}"


def test_a_term_with_memory_is_a_class():
    registry = Registry()
    assert registry.penalty(scale=-1.0, kind="event", tune={"start": Uniform(1.0, 20.0)})(Best) is Best
    spec = registry["Best"]
    assert (spec.stateful, spec.penalty, spec.kind, spec.params) == (True, True, "event", {"start": 9.0})


def test_zero_is_a_scale_of_rewards_and_of_penalties():
    registry = Registry()
    registry.reward(scale=0.0, search=Uniform(0.0, 1.0))(near)
    registry.penalty(scale=0.0, search=Uniform(-1.0, 0.0))(Best)
    assert [registry[name].scale for name in registry] == [0.0, 0.0]


def test_registries_do_not_share_terms():
    one, other = Registry(), Registry()
    one.reward(scale=1.0)(near)
    assert "near" in one
    assert "near" not in other


def test_a_missing_term_names_the_nearest():
    registry = Registry()
    with pytest.raises(UserError, match=r"'near'; none is registered"):
        registry["near"]
    registry.reward(scale=1.0)(near)
    with pytest.raises(UserError, match=r"'naer'; did you mean 'near'\?"):
        registry["naer"]


# Laws of the arguments.


@pytest.mark.parametrize(
    ("kind", "arguments", "law"),
    [
        ("reward", {"scale": -1.0}, "a reward has scale >= 0; got -1.0"),
        ("penalty", {"scale": 1.0}, "a penalty has scale <= 0; got 1.0"),
        ("reward", {"scale": math.nan}, "finite number; got nan"),
        ("reward", {"scale": math.inf}, "finite number; got inf"),
        ("reward", {"scale": True}, "finite number; got True"),
        ("reward", {"scale": "1"}, "finite number; got '1'"),
        ("reward", {"scale": 6.0, "search": Uniform(0.5, 5.0)}, "6.0 lies outside its search range 0.5 to 5"),
        ("reward", {"scale": 1.0, "search": Uniform(-1.0, 5.0)}, "a reward has scale >= 0; its search range"),
        ("penalty", {"scale": -1.0, "search": Uniform(-5.0, 1.0)}, "a penalty has scale <= 0; its search range"),
        ("penalty", {"scale": -1.0, "search": Choice(-1.0, 2.0)}, "a penalty has scale <= 0; its search range"),
        ("reward", {"scale": 1.0, "tune": {"sgima": Uniform(1, 9)}}, "'sgima', which is no keyword parameter; did you"),
        ("reward", {"scale": 1.0, "tune": {"sigma": Uniform(6, 9)}}, "default sigma=5.0 lies outside its range"),
        ("reward", {"scale": 1.0, "kind": "bonus"}, "kind must be 'rate' or 'event'; got 'bonus'"),
        ("reward", {"scale": 1.0, "clip": (1.0, 0.0)}, "clip must be (low, high) with low < high; got (1.0, 0.0)"),
        ("reward", {"scale": 1.0, "clip": (0.0, 0.5, 1.0)}, "clip must be (low, high)"),
        ("reward", {"scale": 1.0, "search": (0.5, 5.0)}, "search"),
        ("reward", {"scale": 1.0, "tune": {"sigma": 3.0}}, "sigma"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else None,
)
def test_a_broken_law_names_term_place_and_law_and_registers_nothing(kind, arguments, law):
    registry = Registry()
    with pytest.raises(ValueError, match="reward term ") as error:
        getattr(registry, kind)(**arguments)(near)
    line = inspect.getsourcelines(near)[1]
    assert str(error.value).startswith(f"reward term 'near' at {HERE}:{line}: ")
    assert law in str(error.value)
    assert len(registry) == 0


# Laws of the signature.


def no_state():
    """1."""


def keyword_state(*, s=None):
    """1."""


def positional(s, sigma=1.0):
    """1."""


def no_default(s, *, sigma):
    """1."""


def anything(s, **params):
    """1."""


def own_scale(s, *, scale=1.0):
    """1."""


def undocumented(s):
    return s.distance


class NoReset:
    """1."""

    def __init__(self, num_envs, device): ...

    def __call__(self, s): ...


class NoCall:
    """1."""

    def __init__(self, num_envs, device): ...

    def reset(self, mask): ...


class NoDevice:
    """1."""

    def __init__(self, num_envs): ...

    def __call__(self, s): ...

    def reset(self, mask): ...


class PositionalParameter:
    """1."""

    def __init__(self, num_envs, device, sigma=1.0): ...

    def __call__(self, s): ...

    def reset(self, mask): ...


class ResetOfNothing:
    """1."""

    def __init__(self, num_envs, device): ...

    def __call__(self, s): ...

    def reset(self): ...


@pytest.mark.parametrize(
    ("term", "law"),
    [
        (no_state, "takes the State as its first argument"),
        (keyword_state, "its first argument must be the State"),
        (positional, "'sigma' must be keyword-only with a default"),
        (no_default, "'sigma' must be keyword-only with a default"),
        (anything, "'params' must be keyword-only with a default"),
        (own_scale, "may not be called 'scale'"),
        (undocumented, "needs a docstring"),
        (lambda s: s.distance, "must be an identifier"),
        (NoReset, "needs a method reset(mask)"),
        (NoCall, "needs a method __call__(s)"),
        (NoDevice, "__init__ must begin with (num_envs, device)"),
        (PositionalParameter, "'sigma' must be keyword-only with a default"),
        (ResetOfNothing, "needs a method reset(mask)"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_signature_that_does_not_fit_is_refused_with_its_law(term, law):
    registry = Registry()
    with pytest.raises(ValueError, match=f"reward term '{term.__name__}' at {HERE}:") as error:
        registry.reward(scale=1.0)(term)
    assert law in str(error.value)
    assert len(registry) == 0


def test_a_term_must_have_a_file_for_its_source():
    names = {}
    exec("def typed_in(s):\n    'The distance.'\n    return s.distance", names)
    for term in (names["typed_in"], len):
        with pytest.raises(ValueError, match=f"{term.__name__!r} must be defined in a file"):
            Registry().reward(scale=1.0)(term)


# Names.

TERM = "import torch\ndef near(s):\n    'Distance.'\n    return s.distance\n"


def test_the_same_name_from_two_files_is_an_error_that_names_both(tmp_path):
    registry = Registry()
    first, second = load(tmp_path / "first.py", TERM), load(tmp_path / "second.py", "\n\n" + TERM)
    registry.reward(scale=1.0)(first.near)
    with pytest.raises(ValueError, match="'near' is registered twice") as error:
        registry.reward(scale=2.0)(second.near)
    assert f"{tmp_path / 'first.py'}:2" in str(error.value)
    assert f"{tmp_path / 'second.py'}:4" in str(error.value)
    assert registry["near"].scale == 1.0


def test_the_same_name_twice_in_one_file_is_an_error_that_names_both(tmp_path):
    """Or the second copy of a term, its name not yet changed, would silently take the place of the first."""
    file = tmp_path / "terms.py"
    term = "\n@registry.reward(scale=1.0)\n" + TERM.split("\n", 1)[1]
    with pytest.raises(ValueError, match="'near' is registered twice") as error:
        load(file, "from vbot.rewards import Registry\nregistry = Registry()\n" + term + term)
    assert f"{file}:4" in str(error.value)
    assert f"{file}:9" in str(error.value)


def test_a_file_that_is_loaded_again_takes_its_own_place(tmp_path):
    registry = Registry()
    for scale in (1.0, 2.0):
        registry.reward(scale=scale)(load(tmp_path / "terms.py", TERM).near)
    assert registry["near"].scale == 2.0


# Scales and parameters given later.


@pytest.fixture
def spec():
    registry = Registry()

    @registry.penalty(scale=-1.0)
    def term(s, *, sigma: float = 5.0, window: int = 3, after: bool = False, where: str = "near"):
        """1."""

    return registry["term"]


@pytest.mark.parametrize("scale", [-2, -0.5, 0])
def test_a_scale_of_the_right_sign_is_accepted(spec, scale):
    spec.check_scale(scale)


@pytest.mark.parametrize("scale", [0.5, math.nan, -math.inf, "-1", None, False])
def test_a_scale_of_the_wrong_sign_or_type_is_refused(spec, scale):
    with pytest.raises(UserError, match=f"'term'.*; got {scale!r}"):
        spec.check_scale(scale)


@pytest.mark.parametrize(
    ("name", "value"), [("sigma", 3), ("sigma", 2.5), ("window", 4), ("after", True), ("where", "far")]
)
def test_a_parameter_of_its_default_s_type_is_accepted(spec, name, value):
    spec.check_param(name, value)


@pytest.mark.parametrize(
    ("name", "value", "law"),
    [
        ("sigma", "wide", "a finite number like its default 5.0; got 'wide'"),
        ("sigma", True, "a finite number like its default 5.0; got True"),
        ("sigma", math.nan, "a finite number"),
        ("sigma", None, "a finite number"),
        ("after", 1, "bool like its default False; got 1"),
        ("where", True, "str like its default 'near'; got True"),
        ("where", 5, "str like its default 'near'; got 5"),
        ("sgima", 1.0, "has no parameter 'sgima'; did you mean 'sigma'?"),
    ],
)
def test_a_parameter_of_another_type_or_name_is_refused(spec, name, value, law):
    with pytest.raises(UserError) as error:
        spec.check_param(name, value)
    assert "'term'" in str(error.value)
    assert law in str(error.value)


# The source, which the fingerprint hashes.

SOURCE = """
import torch

{constant}
UNUSED = 1

def helper(d):
    return inner(d) * 2.0

def inner(d):
    return d + 1.0

def unused(d):
    return d

def term(s):
    'What it is.'
    return helper(s.distance) * WEIGHT
"""


def source_of(tmp_path, version: str, text: str, name: str = "term") -> str:
    """The source of a term as TermSpec knows it."""
    registry = Registry()
    registry.reward(scale=1.0)(getattr(load(tmp_path / version / "terms.py", text), name))
    return registry[name].source


def test_the_source_does_not_depend_on_the_place_of_the_file(tmp_path):
    text = SOURCE.format(constant="WEIGHT = 1.0")
    assert source_of(tmp_path, "here", text) == source_of(tmp_path, "there", "\n\n" + text)


@pytest.mark.parametrize(("old", "new"), [("* WEIGHT", "/ WEIGHT"), ("* 2.0", "* 3.0"), ("d + 1.0", "d - 1.0")])
def test_the_source_holds_the_term_and_the_functions_it_calls(tmp_path, old, new):
    text = SOURCE.format(constant="WEIGHT = 1.0")
    assert old in text
    assert source_of(tmp_path, "before", text) != source_of(tmp_path, "after", text.replace(old, new))


def test_the_source_leaves_out_what_the_term_does_not_use(tmp_path):
    text = SOURCE.format(constant="WEIGHT = 1.0")
    changed = text.replace("UNUSED = 1", "UNUSED = 2").replace("    return d\n", "    return -d\n")
    assert changed != text
    assert source_of(tmp_path, "before", text) == source_of(tmp_path, "after", changed)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("WEIGHT = 1.0", "WEIGHT = 2.0"),
        ("WEIGHT = (1.0, 2.0)", "WEIGHT = (1.0, 3.0)"),
        ("WEIGHT = [1.0, 2.0]", "WEIGHT = [1.0, 3.0]"),
        ("WEIGHT = {'hip': 1.0}", "WEIGHT = {'hip': 3.0}"),
        ("WEIGHT = torch.tensor([1.0, 2.0])", "WEIGHT = torch.tensor([1.0, 3.0])"),
    ],
)
def test_the_source_holds_the_values_of_the_constants_it_uses(tmp_path, before, after):
    texts = [SOURCE.format(constant=constant) for constant in (before, after)]
    assert source_of(tmp_path, "before", texts[0]) != source_of(tmp_path, "after", texts[1])


def test_the_source_of_a_class_holds_the_helpers_of_its_methods(tmp_path):
    text = SOURCE.format(constant="WEIGHT = 1.0") + inspect.getsource(Best).replace(
        "s.distance)", "helper(s.distance))"
    )
    changed = text.replace("d + 1.0", "d - 1.0")
    assert changed != text
    assert source_of(tmp_path, "before", text, "Best") != source_of(tmp_path, "after", changed, "Best")
