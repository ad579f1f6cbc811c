"""The command: what it refuses before anything starts, and a whole search with trainings that take no time."""

import sys
from pathlib import Path

import pytest

from vbot.errors import UserError
from vbot.search.__main__ import main
from vbot.search.executor import Process
from vbot.search.study import Study
from vbot.settings import resolve
from vbot.yaml_files import read_yaml

FAKE = (sys.executable, str(Path(__file__).parent / "fake_train.py"))


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(Process.__init__, "__defaults__", (FAKE,))


def search(directory: Path, *more: str) -> None:
    options = ["--trials", "2", "--trial-steps", "400", "--sampler", "random", "--only", "learning_rate", "--out"]
    main([*options, str(directory), "--quiet", *more])


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
        (["--objective", "return"], "is no metric of the task"),
        (["--set", "ppo.rollouts=0"], "ppo.rollouts must be at least 1"),
    ],
)
def test_a_mistake_is_an_error_before_anything_starts(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        main(["--out", str(tmp_path / "study"), *options])
    assert not (tmp_path / "study").exists()


def test_a_whole_search(tmp_path, fake):
    directory = tmp_path / "study"
    search(directory)
    state = read_yaml(directory / "state.yaml")
    assert (state["status"], len(state["trials"])) == ("finished", 6)  # two trials, both with two more seeds
    report = (directory / "report.md").read_text()
    for part in ("## Best configuration", "## Trials", "Not enough trials: 2 finished", "40.0 % [34.6, 45.6]"):
        assert part in report
    # 3 x 40 of 100 episodes: Wilson's interval of 120 of 300, calculated elsewhere.
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
    with pytest.raises(UserError, match="holds no search"):
        main(["--resume", str(tmp_path / "none")])


def test_a_search_goes_on_as_it_was(tmp_path, fake, monkeypatch):
    whole = tmp_path / "whole"
    search(whole)
    directory = tmp_path / "study"
    begin = Study._begin

    def interrupted(self, run):
        begin(self, run)
        if run.name == "001":
            raise KeyboardInterrupt

    monkeypatch.setattr(Study, "_begin", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(directory)
    monkeypatch.setattr(Study, "_begin", begin)
    main(["--resume", str(directory), "--quiet"])
    points = [[t["parameters"] for t in read_yaml(d / "state.yaml")["trials"]] for d in (whole, directory)]
    assert points[0] == points[1]


def test_a_space_of_ones_own_is_kept_with_the_search(tmp_path, fake):
    file = tmp_path / "mine.yaml"
    file.write_text("reward_weights: {termination: {type: choice, values: [-200, -100]}}\n")
    directory = tmp_path / "study"
    main(["--space", str(file), "--trials", "5", "--trial-steps", "400", "--out", str(directory), "--quiet"])
    assert (directory / "space.yaml").read_text() == file.read_text()
    parameters = [
        t["parameters"]["reward.terms.termination.scale"] for t in read_yaml(directory / "state.yaml")["trials"]
    ]
    assert set(parameters) == {-200.0, -100.0}  # a space of two points is at its end after two trials
    (directory / "space.yaml").write_text(file.read_text().replace("-100", "-50"))
    with pytest.raises(UserError, match="is no longer what it was when the search began"):
        main(["--resume", str(directory)])
