"""The reward of a step against sums worked out by hand."""

import math

import pytest
import torch

from vbot.config import RewardConfig, TimeDecayConfig
from vbot.errors import UserError
from vbot.rewards import REGISTRY, Registry
from vbot.rewards.compute import RewardFunction
from vbot.rewards.sets import read_set, resolve_set

CPU = torch.device("cpu")
TERMS = Registry()


@TERMS.reward(scale=1.0)
def rate(s):
    """1."""
    return torch.ones_like(s.distance)


@TERMS.reward(scale=1.0, decay=True)
def decaying_rate(s):
    """1."""
    return torch.ones_like(s.distance)


@TERMS.reward(scale=1.0, kind="event", decay=True)
def decaying_event(s):
    """1 on the first reach."""
    return s.first_reach.float()


@TERMS.penalty(scale=-1.0, kind="event")
def event(s):
    """1 on the first reach."""
    return s.first_reach.float()


@TERMS.reward(scale=1.0, clip=(-0.5, 2.0))
def clipped_rate(s, *, value: float = 10.0):
    """The value."""
    return torch.full_like(s.distance, value)


@TERMS.reward(scale=1.0, kind="event", clip=(-0.5, 2.0))
def clipped_event(s, *, value: float = 10.0):
    """The value."""
    return torch.full_like(s.distance, value)


@TERMS.penalty(scale=-1.0)
def inverse(s):
    """1 / d."""
    return 1.0 / s.distance


@TERMS.penalty(scale=-1.0)
def root(s):
    """sqrt(d - 1)."""
    return torch.sqrt(s.distance - 1.0)


@TERMS.reward(scale=1.0)
class Walked:
    """Sum of the distances since the start, m, from ``start`` on."""

    def __init__(self, num_envs, device, *, start: float = 0.0):
        self.start = start
        self.total = torch.full((num_envs,), start, device=device)

    def __call__(self, s):
        self.total += s.distance
        return self.total.clone()

    def reset(self, mask):
        self.total[mask] = self.start


def function(terms, *, n=4, step_s=0.02, scale_dt=0.01, decay=None, registry=TERMS) -> RewardFunction:
    terms = {name: value if isinstance(value, dict) else {"scale": value} for name, value in terms.items()}
    return RewardFunction(resolve_set(RewardConfig("test", terms, scale_dt, decay), registry), n, CPU, step_s)


def same(value, expected):
    torch.testing.assert_close(value, torch.tensor(expected), rtol=1e-6, atol=1e-6)


# Time.


@pytest.mark.parametrize("step_s", [0.01, 0.02, 0.05])
def test_a_second_pays_the_same_at_any_control_period(make_state, step_s):
    """A rate of 0.3 per 10 ms is 30 a second, an event of -7 is -7, at 100, 50 or 20 steps a second."""
    compute = function({"rate": 0.3, "event": -7.0}, n=1, step_s=step_s)
    steps = round(1 / step_s)
    income = torch.zeros(2)
    for step in range(steps):
        compute(make_state(1, step_s=step_s, first_reach=step == 5))
        income += compute.weighted[:, 0]
    assert compute.names == ["rate", "event"]
    same(income, [30.0, -7.0])


def test_scale_dt_is_the_time_that_a_scale_pays_for(make_state):
    same(function({"rate": 0.3}, n=1, step_s=0.02, scale_dt=0.02)(make_state(1)), [0.3])
    same(function({"rate": 0.3}, n=1, step_s=0.02, scale_dt=1.0)(make_state(1)), [0.006])


@pytest.mark.parametrize("step_s", [0.01, 0.02])
@pytest.mark.parametrize("name", ["clipped_rate", "clipped_event"])
@pytest.mark.parametrize(("value", "a_second"), [(10.0, 200.0), (-10.0, -50.0)])
def test_a_clip_bounds_the_income_per_scale_dt_of_time(make_state, name, step_s, value, a_second):
    """2.0 per 10 ms is 200 a second, -0.5 is -50, whatever the control period."""
    compute = function({name: {"scale": 1.0, "value": value}}, n=1, step_s=step_s)
    same(compute(make_state(1, step_s=step_s)) / step_s, [a_second])


def test_a_clip_leaves_an_income_inside_it_alone(make_state):
    assert function({"clipped_event": {"scale": 0.1, "value": 10.0}}, n=1)(make_state(1)).item() == pytest.approx(1.0)


