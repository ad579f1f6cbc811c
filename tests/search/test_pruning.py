"""Successive halving, by hand."""

import pytest

from vbot.search.objective import Objective
from vbot.search.pruning import Halving, until

SUCCESS = Objective({"success_rate": 1.0}, 20.0)


def rows(*rates: float) -> list[dict[str, float]]:
    return [{"steps": 100 * n, "success_rate": rate} for n, rate in enumerate(rates, 1)]


def test_rungs_are_what_was_sustained_at_shared_steps():
    halving = Halving(SUCCESS, 800)
    assert halving.rungs(rows(0.1)) == {}
    assert halving.rungs(rows(0.1, 0.3, 0.9)) == {"0.25": pytest.approx(0.2)}
    # The best three in a row of 0.1, 0.3, 0.2, 0.4.
    assert halving.rungs(rows(0.1, 0.3, 0.2, 0.4, 1.0)) == {"0.25": pytest.approx(0.2), "0.5": pytest.approx(0.3)}


def test_only_what_is_clearly_worse_than_half_of_four_is_pruned():
    halving = Halving(SUCCESS, 800)
    for number, rate in enumerate((0.2, 0.4, 0.6)):
        halving.add(str(number), {"0.25": rate})
    assert halving.pruned_at(rows(0.0, 0.0)) is None  # three are too few to be compared with
    halving.add("3", {"0.25": 0.8})
    assert halving.pruned_at(rows(0.5, 0.5)) == 200  # below 0.6 by more than 0.05
    assert halving.pruned_at(rows(0.56, 0.56)) is None
    assert halving.pruned_at(rows(0.0)) is None  # not there yet


def test_when_all_are_bad_none_is_worse():
    halving = Halving(SUCCESS, 800)
    for number in range(6):
        halving.add(str(number), {"0.25": 0.01 * number})
    assert halving.pruned_at(rows(0.0, 0.0)) is None


def test_noise_is_in_the_units_of_the_objective():
    assert Objective.parse("contest_score", 20.0).noise == pytest.approx(1.0)
    assert Objective.parse("success_rate=2,fall_rate=-1", 20.0).noise == pytest.approx(0.15)


def test_until_is_up_to_the_first_at_that_step_or_later():
    assert [row["steps"] for row in until(rows(0, 0, 0, 0), 250)] == [100, 200, 300]
    assert len(until(rows(0, 0), 900)) == 2
