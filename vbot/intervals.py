"""When a run looks at its policy, and when it keeps one."""

import math


class Intervals:
    """Every ``interval`` steps if given, and at every one of equal parts of the budget."""

    def __init__(self, interval: int | None, *, default_parts: int, least_parts: int) -> None:
        self._interval = interval
        self._parts = default_parts if interval is None else least_parts
        self.done = [0, 0]

    def due(self, steps: int, progress: float) -> bool:
        """Whether a new interval or part has begun since the last call; ``progress`` is the share of the budget."""
        now = [steps // self._interval if self._interval else 0, math.floor(progress * self._parts + 1e-9)]
        before, self.done = self.done, now
        return now != before
