"""Which policy of a run is its best."""

import random

import pytest

from vbot.choice import choose, finalists, winner


def evaluations(*rows: tuple[int, float | None]) -> list[dict]:
    """Successes out of 256, and the time to the target in s; the steps are 1, 2, 3..."""
    return [
        {"steps": steps, "episodes": 256, "success_rate": successes / 256, "time_to_target_s": time_s}
        for steps, (successes, time_s) in enumerate(rows, 1)
    ]


def into_the_final(*rows: tuple[int, float | None]) -> list[int]:
    return [e["steps"] for e in finalists(evaluations(*rows))]


def test_finalists_are_those_that_the_best_may_be_among():
    # 256 of 256 have a 95 % interval from 256 / (256 + 1.96^2) = 0.98522, which is 252.2 of 256.
    assert into_the_final((256, 9.0), (252, 5.0), (253, 5.0)) == [1, 3]
    # The middle of 128 of 256 is a half, and half the width of the interval
    # 1.96 / (1 + 1.96^2 / 256) sqrt(1/4 / 256 + 1.96^2 / (4 * 256^2)) = 0.0608: it begins at 112.4 of 256.
    assert into_the_final((128, 9.0), (112, 5.0), (113, 5.0)) == [1, 3]


def test_finalists_are_four_at_most_success_before_time_and_the_first_of_equals():
    assert into_the_final((255, 4.0), (256, 5.0), (255, 4.0), (256, 4.5), (254, 3.0)) == [4, 2, 1, 3]


def test_where_nobody_succeeds_there_is_nothing_to_choose():
    assert into_the_final() == []
    assert into_the_final((0, None), (0, 4.0), (0, 4.0)) == [2]
    assert into_the_final((0, None), (1, 9.0)) == [2]


@pytest.mark.parametrize("seed", range(5))
def test_who_is_no_finalist_can_be_forgotten(seed):
    """A run keeps the policies of its finalists only, and comes to the same as one look at all of its evaluations."""
    generator = random.Random(seed)
    rows = evaluations(*((generator.randint(236, 256), generator.uniform(4, 9)) for _ in range(60)))
    kept = []
    for k, row in enumerate(rows, 1):
        kept = finalists([*kept, row])
        assert kept == finalists(rows[:k])


def test_the_winner_is_the_quickest_of_those_that_chance_may_part():
    # Wilson's interval with z = sqrt(2) begins at n / (n + 2) = 256/258 = 0.99225 for 256 of 256: 255 are within it
    # (0.9961), 254 are not (0.9922).
    def won(*rows: tuple[int, float | None]) -> int:
        return winner(evaluations(*rows))["steps"]

    assert won((256, 9.0), (255, 5.0)) == 2
    assert won((256, 9.0), (254, 5.0)) == 1
    assert won((255, 5.0), (256, 5.0)) == 2
    assert won((0, None), (0, None)) == 1


def test_finalists_are_judged_anew_and_one_alone_is_not():
    """The judge's word counts, not the order; each finalist is looked at once."""
    asked = []

    def judge(name: str) -> dict:
        asked.append(name)
        return {"episodes": 512, "success_rate": {"lucky": 0.9, "good": 1.0}[name], "time_to_target_s": 5.0}

    assert choose(["lucky", "good"], judge) == "good"
    assert asked == ["lucky", "good"]
    assert choose(["lucky"], judge) == "lucky"
    assert asked == ["lucky", "good"]
