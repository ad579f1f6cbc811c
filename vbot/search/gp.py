"""Bayesian optimisation: a Gaussian process over the cube, and the expected improvement under it.

Matern 5/2 kernel with a length per axis (Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006,
chapters 4 and 5), most probable lengths and noise under log-normal priors. The noise is fitted so that a lucky trial
does not pass for a good one; the prior keeps a dozen trials from being explained by whatever fits them best.

The mean is a bowl around the middle of the cube, as steep as the trials say (ibid., section 2.7). Almost all of a cube
of a dozen axes lies at its walls, where a model without it is least certain and so sends most of a short search; but
ranges are drawn around what is plausible. ``benchmarks/samplers.py`` judges it by optima anywhere in the cube.
"""

import math

import numpy as np
import torch

from vbot.search.sampler import Sampler
from vbot.search.space import Space, Values

DESIGN = 4
"""Trials of a Latin hypercube, after the first ones, before the model is asked."""

LOG_LENGTH, LOG_LENGTH_SD = -0.75, 1.0
"""Prior of the logarithm of a length, in widths of the cube. Much longer ones send every trial into the corners."""
LOG_NOISE, LOG_NOISE_SD = math.log(0.1), 1.0
"""Prior of the logarithm of the noise's variance, that of the objectives being 1."""

BOWL, BOWL_SD = 0.3, 0.3
"""Prior of the bowl's height: its standard deviation over the cube, that of the objectives being 1."""

_FIT_STEPS, _FIT_RATE = 60, 0.1
_JITTER = 1e-6


class GaussianProcess:
    """A posterior given points and standardised objectives.

    Args:
        x: (N, D) points of the cube.
        y: (N,) objectives.
        unordered: (D,) bool; on these axes values are the same or not, no two are nearer than others.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, unordered: np.ndarray) -> None:
        self._x, self._unordered = x, unordered
        self._mean, self._scale = float(y.mean()), float(y.std()) or 1.0
        bowl = self._bowl_at(x)
        self._bowl_mean = float(bowl.mean())  # the objectives are relative to theirs, too
        self._bowl = bowl - self._bowl_mean
        self._y = (y - self._mean) / self._scale - BOWL * self._bowl
        self._fit()

    def predict(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (M,) of the objective without its noise at ``x`` (M, D)."""
        bowl = self._bowl_at(x) - self._bowl_mean
        k = _matern(self._squares(x) @ self.lengths**-2)[0] + BOWL_SD**2 * np.outer(bowl, self._bowl)
        mean = BOWL * bowl + k @ self._weights
        variance = 1.0 + BOWL_SD**2 * bowl**2 - np.einsum("mn,nk,mk->m", k, self._precision, k, optimize=True)
        return self._mean + self._scale * mean, self._scale * np.sqrt(np.maximum(variance, 1e-12))

    def _bowl_at(self, x: np.ndarray) -> np.ndarray:
        """Minus the squared distance from the middle (N,), of standard deviation 1 over the cube."""
        axes = np.flatnonzero(~self._unordered)
        # Of one axis the variance is 1/80 - 1/144 = 1/180.
        return -((x[:, axes] - 0.5) ** 2).sum(1) / math.sqrt(max(len(axes), 1) / 180)

    def _squares(self, x: np.ndarray) -> np.ndarray:
        """(M, N, D) squared distances by axis."""
        squares = (x[:, None, :] - self._x[None, :, :]) ** 2
        squares[:, :, self._unordered] = 0.25 * (squares[:, :, self._unordered] > 0)
        return squares

    def _fit(self) -> None:
        """Most probable lengths and noise, by Adam (Kingma & Ba 2015) on the analytic gradient of their logarithms."""
        n, d = self._x.shape
        squares = self._squares(self._x)
        fixed = BOWL_SD**2 * np.outer(self._bowl, self._bowl) + _JITTER * np.eye(n)
        prior = np.append(np.full(d, LOG_LENGTH), LOG_NOISE)
        spread = np.append(np.full(d, LOG_LENGTH_SD), LOG_NOISE_SD)
        theta, momentum, power = prior.copy(), np.zeros(d + 1), np.zeros(d + 1)
        for step in range(1, _FIT_STEPS + 1):
            inverse_squares, noise = np.exp(-2 * theta[:-1]), math.exp(theta[-1])
            kernel, slope = _matern(squares @ inverse_squares)
            precision = np.linalg.inv(kernel + noise * np.eye(n) + fixed)
            weights = precision @ self._y
            # Twice d(log likelihood)/dK; dK/d(log length) = -2 slope * squares / length^2, dK/d(log noise) = noise I.
            outer = np.outer(weights, weights) - precision
            gradient = np.append(-np.einsum("nm,nmd->d", outer * slope, squares) * inverse_squares, 0.0)
            gradient[-1] = 0.5 * noise * np.trace(outer)
            gradient -= (theta - prior) / spread**2
            momentum = 0.9 * momentum + 0.1 * gradient
            power = 0.99 * power + 0.01 * gradient**2
            rate = _FIT_RATE * min(1.0, 2 * (1 - step / (_FIT_STEPS + 1)))
            theta += rate * (momentum / (1 - 0.9**step)) / (np.sqrt(power / (1 - 0.99**step)) + 1e-9)
        self.lengths, self.noise = np.exp(theta[:-1]), math.exp(theta[-1])
        kernel, _ = _matern(squares @ self.lengths**-2)
        self._precision = np.linalg.inv(kernel + self.noise * np.eye(n) + fixed)
        self._weights = self._precision @ self._y


