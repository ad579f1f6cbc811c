"""When a run looks at its policy and keeps one."""

import pytest

from vbot.intervals import Intervals

UPDATE = 1_000
"""Control steps per update of these imagined runs."""


def due_at(budget: int, interval: int | None, default_parts: int, least_parts: int) -> list[int]:
    intervals = Intervals(interval, default_parts=default_parts, least_parts=least_parts)
    steps = range(UPDATE, budget + UPDATE, UPDATE)
    return [s for s in steps if intervals.due(s, min(1.0, s / budget))]


@pytest.mark.parametrize("interval", [None, 1, 7_000, 40_000, 10**9])
def test_checkpoints_come_at_least_five_times_whatever_the_interval(interval):
    due = due_at(100_000, interval, default_parts=8, least_parts=5)
    assert len(due) >= 5
    assert due[-1] == 100_000


def test_an_interval_is_kept_to():
    assert due_at(100_000, 30_000, default_parts=16, least_parts=1) == [30_000, 60_000, 90_000, 100_000]


def test_by_default_the_budget_is_cut_into_equal_parts():
    assert due_at(100_000, None, default_parts=4, least_parts=1) == [25_000, 50_000, 75_000, 100_000]
