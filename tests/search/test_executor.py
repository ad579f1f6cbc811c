"""Runs in processes of their own: how each ending is read, and that none is trained twice at once."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from vbot.search.executor import Ending, Job, Process, State, drift, stop_orphans

FAKE = (sys.executable, str(Path(__file__).parent / "fake_train.py"))


def job(directory: Path, behave: str = "ok") -> Job:
    return Job(directory / "trials" / "000", {"ppo": {"rollouts": 24, "sizes": [128, 64]}, "train": {"behave": behave}})


def start(run: Job) -> Process:
    return Process(run, FAKE)


def finish(process: Process, timeout_s: float = 20.0) -> Ending:
    limit = time.monotonic() + timeout_s
    while (end := process.poll()) is None:
        assert time.monotonic() < limit, "the run does not end"
        time.sleep(0.02)
    return end


def wait_for(file: Path, lines: int = 0, timeout_s: float = 20.0) -> None:
    limit = time.monotonic() + timeout_s
    while not file.exists() or len(file.read_text().splitlines()) < lines:
        assert time.monotonic() < limit, f"{file} does not appear"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("behave", "state", "reason"),
    [
        ("ok", State.COMPLETE, ""),
        ("diverge", State.DIVERGED, "error: training diverged at 1,000 steps"),
        ("crash", State.CRASHED, "ValueError: something broke"),
        ("no_result", State.CRASHED, "it ended without a result"),
        ("die", State.KILLED, "ended by signal 9"),
        ("drift", State.CRASHED, "configuration drift: ppo.rollouts is 99, asked was 24"),
    ],
)
def test_how_a_run_ended(tmp_path, behave, state, reason):
    assert finish(start(job(tmp_path, behave))) == Ending(state, reason)


def test_evaluations_are_read_from_the_run(tmp_path):
    process = start(job(tmp_path))
    finish(process)
    assert [(row["steps"], row["success_rate"]) for row in process.evaluations()] == [
        (100, 0.1),
        (200, 0.2),
        (300, 0.3),
        (400, 0.4),
    ]


def test_a_run_that_was_killed_goes_on_from_its_checkpoint(tmp_path):
    run = job(tmp_path, "die")
    assert finish(start(run)).state is State.KILLED
    again = start(run)
    assert again.resumed
    assert finish(again).state is State.COMPLETE
    assert (run.run_dir / "starts").read_text().split() == ["fresh", "resumed"]


def test_a_run_that_left_no_checkpoint_starts_anew_and_what_it_left_is_kept(tmp_path):
    run = job(tmp_path, "crash")
    for _ in range(3):
        assert finish(start(run)).state is State.CRASHED
    assert (run.run_dir / "starts").read_text().split() == ["fresh"]
    assert len(list(run.run_dir.parent.glob("000.failed-*"))) == 2


def test_a_run_that_finished_while_nobody_looked_is_not_done_again(tmp_path):
    run = job(tmp_path)
    finish(start(run))
    again = start(run)
    assert finish(again) == Ending(State.COMPLETE)
    assert len(again.evaluations()) == 4
    assert (run.run_dir / "starts").read_text().split() == ["fresh"]
    again.stop(Ending(State.STOPPED))  # there is nothing to stop
    assert again.poll() == Ending(State.COMPLETE)


def test_a_run_is_stopped_and_may_go_on(tmp_path):
    run = job(tmp_path, "hang")
    process = start(run)
    wait_for(run.run_dir / "checkpoints" / "resume.state")
    assert process.poll() is None
    process.stop(Ending(State.STOPPED, "the budget is spent"))
    assert process.poll() == Ending(State.STOPPED, "the budget is spent")
    assert start_and_stop(run).resumed


def start_and_stop(run: Job) -> Process:
    process = start(run)
    process.stop(Ending(State.STOPPED))
    return process


def test_what_a_dead_search_left_running_is_stopped_before_the_run_is_taken_up(tmp_path):
    run = job(tmp_path, "hang")
    # A search that dies at once, and leaves its run behind.
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_executor import job, start
import os, time
start(job(Path({str(tmp_path)!r}), "hang"))
os._exit(1)
"""
    subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    wait_for(run.run_dir / "checkpoints" / "resume.state")
    process = start(run)
    assert process.resumed
    wait_for(run.run_dir / "starts", lines=2)
    assert stop_orphans(run.run_dir) == 1  # the one of this process; the other is gone
    assert finish(process).state is State.KILLED


def test_orphans_of_another_run_are_left_alone(tmp_path):
    run, other = job(tmp_path, "hang"), Job(tmp_path / "trials" / "0001", job(tmp_path, "hang").config)
    process = start(other)
    wait_for(other.run_dir / "starts", lines=1)
    assert stop_orphans(run.run_dir) == 0
    assert process.poll() is None
    process.stop(Ending(State.STOPPED))


def test_who_only_looks_at_a_run_is_left_alone(tmp_path):
    run_dir = tmp_path / "000"
    looking = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(run_dir)])
    try:
        assert stop_orphans(run_dir) == 0
        assert looking.poll() is None
    finally:
        looking.kill()
        looking.wait()


def test_drift_is_by_value_and_names_every_key(tmp_path):
    (tmp_path / "config.yaml").write_text("ppo: {a: 1.0, b: [1, 2], c: 3}\norigin: {ppo.a: default}\n")
    assert drift({"ppo": {"a": 1, "b": (1, 2), "c": 3}}, tmp_path) == []
    assert drift({"ppo": {"a": 2, "b": (1, 2), "d": 4}}, tmp_path) == [
        "ppo.a is 1.0, asked was 2",
        "ppo.c is 3, asked was None",
        "ppo.d is None, asked was 4",
    ]
