"""Statistics over seeds: values worked out by hand, and by an implementation of others."""

import numpy as np
import pytest
import torch

from vbot.comparison.statistics import aggregate, bootstrap_interval, improvement, interquartile_mean
from vbot.ranks import auc


def test_the_interquartile_mean_cuts_a_quarter_at_both_ends():
    assert interquartile_mean([0.0, 0.2, 0.4, 1.0]) == pytest.approx(0.3)  # 0.2 and 0.4 are left
    assert interquartile_mean([9, 1, 2, 3, 4, 5, 6, -7]) == pytest.approx(3.5)  # -7, 1 and 6, 9 go
    assert interquartile_mean([0.0, 0.5, 0.9]) == pytest.approx(1.4 / 3)  # a quarter of three is none
    assert interquartile_mean([[1, 2, 3, 100], [0, 0, 0, 0]]).tolist() == [2.5, 0.0]


@pytest.mark.parametrize("count", range(1, 14))
def test_it_is_the_trimmed_mean_of_scipy(count):
    stats = pytest.importorskip("scipy.stats")
    scores = np.random.default_rng(count).random(count)
    assert interquartile_mean(scores) == pytest.approx(stats.trim_mean(scores, 0.25))


def test_of_two_seeds_the_interval_is_from_one_to_the_other():
    # A quarter of the resamples is the lower one twice, a quarter the upper one twice: far more than 2.5 % each.
    found = aggregate([0.4, 0.8])
    assert (found.count, found.mean, found.iqm) == (2, pytest.approx(0.6), pytest.approx(0.6))
    assert found.ci95 == (pytest.approx(0.4), pytest.approx(0.8))


def test_of_three_seeds_the_interval_is_their_range():
    # 1 / 27 of the resamples, 3.7 %, is the worst three times.
    assert aggregate([0.9, 0.5, 1.0]).ci95 == (0.5, 1.0)


def test_how_far_one_seed_out_of_line_moves_the_interval():
    # The middle two of four draws are both the 1.0 where three or four draws are: (4 * 3 + 1) / 256 = 5.1 % of the
    # resamples, more than the 2.5 % that are cut off.
    assert aggregate([0.0, 0.0, 0.0, 1.0]).ci95 == (0.0, 1.0)
    # Of eight, two draws at each end are cut off: the mean of the middle four is 0.25 where three draws are the 1.0,
    # and more where four or more are. By the binomial distribution that is 5.6 % and 1.1 % of the resamples.
    low, high = aggregate([0.0] * 7 + [1.0]).ci95 or (None, None)
    assert (low, high) == (0.0, 0.25)


def test_one_seed_tells_nothing_of_the_others():
    found = aggregate([0.7])
    assert (found.mean, found.iqm, found.ci95) == (0.7, 0.7, None)
    assert found.to_dict() == {"seeds": 1, "mean": 0.7, "iqm": 0.7, "iqm_ci95": None}


def test_tasks_are_resampled_by_themselves():
    # Within a task every score is equal, so no resample differs; drawn over both tasks together they would.
    found = aggregate([0.2, 0.2, 0.2], [0.8, 0.8, 0.8])
    assert (found.mean, found.iqm) == (pytest.approx(0.5), pytest.approx(0.5))
    assert found.ci95 == (pytest.approx(0.5), pytest.approx(0.5))


def test_the_same_numbers_come_out_every_time():
    scores = [0.1, 0.35, 0.4, 0.77, 0.9]
    assert aggregate(scores) == aggregate(scores)
    assert improvement(scores, scores[:3]) == improvement(scores, scores[:3])


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    # Of many scores the bootstrap of a mean comes to mean +- 1.96 s / sqrt(n), by the central limit theorem.
    scores = np.random.default_rng(7).normal(size=400)
    low, high = bootstrap_interval([scores.tolist()], lambda drawn: drawn.mean(1))
    half = 1.96 * scores.std() / 20
    assert low == pytest.approx(scores.mean() - half, abs=0.01)
    assert high == pytest.approx(scores.mean() + half, abs=0.01)


def test_the_probability_of_improvement_counts_pairs_and_half_of_the_ties():
    # 3 > 1, 3 > 2, 3 = 3; 2 > 1, 2 = 2, 2 < 3: (2.5 + 1.5) of 6.
    assert improvement([3, 2], [1, 2, 3]).probability == pytest.approx(4 / 6)
    certain = improvement([0.9, 1.0, 0.95], [0.1, 0.2])
    assert (certain.probability, certain.ci95) == (1.0, (1.0, 1.0))
    assert improvement([0.9], [0.1, 0.2]).ci95 is None


def test_it_is_the_area_under_the_curve():
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 6, 9).astype(float), rng.integers(0, 6, 5).astype(float)
    area = auc(torch.tensor([*x, *y]), torch.tensor([True] * 9 + [False] * 5))
    assert improvement(x.tolist(), y.tolist()).probability == pytest.approx(area)


@pytest.mark.parametrize("scores", [[], [float("nan")], [1.0, float("inf")]])
def test_what_is_no_score_is_refused(scores):
    with pytest.raises(ValueError, match="score"):
        aggregate(scores)
