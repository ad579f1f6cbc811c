"""Which parameters mattered: rank correlation and the fit of a parabola, against what shuffled objectives give."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vbot.ranks import rank_correlation, ranks
from vbot.search.sampler import Trial
from vbot.search.space import Space

LEAST_TRIALS = 10
"""Below it nothing can be told: of a dozen parameters one always looks important."""

_SHUFFLES = 2_000
_LEVEL = 0.05


@dataclass(frozen=True)
class Importance:
    """What is known of a parameter's effect.

    ``correlation``: of the ranks of value and objective (Spearman 1904), in [-1, 1]; None for values without an order.
    ``share``: of the variance of the objectives' ranks that a parabola in this parameter explains, or the means of the
    values of an unordered choice. ``p``: how often the largest share of all parameters is as large with shuffled
    objectives (Westfall & Young 1993), so that many parameters are no more likely to hold a find than one.
    """

    key: str
    correlation: float | None
    share: float
    p: float

    @property
    def told(self) -> bool:
        """Whether the effect stands out from chance."""
        return self.p < _LEVEL


def importance(space: Space, trials: Sequence[Trial], seed: int = 0) -> list[Importance] | None:
    """Every parameter, the largest share first; None where there are too few trials to say anything."""
    known = [t for t in trials if t.objective is not None]
    if len(known) < LEAST_TRIALS:
        return None
    x = np.array([t.units for t in known])
    objectives = torch.tensor([t.objective for t in known], dtype=torch.float64)
    y = ranks(objectives).numpy()
    if y.std() == 0:
        return None
    fits = [_projection(x[:, i], p.ordered) for i, p in enumerate(space.parameters)]
    shares = _shares(fits, y[None])[0]
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(np.tile(y, (_SHUFFLES, 1)), axis=1)
    largest = _shares(fits, shuffled).max(1)
    found = []
    for i, p in enumerate(space.parameters):
        correlation = rank_correlation(torch.from_numpy(x[:, i]), objectives) if p.ordered else None
        chance = (1 + int((largest >= shares[i] - 1e-12).sum())) / (1 + _SHUFFLES)
        found.append(Importance(p.key, correlation, float(shares[i]), chance))
    return sorted(found, key=lambda f: -f.share)


def _projection(x: np.ndarray, ordered: bool) -> np.ndarray:
    """Orthonormal columns (N, K) of the functions of ``x`` (N,) that are fitted, the constant left out."""
    columns = [x, x**2] if ordered else [(x == value).astype(float) for value in np.unique(x)]
    centred = np.array(columns).T - np.mean(columns, axis=1)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    return left[:, size > 1e-9]


def _shares(fits: list[np.ndarray], y: np.ndarray) -> np.ndarray:
    """(S, D) R^2 for S sets of objectives (S, N), adjusted for the number of functions fitted: many gain nothing."""
    centred = y - y.mean(1, keepdims=True)
    total, n = (centred**2).sum(1), y.shape[1]
    shares = []
    for fit in fits:
        explained = ((centred @ fit) ** 2).sum(1) / total
        left = max(n - 1 - fit.shape[1], 1)
        shares.append(np.maximum(0.0, 1 - (1 - explained) * (n - 1) / left))
    return np.array(shares).T
