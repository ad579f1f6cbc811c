"""How well a proportion is known."""

import math

Z95 = 1.959964
"""Standard deviations to either side of the mean that hold 95 % of a normal distribution."""


def wilson_interval(successes: int, trials: int, z: float = Z95) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927), by default at 95 %."""
    p, zz = successes / trials, z * z / trials
    middle = (p + zz / 2) / (1 + zz)
    half = z / (1 + zz) * math.sqrt(p * (1 - p) / trials + zz / (4 * trials))
    # The proportion itself is within, which rounding would forget of none and of all.
    return min(p, max(0.0, middle - half)), max(p, min(1.0, middle + half))