@pytest.mark.parametrize(("rate_", "floor", "factors"), [(0.5, 0.5, [1, 0.75, 0.5]), (1.0, 0.3, [1, 0.5, 0.3])])
def test_a_time_decay_multiplies_the_terms_that_decay_and_only_those(make_state, rate_, floor, factors):
    """clip(1 - rate t / T, floor, 1) at t = 0, T/2, T."""
    s = make_state(3, time_s=[0.0, 10.0, 20.0], episode_limit_s=20.0, first_reach=True)
    terms = {"rate": 3.0, "event": -3.0, "decaying_rate": 3.0, "decaying_event": 3.0}
    compute = function(terms, n=3, decay=TimeDecayConfig(rate_, floor), scale_dt=0.02)
    compute(s)
    paid = [3 * factor for factor in factors]
    same(compute.weighted, [[3.0] * 3, [-3.0] * 3, paid, paid])


def test_without_a_time_decay_nothing_decays(make_state):
    same(function({"decaying_rate": 3.0}, n=2, scale_dt=0.02)(make_state(2, time_s=[0.0, 20.0])), [3.0, 3.0])


# Sums.


@pytest.mark.parametrize("name", ["kit", "phase5", "final", "swift"])
def test_the_weighted_terms_of_a_set_sum_to_its_reward(random_state, name):
    terms = read_set(name)["terms"]
    compute = function(terms, n=64, registry=REGISTRY)
    s = random_state(64, 0)
    reward = compute(s)
    assert compute.weighted.shape == (len(terms), 64)
    assert torch.equal(compute.weighted.sum(0), reward)
    # Term by term, in float64: scale x raw x 2, for 20 ms at a scale_dt of 10 ms; events once.
    expected = torch.zeros(64, dtype=torch.float64)
    for term, entry in terms.items():
        spec, entry = REGISTRY[term], entry if isinstance(entry, dict) else {"scale": entry}
        params = {key: value for key, value in entry.items() if key != "scale"}
        paid = entry["scale"] * spec.function(s, **params).double() * (1 if spec.kind == "event" else 2)
        expected += paid if spec.clip is None else paid.clamp(2 * spec.clip[0], 2 * spec.clip[1])
    torch.testing.assert_close(reward.double(), expected, rtol=1e-5, atol=1e-4)


def test_raw_is_what_the_terms_returned(make_state):
    compute = function({"event": -7.0, "inverse": -1.0}, n=2)
    compute(make_state(2, distance=[2.0, 4.0], first_reach=[False, True]))
    same(compute.raw, [[0.0, 1.0], [0.5, 0.25]])


# NaN.


def test_a_term_that_was_ever_nan_or_infinite_is_named_and_no_other(make_state):
    compute = function({"rate": 1.0, "inverse": -1.0, "root": -1.0}, n=2)
    compute(make_state(2, distance=[2.0, 3.0]))
    compute.raise_if_not_finite()
    compute(make_state(2, distance=[2.0, 0.5]))  # sqrt(-0.5)
    compute(make_state(2, distance=[2.0, 3.0]))
    with pytest.raises(UserError, match="reward term 'root' gave NaN or infinity"):
        compute.raise_if_not_finite()
    compute(make_state(2, distance=[0.0, 3.0]))  # 1 / 0, sqrt(-1)
    with pytest.raises(UserError, match="reward term 'inverse', 'root' gave"):
        compute.raise_if_not_finite()


def test_a_scale_of_zero_does_not_hide_nan(make_state):
    compute = function({"root": 0.0}, n=1)
    assert math.isnan(compute(make_state(1, distance=0.5)).item())
    with pytest.raises(UserError, match="'root'"):
        compute.raise_if_not_finite()


# Memory.


def test_reset_clears_the_memory_of_the_given_environments_alone(make_state):
    compute = function({"Walked": {"scale": 1.0, "start": 10.0}}, n=3, scale_dt=0.02)
    s = make_state(3, distance=[1.0, 2.0, 3.0])
    same(compute(s), [11.0, 12.0, 13.0])
    compute.reset(torch.tensor([1]))
    same(compute(s), [12.0, 12.0, 16.0])


def test_memory_that_was_saved_goes_on_elsewhere(make_state):
    def fresh():
        return function({"rate": 1.0, "Walked": 1.0}, n=3, scale_dt=0.02)

    s = make_state(3, distance=[1.0, 2.0, 3.0])
    compute, resumed = fresh(), fresh()
    compute(s)
    saved = compute.state_dict()
    same(compute(s), [3.0, 5.0, 7.0])  # 1 + 2 d
    resumed.load_state_dict(saved)
    same(resumed(s), [3.0, 5.0, 7.0])
    same(resumed(s), [4.0, 7.0, 10.0])  # 1 + 3 d
    resumed.load_state_dict(saved)  # the saved one was a copy
    same(resumed(s), [3.0, 5.0, 7.0])


def test_two_functions_of_one_set_share_no_memory(make_state):
    one, other = (function({"Walked": 1.0}, n=1, scale_dt=0.02) for _ in range(2))
    for _ in range(3):
        one(make_state(1, distance=1.0))
    same(other(make_state(1, distance=1.0)), [1.0])
