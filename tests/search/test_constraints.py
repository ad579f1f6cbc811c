"""Constraints: what they say of values, and that they can do nothing else."""

import pytest

from vbot.errors import UserError
from vbot.search.constraints import Constraint


@pytest.mark.parametrize(
    ("text", "values", "dropped"),
    [
        ("learning_rate > 5e-4 and learning_epochs > 8", {"learning_rate": 6e-4, "learning_epochs": 9}, True),
        ("learning_rate > 5e-4 and learning_epochs > 8", {"learning_rate": 6e-4, "learning_epochs": 8}, False),
        ("termination < -400 and ppo.learning_rate > 5e-4", {"termination": -500, "ppo.learning_rate": 1e-3}, True),
        ("not (1 < a <= 3)", {"a": 3}, False),
        ("a == 1 or b == 1", {"a": 0, "b": 1}, True),
        ("2 * a - b / 4 + 1 >= 6", {"a": 3, "b": 4}, True),  # 6 - 1 + 1 = 6
        ("-a < +b", {"a": 1, "b": -2}, False),
        ("a in [16, 32]", {"a": 32}, True),
        ("a not in (16, 32)", {"a": 32}, False),
        ("sizes == [256, 128]", {"sizes": [256, 128]}, True),
        ("schedule != 'kl'", {"schedule": "kl"}, False),
        ("reward.terms.position_tracking.sigma > 3", {"reward.terms.position_tracking.sigma": 4.0}, True),
        ("symmetry", {"symmetry": True}, True),
    ],
)
def test_what_an_expression_says(text, values, dropped):
    assert Constraint(text).drops(values) is dropped


def test_the_names_it_needs():
    assert Constraint("a.b > 2 and (c < 1 or not d)").names == {"a.b", "c", "d"}


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true') == 0",
        "(lambda: a)() > 1",
        "[x for x in a] == 1",
        "a[0] > 1",
        "a ** 9 > 1",
        "f'{a}' == 'x'",
        "(a := 2) > 1",
        "a if b else c",
        "(1).real > a",
        "a is b",
        "b'x' == a",
        "a << 2 > 1",
    ],
)
def test_everything_else_is_refused_before_it_is_looked_at(text):
    with pytest.raises(UserError, match="constraint"):
        Constraint(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a >", "no expression"),
        ("", "no expression"),
        ("1 > 2", "names no parameter"),
        ("(" * 400 + "a" + ")" * 400, "at most 500 characters"),
        (5, "must be text"),
    ],
)
def test_what_is_no_constraint(text, message):
    with pytest.raises(UserError, match=message):
        Constraint(text)


@pytest.mark.parametrize(
    ("text", "values", "message"),
    [
        ("a + 1", {"a": 1}, "must be true or false; it is 2"),
        ("a and b > 1", {"a": 1, "b": 2}, "'a' must be true or false; it is 1"),
        ("b > 1 or a", {"a": 1, "b": 2}, "'a' must be true or false; it is 1"),
        ("a > 'x'", {"a": 1}, "constraint"),
        ("a * 2 > 1", {"a": "xx"}, "calculates with 'xx'"),
        ("1 / a > 1", {"a": 0}, "divides by 0"),
        ("learning_rat > 1", {"learning_rate": 1}, "'learning_rat'; did you mean 'learning_rate'?"),
    ],
)
def test_values_that_do_not_fit_are_named(text, values, message):
    with pytest.raises(UserError) as error:
        Constraint(text).drops(values)
    assert message in str(error.value)
    assert text in str(error.value)
