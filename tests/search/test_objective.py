"""What runs are judged by."""

import pytest

from vbot.errors import UserError
from vbot.search.objective import Objective, published_score


def row(success: float, time_s: float | None = 10.0, **more):
    return {"success_rate": success, "time_to_target_s": time_s, **more}


def test_success_counts_and_time_decides_between_equals():
    o = Objective.parse("success_rate", 20.0)
    assert o.of(row(0.8)) == pytest.approx(0.8 - 0.0005)
    assert o.of(row(0.8, 4.0)) > o.of(row(0.8, 5.0))
    assert o.of(row(0.8, 20.0)) > o.of(row(0.798, 0.0))
    assert o.of(row(0.0, None)) == pytest.approx(-0.001)


def test_a_weighted_sum_of_metrics():
    assert Objective.parse("contest_score", 20.0).of({"contest_score": 12.5}) == 12.5
    o = Objective.parse("success_rate=2, fall_rate=-0.5", 20.0)
    assert o.of(row(0.5, fall_rate=0.2)) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("succes_rate", "did you mean 'success_rate'"),
        ("return_mean", "is no metric of the task"),  # never the reward
        ("fall_rate=x", "the weight of fall_rate must be a number; got 'x'"),
    ],
)
def test_what_is_no_objective(text, message):
    with pytest.raises(UserError, match=message):
        Objective.parse(text, 20.0)


def test_a_metric_that_is_missing_is_no_zero():
    with pytest.raises(UserError, match="lacks fall_rate"):
        Objective.parse("fall_rate", 20.0).of(row(1.0))


def test_the_best_mean_of_three_in_a_row_counts_not_the_last_or_the_luckiest():
    o = Objective({"success_rate": 1.0}, 20.0)
    rates = [0.1, 0.95, 0.2, 0.6, 0.7, 0.8, 0.3]
    assert o.sustained([row(r) for r in rates]) == pytest.approx(0.7)
    assert o.sustained([row(0.2), row(0.4)]) == pytest.approx(0.3)
    assert o.sustained([]) is None


def test_the_published_score_by_hand_and_none_for_what_is_missing():
    full = {"success_rate": 0.5, "fall_rate": 0.2, "return_mean": 5.0, "duration_s": 10.0}
    assert published_score(full, 20.0) == pytest.approx(0.3 + 0.2 + 0.05 + 0.025)
    assert published_score({"success_rate": 0.0}, 20.0) is None
