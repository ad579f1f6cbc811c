"""Statistics of order: does one number prefer what another calls a success?"""

import torch
from torch import Tensor


def ranks(values: Tensor) -> Tensor:
    """(N,) float64 ranks from 1, ties sharing their mean."""
    _, inverse, counts = torch.unique(values.double(), return_inverse=True, return_counts=True)
    last = counts.cumsum(0)
    return (last - (counts - 1) / 2)[inverse].double()


def auc(values: Tensor, positive: Tensor) -> float | None:
    """Chance that a positive (N,) bool has a higher value (N,) than a negative, ties counting half; None without both.

    The area under the ROC curve, from the rank sum of Mann and Whitney (1947).
    """
    n = int(positive.sum())
    m = len(positive) - n
    if n == 0 or m == 0:
        return None
    return (float(ranks(values)[positive].sum()) - n * (n + 1) / 2) / (n * m)


def rank_correlation(a: Tensor, b: Tensor) -> float | None:
    """Spearman's correlation of two (N,) tensors; None where one of them does not vary."""
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(), y - y.mean()
    spread = float(x.square().sum() * y.square().sum()) ** 0.5
    return float((x * y).sum()) / spread if spread > 0 else None
