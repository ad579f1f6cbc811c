"""Spaces from the registry, from files and presets, and --only."""

from pathlib import Path

import pytest
import torch

from vbot.config import PPOConfig
from vbot.errors import UserError
from vbot.ranges import Choice, LogUniform, Uniform
from vbot.rewards.registry import Registry
from vbot.search.sources import presets, search_space
from vbot.settings import resolve
from vbot.yaml_files import write_yaml


@pytest.fixture(scope="module")
def phase5():
    return resolve("phase5")


@pytest.fixture
def write(tmp_path):
    def write(content) -> str:
        file = tmp_path / "space.yaml"
        file.write_text(content if isinstance(content, str) else write_yaml(content))
        return str(file)

    return write


def by_key(space):
    return {p.key: p for p in space.parameters}


# From the reward set and the PPO configuration.


def test_every_term_brings_its_scale_and_its_tune_parameters(phase5):
    found = by_key(search_space(phase5))
    assert found["reward.terms.termination.scale"].range == Choice(-500, -300, -200, -150, -100, -75, -50)
    assert found["reward.terms.dof_acc.scale"].range == LogUniform(-1e-5, -1e-8)
    assert found["reward.terms.position_tracking.sigma"].range == LogUniform(0.5, 10.0)
    assert found["reward.terms.position_tracking.sigma"].default == 5.0
    terms = {key.split(".")[2] for key in found if key.startswith("reward.")}
    assert terms == set(phase5.config.reward.terms)


def test_ppo_brings_the_published_nine(phase5):
    found = {key: p.range for key, p in by_key(search_space(phase5)).items() if key.startswith("ppo.")}
    assert len(found) == 9
    assert found["ppo.learning_rate"] == LogUniform(1e-5, 1e-3)
    assert found["ppo.rollouts"] == Choice(16, 24, 32, 48)


def test_defaults_are_those_of_the_set_and_of_what_the_user_set():
    found = by_key(search_space(resolve("final", assignments=["ppo.rollouts=32"])))
    assert found["reward.terms.forward_velocity.scale"].default == 3.5  # outside its range, and kept
    assert found["ppo.rollouts"].default == 32


def test_the_published_constraints_hold(phase5):
    space = search_space(phase5)
    point = {**space.defaults(), "ppo.learning_rate": 6e-4}
    assert space.allowed(point)
    assert not space.allowed({**point, "reward.terms.termination.scale": -500.0})
    assert not space.allowed({**point, "ppo.learning_epochs": 9})
    assert not space.allowed({**point, "ppo.entropy_loss_scale": 0.06, "ppo.ratio_clip": 0.1})


def test_a_constraint_on_a_term_that_the_set_lacks_does_not_concern_it():
    settings = resolve("phase5", assignments=["reward.terms.termination=null"])
    assert len(search_space(settings).constraints) == len(search_space(resolve("phase5")).constraints) - 1


def test_parameters_of_a_term_that_is_never_paid_are_left_out(tmp_path):
    registry = Registry()

    @registry.reward(scale=0.0, tune={"height": Uniform(0.1, 0.3)})
    def hover(s, *, height: float = 0.2) -> torch.Tensor:
        """Height."""
        return s.base_pos_w[:, 2] / height

    file = tmp_path / "set.yaml"
    file.write_text("name: mine\nterms: {hover: 0.0}\n")
    unpaid = resolve(str(file), registry=registry)
    assert not [k for k in by_key(search_space(unpaid, registry=registry)) if "hover" in k]
    paid = resolve(str(file), assignments=["reward.terms.hover=1"], registry=registry)
    assert [k for k in by_key(search_space(paid, registry=registry)) if "hover" in k] == ["reward.terms.hover.height"]


# --only.


