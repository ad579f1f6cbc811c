"""What runs, checkpoints and studies have come to, read from files that finished, stopped, or were torn."""

import json

import pytest

from vbot.errors import UserError
from vbot.outcomes import Outcome, gather, read, trials
from vbot.run import Run
from vbot.settings import resolve
from vbot.yaml_files import write_yaml

CONFIG = resolve("kit", options={"train.seed": 7}).config
RATES = {"episodes": 100, "success_rate": 0.5, "time_to_target_s": 4.0}
RESULT = {
    "status": "finished",
    "steps": 3000,
    "elapsed_s": 12.5,
    "steps_per_s": 400.0,
    "task": "section001",
    "reward_set": "kit",
    "best": {"steps": 2000, "success_rate": 0.75},
    "final": {"steps": 3000, "success_rate": 0.25},
}


@pytest.fixture
def run(tmp_path) -> Run:
    """A run as training begins one."""
    return Run.create(tmp_path / "run", CONFIG, "fedcba9876543210", [])


def train(run: Run) -> None:
    """Three updates, two evaluations, the first of them the better."""
    for k, speed in enumerate((300.0, 500.0, 100.0), 1):
        run.append_metrics({"steps": 1000 * k, "elapsed_s": 4.0 * k, "steps_per_s": speed})
    for steps, rate in ((1000, 0.6), (3000, 0.4)):
        row = {"steps": steps, "seed": 7, **RATES, "success_rate": rate}
        run.append_evaluation(row)
        run.save_checkpoint(f"step_{steps}", {}, steps, row)
        if steps == 1000:
            run.save_checkpoint("best", {}, steps, row)


def see(run: Run, steps: int, *names: str) -> None:
    run.append_findings([{"steps": steps, "name": name, "level": "warning"} for name in names])


def test_a_run_that_has_just_begun(run):
    o = read(run.path)
    assert (o.state, o.reward_set, o.task, o.seed) == ("unfinished", "kit", "section001", 7)
    assert (o.fingerprint, o.steps, o.elapsed_s, o.steps_per_s) == ("fedcba9876543210", 0, 0.0, None)
    assert (o.evaluation, o.validated, o.findings, o.evaluations()) == (None, False, (), [])
    assert o.started == run.meta()["started"]
    assert o.config == CONFIG.to_dict()  # and the origins are no part of it
    assert o.run_dir == run.path


def test_an_unfinished_run_is_as_good_as_its_best_validation(run):
    train(run)
    o = read(run.path)
    assert (o.state, o.steps, o.elapsed_s) == ("unfinished", 3000, 12.0)
    assert o.steps_per_s == 300.0  # the median of 300, 500 and 100
    assert o.evaluation == {"steps": 1000, "seed": 7, **RATES, "success_rate": 0.6}
    assert o.validated


def test_a_finished_run_is_as_good_as_its_best_on_fresh_episodes(run):
    train(run)
    run.finish(RESULT)
    o = read(run.path)
    assert (o.state, o.steps, o.elapsed_s, o.steps_per_s) == ("finished", 3000, 12.5, 400.0)
    assert o.evaluation == {"steps": 2000, "success_rate": 0.75}
    assert not o.validated
    assert [row["steps"] for row in o.evaluations()] == [1000, 3000]


def test_findings_are_those_of_the_last_evaluation_that_saw_any_each_once(run):
    see(run, 1000, "lazy robot")
    see(run, 3000, "dead term", "fly-through", "dead term")
    assert read(run.path).findings == ("dead term", "fly-through")


def test_a_checkpoint_is_judged_by_what_it_was_saved_with(run):
    train(run)
    run.finish(RESULT)
    o = read(run.checkpoint_file("step_3000"))
    assert (o.state, o.steps, o.seed, o.run_dir) == ("finished", 3000, 7, run.path)
    assert o.evaluation is not None
    assert o.evaluation["success_rate"] == 0.4
    assert o.validated  # even of a finished run: policies were chosen by these episodes


