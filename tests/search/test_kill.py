"""kill -9, in earnest: of the search and of its trials, at any instant, as the operating system does it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from run_files import make_run

from vbot.archive.library import Library
from vbot.outcomes import read
from vbot.yaml_files import read_yaml

HERE = Path(__file__).parent
SEARCH = f"""
import sys
from vbot.cli import run_command
from vbot.search.__main__ import main
from vbot.search.executor import Process
Process.__init__.__defaults__ = ((sys.executable, {str(HERE / "slow_train.py")!r}),)
run_command(main)
"""
OPTIONS = ["--trials", "5", "--trial-steps", "800", "--only", "learning_rate", "--quiet", "--no-audit"]


def start(directory: Path, seconds: float, *more: str, code: str = SEARCH) -> subprocess.Popen:
    begun = (directory / "config.yaml").exists()
    options = ["--resume", str(directory)] if begun else ["--out", str(directory), *OPTIONS, *more]
    environment = {**os.environ, "SLOW_TRAIN_S": str(seconds), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code, *options, "--quiet"], env=environment)


def pids_of_trials(directory: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().decode()
            except OSError:
                continue
            # The trainings alone, not the search, whose command line also names the directory.
            if f"{directory}/trials/" in line:
                found.append(int(entry.name))
    return found


def trials(directory: Path) -> list[dict]:
    keys = ("id", "seed", "state", "parameters", "objective")
    return [{key: t[key] for key in keys} for t in read_yaml(directory / "state.yaml")["trials"]]


def events(directory: Path, kind: str) -> list[dict]:
    rows = [json.loads(line) for line in (directory / "journal.jsonl").read_text().splitlines()]
    return [row for row in rows if row["event"] == kind]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds processes in /proc")
def test_ten_kills_lose_nothing_repeat_nothing_and_end_with_the_same_points(tmp_path):
    whole, directory = tmp_path / "whole", tmp_path / "killed"
    assert start(whole, 0.0).wait(300) == 0
    rng = random.Random(4)
    victims = ["search"] * 6 + ["trial"] * 4
    rng.shuffle(victims)
    hit: Counter[str] = Counter()
    process, journal = start(directory, 0.15), directory / "journal.jsonl"
    limit = time.monotonic() + 900
    while victims:
        # Mostly after it has taken the search up, now and then while it still starts.
        size, patient = journal.stat().st_size if journal.exists() else 0, rng.random() < 0.8
        while patient and not (journal.exists() and journal.stat().st_size > size):
            assert process.poll() is None, "the search has ended before ten kills; it is too fast for this test"
            assert time.monotonic() < limit
            time.sleep(0.1)
        time.sleep(rng.uniform(0.0, 1.0))
        if victims[-1] == "search":
            process.kill()
            process.wait()
            victims.pop()
            process = start(directory, 0.15)
        elif found := pids_of_trials(directory):
            run = max((directory / "trials").glob("*.log"), key=lambda file: file.stat().st_mtime).stem
            if hit[run] < 2:  # one that is killed three times is given up, as it should be
                os.kill(found[0], signal.SIGKILL)
                hit[run] += 1
                victims.pop()
    assert process.wait(600) == 0
    assert trials(directory) == trials(whole)
    assert read_yaml(directory / "state.yaml")["best"] == read_yaml(whole / "state.yaml")["best"]
    points = [json.dumps(e["parameters"], sort_keys=True) for e in events(directory, "trial")]
    assert len(set(points)) == len(points) == 5
    assert pids_of_trials(directory) == []
    for run in (directory / "trials").iterdir():
        if (run / "result.json").exists():
            # Every evaluation is there once, and only what a kill cut off was done twice.
            rows = [json.loads(line)["steps"] for line in (run / "eval.jsonl").read_text().splitlines()]
            assert rows == [100, 200, 300, 400, 500, 600, 700, 800]
            assert len((run / "work").read_text().splitlines()) <= 8 + 10
    finished = [e["run"] for e in events(directory, "ended") if e["state"] in ("COMPLETE", "PRUNED")]
    assert len(finished) == len(set(finished))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds processes in /proc")
def test_a_warm_start_that_is_killed_asks_for_the_same_points(tmp_path, monkeypatch):
    library = tmp_path / "reward_library"
    monkeypatch.setenv("VBOT_LIBRARY", str(library))
    for number, rate in enumerate((3e-4, 5e-4)):
        run = make_run(
            tmp_path / str(number), "phase5", assignments=(f"ppo.learning_rate={rate}",), successes=900 - number
        )
        Library(library).add([(read(run.path), "finished")])
    whole, directory = tmp_path / "whole", tmp_path / "killed"
    assert start(whole, 0.0, "--warm-start").wait(300) == 0
    process = start(directory, 0.1, "--warm-start")
    limit = time.monotonic() + 300
    while not (directory / "trials" / "001" / "eval.jsonl").exists():
        assert time.monotonic() < limit
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    library.rename(tmp_path / "gone")
    assert start(directory, 0.0).wait(300) == 0
    assert trials(directory) == trials(whole)
    assert [t["parameters"]["ppo.learning_rate"] for t in trials(whole)[:3]] == [2e-3, 3e-4, 5e-4]


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds processes in /proc")
def test_ctrl_c_ends_search_and_trials_and_says_how_to_go_on(tmp_path):
    directory = tmp_path / "study"
    process = start(directory, 0.3, "--jobs", "2")
    limit = time.monotonic() + 120
    while len(pids_of_trials(directory)) < 2:
        assert time.monotonic() < limit
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130
    assert pids_of_trials(directory) == []
    state = read_yaml(directory / "state.yaml")
    assert state["status"] == "stopped"
    assert [t["state"] for t in state["trials"]] == ["STOPPED", "STOPPED"]
    assert (directory / "report.md").exists()


REAL = "from vbot.cli import run_command; from vbot.search.__main__ import main; run_command(main)"
TINY = ["--trials", "1", "--trial-steps", "3072", "--only", "learning_rate", "--sampler", "random",
        "--set", "env.num_envs=64", "--set", "ppo.rollouts=16", "--set", "train.eval_episodes=8",
        "--set", "train.final_episodes=8", "--task", "section001-contest", "--set", "train.threads=1",
        "--quiet", "--no-audit"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds processes in /proc")
def test_a_real_training_that_is_killed_with_its_search_goes_on_bit_for_bit(tmp_path):
    whole, directory = tmp_path / "whole", tmp_path / "killed"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", REAL]
    subprocess.run([*command, "--out", str(whole), *TINY], env=environment, check=True, timeout=600)
    process = subprocess.Popen([*command, "--out", str(directory), *TINY], env=environment)
    limit = time.monotonic() + 300
    while not (directory / "trials" / "000" / "eval.jsonl").exists():
        assert time.monotonic() < limit
        time.sleep(0.02)
    for number in pids_of_trials(directory):  # the trial once, while the search looks on
        os.kill(number, signal.SIGKILL)
    while not (directory / "trials" / "000-s1" / "eval.jsonl").exists():
        assert time.monotonic() < limit
        time.sleep(0.02)
    process.kill()  # and the search once; its trial goes on alone until it is stopped
    process.wait()
    subprocess.run([*command, "--resume", str(directory)], env=environment, check=True, timeout=600)
    assert trials(directory) == trials(whole)
    for run in ("000", "000-s1", "000-s2"):
        results = [json.loads((d / "trials" / run / "result.json").read_text()) for d in (whole, directory)]
        assert results[0]["best"] == results[1]["best"]
