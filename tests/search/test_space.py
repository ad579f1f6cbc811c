"""Parameters and spaces: values, their places in the cube, and what is said of them."""

import json

import numpy as np
import pytest

from vbot.errors import UserError
from vbot.ranges import Choice, LogUniform, Uniform
from vbot.search.constraints import Constraint
from vbot.search.space import Parameter, Space, identity

SIZES = Choice((128, 64), (256, 128), (64, 64))


def parameter(range_, default=None, key="ppo.x", **options):
    return Parameter(key, range_, default, **options)


@pytest.mark.parametrize(
    ("range_", "unit", "value"),
    [
        (Uniform(2, 10), 0.25, 4.0),
        (Uniform(-4.0, -0.1), 0.0, -4.0),
        (LogUniform(1e-4, 1e-2), 0.5, 1e-3),
        (LogUniform(1e-4, 1e-2), 1.0, 1e-2),
        (LogUniform(-1e-3, -1e-5), 0.0, -1e-3),  # order is kept: the cube's 0 is the lowest value
        (LogUniform(-1e-3, -1e-5), 0.5, -1e-4),
        (LogUniform(-1e-3, -1e-5), 1.0, -1e-5),
    ],
)
def test_value_and_place_are_inverse(range_, unit, value):
    p = parameter(range_)
    assert p.value(unit) == pytest.approx(value, rel=1e-6)
    assert p.unit(value) == pytest.approx(unit, abs=1e-6)
    assert p.value(unit) in range_


@pytest.mark.parametrize(("unit", "value"), [(0.0, 16), (0.2499, 16), (0.25, 24), (0.74, 32), (1.0, 48)])
def test_a_choice_has_cells_of_equal_width(unit, value):
    p = parameter(Choice(16, 24, 32, 48))
    assert p.value(unit) == value
    assert p.value(p.unit(value)) == value


def test_numbers_of_a_choice_are_in_order_and_other_values_as_listed():
    assert parameter(Choice(-50, -500, -200)).choices == [-500, -200, -50]
    assert parameter(SIZES).choices == [[128, 64], [256, 128], [64, 64]]
    assert parameter(Choice("linear", "constant")).choices == ["linear", "constant"]


@pytest.mark.parametrize(
    ("range_", "value", "unit"),
    [
        (Uniform(0.0, 2.5), 3.0, 1.2),
        (Uniform(0.0, 2.5), 100.0, 1.5),  # no further than OUTSIDE
        (LogUniform(1e-5, 1e-3), 2e-3, 1 + np.log10(2) / 2),
        (LogUniform(1e-5, 1e-3), 0.0, -0.5),
        (LogUniform(-1e-3, -1e-5), 0.0, 1.5),
        (Choice(16, 32), 4, -0.25),
        (Choice(16, 32), 24, 0.5),
        (Choice(16, 32), 64, 1.25),
        (SIZES, [128, 128], 3.5 / 3),
    ],
)
def test_a_value_outside_its_range_has_a_place_outside_the_cube_or_between_cells(range_, value, unit):
    assert parameter(range_).unit(value) == pytest.approx(unit)
    assert not parameter(range_).holds(value)


def test_integers_are_rounded_and_stay_in_the_range():
    p = parameter(Uniform(15.5, 48.5), 24, integer=True)
    values = [p.value(u) for u in np.linspace(0, 1, 101)]
    assert {type(v) for v in values} == {int}
    assert (min(values), max(values)) == (16, 48)
    with pytest.raises(UserError, match=r"is an integer, and .* holds none"):
        parameter(Uniform(1.2, 1.8), 1, integer=True)


@pytest.mark.parametrize("range_", [Uniform(0.1, 0.3), LogUniform(-1e-3, -1e-6), Choice(np.float64(0.5), 1), SIZES])
def test_values_are_plain_python_and_survive_a_file(range_):
    space = Space((parameter(range_, np.float32(0.25)),))
    for values in (space.values(np.random.default_rng(0).random(1)), space.defaults()):
        assert json.loads(json.dumps(values)) == values
        assert all(type(v) in (float, int, list) for v in values.values())


def test_sampled_numbers_have_six_digits_and_never_leave_the_range():
    p = parameter(Uniform(1 / 3, 2 / 3))
    assert p.value(0.5) == 0.5
    assert p.value(0.123456789) == 0.374486
    assert p.value(0.0) == 1 / 3  # 0.333333 would lie below the range
    assert p.value(1.0) == 2 / 3


def test_a_sample_is_uniform_in_the_cube():
    space = Space((parameter(LogUniform(1e-5, 1e-3), key="ppo.lr"), parameter(Choice(1, 2, 3, 4), key="ppo.n")))
    rng = np.random.default_rng(0)
    units = np.array([space.units(space.sample(rng)) for _ in range(2000)])
    assert np.abs(np.quantile(units[:, 0], [0.25, 0.5, 0.75]) - [0.25, 0.5, 0.75]).max() < 0.04
    assert np.abs(np.bincount((units[:, 1] * 4).astype(int)) / 2000 - 0.25).max() < 0.04


