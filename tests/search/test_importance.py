"""Importance: real effects are found, chance is not."""

import numpy as np
import pytest

from vbot.ranges import Choice, Uniform
from vbot.search.importance import importance
from vbot.search.sampler import Trial
from vbot.search.space import Parameter, Space

SPACE = Space(
    (
        *(Parameter(f"ppo.x{i}", Uniform(0.0, 1.0), 0.5) for i in range(5)),
        Parameter("ppo.kind", Choice("a", "b", "c"), "a"),
    )
)


def trials(objective, n: int = 40, seed: int = 0) -> list[Trial]:
    rng = np.random.default_rng(seed)
    points = [SPACE.sample(rng) for _ in range(n)]
    return [Trial(p, SPACE.units(p), "known", float(objective(p) + 0.05 * rng.standard_normal())) for p in points]


def by_key(found):
    return {f.key: f for f in found}


def test_a_rising_effect_has_its_sign_and_its_place():
    found = importance(SPACE, trials(lambda p: -p["ppo.x1"]))
    assert found[0].key == "ppo.x1"
    assert found[0].correlation == pytest.approx(-0.98, abs=0.03)
    assert [f.told for f in found] == [True, *[False] * 5]


def test_a_best_value_in_the_middle_is_an_effect_without_correlation():
    found = by_key(importance(SPACE, trials(lambda p: -((p["ppo.x2"] - 0.5) ** 2) * 4)))["ppo.x2"]
    assert found.told
    assert abs(found.correlation) < 0.35
    assert found.share > 0.6


def test_an_unordered_choice_is_judged_by_its_means():
    found = by_key(importance(SPACE, trials(lambda p: {"a": 0, "b": 1, "c": 0}[p["ppo.kind"]])))["ppo.kind"]
    assert found.told
    assert found.correlation is None


def test_chance_is_called_an_effect_in_one_search_of_twenty_at_most():
    said = [any(f.told for f in importance(SPACE, trials(lambda p: 0.0, 15, s), s)) for s in range(40)]
    assert sum(said) <= 6  # of 40, two expected; more than six in one case of 200


def test_too_few_trials_say_nothing():
    assert importance(SPACE, trials(lambda p: p["ppo.x0"], 9)) is None
    assert importance(SPACE, [Trial(t.values, t.units, "known", 1.0) for t in trials(lambda p: 0.0, 20)]) is None


def test_a_parameter_that_never_varied_explains_nothing():
    fixed = [Trial(t.values, np.append(0.5, t.units[1:]), "known", t.objective) for t in trials(lambda p: p["ppo.x1"])]
    found = by_key(importance(SPACE, fixed))["ppo.x0"]
    assert (found.share, found.correlation, found.told) == (0.0, None, False)
