"""The sets on disk and the registered terms against an independent transcription of the published tables."""

from importlib.resources import files

import pytest
import yaml

from vbot.rewards import REGISTRY, Choice, LogUniform, Uniform

SETS = ("kit", "phase5", "final")

# term: scale in kit, phase5, final; None where the set does not have it.
SCALES = {
    "position_tracking": (2, 1.5, 1.73),
    "fine_position_tracking": (2, 8, 12),
    "heading_tracking": (1, 1, 0.30),
    "forward_velocity": (0.5, 0.8, 3.5),
    "distance_progress": (None, 1.5, 1.5),
    "alive_bonus": (None, 0.15, 0.08),
    "approach_scale": (4, 5, 50),
    "arrival_bonus": (10, 100, 160),
    "inner_fence_bonus": (None, 40, 30.26),
    "stop_scale": (2, 5, 5.97),
    "zero_ang_bonus": (6, 10, 9.27),
    "near_target_speed": (None, -0.5, -0.4),
    "boundary_penalty": (None, -3, -4.44),
    "departure_penalty": (None, None, -5),
    "orientation": (-0.05, -0.05, -0.025),
    "lin_vel_z": (-0.5, -0.3, -0.15),
    "ang_vel_xy": (-0.05, -0.03, -0.02),
    "torques": (-1e-5, -1e-5, -5e-6),
    "dof_vel": (-5e-5, -5e-5, -3e-5),
    "dof_acc": (-2.5e-7, -2.5e-7, -1.5e-7),
    "action_rate": (-0.01, -0.01, -0.003),
    "termination": (-200, -200, -75),
}

SEARCH = {
    "position_tracking": Uniform(0.5, 5),
    "fine_position_tracking": Uniform(0.5, 15),
    "heading_tracking": Uniform(0.1, 2),
    "forward_velocity": Uniform(0, 2.5),
    "distance_progress": Uniform(0.5, 3),
    "alive_bonus": Uniform(0.05, 0.5),
    "approach_scale": Uniform(2, 50),
    "arrival_bonus": Uniform(5, 200),
    "inner_fence_bonus": Uniform(10, 80),
    "stop_scale": Uniform(1, 12),
    "zero_ang_bonus": Uniform(2, 16),
    "near_target_speed": Uniform(-4, -0.1),
    "departure_penalty": Uniform(-15, -1),
    "boundary_penalty": Uniform(-10, -0.5),
    "orientation": Uniform(-0.3, -0.01),
    "lin_vel_z": Uniform(-2, -0.05),
    "ang_vel_xy": Uniform(-0.3, -0.01),
    "action_rate": Uniform(-0.05, -0.001),
    "torques": LogUniform(-1e-3, -1e-6),
    "dof_vel": LogUniform(-1e-3, -1e-5),
    "dof_acc": LogUniform(-1e-5, -1e-8),
    "termination": Choice(-500, -300, -200, -150, -100, -75, -50),
}

# What differs from the registered parameters. The radius 1.2 of final is a choice of this library.
PARAMS = {
    "kit": {"position_tracking": {"sigma": 0.5}, "forward_velocity": {"max_speed": 2.0}},
    "phase5": {},
    "final": {
        "fine_position_tracking": {"after_reach": True},
        "near_target_speed": {"radius": 1.2, "slope": 0.5, "low": 0.05, "high": 0.6},
    },
}


def read(name):
    return yaml.safe_load(files("vbot.rewards").joinpath("sets", f"{name}.yaml").read_text(encoding="utf-8"))


def split(entry):
    """Scale and parameters of a term's entry."""
    if not isinstance(entry, dict):
        return entry, {}
    return entry["scale"], {k: v for k, v in entry.items() if k != "scale"}


@pytest.mark.parametrize("column", range(3), ids=SETS)
def test_scales_are_as_published(column):
    published = {term: row[column] for term, row in SCALES.items() if row[column] is not None}
    on_disk = {term: split(entry)[0] for term, entry in read(SETS[column])["terms"].items()}
    assert on_disk == published
    assert all(isinstance(scale, float) for scale in on_disk.values())  # YAML 1.1 reads 1e-5 as a string


@pytest.mark.parametrize("name", SETS)
def test_parameters_are_as_published(name):
    given = {term: split(entry)[1] for term, entry in read(name)["terms"].items()}
    assert {term: params for term, params in given.items() if params} == PARAMS[name]


@pytest.mark.parametrize("name", SETS)
def test_sets_hold_only_what_the_registry_accepts(name):
    on_disk = read(name)
    assert set(on_disk) <= {"name", "description", "scale_dt", "time_decay", "terms", "ppo"}
    assert on_disk["name"] == name
    assert "\n" not in on_disk["description"].strip()
    for term, entry in on_disk["terms"].items():
        scale, params = split(entry)
        REGISTRY[term].check_scale(scale)
        for key, value in params.items():
            REGISTRY[term].check_param(key, value)


def test_scales_are_per_ten_milliseconds_and_only_phase5_decays():
    assert [read(name)["scale_dt"] for name in SETS] == [0.01] * 3
    assert [read(name).get("time_decay") for name in SETS] == [None, {"rate": 0.5, "floor": 0.5}, None]


def test_registered_scale_is_phase5_or_else_final():
    for term, (_, phase5, final) in SCALES.items():
        assert REGISTRY[term].scale == (final if phase5 is None else phase5), term


def test_search_ranges_are_as_published():
    assert {term: REGISTRY[term].search for term in SEARCH} == SEARCH
    assert set(SEARCH) == set(SCALES)


def test_one_published_scale_lies_outside_its_published_range():
    """forward_velocity of final, 3.5 against 0..2.5: both are as published, so a search from final must say so."""
    outside = [
        (name, term)
        for column, name in enumerate(SETS)
        for term, row in SCALES.items()
        if row[column] is not None and row[column] not in REGISTRY[term].search
    ]
    assert outside == [("final", "forward_velocity")]


def test_default_parameters_are_those_of_phase5():
    assert {term: dict(REGISTRY[term].params) for term in SCALES if REGISTRY[term].params} == {
        "position_tracking": {"sigma": 5.0},
        "fine_position_tracking": {"sigma": 0.5, "radius": 2.5, "after_reach": False},
        "heading_tracking": {"sigma": 0.5},
        "forward_velocity": {"max_speed": 0.6, "min_speed": -1.0},
        "distance_progress": {"low": -0.5, "high": 1.0},
        "stop_scale": {"max_speed": 0.3, "window_s": 0.5, "speed_sigma": 0.2, "yaw_sigma": 0.1},
        "zero_ang_bonus": {"max_yaw_rate": 0.05, "max_speed": 0.3, "window_s": 0.5},
        "near_target_speed": {"radius": 0.5, "slope": 0.0, "low": 0.0, "high": 0.0},
        "departure_penalty": {"min_speed": 1.0},
        "boundary_penalty": {"margin": 1.0},
    }
