"""Wilson's interval against values worked out by hand and against the test that it inverts."""

import math

import pytest

from vbot.proportions import wilson_interval

Z = 1.959963984540054  # the normal quantile of 0.975


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (95, 100, 0.8882, 0.9785),  # (0.95 + zz/2 -+ z sqrt(0.95 0.05 / 100 + zz/400)) / (1 + zz), zz = 3.8415 / 100
        (50, 100, 0.4038, 0.5962),
        (1, 2, 0.0945, 0.9055),
        (0, 10, 0.0, 0.2775),  # z^2 / (n + z^2) = 3.8415 / 13.8415
        (10, 10, 0.7225, 1.0),
        (1024, 1024, 0.99626, 1.0),  # 1024 / 1027.8415
    ],
)
def test_wilson_interval_by_hand(successes, trials, low, high):
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=6e-5)


@pytest.mark.parametrize(("successes", "trials"), [(3, 7), (95, 100), (1000, 1024), (1, 1024)])
def test_the_ends_of_the_interval_are_the_rates_at_which_the_score_test_just_rejects(successes, trials):
    for rate in wilson_interval(successes, trials):
        score = abs(successes / trials - rate) / math.sqrt(rate * (1 - rate) / trials)
        assert score == pytest.approx(Z, abs=1e-5)


@pytest.mark.parametrize("successes", [0, 1, 512, 1023, 1024])
def test_an_interval_holds_its_rate_and_lies_between_none_and_all(successes):
    low, high = wilson_interval(successes, 1024)
    assert 0.0 <= low <= successes / 1024 <= high <= 1.0
