"""What every sampler is: it is asked for points, told what came of them, and derives all else from that.

A sampler keeps no random state. The stream of the n-th question depends on the seed and n alone, and everything else
on the trials asked and told so far; so a search that is read back from its journal goes on as if it had never stopped.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vbot.errors import UserError
from vbot.search.space import Space, Values, identity, native

_ENUMERABLE = 100_000
"""Points of a space that can be listed to find the last ones."""


@dataclass
class Trial:
    """A point that was asked for or added, and what is known of it.

    ``pending``: no news yet. ``known``: it has an objective, the larger the better. ``infeasible``: it diverged, and
    its neighbours may. ``lost``: it crashed for reasons of its own and says nothing of the point.
    """

    values: Values
    units: np.ndarray
    """(D,); outside [0, 1] where a value is outside its range."""
    state: Literal["pending", "known", "infeasible", "lost"] = "pending"
    objective: float | None = None


class Sampler(ABC):
    """Proposes points of a space; subclasses implement ``_propose``.

    Args:
        space: where to search.
        seed: of the random stream.
    """

    TRIES = 100
    """Proposals in a row that may be seen or dropped before a uniform point is taken instead."""

    def __init__(self, space: Space, seed: int = 0) -> None:
        self.space = space
        self.seed = seed
        self.trials: list[Trial] = []
        self._seen: set[str] = set()
        self._firsts = space.firsts()

    def ask(self) -> Values | None:
        """The point of the next trial, whose number is ``len(trials)`` before the call; None when none is left.

        First the defaults as they are, then the space's prior and its starts; afterwards points in range that no
        constraint drops. No point comes twice.
        """
        values = self._next()
        if values is not None:
            self.add(values)
        return values

    def add(self, values: Mapping[str, Any]) -> int:
        """Take note of a trial that was asked for before, of a resumed search or another one; gives its number.

        Raises:
            UserError: the point is of another space.
        """
        if set(values) != set(self.space.keys):
            other = sorted(set(values) ^ set(self.space.keys))
            raise UserError(f"a trial of another search space: {', '.join(other)} is in only one of them")
        values = {key: native(values[key]) for key in self.space.keys}
        self.trials.append(Trial(values, self.space.units(values)))
        self._seen.add(identity(values))
        return len(self.trials) - 1

    def skip(self, points: Iterable[Mapping[str, Any]]) -> None:
        """Never ask for these, unless they are the defaults: they were run before, outside of this search."""
        defaults, *others = self._firsts
        self._seen |= {identity(point) for point in points} - {identity(defaults)}
        self._firsts = [defaults, *(point for point in others if identity(point) not in self._seen)]

    def tell(self, number: int, objective: float | None = None, *, infeasible: bool = False) -> None:
        """What came of trial ``number``: an objective, or that it diverged, or (neither) nothing that tells anything.

        Raises:
            ValueError: the objective is not finite, it comes with ``infeasible``, or the trial was told before.
        """
        trial = self.trials[number]
        if trial.state != "pending":
            raise ValueError(f"trial {number} was told before: {trial.state}")
        if objective is not None and (infeasible or not math.isfinite(objective)):
            raise ValueError(f"trial {number}: an objective is a finite number of a feasible trial; got {objective}")
        if objective is not None:
            trial.state, trial.objective = "known", float(objective)
        else:
            trial.state = "infeasible" if infeasible else "lost"

    def known(self) -> list[Trial]:
        """Trials with an objective, in order."""
        return [t for t in self.trials if t.state == "known"]

    @abstractmethod
    def _propose(self, rng: np.random.Generator) -> Values | None:
        """A point to try, if seen or dropped by a constraint then asked for again; None ends the search."""

    def _next(self) -> Values | None:
        for first in self._firsts:
            if identity(first) not in self._seen:
                return first
        rng = np.random.default_rng([self.seed, len(self.trials)])
        for _ in range(self.TRIES):
            values = self._propose(rng)
            if values is None or self._is_new(values):
                return values
        return self._any_other(rng)

    def _is_new(self, values: Mapping[str, Any]) -> bool:
        return identity(values) not in self._seen and self.space.allowed(values)

    def _any_other(self, rng: np.random.Generator) -> Values | None:
        """A new uniform point, found by listing where the space is small."""
        if self.space.size <= _ENUMERABLE:
            left = [values for values in self.space.points() if self._is_new(values)]
            return left[rng.integers(len(left))] if left else None
        while True:
            values = self.space.sample(rng)
            if identity(values) not in self._seen:
                return values
