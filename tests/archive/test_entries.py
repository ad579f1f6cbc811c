"""What evidence makes of a configuration and of a component, by hand-made rows."""

import pytest

from vbot.archive.entries import component_evidence, config_evidence, config_name, results, text_of
from vbot.yaml_files import parse_yaml


def row(seed: int, low: float, *, budget: int = 100, state: str = "finished", episodes: int = 1000) -> dict:
    """A run of 1000 episodes, 20 of a thousand better than the lower end of its interval."""
    return {
        "run": f"r{seed}", "seed": seed, "budget": {"steps": budget}, "state": state, "started": f"{seed}",
        "episodes": episodes, "success": low + 0.02, "success_ci95": [low, low + 0.03], "falls": 0.0,
        "time_to_target_s": 5.0, "contest_score": 20.0, "steps": budget, "wall_s": 10.0, "findings": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ([], "untested"),
        ([row(0, 0.3)], "untested"),
        ([row(0, 0.6)], "promising"),
        ([row(0, 0.95), row(1, 0.95)], "promising"),  # two seeds are too few
        ([row(0, 0.95), row(1, 0.95), row(2, 0.9)], "verified"),
        ([row(0, 0.97), row(1, 0.97), row(2, 0.89)], "promising"),  # one seed of three falls short
        ([row(0, 0.95), row(0, 0.95), row(0, 0.95)], "promising"),  # one seed three times
        ([row(0, 0.95), row(1, 0.95), row(2, 0.95, budget=200)], "promising"),  # of two budgets
        ([row(0, 0.95), row(1, 0.95), row(2, 0.95, state="pruned")], "promising"),
        # 0.98, 0.12 and 0.12 of 1000 episodes each: 1220 of 3000, an interval far below one half.
        ([row(0, 0.96), row(1, 0.1), row(2, 0.1)], "untested"),
    ],
)
def test_a_configuration_is_what_its_seeds_show(rows, status):
    assert config_evidence(rows) == status


def use(status: str, version: str | None = "new", scale: float = 1.0) -> dict:
    return {"config": "c", "status": status, "version": version, "scale": scale}


@pytest.mark.parametrize(
    ("uses", "status"),
    [
        ([], "untested"),
        ([use("verified"), use("promising")], "verified"),
        ([use("verified", version="old")], "untested"),  # it was other code
        ([use("verified", version=None)], "promising"),  # it may have been other code
        ([use("verified", scale=0.0)], "untested"),  # it was never paid
        ([use("rejected"), use("promising")], "promising"),
    ],
)
def test_a_component_is_as_good_as_what_pays_it(uses, status):
    assert component_evidence({"version": "new", "experiments": uses}) == status


def test_budgets_are_told_apart():
    told = results([row(0, 0.6), row(1, 0.6), row(0, 0.9, budget=200)])
    assert [(r["budget"]["steps"], r["seeds"], r["success"]) for r in told] == [(100, [0, 1], 0.62), (200, [0], 0.92)]


def test_an_entry_is_read_back_as_it_was_a_row_on_a_line():
    words = [
        "é, {",
        "no",
        "1e-3",
        "Null",
        "a: b",
        "runs/a-b.c",
        "",
        "- x",
        "line\nline",
        "#",
        "_",
        "1_000",
        "0x1f",
        "~",
    ]
    values = [1e-07, -0.0, 10**9, None, True, [1, [2.5, "yes"]], {"minutes": 6.0}]
    rows = [{**row(0, 0.5), "run": word} for word in words] + [{**row(1, 0.5), "budget": value} for value in values]
    entry = {"name": "a", "notes": "1e-3: yes", "results": [], "experiments": rows}
    text = text_of(entry)
    assert parse_yaml(text) == entry
    assert sum(line.startswith("- {run: ") for line in text.splitlines()) == len(rows)


def test_names_of_configurations_are_file_names():
    assert config_name("my set/2", "0123456789abcdef") == "my-set-2-01234567"
    assert config_name("../..", "0123456789abcdef") == "set-01234567"
