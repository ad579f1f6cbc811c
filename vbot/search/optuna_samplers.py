"""Optuna's samplers behind the same interface; they need the extra: ``pip install "vbot[optuna]"``.

Optuna sees a continuous parameter as its coordinate in the cube, and a choice as the number of its cell. Each question
gets a fresh study that is told all earlier trials, so that here too nothing but seed and trials counts.
"""

import warnings
from abc import abstractmethod
from typing import Any

import numpy as np

from vbot.errors import UserError
from vbot.search.sampler import Sampler, Trial
from vbot.search.space import Parameter, Space, Values


class OptunaSampler(Sampler):
    """A sampler of Optuna's; subclasses name it.

    Raises:
        UserError: Optuna, or what the sampler needs besides, is not installed.
    """

    TRIES = 10  # each is a model fitted anew

    def __init__(self, space: Space, seed: int = 0) -> None:
        super().__init__(space, seed)
        try:
            import optuna

            self._optuna: Any = optuna
            self._make(0)
        except ImportError as error:
            raise UserError(
                f'this sampler needs {error.name}: pip install "vbot[optuna]", or take --sampler gp'
            ) from None
        self._axes = {p.key: self._axis(p) for p in space.parameters}

    @abstractmethod
    def _make(self, seed: int) -> Any:
        """The Optuna sampler."""

    def _propose(self, rng: np.random.Generator) -> Values | None:
        optuna = self._optuna
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                study = optuna.create_study(direction="maximize", sampler=self._make(int(rng.integers(2**31))))
                study.add_trials([self._told(t) for t in self.trials if t.state in ("known", "infeasible")])
                place = study.ask(self._axes).params
        finally:
            optuna.logging.set_verbosity(verbosity)
        units = [
            place[p.key] if p.choices is None else (place[p.key] + 0.5) / len(p.choices) for p in self.space.parameters
        ]
        return self.space.values(np.array(units))

    def _axis(self, parameter: Parameter) -> Any:
        distributions = self._optuna.distributions
        if parameter.choices is None:
            return distributions.FloatDistribution(0.0, 1.0)
        cells = len(parameter.choices)
        if parameter.ordered:
            return distributions.IntDistribution(0, cells - 1)
        return distributions.CategoricalDistribution(range(cells))

    def _told(self, trial: Trial) -> Any:
        """A trial as Optuna keeps it. It has no place outside the range: the nearest inside stands for it."""
        inside = self.space.snap(np.clip(trial.units[None], 0.0, 1.0))[0]
        params: dict[str, float | int] = {}
        for p, unit in zip(self.space.parameters, inside, strict=True):
            params[p.key] = float(unit) if p.choices is None else int(unit * len(p.choices))
        # What diverged is as bad as the worst: Optuna leaves failed trials out of its models.
        worst = min((t.objective for t in self.known() if t.objective is not None), default=0.0)
        objective = worst if trial.state == "infeasible" else trial.objective
        return self._optuna.trial.create_trial(params=params, distributions=self._axes, value=objective)


class TPESampler(OptunaSampler):
    """Tree-structured Parzen estimator, multivariate."""

    def _make(self, seed: int) -> Any:
        return self._optuna.samplers.TPESampler(seed=seed, multivariate=True)


class OptunaGPSampler(OptunaSampler):
    """Optuna's Gaussian process; it needs scipy besides."""

    TRIES = 2  # asked again, with another seed, it nearly always answers the same

    def _make(self, seed: int) -> Any:
        import scipy  # noqa: F401  Optuna imports it only when asked for a point

        return self._optuna.samplers.GPSampler(seed=seed)
