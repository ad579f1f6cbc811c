"""What must hold for every sampler, and what is peculiar to each."""

import importlib.util
import json

import numpy as np
import pytest

from vbot.errors import UserError
from vbot.ranges import Choice, LogUniform, Uniform
from vbot.search.constraints import Constraint
from vbot.search.sampler import Sampler
from vbot.search.samplers import SAMPLERS, PerturbSampler, make_sampler
from vbot.search.space import Parameter, Space, identity

HAS = {name: importlib.util.find_spec(name) is not None for name in ("optuna", "scipy")}
NEEDS = {"tpe": ("optuna",), "optuna-gp": ("optuna", "scipy")}

every_sampler = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.skipif(not all(HAS[m] for m in NEEDS.get(name, ())), reason="no extra"))
        for name in SAMPLERS
    ],
)

SPACE = Space(
    (
        Parameter("ppo.learning_rate", LogUniform(1e-5, 1e-3), 2e-3),  # the default is outside the range
        Parameter("ppo.rollouts", Choice(16, 24, 32, 48), 24, integer=True),
        Parameter("ppo.sizes", Choice((128, 64), (256, 128), (64, 64)), (128, 128)),
        Parameter("reward.terms.torques.scale", LogUniform(-1e-3, -1e-6), -1e-5),
        Parameter("reward.terms.alive.scale", Uniform(0.05, 0.5), 0.15),
    ),
    (Constraint("rollouts > 24 and alive > 0.4"),),
    prior={"ppo.learning_rate": 3e-4},
)
SMALL = Space((Parameter("ppo.a", Choice(1, 2, 3), 2), Parameter("ppo.b", Choice("x", "y"), "x")))


def score(values) -> float:
    """Best at a learning rate of 1e-4, alive 0.05 and rollouts 16."""
    return (
        -abs(np.log10(values["ppo.learning_rate"]) + 4)
        - values["reward.terms.alive.scale"]
        - values["ppo.rollouts"] / 48
    )


def tell(sampler: Sampler, number: int) -> None:
    """News of all kinds: mostly objectives, now and then a divergence or a crash."""
    if number % 7 == 3:
        sampler.tell(number, infeasible=True)
    elif number % 7 == 5:
        sampler.tell(number)
    else:
        sampler.tell(number, score(sampler.trials[number].values))


def search(name: str, trials: int, seed: int = 0, space: Space = SPACE) -> Sampler:
    sampler = make_sampler(name, space, seed)
    for number in range(trials):
        assert sampler.ask() is not None
        tell(sampler, number)
    return sampler


def points(sampler: Sampler) -> list:
    return [t.values for t in sampler.trials]


@every_sampler
def test_the_defaults_come_first_as_they_are_then_the_prior(name):
    first, second = points(search(name, 2))
    assert first == SPACE.defaults()
    assert second == {**first, "ppo.learning_rate": 3e-4}


@every_sampler
def test_points_are_in_range_allowed_plain_and_never_the_same(name):
    asked = points(search(name, 20))
    for values in asked[2:]:
        assert all(p.holds(values[p.key]) for p in SPACE.parameters), values
        assert SPACE.allowed(values)
    for values in asked:
        assert json.loads(json.dumps(values)) == values
        assert {type(v) for v in values.values()} <= {int, float, list}
    assert type(asked[-1]["ppo.rollouts"]) is int
    assert len({identity(values) for values in asked}) == 20


@every_sampler
def test_the_seed_decides(name):
    asked = points(search(name, 10, seed=1))
    assert points(search(name, 10, seed=1)) == asked
    assert points(search(name, 10, seed=2)) != asked


@every_sampler
@pytest.mark.parametrize("stop", [1, 2, 4, 9])
def test_a_sampler_that_is_told_again_goes_on_with_the_same_stream(name, stop):
    whole = search(name, 12)
    resumed = make_sampler(name, SPACE, 0)
    for number, values in enumerate(points(whole)[:stop]):
        assert resumed.add(json.loads(json.dumps(values))) == number  # as read from a journal
        tell(resumed, number)
    for number in range(stop, 12):
        resumed.ask()
        tell(resumed, number)
    assert points(resumed) == points(whole)


@every_sampler
def test_a_global_random_state_is_neither_used_nor_changed(name):
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    asked = points(search(name, 6))
    assert (np.random.get_state()[1] == before).all()
    np.random.seed(1)
    assert points(search(name, 6)) == asked


@every_sampler
def test_several_trials_may_be_under_way(name):
    sampler = search(name, 8)
    under_way = [sampler.ask() for _ in range(4)]
    assert len({identity(v) for v in points(sampler)}) == 12
    for number in (10, 8, 11, 9):  # they end in any order
        tell(sampler, number)
    assert under_way == points(sampler)[8:]
    assert sampler.ask() is not None


@every_sampler
def test_a_small_space_is_searched_to_its_end(name):
    sampler = make_sampler(name, SMALL, 0)
    for number in range(6):
        assert sampler.ask() is not None
        sampler.tell(number, float(number))
    assert {identity(v) for v in points(sampler)} == {identity(v) for v in SMALL.points()}
    assert sampler.ask() is None
    assert len(sampler.trials) == 6


