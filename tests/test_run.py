"""The run directory: what is written, when it is refused, and what is read back after a kill."""

import os
import pickle
import time

import pytest
import torch

from vbot.errors import UserError
from vbot.liveness import Holder
from vbot.locks import locked
from vbot.run import Run, find_checkpoint, load_checkpoint, read_lines, save_state
from vbot.settings import resolve
from vbot.yaml_files import read_yaml

CONFIG = resolve("kit", options={"train.seed": 7}).config


@pytest.fixture
def run(tmp_path) -> Run:
    return Run.create(tmp_path / "runs" / "one", CONFIG, "fedcba9876543210", [])


def names(run: Run) -> list[str]:
    return [checkpoint["name"] for checkpoint in run.checkpoints()]


# Beginning.


def test_a_run_begins_with_its_configuration_and_what_it_runs_on(run):
    assert run.config_file == run.path / "config.yaml"
    content = read_yaml(run.config_file)
    origin = content.pop("origin")
    assert content == CONFIG.to_dict()
    assert (origin["train.seed"], origin["train.steps"]) == ("option", "default")
    meta = run.meta()
    assert (meta["seed"], meta["fingerprint"]) == (7, "fedcba9876543210")
    assert meta["versions"]["torch"] == torch.__version__
    assert {"git_commit", "machine", "started", "command"} <= set(meta)


def test_a_directory_that_holds_a_run_is_refused_and_left_as_it_was(run):
    before = run.config_file.read_text()
    with pytest.raises(UserError, match=f"{run.path} already holds a run; go on with --resume {run.path}"):
        Run.create(run.path, resolve("phase5").config, "0" * 16, [])
    assert run.config_file.read_text() == before


@pytest.mark.parametrize("place", ["file", "file/run", "file/deep/run", 300 * "x"])
def test_a_directory_that_cannot_be_written_is_named(tmp_path, place):
    """A regular file, a place below one, and a name that is too long for the file system."""
    (tmp_path / "file").write_text("I was here first.")
    with pytest.raises(UserError, match=f"cannot write run directory {tmp_path / place}: "):
        Run.create(tmp_path / place, CONFIG, "0" * 16, [])
    assert (tmp_path / "file").read_text() == "I was here first."


def test_a_run_keeps_its_plugins_as_they_were(tmp_path):
    texts = {"b.py": "# second\n", "a.py": "# first\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    run = Run.create(tmp_path / "run", CONFIG, "0" * 16, [tmp_path / name for name in texts])
    for name in texts:
        (tmp_path / name).write_text("# changed\n")
    assert [(file.name, file.read_text()) for file in run.plugins] == [("a.py", "# first\n"), ("b.py", "# second\n")]


def test_a_run_is_opened_where_there_is_one(run, tmp_path):
    assert Run.open(run.path).meta() == run.meta()
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match=f"{path} is no run directory"):
            Run.open(path)


def test_a_run_has_a_result_once_it_has_finished(run):
    assert run.result() is None
    run.finish({"success_rate": 0.5})
    assert Run.open(run.path).result() == {"success_rate": 0.5}


# Heartbeats, and one training at a time.


def test_a_run_that_is_held_has_a_heartbeat_that_tells_who_and_what(run):
    assert run.heartbeat() is None
    before = time.time()
    with run.alone():
        beat = run.heartbeat()
        assert (beat["pid"], beat["doing"]) == (os.getpid(), "starting")
        assert Holder.read(beat).lives() is True
        assert before <= beat["time"] <= time.time()
        run.beat(doing="training", steps=100)
        with run.alone():  # it is held already
            run.beat(steps=200)
        assert [Run.open(run.path).heartbeat()[key] for key in ("doing", "steps")] == ["training", 200]
        with pytest.raises(UserError, match=f"in use by another training, process {os.getpid()}"):
            Run.open(run.path).alone().__enter__()
    assert run.heartbeat() is None
    assert not list(run.path.glob("*.tmp"))


@pytest.mark.parametrize(("error", "why"), [(KeyboardInterrupt(), "Ctrl-C"), (UserError("it\nbroke"), "it broke")])
def test_a_run_that_stopped_says_why_until_it_goes_on(run, error, why):
    def trains() -> None:
        with run.alone():
            run.beat(steps=100)
            raise error

    with pytest.raises(type(error)):
        trains()
    assert (run.heartbeat()["ended"], run.heartbeat()["steps"]) == (why, 100)
    with run.alone():
        assert "ended" not in run.heartbeat()


