"""The command: what it refuses before anything starts, and a whole search with trainings that take no time."""

import json
import sys
from pathlib import Path

import pytest

from vbot.errors import UserError
from vbot.search.__main__ import main
from vbot.search.executor import Process
from vbot.settings import resolve
from vbot.yaml_files import read_yaml

FAKE = (sys.executable, str(Path(__file__).parent / "fake_train.py"))
BY_RATE = (sys.executable, str(Path(__file__).parent / "slow_train.py"))


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(Process.__init__, "__defaults__", (FAKE,))


@pytest.fixture
def by_rate(monkeypatch):
    """Trainings whose success depends on the learning rate: 73 % at the default of 2e-3, 100 % at 3e-4."""
    monkeypatch.setattr(Process.__init__, "__defaults__", (BY_RATE,))
    monkeypatch.setenv("SLOW_TRAIN_S", "0")


def search(directory: Path, *more: str, audit: bool = False) -> None:
    options = ["--trials", "2", "--trial-steps", "400", "--sampler", "random", "--only", "learning_rate", "--out"]
    main([*options, str(directory), "--quiet", *([] if audit else ["--no-audit"]), *more])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trials", "0"], "--trials must be at least 1; got 0"),
        (["--budget-hours", "0"], "--budget-hours must be greater than 0"),
        (["--jobs", "0"], "--jobs must be at least 1"),
        (["--reward-set", "phase6"], "did you mean 'phase5'"),
        (["--sampler", "gb"], "did you mean 'gp'"),
        (["--only", "no_such_*"], "no searched parameter is called so"),
        (["--space", "quick-pp"], "did you mean 'quick-ppo'"),
        (["--stage", "section001-near,section001-fat"], "did you mean 'section001-far'"),
        (["--stage", "section001-near,section001-near"], "section001-near is there twice"),
        (["--stage", "section001-near", "--task", "section001"], "leave --task out"),
        (["--objective", "return"], "is no metric of the task"),
        (["--set", "ppo.rollouts=0"], "ppo.rollouts must be at least 1"),
    ],
)
def test_a_mistake_is_an_error_before_anything_starts(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        main(["--out", str(tmp_path / "study"), *options])
    assert not (tmp_path / "study").exists()


def test_a_search_begins_with_an_audit_and_reports_what_was_seen_in_its_trials(tmp_path, fake):
    directory = tmp_path / "study"
    search(directory, audit=True)
    assert json.loads((directory / "audit.json").read_text())["reward_set"] == "phase5"
    assert "## What the detectors saw\n\nNothing." in (directory / "report.md").read_text()
    trial = read_yaml(directory / "state.yaml")["trials"][0]
    rows = [{"name": "lazy robot", "level": "warning"}, {"name": "dead term", "level": "note"}]
    (directory / trial["run_dir"] / "findings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in 2 * rows))
    with pytest.raises(UserError, match="has finished"):
        main(["--resume", str(directory), "--quiet"])  # and writes its report again
    assert f"- trial {trial['id']}: lazy robot\n" in (directory / "report.md").read_text()
    search(tmp_path / "unsaid")
    assert not (tmp_path / "unsaid" / "audit.json").exists()


def test_a_whole_search(tmp_path, fake):
    directory = tmp_path / "study"
    search(directory)
    state = read_yaml(directory / "state.yaml")
    assert (state["status"], len(state["trials"])) == ("finished", 6)  # two trials, both with two more seeds
    report = (directory / "report.md").read_text()
    for part in ("## Best configuration", "## Trials", "Not enough trials: 2 finished", "40.0 % [33.5, 46.9]"):
        assert part in report
    # The other two seeds succeed in 40 of 100 episodes each: Wilson's interval of 80 of 200, calculated elsewhere.
    assert f"python -m vbot.train --config {directory / 'best.yaml'} --steps 400" in report
    best = resolve(config_file=directory / "best.yaml").config
    winner = next(t for t in state["trials"] if t["id"] == state["best"])
    assert best.ppo.learning_rate == winner["parameters"]["ppo.learning_rate"]
    assert list((directory / "tensorboard").rglob("events.out.tfevents.*"))


def test_what_is_there_is_not_begun_again_and_what_has_finished_does_not_go_on(tmp_path, fake):
    directory = tmp_path / "study"
    search(directory)
    with pytest.raises(UserError, match=r"already holds a search; go on with --resume"):
        search(directory)
    with pytest.raises(UserError, match="has finished; its report is in"):
        main(["--resume", str(directory)])
    with pytest.raises(UserError, match="--trials cannot be changed"):
        main(["--resume", str(directory), "--trials", "3"])
    with pytest.raises(UserError, match="--seed cannot be changed"):  # 0 was given too
        main(["--resume", str(directory), "--seed", "0"])
    with pytest.raises(UserError, match="holds no search"):
        main(["--resume", str(tmp_path / "none")])


def test_a_search_goes_on_as_it_was(tmp_path, fake, ctrl_c_in_trial_1):
    whole = tmp_path / "whole"
    search(whole)
    directory = tmp_path / "study"
    with ctrl_c_in_trial_1():
        search(directory)
    main(["--resume", str(directory), "--quiet"])
    points = [[t["parameters"] for t in read_yaml(d / "state.yaml")["trials"]] for d in (whole, directory)]
    assert points[0] == points[1]


def test_a_space_of_ones_own_is_kept_with_the_search(tmp_path, fake):
    file = tmp_path / "mine.yaml"
    file.write_text("reward_weights: {termination: {type: choice, values: [-200, -100]}}\n")
    directory = tmp_path / "study"
    options = ["--trials", "5", "--trial-steps", "400", "--out", str(directory), "--quiet", "--no-audit"]
    main(["--space", str(file), *options])
    assert (directory / "space.yaml").read_text() == file.read_text()
    parameters = [
        t["parameters"]["reward.terms.termination.scale"] for t in read_yaml(directory / "state.yaml")["trials"]
    ]
    assert set(parameters) == {-200.0, -100.0}  # a space of two points is at its end after two trials
    (directory / "space.yaml").write_text(file.read_text().replace("-100", "-50"))
    with pytest.raises(UserError, match="is no longer what it was when the search began"):
        main(["--resume", str(directory)])


def test_stage_after_stage_from_the_best_of_the_last(tmp_path, by_rate):
    directory = tmp_path / "study"
    search(directory, "--trials", "3", "--stage", "section001-near,section001-far", "--seed", "1")
    near, far = (read_yaml(directory / name / "state.yaml") for name in ("1-section001-near", "2-section001-far"))
    assert (near["status"], far["status"]) == ("finished", "finished")
    tasks = [read_yaml(directory / d / "config.yaml")["env"]["task"] for d in ("1-section001-near", "2-section001-far")]
    assert tasks == ["section001-near", "section001-far"]
    best = next(t["parameters"] for t in near["trials"] if t["id"] == near["best"])
    assert near["best"] != 0
    assert [t["parameters"] for t in far["trials"][:2]] == [near["trials"][0]["parameters"], best]
    assert "| 2-section001-far |" in (directory / "report.md").read_text()
    assert (directory / "best.yaml").read_text() == (directory / "2-section001-far" / "best.yaml").read_text()
    with pytest.raises(UserError, match="has finished"):
        main(["--resume", str(directory)])


def test_the_report_says_whether_the_defaults_are_beaten(tmp_path, by_rate):
    directory = tmp_path / "study"
    search(directory, "--trials", "4", "--seed", "1")
    state = read_yaml(directory / "state.yaml")
    assert state["best"] != 0
    report = (directory / "report.md").read_text()
    assert "It beats the defaults: the intervals" in report
    # Seeds 2 and 3 of the defaults: 1 - 0.2663 - 0.02 and - 0.03 of 1000 episodes each, 1416 successes of 2000.
    assert "| 0 (defaults) |" in report
    assert "70.8 % [68.8, 72.8]" in report
    assert "ppo.learning_rate: the default 0.002 is not in its range 1e-05 to 0.001, logarithmic;" in report