def _matern(squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matern 5/2 of squared distances, and its derivative by them."""
    root = np.sqrt(5 * squares)
    decay = np.exp(-root)
    return (1 + root + root**2 / 3) * decay, -5 / 6 * (1 + root) * decay


def expected_improvement(mean: np.ndarray, sd: np.ndarray, best: float) -> np.ndarray:
    """E[max(f - best, 0)] for f normal; all (M,)."""
    z = (mean - best) / sd
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return sd * (z * torch.special.ndtr(torch.from_numpy(z)).numpy() + density)


class GPSampler(Sampler):
    """A Latin hypercube, then the point of largest expected improvement."""

    TRIES = 3  # a proposal is new wherever a new one was among its candidates

    def __init__(self, space: Space, seed: int = 0) -> None:
        super().__init__(space, seed)
        self._unordered = np.array([not p.ordered for p in space.parameters])
        rng = np.random.default_rng([seed, 0, 1])  # a stream that no trial has
        strata = np.array([rng.permutation(DESIGN) for _ in space.parameters]).T
        self._design = (strata + rng.random((DESIGN, len(space)))) / DESIGN

    def _propose(self, rng: np.random.Generator) -> Values | None:
        place = len(self.trials) - len(self._firsts)
        if 0 <= place < DESIGN:
            values = self.space.values(self._design[place])
            return values if self._is_new(values) else self.space.sample(rng)
        known = self.known()
        if len(known) < 2:
            return self.space.sample(rng)
        model, best = self._model()
        candidates, score = self._search(model, best, rng)
        for i in np.argsort(-score):
            values = self.space.values(candidates[i])
            if self._is_new(values):
                return values
        return self.space.sample(rng)

    def _model(self) -> tuple[GaussianProcess, float]:
        """The posterior, and its mean at the best trial so far: not the best objective, which was partly luck."""
        known = self.known()
        x = np.array([t.units for t in known])
        y = np.array([t.objective for t in known], float)
        # Diverged trials count as the worst seen.
        bad = [t.units for t in self.trials if t.state == "infeasible"]
        if bad:
            x, y = np.vstack([x, bad]), np.append(y, np.full(len(bad), y.min()))
        model = GaussianProcess(x, y, self._unordered)
        best = float(model.predict(x)[0].max())
        pending = [t.units for t in self.trials if t.state == "pending"]
        if pending:  # believed to come out as expected, so that side-by-side trials go elsewhere
            guess, _ = model.predict(np.array(pending))
            model = GaussianProcess(np.vstack([x, pending]), np.append(y, guess), self._unordered)
        return model, best

    def _search(self, model: GaussianProcess, best: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Candidates (M, D) and their expected improvement: everywhere, then ever closer around the best of them."""
        d = len(self.space)
        points = self.space.snap(rng.random((512, d)))
        score = expected_improvement(*model.predict(points), best)
        tops = [t.units for t in sorted(self.known(), key=lambda t: -(t.objective or 0.0))[:4]]
        for sigma in (0.2, 0.1, 0.1, 0.05, 0.05, 0.02):
            parents = np.vstack([points[np.argsort(-score)[:8]], *tops])
            children = np.repeat(parents, 24, axis=0)
            # A move of one axis, of some or of all; now and then to anywhere, the only way to far cells of a choice.
            moved = rng.random(children.shape) < rng.choice([1 / d, 0.3, 1.0], (len(children), 1))
            step = children + sigma * rng.standard_normal(children.shape)
            step = np.where(rng.random(children.shape) < 0.1, rng.random(children.shape), step)
            children = self.space.snap(np.where(moved, step, children))
            points = np.vstack([points, children])
            score = np.append(score, expected_improvement(*model.predict(children), best))
        return points, score