@pytest.mark.parametrize(
    ("patterns", "keys"),
    [
        (["ppo.learning_rate"], ["ppo.learning_rate"]),
        (["learning_rate"], ["ppo.learning_rate"]),
        (["arrival_*", "termination"], ["reward.terms.arrival_bonus.scale", "reward.terms.termination.scale"]),
        (["*.sigma"], [f"reward.terms.{t}.sigma" for t in ("fine_position_tracking", "heading_tracking")]),
    ],
)
def test_patterns_narrow(phase5, patterns, keys):
    found = by_key(search_space(phase5, only=patterns))
    assert set(keys) <= set(found)
    assert len(found) == len(keys) + (patterns == ["*.sigma"])  # and position_tracking's


def test_a_pattern_that_matches_nothing_is_an_error(phase5):
    with pytest.raises(UserError, match=r"--only learning_rat: .*did you mean 'learning_rate'\?"):
        search_space(phase5, only=["arrival_*", "learning_rat"])


def test_constraints_stay_when_what_they_name_is_no_longer_searched(phase5):
    settings = resolve("phase5", assignments=["reward.terms.termination=-500"])
    space = search_space(settings, only=["learning_rate"])
    assert not space.allowed({"ppo.learning_rate": 6e-4})
    assert space.allowed({"ppo.learning_rate": 5e-4})


# Presets.


def test_the_four_presets(phase5):
    assert presets() == ["fine-tune", "full", "quick-ppo", "quick-reward"]
    assert search_space(phase5, "full") == search_space(phase5)
    assert search_space(phase5, "quick-reward").size == 6
    assert search_space(phase5, "quick-ppo").size == 6
    tune = by_key(search_space(phase5, "fine-tune"))
    assert tune["ppo.learning_rate"].range == LogUniform(1e-4, 5e-4)
    assert tune["reward.terms.approach_scale.scale"].range == Uniform(4, 8)
    assert tune["reward.terms.termination.scale"].range == Choice(-300, -200, -100)


def test_an_unknown_preset_names_the_nearest(phase5):
    with pytest.raises(UserError, match=r"'quick-pp'; did you mean 'quick-ppo'\?"):
        search_space(phase5, "quick-pp")


# Files.

PUBLISHED = """
fixed: {discount_factor: 0.995, reward.terms.alive_bonus: 0.1, env.num_envs: 512}
ppo_params:
  learning_rate: {type: loguniform, low: 1e-4, high: 1e-3, prior: 3e-4}
  policy_hidden_layer_sizes: {type: categorical, values: [[128, 64], [256, 128]]}
  grad_norm_clip: {type: uniform, low: 0.5, high: 2}
reward_weights:
  torques: {type: loguniform, low: -1e-3, high: -1e-6}
  position_tracking.sigma: {type: choice, values: [3, 5]}
constraints: [learning_rate > 5e-4 and grad_norm_clip > 1]
"""


def test_a_file_in_the_published_shape(phase5, write):
    space = search_space(phase5, write(PUBLISHED))
    assert {key: p.range for key, p in by_key(space).items()} == {
        "ppo.learning_rate": LogUniform(1e-4, 1e-3),
        "ppo.policy_hidden_layer_sizes": Choice([128, 64], [256, 128]),
        "ppo.grad_norm_clip": Uniform(0.5, 2),
        "reward.terms.torques.scale": LogUniform(-1e-3, -1e-6),
        "reward.terms.position_tracking.sigma": Choice(3, 5),
    }
    assert space.fixed == {"ppo.discount_factor": 0.995, "reward.terms.alive_bonus.scale": 0.1, "env.num_envs": 512}
    assert not space.allowed({**space.defaults(), "ppo.learning_rate": 6e-4, "ppo.grad_norm_clip": 1.5})
    assert [point["ppo.learning_rate"] for point in space.firsts()] == [PPOConfig().learning_rate, 3e-4]


def test_only_narrows_a_file_too(phase5, write):
    assert list(by_key(search_space(phase5, write(PUBLISHED), ["torques"]))) == ["reward.terms.torques.scale"]


