"""What a study tells of its parameters, from a real search with trainings that take no time."""

import json
import sys
from pathlib import Path

import pytest

from vbot.comparison.__main__ import main
from vbot.errors import UserError
from vbot.search.__main__ import main as search
from vbot.search.executor import Process
from vbot.yaml_files import parse_yaml, read_yaml

BY_RATE = (sys.executable, str(Path(__file__).parents[1] / "search" / "slow_train.py"))


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """Twelve trials of two parameters; their success falls with the learning rate's distance from 10^-3.5 alone."""
    directory = tmp_path_factory.mktemp("searches") / "study"
    (directory.parent / "space.yaml").write_text(
        "name: two\nppo_params:\n  learning_rate: {type: loguniform, low: 1.0e-6, high: 3.0e-4}\n"
        "reward_weights:\n  arrival_bonus: {type: uniform, low: 50, high: 200}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Process.__init__, "__defaults__", (BY_RATE,))
        patch.setenv("SLOW_TRAIN_S", "0")
        options = ["--trials", "12", "--trial-steps", "400", "--sampler", "random", "--no-prune", "--no-audit"]
        search([*options, "--space", str(directory.parent / "space.yaml"), "--out", str(directory), "--quiet"])
    return directory


def test_the_ranking_is_the_report_s_with_direction(study, capsys):
    main([str(study), "--importance", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["trials"] == 12
    first, second = found["importance_ranking"]
    assert (first["parameter"], first["stands_out"]) == ("ppo.learning_rate", True)
    assert first["direction"] == "higher is better"  # the range ends below the best rate, 3.2e-4
    assert first["correlation"] > 0.8
    assert second["parameter"] == "reward.terms.arrival_bonus.scale"
    assert second["direction"] == "not told"
    row = f"| ppo.learning_rate | {first['importance']:.2f} | {first['correlation']:+.2f} | {first['p']:.3f} |"
    assert row in (study / "report.md").read_text()


def test_the_top_five_are_the_best_of_the_state(study, capsys):
    main([str(study), "--importance", "--yaml"])
    found = parse_yaml(capsys.readouterr().out)
    assert {"importance_ranking", "top_5_configs", "recommendations"} <= found.keys()
    rows = [row for row in read_yaml(study / "state.yaml")["trials"] if row["seed"] == 0]
    best = sorted(rows, key=lambda row: -row["objective"])[:5]
    assert [c["trial"] for c in found["top_5_configs"]] == [row["id"] for row in best]
    assert [c["rank"] for c in found["top_5_configs"]] == [1, 2, 3, 4, 5]
    assert found["top_5_configs"][0]["parameters"] == best[0]["parameters"]
    assert Path(found["top_5_configs"][0]["run_dir"], "config.yaml").is_file()


def test_people_read_the_same_and_what_to_do(study, capsys):
    main([str(study), "--importance"])
    out = capsys.readouterr().out
    assert "12 finished trials, 2 parameters" in out
    assert "- ppo.learning_rate: the best 5 have " in out
    assert "reward.terms.arrival_bonus.scale does not stand out from chance" in out
    assert "one seed only" not in out  # the search trained its best again


def test_reading_leaves_the_study_as_it_was(study, capsys):
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in study.rglob("*")}
    main([str(study), "--importance"])
    assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in study.rglob("*")} == before


def test_few_trials_tell_nothing_and_it_says_so(study, tmp_path, capsys):
    state = read_yaml(study / "state.yaml")
    few = tmp_path / "few"
    few.mkdir()
    for name in ("config.yaml", "journal.jsonl", "space.yaml"):
        (few / name).write_bytes((study / name).read_bytes())
    (few / "state.yaml").write_text(json.dumps({**state, "trials": state["trials"][:4]}))
    main([str(few), "--importance", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["importance_ranking"], len(found["top_5_configs"])) == ([], 4)
    assert found["recommendations"][0] == "Go on searching: of 4 trials nothing can be told, 10 are the least."
    (few / "state.yaml").write_text("trials: []\n")
    with pytest.raises(UserError, match=r"no trial of .*few has finished"):
        main([str(few), "--importance"])


def test_a_folder_of_studies_names_them(study):
    with pytest.raises(UserError, match=r"takes the directory of a study, .* is none \(studies in it: .*study\)"):
        main([str(study.parent), "--importance"])


def test_its_trials_compare_like_any_runs(study, capsys):
    """The stand-in writes no meta.json: broken, and said so, for each of them."""
    main([str(study), "--json"])
    rows = json.loads(capsys.readouterr().out)["runs"]
    assert len(rows) == len(read_yaml(study / "state.yaml")["trials"])
    assert {row["problem"] for row in rows} == {"meta.json is missing"}
