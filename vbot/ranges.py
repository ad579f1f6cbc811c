"""Search ranges: what a reward scale, a term's parameter or a PPO hyperparameter may be searched over."""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Uniform:
    """Every value in ``[low, high]``, equally likely."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_bounds(self)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"

    def __contains__(self, value: Any) -> bool:
        return _is_number(value) and self.low <= value <= self.high


@dataclass(frozen=True)
class LogUniform:
    """Values in ``[low, high]`` with a uniform logarithm of the magnitude.

    Both bounds have the same sign and neither is 0, so a penalty's ``LogUniform(-1e-3, -1e-6)`` is as valid as
    a learning rate's ``LogUniform(1e-5, 1e-3)``.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_bounds(self)
        if self.low * self.high <= 0:
            raise ValueError(f"LogUniform needs two bounds of the same sign, neither 0; got {self.low}, {self.high}")

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}, logarithmic"

    def __contains__(self, value: Any) -> bool:
        return _is_number(value) and self.low <= value <= self.high


@dataclass(frozen=True, init=False)
class Choice:
    """One of the listed values, equally likely; a list value is kept as a tuple."""

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        if not values:
            raise ValueError("Choice needs at least one value; got none")
        object.__setattr__(self, "values", tuple(_frozen(v) for v in values))

    def __str__(self) -> str:
        return "one of " + ", ".join(str(list(v) if isinstance(v, tuple) else v) for v in self.values)

    def __contains__(self, value: Any) -> bool:
        return _frozen(value) in self.values


Range = Uniform | LogUniform | Choice


def ends(range_: Range) -> tuple[Any, ...]:
    """The bounds of a range, or all values of a choice: what must be lawful for every value in it to be."""
    return range_.values if isinstance(range_, Choice) else (range_.low, range_.high)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check_bounds(r: Uniform | LogUniform) -> None:
    if not (_is_number(r.low) and _is_number(r.high) and r.low < r.high):
        raise ValueError(f"{type(r).__name__} needs two finite numbers with low < high; got {r.low}, {r.high}")