def test_snapping_is_what_taking_the_value_and_its_place_again_does():
    space = Space(
        (
            parameter(Choice(16, 24, 32), key="ppo.a"),
            parameter(Uniform(0, 1), key="ppo.b"),
            parameter(Uniform(1, 9), 1, key="ppo.c", integer=True),
        )
    )
    units = np.random.default_rng(0).uniform(-0.2, 1.2, (50, 3))
    again = np.array([space.units(space.values(u)) for u in units])
    assert np.allclose(space.snap(units.copy()), again, atol=1e-6)


# Constraints.


def test_a_sample_that_a_constraint_holds_for_is_dropped():
    lr, epochs = parameter(LogUniform(1e-5, 1e-3), 3e-4, "ppo.lr"), parameter(Choice(4, 8), 4, "ppo.epochs")
    space = Space((lr, epochs), (Constraint("lr > 1e-4 and epochs == 8"),))
    rng = np.random.default_rng(0)
    samples = [space.sample(rng) for _ in range(200)]
    assert {s["ppo.epochs"] for s in samples} == {4, 8}
    assert all(s["ppo.lr"] <= 1e-4 for s in samples if s["ppo.epochs"] == 8)
    assert not space.allowed({"ppo.lr": 5e-4, "ppo.epochs": 8})


def test_a_constraint_may_name_what_is_not_searched():
    lr = parameter(LogUniform(1e-5, 1e-3), 3e-4, "ppo.learning_rate")
    rule = (Constraint("termination < -400 and learning_rate > 5e-4"),)
    assert Space((lr,), rule, {"reward.terms.termination.scale": -200}).allowed({"ppo.learning_rate": 1e-3})
    assert not Space((lr,), rule, {"reward.terms.termination.scale": -500}).allowed({"ppo.learning_rate": 1e-3})
    fixed = Space((lr,), rule, {"reward.terms.termination.scale": -200}, {"reward.terms.termination.scale": -500})
    assert not fixed.allowed({"ppo.learning_rate": 1e-3})


def test_an_unknown_name_in_a_constraint_is_an_error_at_once():
    with pytest.raises(UserError, match=r"unknown parameter 'learning_rte'; did you mean 'learning_rate'\?"):
        Space((parameter(Uniform(0, 1), 0.5, "ppo.learning_rate"),), (Constraint("learning_rte > 1"),))


def test_constraints_that_leave_nothing_are_an_error():
    space = Space((parameter(Uniform(0, 1), 0.5),), (Constraint("x >= 0"),))
    with pytest.raises(UserError, match="drop every one of 10,000 samples"):
        space.sample(np.random.default_rng(0))


# What is tried first, and what is said.


def test_the_defaults_come_first_as_they_are_and_then_the_prior():
    p, q = parameter(Uniform(0, 1), 3.0, "ppo.a"), parameter(Uniform(0, 1), 0.5, "ppo.b")
    assert Space((p, q)).firsts() == [{"ppo.a": 3.0, "ppo.b": 0.5}]
    assert Space((p, q), prior={"ppo.b": 0.2}).firsts()[1:] == [{"ppo.a": 3.0, "ppo.b": 0.2}]
    assert Space((p, q), prior={"ppo.b": 0.5}).firsts() == [{"ppo.a": 3.0, "ppo.b": 0.5}]


def test_a_default_outside_its_range_is_said():
    (line,) = Space((parameter(Uniform(0, 1), 3.0, "ppo.a"), parameter(Uniform(0, 1), 0.5, "ppo.b"))).notices()
    assert line.startswith("ppo.a: the default 3.0 is not in its range 0 to 1;")


def test_size_and_points_of_a_finite_space():
    space = Space((parameter(Choice(1, 2), 1, "ppo.a"), parameter(SIZES, [64, 64], "ppo.b")))
    assert space.size == 6
    assert len({identity(p) for p in space.points()}) == 6
    continuous = Space((parameter(Choice(1, 2), 1, "ppo.a"), parameter(Uniform(0, 1), 0.5, "ppo.b")))
    assert continuous.size == float("inf")
    assert continuous.parameters[1].levels(3) == [0.0, 0.5, 1.0]
    assert parameter(LogUniform(1e-4, 1e-2)).levels(3) == pytest.approx([1e-4, 1e-3, 1e-2])


def test_identity_is_of_the_point_not_of_its_spelling():
    assert identity({"a": 1, "b": [2, 3]}) == identity({"b": [2, 3], "a": 1.0})
    assert identity({"a": True}) != identity({"a": 1})


def test_an_empty_space_is_an_error():
    with pytest.raises(UserError, match="nothing to search"):
        Space(())
