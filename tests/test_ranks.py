"""Rank statistics against values worked out by hand and against a count of all pairs."""

import pytest
import torch

from vbot.ranks import auc, rank_correlation, ranks


def test_ties_share_their_mean_rank():
    assert ranks(torch.tensor([10.0, 30.0, 20.0, 20.0])).tolist() == [1.0, 4.0, 2.5, 2.5]


def test_auc_by_hand():
    values = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert auc(values, torch.tensor([False, False, True, True])) == 1.0
    assert auc(values, torch.tensor([True, True, False, False])) == 0.0
    assert auc(values, torch.tensor([True, False, False, True])) == 0.5
    assert auc(torch.zeros(4), torch.tensor([True, False, False, True])) == 0.5
    assert auc(values, torch.ones(4, dtype=torch.bool)) is None


def test_auc_is_the_share_of_pairs_in_order():
    g = torch.Generator().manual_seed(1)
    values = torch.randint(0, 12, (60,), generator=g).float()
    positive = torch.rand(60, generator=g) < 0.4
    pairs = [(1.0 if p > q else 0.5 if p == q else 0.0) for p in values[positive] for q in values[~positive]]
    assert auc(values, positive) == pytest.approx(sum(pairs) / len(pairs))


def test_rank_correlation_by_hand():
    a = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    assert rank_correlation(a, a**3) == pytest.approx(1.0)
    assert rank_correlation(a, -a) == pytest.approx(-1.0)
    # 1 - 6 sum d^2 / (n (n^2 - 1)) with d = 1, 1, 0, 1, 1
    assert rank_correlation(a, torch.tensor([2.0, 1.0, 3.0, 5.0, 4.0])) == pytest.approx(1 - 6 * 4 / 120)
    assert rank_correlation(a, torch.ones(5)) is None