def entry(name="learning_rate", section="ppo_params", **values):
    return {section: {name: {"type": "uniform", "low": 1, "high": 2, **values}}}


CHOICE = {"type": "choice", "values": [1]}


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (entry("learning_rte"), ["nothing uses 'learning_rte'", "did you mean 'learning_rate'?"]),
        (entry("alive_bonsu", "reward_weights"), ["'alive_bonsu' has no effect", "did you mean 'alive_bonus'?"]),
        (
            entry("departure_penalty", "reward_weights"),
            ["does not pay it", "--set reward.terms.departure_penalty=SCALE"],
        ),
        (entry("alive_bonus.sigma", "reward_weights"), ["the term 'alive_bonus' has no parameter"]),
        (entry("kl_target"), ["ppo.kl_target has no effect with ppo.learning_rate_schedule=linear"]),
        ({"fixed": {"gamma": 1}, **entry()}, ["fixed: nothing uses 'gamma'"]),
        ({"fixed": {"learning_rate": 1}, **entry()}, ["ppo.learning_rate is given twice"]),
        ({"ppo_parms": {}}, ["unknown key 'ppo_parms'", "did you mean 'ppo_params'?"]),
        ({"ppo_params": {"learning_rate": 3}}, ["learning_rate must be a mapping with a type"]),
        (entry(type="loguni"), ["unknown type 'loguni'", "did you mean 'loguniform'?"]),
        (entry(type=["uniform"]), ["unknown type ['uniform']"]),
        (entry(hgih=2), ["a uniform takes low and high, and prior; got 'hgih'"]),
        ({"ppo_params": {"learning_rate": {"type": "uniform", "low": 1}}}, ["a uniform needs 'high'"]),
        ({"ppo_params": {"learning_rate": {"type": "choice", "values": 3}}}, ["values must be a list; got 3"]),
        (entry(low=3), ["learning_rate: Uniform needs two finite numbers with low < high"]),
        (entry(prior=3), ["prior 3 is not in 1 to 2"]),
        ({**entry(), "constraints": "learning_rate > 1"}, ["constraints must be a list"]),
        ({**entry(), "constraints": ["learning_rte > 1"]}, ["'learning_rte'", "did you mean 'learning_rate'?"]),
        ({"name": "nothing"}, ["it searches nothing"]),
        ({"ppo_params": []}, ["it searches nothing"]),
        ({"ppo_params": [1]}, ["ppo_params must map names to values"]),
        # Ranges with an end that no configuration may have.
        (
            entry("alive_bonus", "reward_weights", low=-1),
            ["search space: reward.terms.alive_bonus.scale", "did you mean 1"],
        ),
        (entry("rollouts", low=0), ["search space: ppo.rollouts", "ppo.rollouts must be at least 1; got 0"]),
        ({"ppo_params": {"rollouts": {"type": "choice", "values": [24, "many"]}}}, ["must be an integer; got 'many'"]),
        ({"fixed": {"rollouts": "many"}, **entry()}, ["ppo.rollouts must be an integer; got 'many'"]),
    ],
)
def test_a_mistake_in_a_file_is_one_clear_line(phase5, write, content, parts):
    with pytest.raises(UserError) as error:
        search_space(phase5, write(content))
    for part in parts:
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_an_error(phase5):
    with pytest.raises(UserError, match=r"cannot read no\.yaml"):
        search_space(phase5, "no.yaml")


def test_an_integer_of_the_configuration_is_sampled_as_one(phase5, write):
    (p,) = search_space(phase5, write(entry("rollouts", low=16, high=48))).parameters
    assert p.value(0.51) == 32
    assert type(p.value(0.51)) is int


def test_presets_are_in_the_package():
    import vbot.search

    assert sorted(f.stem for f in (Path(vbot.search.__file__).parent / "spaces").glob("*.yaml")) == [
        "fine-tune",
        "quick-ppo",
        "quick-reward",
    ]
