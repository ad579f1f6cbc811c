"""The built-in samplers that need no model, and the list of all."""

import math
from collections.abc import Callable

import numpy as np

from vbot.errors import UserError, nearest
from vbot.search.gp import GPSampler
from vbot.search.optuna_samplers import OptunaGPSampler, TPESampler
from vbot.search.sampler import Sampler
from vbot.search.space import Space, Values


class RandomSampler(Sampler):
    """Uniform in the cube."""

    def _propose(self, rng: np.random.Generator) -> Values | None:
        return self.space.sample(rng)


class GridSampler(Sampler):
    """Every combination: all values of choices, LEVELS values of what is continuous.

    In an order scattered by the seed, so that the part that a budget allows is not one corner of the grid.
    """

    LEVELS = 3

    def __init__(self, space: Space, seed: int = 0) -> None:
        super().__init__(space, seed)
        self._axes = [p.levels(self.LEVELS) for p in space.parameters]
        self._cells = math.prod(map(len, self._axes))
        # Cell (start + n * stride) mod cells: each once, for a stride without a common divisor.
        rng = np.random.default_rng([seed, 0, 1])
        self._start = int(rng.random() * self._cells)
        stride = int((0.25 + 0.5 * rng.random()) * self._cells) | 1
        while math.gcd(stride, self._cells) > 1:
            stride += 2 if self._cells % 2 == 0 else 1
        self._stride = stride

    def _propose(self, rng: np.random.Generator) -> Values | None:
        cells = (self._cell((self._start + n * self._stride) % self._cells) for n in range(self._cells))
        return next((values for values in cells if self._is_new(values)), None)

    def _cell(self, index: int) -> Values:
        values: Values = {}
        for key, axis in zip(self.space.keys, self._axes, strict=True):
            index, place = divmod(index, len(axis))
            values[key] = axis[place]
        return values


class PerturbSampler(Sampler):
    """Moves from one of the best trials so far: far ones while they improve on it, near ones when they fail.

    The step is that of the 1/5 rule (Rechenberg 1973): a success lengthens it by as much as four failures shorten it.
    A move changes a few parameters and leaves the others alone; the first trials look around before there is an
    incumbent worth staying with.
    """

    UNIFORM = 3
    """Uniform trials after the first ones."""
    INCUMBENTS = 3
    STEP, LEAST, MOST = 0.2, 0.02, 0.5
    """Standard deviation of a move in widths of the cube: at first, at least, at most."""
    GROWTH = 1.5

    def _propose(self, rng: np.random.Generator) -> Values | None:
        known = sorted(self.known(), key=lambda t: -(t.objective or 0.0))
        if len(self.trials) < len(self._firsts) + self.UNIFORM or not known:
            return self.space.sample(rng)
        # The best half of the time, the next ones for the rest: noise may have put the wrong one first.
        rank = min(int(rng.geometric(0.5)), self.INCUMBENTS, len(known)) - 1
        units = np.clip(known[rank].units, 0.0, 1.0)
        step = self.step()
        moved = rng.random(len(units)) < max(0.3, 1 / len(units))
        moved[rng.integers(len(units))] = True
        for i in map(int, np.flatnonzero(moved)):
            units[i] = self._moved(i, units[i], step, rng)
        return self.space.values(units)

    def step(self) -> float:
        """Standard deviation of the next move: what the successes and failures so far have made of it."""
        step, best = self.STEP, -math.inf
        for number, trial in enumerate(self.trials):
            improves = trial.objective is not None and trial.objective > best
            if trial.objective is not None:
                best = max(best, trial.objective)
            if number >= len(self._firsts) + self.UNIFORM and trial.state in ("known", "infeasible"):
                step *= self.GROWTH if improves else self.GROWTH**-0.25
        return min(self.MOST, max(self.LEAST, step))

    def _moved(self, axis: int, unit: float, step: float, rng: np.random.Generator) -> float:
        p = self.space.parameters[axis]
        if p.choices is None:
            # Reflected at the walls: clipping would pile the moves up on them.
            unit = abs(unit + step * rng.standard_normal()) % 2
            return 2 - unit if unit > 1 else unit
        k = len(p.choices)
        cell = min(int(unit * k), k - 1)
        if p.ordered:  # at least to the neighbour
            cells = max(1, round(abs(step * k * rng.standard_normal())))
            there = cell + cells * int(rng.choice([-1, 1]))
            if not 0 <= there < k:  # to the other side instead
                there = min(max(2 * cell - there, 0), k - 1)
        else:
            there = int(rng.integers(k))
        return (there + 0.5) / k


SAMPLERS: dict[str, Callable[[Space, int], Sampler]] = {
    "random": RandomSampler,
    "perturb": PerturbSampler,
    "grid": GridSampler,
    "gp": GPSampler,
    "tpe": TPESampler,
    "optuna-gp": OptunaGPSampler,
}


def make_sampler(name: str, space: Space, seed: int = 0) -> Sampler:
    """The sampler called ``name``.

    Raises:
        UserError: no such sampler, or the extra that it needs is not installed.
    """
    if name not in SAMPLERS:
        raise UserError(f"no sampler is named {name!r}{nearest(name, SAMPLERS)}")
    return SAMPLERS[name](space, seed)