def test_a_finished_run_has_no_heartbeat_when_its_result_is_there(run):
    with run.alone():
        run.finish({"steps": 100})
        assert (run.heartbeat(), run.result()) == (None, {"steps": 100})
    with pytest.raises(BrokenPipeError), run.alone():
        raise BrokenPipeError  # while it says so, say, to a reader that has gone
    assert run.result() == {"steps": 100}


def test_a_heartbeat_that_is_none_is_none(run):
    for text in ("", "{", "[1]", "\0" * 50):
        (run.path / "heartbeat.json").write_text(text)
        assert run.heartbeat() is None


def test_two_that_begin_the_same_run_at_once_do_not_mix(tmp_path):
    (tmp_path / "run").mkdir()
    with locked(tmp_path / "run", "us", "wait"), pytest.raises(UserError, match="in use by another training"):
        Run.create(tmp_path / "run", CONFIG, "0" * 16, [])
    assert not (tmp_path / "run" / "meta.json").exists()


# Files that are whole.


def test_no_temporary_files_are_left(run):
    for steps in (100, 200):
        run.append_metrics({"steps": steps})
        run.append_evaluation({"steps": steps})
        run.save_checkpoint("best", {"weights": torch.zeros(3)}, steps, None)
        run.save_resume({"steps": steps})
    run.rewind(100)
    run.finish({"steps": 200})
    files = sorted(str(file.relative_to(run.path)) for file in run.path.rglob("*") if file.is_file())
    assert files == [
        "checkpoints/best.pt",
        "checkpoints/registry.yaml",
        "checkpoints/resume.state",
        "config.yaml",
        "eval.jsonl",
        "lock",
        "meta.json",
        "metrics.jsonl",
        "result.json",
    ]


def test_a_write_that_breaks_off_leaves_the_old_file_whole(run):
    run.save_resume({"steps": 100, "weights": torch.arange(3)})
    with pytest.raises((pickle.PicklingError, AttributeError)):
        run.save_resume({"steps": 200, "weights": torch.zeros(1000), "cannot be saved": lambda: None})
    state = run.load_resume()
    assert state["steps"] == 100
    assert torch.equal(state["weights"], torch.arange(3))


def test_a_run_without_a_state_to_resume_says_so(run):
    with pytest.raises(UserError, match=f"{run.path} stopped before its training began"):
        run.load_resume()


@pytest.mark.parametrize("kind", ["another version's", "torn", "empty"])
def test_a_run_whose_state_cannot_be_read_is_not_resumed(run, kind):
    file = run.path / "checkpoints" / "resume.state"
    foreign(file, kind)
    with pytest.raises(UserError, match=f"{file} is no vbot checkpoint") as error:
        run.load_resume()
    assert "\n" not in str(error.value)


# Lines.


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", []),
        ('{"steps": 1}\n{"steps": 2}\n', [{"steps": 1}, {"steps": 2}]),
        ('{"steps": 1}\n{"ste', [{"steps": 1}]),
        ('{"steps": 1}\n{', [{"steps": 1}]),
        ('{"ste', []),
        ('{"steps": 1}\n{"steps": 2}', [{"steps": 1}, {"steps": 2}]),
    ],
)
def test_a_line_torn_by_a_kill_is_dropped(tmp_path, text, rows):
    file = tmp_path / "metrics.jsonl"
    file.write_text(text)
    assert read_lines(file) == rows


def test_no_file_has_no_lines(tmp_path):
    assert read_lines(tmp_path / "metrics.jsonl") == []


@pytest.mark.parametrize(
    ("text", "number"),
    [('{"steps": 1}\n{"ste\n{"steps": 3}\n', 2), ('{"ste{"steps": 2}\n', 1), ('{"steps": 1}\n{"ste\n', 2)],
)
def test_a_damaged_line_that_was_ended_is_no_torn_one(tmp_path, text, number):
    file = tmp_path / "metrics.jsonl"
    file.write_text(text)
    with pytest.raises(UserError, match=f"{file}:{number} is no valid JSON"):
        read_lines(file)


# Rewinding.


def test_rewinding_drops_what_was_logged_after_a_step(run):
    for steps in (100, 200, 300):
        run.append_metrics({"steps": steps, "reward": steps / 10})
        run.append_evaluation({"steps": steps})
        run.save_checkpoint(f"step_{steps}", {}, steps, None)
    run.rewind(200)
    assert read_lines(run.path / "metrics.jsonl") == [{"steps": 100, "reward": 10.0}, {"steps": 200, "reward": 20.0}]
    assert run.evaluations() == [{"steps": 100}, {"steps": 200}]
    assert names(run) == ["step_100", "step_200"]