@every_sampler
def test_nothing_but_failures_is_survived(name):
    sampler = make_sampler(name, SPACE, 0)
    for number in range(9):
        assert sampler.ask() is not None
        sampler.tell(number, infeasible=number % 2 == 0)


@every_sampler
def test_equal_objectives_are_survived(name):
    sampler = make_sampler(name, SPACE, 0)
    for number in range(9):
        assert sampler.ask() is not None
        sampler.tell(number, 0.0)


@every_sampler
def test_one_continuous_parameter_is_a_space_too(name):
    sampler = search_one = make_sampler(name, Space((Parameter("ppo.x", Uniform(0.0, 1.0), 0.5),)), 0)
    while (values := search_one.ask()) is not None and len(sampler.trials) < 12:
        sampler.tell(len(sampler.trials) - 1, -((values["ppo.x"] - 0.3) ** 2))
    assert len({identity(v) for v in points(sampler)}) == len(sampler.trials) >= 3


@pytest.mark.parametrize("objective", [float("nan"), float("inf")])
def test_an_objective_is_a_finite_number(objective):
    sampler = make_sampler("random", SPACE)
    sampler.ask()
    with pytest.raises(ValueError, match="finite number"):
        sampler.tell(0, objective)
    sampler.tell(0, 1.0)
    with pytest.raises(ValueError, match="told before: known"):
        sampler.tell(0, 1.0)


def test_a_trial_of_another_space_is_refused():
    with pytest.raises(UserError, match=r"another search space: ppo\.a, ppo\.b"):
        make_sampler("random", Space((Parameter("ppo.b", Uniform(0, 1), 0.5),))).add({"ppo.a": 1.0})


def test_an_unknown_sampler_names_the_nearest():
    with pytest.raises(UserError, match=r"'perturbe'; did you mean 'perturb'\?"):
        make_sampler("perturbe", SPACE)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(UserError, match=r'needs optuna: pip install "vbot\[optuna\]", or take --sampler gp'):
        make_sampler("tpe", SPACE)


# One by one.


def bowl_space(d: int = 12) -> Space:
    return Space(tuple(Parameter(f"ppo.x{i}", Uniform(0.0, 1.0), 0.9) for i in range(d)))


def best_of(name: str, trials: int, seed: int) -> float:
    """Squared distance of the best trial from the optimum at 0.4 in 4 dimensions."""
    sampler = make_sampler(name, bowl_space(4), seed)
    best = np.inf
    for number in range(trials):
        values = sampler.ask()
        distance = sum((v - 0.4) ** 2 for v in values.values())
        sampler.tell(number, -distance)
        best = min(best, distance)
    return best


@pytest.mark.parametrize(("name", "share"), [("perturb", 0.75), ("gp", 0.2)])
def test_what_learns_comes_nearer_than_what_does_not(name, share):
    seeds = range(10)
    assert np.mean([best_of(name, 24, s) for s in seeds]) < share * np.mean([best_of("random", 24, s) for s in seeds])


def test_a_grid_is_every_combination_once():
    space = Space(
        (
            Parameter("ppo.a", Choice(1, 2, 3), 1),
            Parameter("ppo.b", Uniform(0, 10), 5.0),
            Parameter("ppo.c", Choice("x", "y"), "x"),
        )
    )
    sampler = make_sampler("grid", space, 3)
    asked = [v for _ in range(18) if (v := sampler.ask())]
    expected = [{"ppo.a": a, "ppo.b": b, "ppo.c": c} for a in (1, 2, 3) for b in (0.0, 5.0, 10.0) for c in "xy"]
    assert sorted(map(identity, asked)) == sorted(map(identity, expected))
    assert sampler.ask() is None


def test_a_grid_too_large_to_list_is_scattered():
    sampler = make_sampler("grid", bowl_space(40), 0)  # 3^40 cells
    asked = np.array([list(sampler.ask().values()) for _ in range(30)])[1:]
    assert set(np.unique(asked)) == {0.0, 0.5, 1.0}


def test_the_step_of_perturb_follows_the_fifth_rule():
    sampler = PerturbSampler(bowl_space(), 0)
    for number in range(4):  # the defaults and the uniform ones
        sampler.ask()
        sampler.tell(number, float(number))
    assert sampler.step() == 0.2
    sampler.ask()
    sampler.tell(4, 5.0)  # better than all before
    assert sampler.step() == pytest.approx(0.3)
    for number in range(5, 9):
        sampler.ask()
        sampler.tell(number, 0.0) if number % 2 else sampler.tell(number, infeasible=True)
    assert sampler.step() == pytest.approx(0.2)
    sampler.ask()
    sampler.tell(9)  # a crash says nothing
    assert sampler.step() == pytest.approx(0.2)


def test_perturb_stays_near_its_incumbents():
    sampler = PerturbSampler(bowl_space(), 0)
    for number in range(14):
        sampler.ask()
        sampler.tell(number, -float(number))  # only ever worse: the first three stay the incumbents
    incumbents = np.array([t.units for t in sampler.trials[:3]])
    for trial in sampler.trials[4:]:
        unmoved = (np.abs(trial.units - incumbents) < 1e-5).sum(1)
        assert unmoved.max() >= 3
