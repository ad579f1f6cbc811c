"""The search space: parameters by dotted configuration key, their ranges, and their place in the unit cube.

Samplers work in the cube: parameter i of a point is coordinate i of a vector (D,) in [0, 1]. Everything that leaves
this module is made of native Python values, so that it can be written to any file and compared when read back.
"""

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from vbot.errors import UserError, nearest
from vbot.keys import names_of
from vbot.ranges import Choice, LogUniform, Range, Uniform
from vbot.search.constraints import Constraint

Values = dict[str, Any]
"""A point: dotted key -> native value."""

SIGNIFICANT_DIGITS = 6
"""Of a sampled number: no finer than anyone would type, and no finer than any training could feel."""

OUTSIDE = 0.5
"""How far outside the cube a value beyond its range may be placed, in widths of the range."""

_MOST_DRAWS = 10_000


@dataclass(frozen=True)
class Parameter:
    """One searched value.

    Args:
        key: dotted key of the configuration, ``ppo.learning_rate`` or ``reward.terms.termination.scale``.
        default: the value without a search. It may lie outside the range: ranges are for sampling.
        integer: whether sampled numbers are rounded to integers.
    """

    key: str
    range: Range
    default: Any
    integer: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "default", native(self.default))
        if self.integer and not isinstance(self.range, Choice):
            if isinstance(self.range, LogUniform) and self.range.low < 0:
                raise UserError(f"{self.key} is an integer; a logarithmic range of it must be positive")
            if math.ceil(self.range.low) > math.floor(self.range.high):
                raise UserError(f"{self.key} is an integer, and {self.range} holds none")

    @property
    def short(self) -> str:
        """The name that people use: ``learning_rate``, ``termination``, ``position_tracking.sigma``."""
        return names_of(self.key)[0]

    @cached_property
    def choices(self) -> list[Any] | None:
        """The values of a choice in the order of their cells, numbers by size; None for a continuous range."""
        if not isinstance(self.range, Choice):
            return None
        values = [native(value) for value in self.range.values]
        return sorted(values) if self.ordered else values

    @property
    def ordered(self) -> bool:
        """Whether neighbours in the cube are neighbours in effect: numbers are, names and lists are not."""
        return not isinstance(self.range, Choice) or all(_is_number(native(v)) for v in self.range.values)

    def value(self, unit: float) -> Any:
        """The native value at ``unit`` in [0, 1]; a choice of k values has k cells of equal width."""
        unit = min(1.0, max(0.0, float(unit)))
        if self.choices is not None:
            return native(self.choices[min(int(unit * len(self.choices)), len(self.choices) - 1)])
        low, high = self._bounds
        number = self._from_axis(low + unit * (high - low))
        if self.integer:
            return min(max(round(number), math.ceil(self._low)), math.floor(self._high))
        return min(max(_rounded(number), self._low), self._high)

    def unit(self, value: Any) -> float:
        """Place of ``value``, the inverse of ``value()``.

        A value outside the range keeps its direction and its distance, up to OUTSIDE; of a choice, a number that is
        not listed lies between its neighbours or half a cell outside, and anything else half a cell above the top.
        """
        if self.choices is not None:
            return self._cell(native(value)) / len(self.choices)
        low, high = self._bounds
        if isinstance(self.range, LogUniform) and value * self._low <= 0:  # on the other side of 0: past the small end
            axis = -math.inf if abs(self._low) < abs(self._high) else math.inf
            place = axis
        else:
            place = (self._to_axis(value) - low) / (high - low)
        return min(1 + OUTSIDE, max(-OUTSIDE, place))

    def _cell(self, value: Any) -> float:
        cells = self.choices or []
        if value in cells:
            return cells.index(value) + 0.5
        if self.ordered and _is_number(value):
            below = sum(v < value for v in cells)
            return -0.5 if below == 0 else float(below) if below < len(cells) else len(cells) + 0.5
        return len(cells) + 0.5

    def levels(self, count: int | None = None) -> list[Any]:
        """All values of a choice, or ``count`` values of a continuous range, equally far apart, its ends among them."""
        if self.choices is not None:
            return list(self.choices)
        if count is None:
            raise ValueError(f"{self.key} has no end of values; say how many")
        return list(dict.fromkeys(self.value(unit) for unit in np.linspace(0.0, 1.0, count)))

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is one that the search can sample."""
        return native(value) in self.range and (not self.integer or value == int(value))

    @property
    def _low(self) -> float:
        return float(self.range.low)  # type: ignore[union-attr]

    @property
    def _high(self) -> float:
        return float(self.range.high)  # type: ignore[union-attr]

    @cached_property
    def _bounds(self) -> tuple[float, float]:
        return self._to_axis(self._low), self._to_axis(self._high)

    def _to_axis(self, value: float) -> float:
        """Where values are uniform: the logarithm of the magnitude, with the sign that keeps the order."""
        if isinstance(self.range, Uniform):
            return float(value)
        return math.copysign(1.0, self._low) * math.log(abs(value))

    def _from_axis(self, axis: float) -> float:
        if isinstance(self.range, Uniform):
            return axis
        sign = math.copysign(1.0, self._low)
        return sign * math.exp(sign * axis)


@dataclass(frozen=True)
class Space:
    """Parameters, the constraints on them, and the values of everything that is not searched.

    Args:
        constraints: each drops the samples that it is true for.
        settings: dotted key -> value of the configuration without a search; constraints may name these too.
        fixed: dotted key -> value that every trial sets, the defaults among them.
        prior: dotted key -> the value that a space file believes in; together they are one early trial.
        starts: points to try after it.
    """

    parameters: tuple[Parameter, ...]
    constraints: tuple[Constraint, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    prior: Mapping[str, Any] = field(default_factory=dict)
    starts: tuple[Values, ...] = ()

    def __post_init__(self) -> None:
        if not self.parameters:
            raise UserError("the search space is empty: nothing to search")
        self._drops(self.defaults())  # mistakes in names and types show before anything starts

    def __len__(self) -> int:
        return len(self.parameters)

    @property
    def keys(self) -> list[str]:
        return [p.key for p in self.parameters]

    def defaults(self) -> Values:
        """The point of the defaults as they are, inside their ranges or not: the first trial of every search."""
        return {p.key: native(p.default) for p in self.parameters}

    def firsts(self) -> list[Values]:
        """What is tried before a sampler is asked: the defaults, the prior where there is one, the starts."""
        points = [self.defaults()]
        if self.prior:
            points.append({**points[0], **{key: native(value) for key, value in self.prior.items()}})
        points += self.starts
        return [point for i, point in enumerate(points) if point not in points[:i]]

    def notices(self) -> list[str]:
        """What a user should know of this space: a line for each default that the search itself would not sample."""
        return [
            f"{p.key}: the default {p.default} is not in its range {p.range}; "
            "trial 0 uses it as it is, the search stays in the range"
            for p in self.parameters
            if not p.holds(p.default)
        ]

    def values(self, units: np.ndarray) -> Values:
        """The point at ``units`` (D,)."""
        return {p.key: p.value(u) for p, u in zip(self.parameters, units, strict=True)}

    def units(self, values: Mapping[str, Any]) -> np.ndarray:
        """Place (D,) of a point; outside [0, 1] where a value is outside its range."""
        return np.array([p.unit(values[p.key]) for p in self.parameters])

    def snap(self, units: np.ndarray) -> np.ndarray:
        """Points (N, D) moved into the cube, and on an axis of choices to the middle of their cell."""
        units = np.clip(units, 0.0, 1.0)
        for i, p in enumerate(self.parameters):
            if p.choices is not None:
                k = len(p.choices)
                units[:, i] = (np.minimum(np.floor(units[:, i] * k), k - 1) + 0.5) / k
            elif p.integer:
                units[:, i] = [p.unit(p.value(u)) for u in units[:, i]]
        return units

    def allowed(self, values: Mapping[str, Any]) -> bool:
        """Whether no constraint drops the point."""
        return not self._drops(values)

    def sample(self, rng: np.random.Generator) -> Values:
        """An allowed point, uniform in the cube.

        Raises:
            UserError: the constraints leave next to nothing.
        """
        for _ in range(_MOST_DRAWS):
            values = self.values(rng.random(len(self)))
            if self.allowed(values):
                return values
        raise UserError(f"the constraints drop every one of {_MOST_DRAWS:,} samples; loosen them")

    @property
    def size(self) -> float:
        """Number of points before constraints; infinite with a continuous parameter."""
        return math.prod(len(p.choices) if p.choices is not None else math.inf for p in self.parameters)

    def points(self) -> Iterator[Values]:
        """Every point of a finite space, those that a constraint drops among them."""
        for combination in itertools.product(*(p.levels() for p in self.parameters)):
            yield dict(zip(self.keys, map(native, combination), strict=True))

    @cached_property
    def _names(self) -> dict[str, str]:
        """Name that a constraint uses -> the key it means; a searched parameter wins over a setting."""
        known: dict[str, str] = {}
        for key in (*self.settings, *self.fixed, *self.keys):
            known.update(dict.fromkeys(names_of(key), key))
        used = {name for constraint in self.constraints for name in constraint.names}
        for constraint in self.constraints:
            for name in sorted(constraint.names - known.keys()):
                raise UserError(f"constraint {constraint.text!r}: unknown parameter {name!r}{nearest(name, known)}")
        return {name: known[name] for name in sorted(used)}

    def _drops(self, values: Mapping[str, Any]) -> bool:
        everything = {**self.settings, **self.fixed, **values}
        named = {name: everything[key] for name, key in self._names.items()}
        return any(constraint.drops(named) for constraint in self.constraints)


def identity(values: Mapping[str, Any]) -> str:
    """The same text for the same point, whatever the order of its keys; 1 and 1.0 are the same value."""
    plain = {key: float(v) if _is_number(v) else v for key, v in values.items()}
    return json.dumps(plain, sort_keys=True)


def native(value: Any) -> Any:
    """``value`` as a plain Python value: numpy numbers as float or int, tuples as lists."""
    if isinstance(value, (np.generic, np.ndarray)):
        return native(value.tolist())
    if isinstance(value, (list, tuple)):
        return [native(v) for v in value]
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _rounded(number: float) -> float:
    return float(f"{number:.{SIGNIFICANT_DIGITS}g}")