def test_a_resumed_run_writes_on_after_a_torn_line(run):
    with (run.path / "metrics.jsonl").open("w") as file:
        file.write('{"steps": 100}\n{"steps": 2')
    run.rewind(100)
    run.append_metrics({"steps": 200})
    assert read_lines(run.path / "metrics.jsonl") == [{"steps": 100}, {"steps": 200}]


# Checkpoints.


def test_a_checkpoint_is_listed_with_its_evaluation_and_gives_its_content_back(run):
    assert run.checkpoints() == []
    weights = torch.tensor([1.0, 2.0])
    run.save_checkpoint("init", {"weights": weights, "note": "x"}, 0, None)
    run.save_checkpoint("step_500", {"weights": 2 * weights}, 500, {"success_rate": 0.25})
    assert run.checkpoints() == [
        {"name": "init", "file": "init.pt", "steps": 0, "evaluation": None},
        {"name": "step_500", "file": "step_500.pt", "steps": 500, "evaluation": {"success_rate": 0.25}},
    ]
    content = load_checkpoint(run.path / "checkpoints" / "init.pt")
    assert torch.equal(content["weights"], weights)
    assert content["note"] == "x"


def test_a_better_checkpoint_replaces_the_best_one(run):
    for steps, success in ((100, 0.1), (200, 0.2)):
        run.save_checkpoint("best", {"steps": steps}, steps, {"success_rate": success})
    assert [(c["name"], c["steps"], c["evaluation"]) for c in run.checkpoints()] == [
        ("best", 200, {"success_rate": 0.2})
    ]
    assert load_checkpoint(run.path / "checkpoints" / "best.pt")["steps"] == 200


@pytest.mark.parametrize(
    ("saved", "meant"),
    [
        (["init"], "init"),
        (["init", "step_100", "step_200"], "step_200"),
        (["init", "step_100", "final"], "final"),
        (["init", "best", "step_200", "final"], "best"),
    ],
)
def test_a_run_directory_means_its_best_checkpoint_else_its_latest(run, saved, meant):
    for steps, name in enumerate(saved):
        run.save_checkpoint(name, {}, 100 * steps, None)
    assert find_checkpoint(run.path) == run.path / "checkpoints" / f"{meant}.pt"


def test_latest_is_by_steps_and_not_by_name(run):
    for steps in (2000, 900):
        run.save_checkpoint(f"step_{steps}", {}, steps, None)
    assert find_checkpoint(run.path).name == "step_2000.pt"


def test_a_checkpoint_file_means_itself(run):
    for name in ("init", "best"):
        run.save_checkpoint(name, {}, 0, None)
    file = run.path / "checkpoints" / "init.pt"
    assert find_checkpoint(file) == file


def test_where_no_checkpoint_can_be_found_the_reason_is_given(run, tmp_path):
    for path, reason in (
        (run.path, "has no checkpoint yet"),
        (tmp_path, "is no run directory"),
        (tmp_path / "none", "no run directory or checkpoint"),
    ):
        with pytest.raises(UserError, match=reason) as error:
            find_checkpoint(path)
        assert str(path) in str(error.value)


def foreign(file, kind):
    if kind == "tensor":
        torch.save(torch.zeros(3), file)
    elif kind == "another program's":
        torch.save({"model_state_dict": {"weights": torch.zeros(3)}}, file)
    elif kind == "another version's":
        save_state(file, {"format": "vbot checkpoint 0"})
    elif kind == "code":
        torch.save({"format": "vbot checkpoint 2", "hook": print}, file)
    elif kind == "torn":
        save_state(file, {"format": "vbot checkpoint 2", "weights": torch.zeros(1000)})
        file.write_bytes(file.read_bytes()[:500])
    else:
        file.write_bytes({"empty": b"", "text": b"name: kit\n", "picture": b"\x89PNG\r\n\x1a\n\x00\x00"}[kind])


@pytest.mark.parametrize(
    "kind", ["tensor", "another program's", "another version's", "code", "torn", "empty", "text", "picture"]
)
def test_a_file_that_is_no_checkpoint_of_ours_is_refused_in_one_line(tmp_path, kind):
    file = tmp_path / "policy.pt"
    foreign(file, kind)
    with pytest.raises(UserError, match=f"{file} is no vbot checkpoint") as error:
        load_checkpoint(file)
    assert "\n" not in str(error.value)


def test_a_listed_checkpoint_whose_file_is_gone_is_named(run):
    run.save_checkpoint("final", {}, 100, None)
    file = find_checkpoint(run.path)
    file.unlink()
    with pytest.raises(UserError, match=str(file)):
        load_checkpoint(file)
