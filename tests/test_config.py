"""Configuration: how values are typed, checked, merged, written, read back and fingerprinted."""

import dataclasses

import pytest

from vbot.config import Config, TimeDecayConfig, TrainConfig
from vbot.errors import UserError
from vbot.keys import flatten
from vbot.layers import Layer, build, default_layer, file_layer, merge, set_layer
from vbot.yaml_files import read_yaml, write_yaml

REWARD = Layer(
    "reward set mine",
    {
        "reward.name": "mine",
        "reward.terms.near.scale": 0.5,
        "reward.terms.near.sigma": 2.0,
        "reward.terms.up.scale": 1.0,
    },
)
SOURCES = {"near": "def near(s): ...", "up": "def up(s): ..."}


def make(*layers: Layer) -> Config:
    return build(*merge([default_layer(), REWARD, *layers]))


def given(*assignments: str) -> Config:
    return make(set_layer(assignments))


# How the text of --set is read.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 0.0003),  # PyYAML alone reads it as text
        ("12e6", 12_000_000.0),
        ("1.5e3", 1500.0),
        ("-1E-5", -0.00001),
        ("0.5", 0.5),
        ("512", 512),
        ("true", True),
        ("null", None),
        ("", None),
        ("[256, 128]", [256, 128]),
        ("section001-far", "section001-far"),
        ("a=b", "a=b"),
        ("3e-4 m", "3e-4 m"),
    ],
)
def test_an_assignment_is_typed_as_people_write_it(text, value):
    read = set_layer([f"a.b={text}"]).values
    assert read == {"a.b": value}
    assert type(read["a.b"]) is type(value)


def test_a_mapping_can_be_assigned():
    assert set_layer(["reward.time_decay={rate: 0.2, floor: 0.1}"]).values == {
        "reward.time_decay.rate": 0.2,
        "reward.time_decay.floor": 0.1,
    }


@pytest.mark.parametrize("assignment", ["ppo.learning_rate", "=3", " =3", "ppo.learning_rate=[1, 2", "x={a: b: c}"])
def test_a_malformed_assignment_is_refused_and_shown(assignment):
    with pytest.raises(UserError, match="--set") as error:
        set_layer([assignment])
    assert assignment.partition("=")[2] in str(error.value)


def test_of_two_assignments_to_one_key_the_later_wins():
    assert given("train.seed=1", "train.seed=2").train.seed == 2


# Types.


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("train.steps=12e6", 12_000_000),
        ("train.seed=7.0", 7),
        ("ppo.learning_rate=1", 1.0),
        ("train.minutes=2", 2.0),
        ("train.minutes=null", None),
        ("train.eval_interval=1e5", 100_000),
        ("ppo.symmetry=false", False),
        ("ppo.policy_hidden_layer_sizes=[64, 32.0]", (64, 32)),
        ("env.task=anything", "anything"),
    ],
)
def test_a_value_takes_the_type_of_its_field(assignment, value):
    section, name = assignment.partition("=")[0].split(".")
    built = getattr(getattr(given(assignment), section), name)
    assert built == value
    assert type(built) is type(value)


@pytest.mark.parametrize(
    ("assignment", "wanted"),
    [
        ("train.steps=1.5", "an integer; got 1.5"),
        ("train.steps=true", "an integer; got True"),
        ("env.num_envs=null", "an integer; got None"),
        ("env.num_envs=many", "an integer; got 'many'"),
        ("ppo.learning_rate=fast", "a finite number; got 'fast'"),
        ("ppo.learning_rate=true", "a finite number; got True"),
        ("ppo.learning_rate=.inf", "a finite number; got inf"),
        ("ppo.learning_rate=.nan", "a finite number; got nan"),
        ("ppo.symmetry=1", "true or false; got 1"),
        ("env.task=3", "text; got 3"),
        ("ppo.policy_hidden_layer_sizes=128", "a list of integers, as in [256, 128]; got 128"),
        ("ppo.policy_hidden_layer_sizes=[128, 2.5]", "an integer; got 2.5"),
        ("reward.time_decay=0.5", "a mapping of rate and floor; got 0.5"),
    ],
)
def test_a_value_of_another_type_is_refused_with_origin_and_key(assignment, wanted):
    with pytest.raises(UserError) as error:
        given(assignment)
    assert str(error.value) == f"--set: {assignment.partition('=')[0]} must be {wanted}"


# Laws.


