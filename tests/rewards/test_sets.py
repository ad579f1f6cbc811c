"""Reward sets: reading a file or a built-in set, and checking it against the registry."""

import pytest

from vbot.config import RewardConfig, TimeDecayConfig
from vbot.errors import UserError
from vbot.rewards import Registry
from vbot.rewards.sets import TimeDecay, built_in_sets, read_set, resolve_set


@pytest.fixture
def registry():
    registry = Registry()

    @registry.reward(scale=2.0)
    def near(s, *, sigma: float = 5.0, after: bool = False):
        """1."""

    @registry.penalty(scale=-1.0)
    def noise(s):
        """1."""

    return registry


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "mine.yaml") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


# Reading.


def test_the_published_sets_are_built_in():
    assert {"kit", "phase5", "final", "swift"} <= set(built_in_sets())


@pytest.mark.parametrize("name", built_in_sets())
def test_a_built_in_set_bears_its_name_and_has_terms(name):
    content = read_set(name)
    assert content["name"] == name
    assert len(content["terms"]) > 0
    assert "description" not in content


def test_a_file_is_a_set_named_after_it_unless_it_says_otherwise(write):
    assert read_set(write("terms: {near: 3e-1}")) == {"name": "mine", "terms": {"near": 0.3}}
    assert read_set(write("name: own\ndescription: x\nterms: {near: 1}", "b.yml"))["name"] == "own"


def test_an_unknown_name_gives_the_nearest_and_the_other_way():
    with pytest.raises(UserError, match=r"'phase6'; did you mean 'phase5'\? \(or give a \.yaml file\)"):
        read_set("phase6")


def test_a_missing_file_is_named():
    with pytest.raises(UserError, match=r"no reward set file 'no/such\.yaml'"):
        read_set("no/such.yaml")


@pytest.mark.parametrize(
    ("text", "law"),
    [
        ("term: {near: 1}", "unknown key 'term'; did you mean 'terms'?"),
        ("scale_td: 0.01\nterms: {near: 1}", "unknown key 'scale_td'; did you mean 'scale_dt'?"),
        ("name: empty", "'terms' must map term names to scales"),
        ("terms: {}", "'terms' must map term names to scales"),
        ("terms: [near]", "'terms' must map term names to scales"),
        ("terms: {near: 1}\nppo: 0.995", "'ppo' must map options of the learner to values"),
        ("- near", "must map keys to values"),
    ],
)
def test_a_malformed_set_is_named_with_its_law(write, text, law):
    file = write(text)
    with pytest.raises(UserError) as error:
        read_set(file)
    assert file in str(error.value)
    assert law in str(error.value)


# Checking.


def test_a_set_pays_its_terms_with_every_parameter(registry):
    terms = {"noise": {"scale": -3}, "near": {"scale": 0.5, "sigma": 1.0}}
    resolved = resolve_set(RewardConfig("mine", terms, 0.02, TimeDecayConfig(0.7, 0.2)), registry)
    assert (resolved.name, resolved.scale_dt, resolved.time_decay) == ("mine", 0.02, TimeDecay(0.7, 0.2))
    assert [(t.spec, t.scale, t.params) for t in resolved.terms] == [
        (registry["noise"], -3.0, {}),
        (registry["near"], 0.5, {"sigma": 1.0, "after": False}),
    ]


def test_a_term_without_a_scale_has_the_registered_one(registry):
    assert resolve_set(RewardConfig("mine", {"near": {"sigma": 1.0}}), registry).terms[0].scale == 2.0


@pytest.mark.parametrize(
    ("terms", "law"),
    [
        ({"naer": {"scale": 1.0}}, "'naer'; did you mean 'near'?"),
        ({"near": {"scale": 1.0, "sgima": 1.0}}, "'near' has no parameter 'sgima'; did you mean 'sigma'?"),
        ({"near": {"scale": -1.0}}, "'near' is a reward, its scale must be >= 0; got -1.0; did you mean 1.0?"),
        ({"noise": {"scale": 1.0}}, "'noise' is a penalty, its scale must be <= 0; got 1.0; did you mean -1.0?"),
        ({"near": {"scale": "1"}}, "scale of 'near' must be a finite number; got '1'"),
        ({"near": {"scale": None}}, "scale of 'near' must be a finite number; got None"),
        ({"near": {"scale": 1.0, "sigma": "1"}}, "'sigma' of 'near' must be a finite number"),
        ({"near": {"scale": 1.0, "after": 1}}, "'after' of 'near' must be a bool"),
        ({}, "'mine' has no terms"),
    ],
)
def test_a_set_that_does_not_fit_the_registry_is_refused_with_its_law(registry, terms, law):
    with pytest.raises(UserError) as error:
        resolve_set(RewardConfig("mine", terms), registry)
    assert law in str(error.value)


@pytest.mark.parametrize(("rate", "floor"), [(-0.1, 0.5), (0.5, -0.1), (0.5, 1.1)])
def test_a_decay_never_raises_an_income_and_never_turns_it_round(registry, rate, floor):
    config = RewardConfig("mine", {"near": {"scale": 1.0}}, time_decay=TimeDecayConfig(rate, floor))
    with pytest.raises(UserError, match=rf"needs rate >= 0 and floor in \[0, 1\]; got {rate} and {floor}"):
        resolve_set(config, registry)
