"""Search ranges: what they hold, and what they refuse to be."""

import math

import pytest

from vbot.ranges import Choice, LogUniform, Uniform


@pytest.mark.parametrize("value", [0.5, 5.0, 1, 2.75])
def test_a_range_holds_its_ends_and_what_lies_between(value):
    assert value in Uniform(0.5, 5.0)
    assert value in LogUniform(0.5, 5.0)


@pytest.mark.parametrize("value", [0.4999, 5.0001, -1, math.nan, math.inf, True, "1", None, [1.0]])
def test_a_range_holds_no_number_beyond_its_ends_and_nothing_that_is_no_number(value):
    assert value not in Uniform(0.5, 5.0)
    assert value not in LogUniform(0.5, 5.0)


@pytest.mark.parametrize("kind", [Uniform, LogUniform])
@pytest.mark.parametrize("bounds", [(2.0, 1.0), (1.0, 1.0), (1.0, math.inf), (math.nan, 1.0), (True, 2.0), ("1", 2.0)])
def test_bounds_are_two_finite_numbers_the_lower_first(kind, bounds):
    with pytest.raises(ValueError, match=f"{kind.__name__} needs two finite numbers with low < high; got"):
        kind(*bounds)


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, 1.0), (-1.0, 0.0)])
def test_a_logarithmic_range_neither_touches_nor_crosses_zero(bounds):
    with pytest.raises(ValueError, match="same sign, neither 0"):
        LogUniform(*bounds)


def test_a_penalty_has_a_logarithmic_range_below_zero():
    assert -1e-4 in LogUniform(-1e-3, -1e-6)
    assert 1e-4 not in LogUniform(-1e-3, -1e-6)


def test_a_choice_holds_its_values_and_nothing_between():
    sizes = Choice(16, 32)
    assert 32 in sizes
    assert 24 not in sizes


def test_a_list_read_from_yaml_is_the_tuple_it_was_written_as():
    sizes = Choice((256, 128), [64, 64])
    assert [256, 128] in sizes
    assert (64, 64) in sizes
    assert [128, 256] not in sizes
    assert sizes.values == ((256, 128), (64, 64))


def test_a_choice_needs_a_value():
    with pytest.raises(ValueError, match="at least one value"):
        Choice()


def test_ranges_are_equal_by_value_and_cannot_be_changed():
    assert Uniform(0, 1) == Uniform(0.0, 1.0)
    assert Uniform(1, 2) != LogUniform(1, 2)
    assert len({Choice([1, 2]), Choice((1, 2))}) == 1
    with pytest.raises(AttributeError):
        Uniform(0, 1).low = 0.5


def test_ranges_read_as_people_write_them():
    assert str(Uniform(0, 2.5)) == "0 to 2.5"
    assert str(LogUniform(-1e-3, -1e-6)) == "-0.001 to -1e-06, logarithmic"
    assert str(Choice(16, "a", (64, 32))) == "one of 16, a, [64, 32]"
