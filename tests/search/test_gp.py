"""The Gaussian process: its posterior against an independent calculation, and what its sampler does with it."""

import math

import numpy as np
import pytest

from vbot.ranges import Choice, Uniform
from vbot.search.gp import GaussianProcess, GPSampler, expected_improvement
from vbot.search.space import Parameter, Space

NO_CHOICE = np.zeros(2, bool)


def data(n: int = 30, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.random((n, 2))
    return x, 5 + 3 * np.sin(3 * x[:, 0]) + noise * rng.standard_normal(n)


def test_expected_improvement_is_the_integral():
    mean, sd, best = 0.3, 0.7, 0.5
    f = np.linspace(mean - 10 * sd, mean + 10 * sd, 200_001)
    density = np.exp(-0.5 * ((f - mean) / sd) ** 2) / (sd * math.sqrt(2 * math.pi))
    expected = (np.maximum(f - best, 0) * density).sum() * (f[1] - f[0])
    assert expected_improvement(np.array([mean]), np.array([sd]), best)[0] == pytest.approx(expected, rel=1e-4)
    # Certain: what lies above.
    assert expected_improvement(np.array([2.0]), np.array([1e-9]), 0.5)[0] == pytest.approx(1.5)


def test_it_interpolates_what_has_no_noise_and_finds_the_axis_that_matters():
    x, y = data()
    model = GaussianProcess(x, y, NO_CHOICE)
    mean, sd = model.predict(x)
    assert np.abs(mean - y).max() < 0.3
    new = np.random.default_rng(1).random((50, 2))
    assert np.abs(model.predict(new)[0] - (5 + 3 * np.sin(3 * new[:, 0]))).max() < 0.5
    assert model.lengths[1] > 3 * model.lengths[0]
    assert model.predict(np.array([[3.0, 3.0]]))[1] > 3 * sd.max()  # far away it knows less


def test_it_tells_noise_from_signal():
    x, y = data(40)
    quiet = GaussianProcess(x, y, NO_CHOICE).noise
    x, y = data(40, noise=1.5)
    assert GaussianProcess(x, y, NO_CHOICE).noise > 5 * quiet


def test_the_fit_is_a_maximum_of_the_posterior():
    x, y = data(25, noise=0.5)
    model = GaussianProcess(x, y, NO_CHOICE)
    theta = np.append(np.log(model.lengths), math.log(model.noise))
    best = log_posterior(theta, x, y)
    for i in range(3):
        for step in (-0.3, 0.3):
            moved = theta.copy()
            moved[i] += step
            assert log_posterior(moved, x, y) < best + 1e-3


def log_posterior(theta, x, y) -> float:
    """Written out from the definition, element by element."""
    from vbot.search import gp

    n, d = x.shape
    bowl = [-sum((x[i, k] - 0.5) ** 2 for k in range(d)) / math.sqrt(d / 180) for i in range(n)]
    bowl = np.array(bowl) - np.mean(bowl)
    y = (y - y.mean()) / y.std() - gp.BOWL * bowl
    kernel = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            r = math.sqrt(sum(((x[i, k] - x[j, k]) / math.exp(theta[k])) ** 2 for k in range(d)))
            kernel[i, j] = (1 + math.sqrt(5) * r + 5 * r * r / 3) * math.exp(-math.sqrt(5) * r)
            kernel[i, j] += gp.BOWL_SD**2 * bowl[i] * bowl[j]
    kernel += math.exp(theta[-1]) * np.eye(n)
    likelihood = -0.5 * y @ np.linalg.solve(kernel, y) - 0.5 * np.linalg.slogdet(kernel)[1]
    lengths = (theta[:-1] - gp.LOG_LENGTH) / gp.LOG_LENGTH_SD
    noise = (theta[-1] - gp.LOG_NOISE) / gp.LOG_NOISE_SD
    return float(likelihood - 0.5 * (lengths**2).sum() - 0.5 * noise**2)


def test_values_without_an_order_are_the_same_or_not():
    x = np.array([[0.1], [0.5], [0.9]])
    model = GaussianProcess(x, np.array([1.0, 2.0, 4.0]), np.array([True]))
    squares = model._squares(x)[:, :, 0]
    assert (squares == 0.25 * (1 - np.eye(3))).all()


def test_without_news_the_middle_is_better_than_the_walls_and_trials_can_say_otherwise():
    rng = np.random.default_rng(0)
    x, middle, wall = rng.random((20, 6)), np.full((1, 6), 0.5), np.full((1, 6), 0.98)
    no_choice = np.zeros(6, bool)
    flat = GaussianProcess(x[:2], np.array([0.0, 1.0]), no_choice)
    assert flat.predict(middle)[0] > flat.predict(wall)[0]
    rising = GaussianProcess(x, x.sum(1), no_choice)
    assert rising.predict(middle)[0] < rising.predict(wall)[0]


def test_equal_objectives_are_no_reason_to_break():
    model = GaussianProcess(np.random.default_rng(0).random((5, 2)), np.ones(5), NO_CHOICE)
    mean, sd = model.predict(np.random.default_rng(1).random((9, 2)))
    assert np.isfinite(mean).all()
    assert np.isfinite(sd).all()


def test_a_region_that_diverges_is_left():
    """Everything above 0.5 diverges; the objective draws towards it."""
    space = Space((Parameter("ppo.x", Uniform(0.0, 1.0), 0.2), Parameter("ppo.k", Choice(1, 2), 1)))
    sampler = GPSampler(space, 0)
    for number in range(25):
        x = sampler.ask()["ppo.x"]
        sampler.tell(number, x) if x <= 0.5 else sampler.tell(number, infeasible=True)
    late = [t.values["ppo.x"] for t in sampler.trials[12:]]
    assert np.mean([x <= 0.5 for x in late]) >= 0.5
    assert max(x for x in late if x <= 0.5) > 0.4
