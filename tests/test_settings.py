"""resolve(): from what the user typed to a checked configuration."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vbot.errors import UserError
from vbot.rewards.registry import Registry
from vbot.rewards.sets import read_set
from vbot.run import Run
from vbot.settings import resolve
from vbot.yaml_files import write_yaml


@pytest.fixture
def write(tmp_path):
    """Write a YAML file; gives its path."""

    def write(content, name: str = "file.yaml") -> Path:
        file = tmp_path / name
        file.write_text(write_yaml(content))
        return file

    return write


def recorded(settings, path: Path) -> Path:
    """The config.yaml that a run with these settings writes."""
    return Run.create(path, settings.config, settings.fingerprint, []).config_file


# Precedence.


@pytest.mark.parametrize(
    ("given", "value", "origin"),
    [
        (0, 0.01, "default"),
        (1, 0.02, "reward set {set}"),
        (2, 0.03, "--config {config}"),
        (3, 0.04, "option"),
        (4, 0.05, "--set"),
    ],
)
def test_each_layer_wins_over_those_below_it(write, given, value, origin):
    own = {"scale_dt": 0.02} if given >= 1 else {}
    reward_set = write({"name": "mine", "terms": {"alive_bonus": 1.0}, **own}, "set.yaml")
    config_file = write({"reward": {"scale_dt": 0.03}}, "config.yaml") if given >= 2 else None
    options = {"reward.scale_dt": 0.04} if given >= 3 else {}
    assignments = ["reward.scale_dt=0.05"] if given >= 4 else []
    config = resolve(str(reward_set), config_file=config_file, options=options, assignments=assignments).config
    assert config.reward.scale_dt == value
    assert config.origins["reward.scale_dt"] == origin.format(set=reward_set, config=config_file)


def test_a_reward_set_may_say_what_its_learner_does(write):
    reward_set = str(write({"terms": {"alive_bonus": 1.0}, "ppo": {"discount_factor": 0.98}}, "mine.yaml"))
    config = resolve(reward_set).config
    assert config.ppo == replace(resolve("kit").config.ppo, discount_factor=0.98)
    assert config.origins["ppo.discount_factor"] == f"reward set {reward_set}"
    assert resolve(reward_set, assignments=["ppo.discount_factor=0.9"]).config.ppo.discount_factor == 0.9


def test_a_mistake_in_what_a_reward_set_says_of_its_learner_names_the_set(write):
    reward_set = str(write({"terms": {"alive_bonus": 1.0}, "ppo": {"discount": 0.98}}, "mine.yaml"))
    with pytest.raises(UserError, match=r"mine\.yaml: unknown key 'ppo\.discount'; did you mean 'ppo\.discount_f"):
        resolve(reward_set)


# Terms.


def test_an_assignment_changes_the_scale_of_a_term_and_nothing_else():
    before, after = resolve("phase5").config, resolve("phase5", assignments=["reward.terms.alive_bonus=0.1"]).config
    assert before.reward.terms["alive_bonus"]["scale"] == 0.15  # as published
    assert after.flat() == {**before.flat(), "reward.terms.alive_bonus.scale": 0.1}
    assert after.origins == {**before.origins, "reward.terms.alive_bonus.scale": "--set"}


def test_an_assignment_adds_a_registered_term_with_its_default_parameters():
    assert "boundary_penalty" not in resolve("kit").config.reward.terms
    config = resolve("kit", assignments=["reward.terms.boundary_penalty=-2"]).config
    assert config.reward.terms["boundary_penalty"] == {"scale": -2.0, "margin": 1.0}
    assert config.origins["reward.terms.boundary_penalty.margin"] == "registered default"


def test_a_term_of_ones_own_is_added_like_any_other(write):
    registry = Registry()

    @registry.reward(scale=1.0)
    def hover(s, *, height: float = 0.3) -> torch.Tensor:
        """Height."""
        return s.base_pos_w[:, 2] / height

    @registry.penalty(scale=-1.0)
    def noise(s) -> torch.Tensor:
        """1."""
        return torch.ones_like(s.distance)

    reward_set = str(write({"name": "mine", "terms": {"noise": -0.5}}))
    settings = resolve(reward_set, assignments=["reward.terms.hover.height=0.4"], registry=registry)
    assert settings.config.reward.terms == {
        "hover": {"scale": 1.0, "height": 0.4},
        "noise": {"scale": -0.5},
    }
    paid = {term.spec.function: (term.scale, dict(term.params)) for term in settings.reward_set.terms}
    assert paid == {hover: (1.0, {"height": 0.4}), noise: (-0.5, {})}


def test_a_dotted_assignment_changes_a_parameter():
    config = resolve("phase5", assignments=["reward.terms.position_tracking.sigma=3"]).config
    assert config.reward.terms["position_tracking"] == {"scale": 1.5, "sigma": 3.0}


def test_a_term_set_to_null_is_not_paid():
    settings = resolve("phase5", assignments=["reward.terms.alive_bonus=null"])
    assert "alive_bonus" not in [term.spec.name for term in settings.reward_set.terms]
    assert len(settings.reward_set.terms) == len(resolve("phase5").reward_set.terms) - 1


# Mistakes.


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        ({"assignments": ["reward.terms.alive_bonsu=1"]}, ["--set", "'alive_bonsu'", "did you mean 'alive_bonus'?"]),
        ({"options": {"reward.terms.terminaton.scale": -1}}, ["option", "'terminaton'", "did you mean 'termination'?"]),
        ({"assignments": ["reward.terms.position_tracking.sgima=1"]}, ["'sgima'", "did you mean 'sigma'?"]),
        ({"assignments": ["reward.terms.alive_bonus=-0.1"]}, ["'alive_bonus'", ">= 0", "-0.1", "did you mean 0.1?"]),
        ({"assignments": ["reward.terms.termination=50"]}, ["'termination'", "<= 0", "got 50", "did you mean -50?"]),
        ({"assignments": ["reward.terms.alive_bonus=much"]}, ["'alive_bonus'", "a finite number", "'much'"]),
        ({"assignments": ["reward.terms.alive_bonus=true"]}, ["'alive_bonus'", "a finite number", "True"]),
        ({"assignments": ["reward.time_decay.floor=2"]}, ["reward.time_decay", "floor in [0, 1]", "2.0"]),
        ({"assignments": ["env.task=section01"]}, ["'section01'", "did you mean 'section001'?"]),
        ({"assignments": ["env.robot=vbto"]}, ["'vbto'", "did you mean 'vbot'?"]),
        ({"assignments": ["ppo.learning_rte=1"]}, ["--set", "'ppo.learning_rte'", "did you mean 'ppo.learning_rate'?"]),
        ({"options": {"env.num_envs": 0}}, ["option", "env.num_envs", "at least 1"]),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[-2],
)
def test_a_mistake_is_named_with_its_law_and_what_was_meant(call, parts):
    with pytest.raises(UserError) as error:
        resolve("phase5", **call)
    for part in parts:
        assert part in str(error.value)


def test_an_option_without_the_word_scale_is_a_mistake_too():
    with pytest.raises(UserError, match="terminaton"):
        resolve("phase5", options={"reward.terms.terminaton": -1})


def test_an_unknown_set_names_the_nearest():
    with pytest.raises(UserError, match=r"'phase6'; did you mean 'phase5'\?"):
        resolve("phase6")


def test_a_reward_without_terms_is_refused():
    nothing = [f"reward.terms.{name}=null" for name in read_set("kit")["terms"]]
    with pytest.raises(UserError, match="'kit' has no terms"):
        resolve("kit", assignments=nothing)


# Reward set and configuration file.


def test_no_reward_set_at_all_is_an_error(write):
    for config_file in (None, write({"ppo": {"rollouts": 8}})):
        with pytest.raises(UserError, match="no reward set: give --reward-set"):
            resolve(config_file=config_file)


def test_a_file_may_name_its_reward_set(write):
    by_file = resolve(config_file=write({"reward": {"set": "kit"}, "env": {"num_envs": 8}}))
    assert by_file.config.flat() == resolve("kit", options={"env.num_envs": 8}).config.flat()
    assert by_file.fingerprint == resolve("kit", options={"env.num_envs": 8}).fingerprint


def test_the_option_wins_over_the_set_that_the_file_names(write):
    assert resolve("final", config_file=write({"reward": {"set": "kit"}})).config.reward.name == "final"


def test_a_change_in_the_file_is_a_change_to_the_set_of_the_option(write):
    change = write(
        {"reward": {"terms": {"alive_bonus": 0.1, "position_tracking": {"sigma": 3.0}, "termination": None}}}
    )
    config = resolve("phase5", config_file=change).config
    same = ["reward.terms.alive_bonus=0.1", "reward.terms.position_tracking.sigma=3", "reward.terms.termination=null"]
    assert config.flat() == resolve("phase5", assignments=same).config.flat()
    assert config.origins["reward.terms.alive_bonus.scale"] == f"--config {change}"
    assert config.origins["reward.terms.position_tracking.scale"] == "reward set phase5"


def test_a_file_that_names_a_set_keeps_its_own_changes_and_its_own_name(write):
    change = write({"reward": {"set": "phase5", "name": "gentle", "terms": {"alive_bonus": 0.1}}})
    reward = resolve(config_file=change).config.reward
    assert (reward.name, reward.terms["alive_bonus"]) == ("gentle", {"scale": 0.1})


@pytest.mark.parametrize(
    ("reward_set", "assignments"),
    [
        ("kit", []),
        ("phase5", []),
        ("final", []),
        (
            "phase5",
            [
                "reward.terms.alive_bonus=null",
                "reward.terms.departure_penalty.min_speed=2",
                "reward.terms.arrival_bonus=50",
                "reward.time_decay.rate=0.25",
                "ppo.policy_hidden_layer_sizes=[64, 32]",
                "ppo.learning_rate=3e-4",
                "train.minutes=1.5",
                "train.seed=3",
                "env.task=section001-near",
            ],
        ),
        ("phase5", ["reward.time_decay=null"]),
    ],
)
def test_the_configuration_that_a_run_wrote_is_that_run_again(tmp_path, reward_set, assignments):
    settings = resolve(reward_set, assignments=assignments)
    again = resolve(config_file=recorded(settings, tmp_path / "run"))
    assert again.config.flat() == settings.config.flat()
    assert again.fingerprint == settings.fingerprint
    assert [t.spec.name for t in again.reward_set.terms] == [t.spec.name for t in settings.reward_set.terms]


def test_another_reward_set_replaces_the_one_a_run_wrote_with_its_learner_and_nothing_else(tmp_path):
    changed = resolve("phase5", assignments=["reward.terms.alive_bonus=0.1", "env.num_envs=8", "ppo.rollouts=5"])
    config = resolve("kit", config_file=recorded(changed, tmp_path / "run")).config
    assert config.flat() == resolve("kit", assignments=["env.num_envs=8", "ppo.rollouts=5"]).config.flat()
    by_hand = resolve("phase5", assignments=["ppo.discount_factor=0.98"])  # that is no longer the set's
    assert resolve("kit", config_file=recorded(by_hand, tmp_path / "own")).config.ppo.discount_factor == 0.98


# The fingerprint.


@pytest.mark.parametrize(
    "assignment",
    [
        "reward.terms.alive_bonus=0.1",
        "reward.terms.position_tracking.sigma=3",
        "env.task=section001-far",
        "ppo.rollouts=5",
    ],
)
def test_what_is_learned_changes_the_fingerprint(assignment):
    assert resolve("phase5", assignments=[assignment]).fingerprint != resolve("phase5").fingerprint


def test_seed_and_budget_do_not_change_the_fingerprint():
    options = {"train.seed": 4, "train.steps": 1e6, "train.device": "cpu"}
    assert resolve("phase5", options=options).fingerprint == resolve("phase5").fingerprint