@pytest.mark.parametrize(
    ("assignment", "law"),
    [
        ("env.num_envs=0", "at least 1; got 0"),
        ("env.physics_step_s=0", "greater than 0"),
        ("env.action_smoothing=1", "in [0, 1)"),
        ("ppo.rollouts=0", "at least 1"),
        ("ppo.discount_factor=0", "in (0, 1]"),
        ("ppo.lambda_param=1.01", "in (0, 1]"),
        ("ppo.learning_rate=-1e-3", "greater than 0; got -0.001"),
        ("ppo.entropy_loss_scale=-1", "at least 0"),
        ("ppo.value_hidden_layer_sizes=[]", "a list of sizes >= 1; got []"),
        ("ppo.value_hidden_layer_sizes=[64, 0]", "a list of sizes >= 1; got [64, 0]"),
        ("ppo.learning_rate_schedule=linaer", "did you mean 'linear'?"),
        ("ppo.activation=elo", "one of elu, relu, tanh; got 'elo'; did you mean 'elu'?"),
        ("ppo.advantage_clip=-1", "at least 0"),
        ("reward.scale_dt=0", "greater than 0"),
        ("train.seed=-1", "at least 0"),
        ("train.steps=0", "at least 1"),
        ("train.minutes=0", "greater than 0"),
        ("train.device=gpu", "one of auto, cpu, cuda"),
    ],
)
def test_a_value_against_its_law_is_refused_with_origin_and_law(assignment, law):
    with pytest.raises(UserError) as error:
        given(assignment)
    assert str(error.value).startswith(f"--set: {assignment.partition('=')[0]} must be ")
    assert law in str(error.value)


def test_a_law_admits_its_ends():
    off = ("ppo.value_clip=0", "ppo.advantage_clip=0")
    config = given("env.num_envs=1", "env.action_smoothing=0", "ppo.discount_factor=1", *off)
    assert (config.env.num_envs, config.ppo.discount_factor) == (1, 1.0)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("ppo.learning_rte", "ppo.learning_rate"),
        ("env.num_env", "env.num_envs"),
        ("train.step", "train.steps"),
        ("reward.scaledt", "reward.scale_dt"),
        ("reward.time_decay.flor", "reward.time_decay.floor"),
        ("learning_rate", "ppo.learning_rate"),
    ],
)
@pytest.mark.parametrize("origin", ["--config my.yaml", "--set", "option"])
def test_an_unknown_key_names_its_origin_and_the_nearest_key(key, meant, origin):
    with pytest.raises(UserError) as error:
        make(Layer(origin, {key: 1}))
    assert str(error.value) == f"{origin}: unknown key {key!r}; did you mean {meant!r}?"


@pytest.mark.parametrize("assignment", ["ppo=3", "origin.x=3"])
def test_a_key_that_is_no_leaf_is_refused(assignment):
    with pytest.raises(UserError, match="--set: unknown key"):
        given(assignment)


@pytest.mark.parametrize("assignment", ["reward.terms.near.sigma.deep=3", "reward.terms=3"])
def test_a_term_key_of_the_wrong_depth_tells_the_right_one(assignment):
    with pytest.raises(UserError, match=r"--set: reward\.terms maps term names"):
        build(*merge([default_layer(), Layer("set", {"reward.name": "x"}), set_layer([assignment])]))


# Layers.


def test_a_later_layer_wins_and_every_value_keeps_the_name_of_its_layer():
    config = make(
        Layer("--config f", {"train.seed": 1, "train.steps": 10}), Layer("option", {"train.seed": 2, "env.num_envs": 8})
    )
    assert (config.train.seed, config.train.steps, config.env.num_envs) == (2, 10, 8)
    keys = ("train.seed", "train.steps", "env.num_envs", "train.device", "reward.terms.near.sigma")
    assert [config.origins[key] for key in keys] == ["option", "--config f", "option", "default", "reward set mine"]


def test_every_value_of_a_configuration_has_an_origin():
    config = make()
    assert set(config.origins) == set(config.flat())


def test_null_removes_a_term_with_its_parameters():
    config = given("reward.terms.near=null")
    assert config.reward.terms == {"up": {"scale": 1.0}}
    assert not [key for key in config.origins if key.startswith("reward.terms.near")]


def test_a_removed_term_that_is_added_again_begins_anew():
    config = make(set_layer(["reward.terms.near=null"]), set_layer(["reward.terms.near=0.25"]))
    assert config.reward.terms["near"] == {"scale": 0.25}


def test_removing_a_term_that_is_not_there_is_refused():
    with pytest.raises(UserError, match=r"--set: reward\.terms\.naer is set to nothing"):
        given("reward.terms.naer=null")


@pytest.mark.parametrize("key", ["sigma", "scale"])
def test_null_for_a_scale_or_parameter_is_refused_rather_than_ignored(key):
    with pytest.raises(UserError, match=rf"reward\.terms\.near\.{key}"):
        given(f"reward.terms.near.{key}=null")


def test_a_decay_replaces_none_and_none_replaces_a_decay():
    decays = set_layer(["reward.time_decay.rate=0.3"])
    assert make(decays).reward.time_decay == TimeDecayConfig(rate=0.3, floor=0.5)
    assert make(decays, set_layer(["reward.time_decay=null"])).reward.time_decay is None


def test_a_configuration_is_frozen():
    config = make()
    for part, name in ((config, "env"), (config.env, "num_envs"), (config.ppo, "rollouts"), (config.reward, "name")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, name, None)


def test_the_control_period_is_the_physics_steps_of_one_control_step():
    assert given("env.physics_step_s=0.005", "env.decimation=3").env.step_s == pytest.approx(0.015)


# Nested and dotted.


