"""Statistics of runs that differ in their seed only, as Agarwal et al. 2021 recommend them for few of them.

Sources: R. Agarwal, M. Schwarzer, P. S. Castro, A. Courville, M. G. Bellemare, "Deep Reinforcement Learning at the
Edge of the Statistical Precipice", NeurIPS 2021: interquartile mean and stratified bootstrap (section 4.1 and 4.3),
probability of improvement (section 4.3); where the text leaves a choice, what the authors' library rliable does.

A *stratum* is the scores of one task, one score per seed. Everything is reproducible: the seed of the resampling is
fixed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 5_000
LEVEL = 0.95
_SEED = 0

Strata = Sequence[Sequence[float]]
"""Scores of each task, a score per seed."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class Aggregate:
    """What a group of seeds comes to.

    ``ci95``: of the interquartile mean, between seeds; None of fewer than two seeds, which tell nothing of it. With
    three seeds it is their range: one resample in 27 holds nothing but the worst of them.
    """

    count: int
    mean: float
    iqm: float
    ci95: Interval | None

    def to_dict(self) -> dict[str, object]:
        return {
            "seeds": self.count,
            "mean": self.mean,
            "iqm": self.iqm,
            "iqm_ci95": list(self.ci95) if self.ci95 is not None else None,
        }


@dataclass(frozen=True)
class Improvement:
    """How probably a seed of one group beats a seed of another; ``ci95`` is None of fewer than two seeds on a side."""

    probability: float
    ci95: Interval | None

    def to_dict(self) -> dict[str, object]:
        return {"probability": self.probability, "ci95": list(self.ci95) if self.ci95 is not None else None}


def aggregate(*strata: Sequence[float]) -> Aggregate:
    """Mean, interquartile mean and its bootstrap interval of the scores of one task, or of several tasks.

    Raises:
        ValueError: there is no score, or one that is not finite.
    """
    scores = np.concatenate([_scores(s) for s in strata]) if strata else np.array([])
    if not scores.size:
        raise ValueError("an aggregate needs at least one score")
    ci95 = bootstrap_interval(strata, interquartile_mean) if min(map(len, strata)) >= 2 else None
    return Aggregate(scores.size, float(scores.mean()), float(interquartile_mean(scores)), ci95)


def interquartile_mean(scores: ArrayLike) -> NDArray[np.float64]:
    """Mean over the last axis of what is left when a quarter is cut off at both ends, (..., N) -> (...).

    A quarter is N // 4 scores, as in rliable (scipy.stats.trim_mean(scores, 0.25)): up to three scores it is the mean.
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64), axis=-1)
    count = ordered.shape[-1]
    cut = count // 4
    return ordered[..., cut : count - cut].mean(-1)


def bootstrap_interval(strata: Strata, statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Interval:
    """Percentile interval of ``statistic`` over resamples that draw from each task's scores by themselves.

    Args:
        statistic: (R, N) resampled scores of all tasks, one resample a row -> (R,).
    """
    rng = np.random.default_rng(_SEED)
    drawn = [rng.choice(_scores(s), (RESAMPLES, len(s))) for s in strata]
    return _percentiles(statistic(np.concatenate(drawn, axis=1)))


def improvement(x: Sequence[float], y: Sequence[float]) -> Improvement:
    """Probability that a score of ``x`` is greater than one of ``y``, a tie counting half, and its interval.

    The statistic of Mann and Whitney (1947) over the number of pairs; both sides are resampled.
    """
    a, b = _scores(x), _scores(y)
    wins = (a[:, None] > b) + 0.5 * (a[:, None] == b)
    ci95 = None
    if min(len(a), len(b)) >= 2:
        rng = np.random.default_rng(_SEED)
        # How often each score is drawn is all that a resample changes.
        of_a, of_b = (rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n for n in (len(a), len(b)))
        ci95 = _percentiles(((of_a @ wins) * of_b).sum(1))
    return Improvement(float(wins.mean()), ci95)


def _percentiles(values: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(values, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def _scores(values: Sequence[float]) -> NDArray[np.float64]:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or not scores.size or not np.isfinite(scores).all():
        raise ValueError(f"scores must be finite numbers, at least one; got {list(values)}")
    return scores