def test_what_is_no_checkpoint_of_a_run_is_refused(run, tmp_path):
    train(run)
    stranger = run.path / "checkpoints" / "stranger.pt"
    stranger.write_bytes(b"")
    (tmp_path / "checkpoints").mkdir()
    lost = tmp_path / "checkpoints" / "best.pt"
    lost.write_bytes(b"")
    with pytest.raises(UserError, match=r"stranger\.pt is no checkpoint of a run"):
        read(stranger)
    with pytest.raises(UserError, match="is no run directory"):
        read(lost)
    with pytest.raises(UserError, match="is no run directory"):
        read(tmp_path)


# Torn and broken files.


def test_a_last_line_torn_by_a_kill_is_not_counted(run):
    train(run)
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"steps": 4000, "elap')
    o = read(run.path)
    assert (o.state, o.steps) == ("unfinished", 3000)


def break_line(run: Run) -> None:
    (run.path / "metrics.jsonl").write_text('{"steps": 1000, "ela\n{"steps": 2000}\n')


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda run: (run.path / "meta.json").unlink(), "meta.json is missing"),
        (lambda run: (run.path / "meta.json").write_text("{"), "meta.json or result.json is no valid JSON: "),
        (lambda run: (run.path / "meta.json").write_text('{"seed": 7}'), "its files lack 'fingerprint'"),
        (lambda run: (run.path / "meta.json").write_text("[]"), "its files hold something else than a run's: "),
        (lambda run: (run.path / "result.json").write_text(""), "meta.json or result.json is no valid JSON: "),
        (lambda run: run.finish({"status": "finished"}), "its files lack 'best'"),
        (lambda run: run.config_file.write_text("env: {"), "config.yaml is no valid YAML: "),
        (break_line, "metrics.jsonl:1 is no valid JSON; the file was damaged"),
    ],
)
def test_a_broken_run_says_what_is_wrong_in_a_line(run, damage, problem):
    damage(run)
    o = read(run.path)
    assert o.state == "broken"
    assert problem in o.problem
    assert "\n" not in o.problem
    assert (o.evaluation, o.steps, o.task) == (None, None, None)  # and no zeros


def test_reading_writes_nothing(run):
    train(run)
    before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*")}
    read(run.path)
    read(run.checkpoint_file("best"))
    assert {p: p.stat().st_mtime_ns for p in run.path.rglob("*")} == before


# Studies.


def study(directory, *names: str):
    directory.mkdir()
    rows = [{"id": k, "run_dir": f"trials/{name}"} for k, name in enumerate(names)]
    (directory / "state.yaml").write_text(write_yaml({"id": "study", "trials": rows}))
    return directory


def test_a_study_is_its_trials_as_far_as_they_have_begun(tmp_path):
    directory = study(tmp_path / "study", "001", "000", "002")
    for name in ("000", "001"):
        Run.create(directory / "trials" / name, CONFIG, name, [])
    assert trials(directory) == [directory / "trials" / "001", directory / "trials" / "000"]
    assert [o.fingerprint for o in gather([directory])] == ["001", "000"]


def test_what_is_given_twice_is_there_once_and_in_the_order_given(tmp_path, run):
    directory = study(tmp_path / "study", "000")
    trial = Run.create(directory / "trials" / "000", CONFIG, "0", []).path
    (trial / "meta.json").write_text("{")
    assert gather([run.path, trial, directory, run.path]) == [read(run.path), read(trial)]
    assert [o.state for o in gather([directory])] == ["broken"]


@pytest.mark.parametrize("content", ["status: running\n", "trials: 3\n", "trials:\n- id: 0\n"])
def test_a_study_that_lists_no_trials_is_refused(tmp_path, content):
    (tmp_path / "state.yaml").write_text(content)
    with pytest.raises(UserError, match="lists no trials; the file was damaged"):
        gather([tmp_path])


def test_outcomes_are_plain_values(run):
    assert isinstance(read(run.path), Outcome)
    assert json.loads(json.dumps(dict(read(run.path).meta)))["seed"] == 7