def test_flatten_gives_dotted_keys_and_a_bare_scale_its_name():
    content = {
        "ppo": {"rollouts": 8},
        "reward": {"terms": {"near": {"scale": 0.5, "sigma": 2.0}, "up": 1.0, "off": None}},
    }
    assert flatten(content, "here") == {
        "ppo.rollouts": 8,
        "reward.terms.near.scale": 0.5,
        "reward.terms.near.sigma": 2.0,
        "reward.terms.up.scale": 1.0,
        "reward.terms.off": None,
    }


def test_nothing_to_flatten_is_refused_with_its_origin():
    with pytest.raises(UserError, match=r"my\.yaml: it is empty"):
        flatten({}, "my.yaml")


def test_flat_gives_plain_values_by_dotted_key():
    flat = given("ppo.policy_hidden_layer_sizes=[64, 32]", "reward.time_decay.rate=0.3").flat()
    assert flat["ppo.policy_hidden_layer_sizes"] == [64, 32]
    assert flat["reward.terms.near.sigma"] == 2.0
    assert flat["reward.time_decay.rate"] == 0.3
    assert flat["train.minutes"] is None


# Files.


@pytest.mark.parametrize(
    "value",
    [0, 7, 0.1, 1e-5, 2.5e-7, 1e20, True, None, "text", "3e-4", "12e6", "12", "true", "null", "", "a: b", "x " * 80],
)
def test_what_is_written_is_read_back(tmp_path, value):
    content = {"b": {"value": value, "list": [value, value]}, "a": [1, 2]}
    file = tmp_path / "file.yaml"
    file.write_text(write_yaml(content))
    read = read_yaml(file)
    assert read == content
    assert list(read) == ["b", "a"]  # in its order
    assert type(read["b"]["value"]) is type(value)


def test_a_list_of_plain_values_is_written_on_one_line():
    assert write_yaml({"sizes": [256, 128]}) == "sizes: [256, 128]\n"
    assert write_yaml({"trials": [{"id": 0, "sizes": [8]}]}) == "trials:\n- id: 0\n  sizes: [8]\n"


def test_a_configuration_file_is_a_layer_named_after_it_with_its_origins_beside_it(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("ppo:\n  learning_rate: 3e-4\norigin:\n  ppo.learning_rate: --set\n")
    recorded = {"ppo.learning_rate": "--set"}
    assert file_layer(file) == Layer(f"--config {file}", {"ppo.learning_rate": 0.0003}, recorded)
    file.write_text("ppo: {learning_rate: 3e-4}\norigin: by hand\n")  # it says nothing, and is no reason to fail
    assert file_layer(file) == Layer(f"--config {file}", {"ppo.learning_rate": 0.0003})


@pytest.mark.parametrize("content", ["a: [1, 2", "- 1\n- 2\n", "text", "", "a: b: c", b"\xff\xfe\x00"])
def test_a_file_that_is_no_mapping_is_refused_in_one_line_that_names_it(tmp_path, content):
    file = tmp_path / "file.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as error:
        read_yaml(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for file in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(UserError, match=f"cannot read {file}: "):
            read_yaml(file)


# The fingerprint.


@pytest.mark.parametrize(
    "assignment",
    [
        "reward.terms.near.scale=0.6",
        "reward.terms.near.sigma=3",
        "reward.terms.extra=1",
        "reward.terms.near=null",
        "reward.scale_dt=0.02",
        "reward.time_decay.rate=0.5",
        "env.task=section001-far",
        "env.action_scale=0.3",
        "ppo.learning_rate=3e-4",
        "ppo.policy_hidden_layer_sizes=[64]",
    ],
)
def test_reward_environment_and_algorithm_change_the_fingerprint(assignment):
    sources = {**SOURCES, "extra": "def extra(s): ..."}
    assert given(assignment).fingerprint(sources) != make().fingerprint(sources)


def test_nothing_of_train_changes_the_fingerprint():
    """Seed, machine, budget and when to look."""
    other = {f.name: "cpu" if f.name == "device" else (f.default or 0) + 1 for f in dataclasses.fields(TrainConfig)}
    changed = make(Layer("option", {f"train.{name}": value for name, value in other.items()}))
    assert all(getattr(changed.train, name) != getattr(make().train, name) for name in other)
    assert changed.fingerprint(SOURCES) == make().fingerprint(SOURCES)


def test_the_source_of_a_term_changes_the_fingerprint():
    assert make().fingerprint({**SOURCES, "near": "def near(s): return 0"}) != make().fingerprint(SOURCES)


def test_the_fingerprint_does_not_depend_on_the_order_of_terms_or_on_where_a_value_was_set():
    turned = Layer("another", dict(reversed(REWARD.values.items())))
    sources = dict(reversed(SOURCES.items()))
    assert build(*merge([default_layer(), turned])).fingerprint(sources) == make().fingerprint(SOURCES)


@pytest.mark.parametrize("assignment", ["reward.terms.up=1", "reward.terms.near.sigma=2", "env.action_scale=5e-1"])
def test_the_same_number_written_otherwise_keeps_the_fingerprint(assignment):
    assert given(assignment).fingerprint(SOURCES) == make().fingerprint(SOURCES)
