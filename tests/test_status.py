"""What status says of real runs: training, killed, stopped, finished, broken; and of a study."""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import vbot.status
from vbot.cli import run_command
from vbot.errors import UserError
from vbot.overview import Entry, look

TINY = [
    "--reward-set", "swift", "--task", "section001-contest", "--num-envs", "32", "--threads", "1", "--device", "cpu",
    "--set", "ppo.rollouts=8", "--set", "train.eval_episodes=4", "--set", "ppo.policy_hidden_layer_sizes=[16]",
    "--set", "ppo.value_hidden_layer_sizes=[16]", "--no-audit", "--quiet",
]  # fmt: skip
UPDATE = 32 * 8
SHORT = ["--steps", str(2 * UPDATE), "--set", "train.final_episodes=4"]
# One update, and then an evaluation of some minutes.
JUDGED_LONG = ["--steps", str(UPDATE), "--set", "train.final_episodes=200000"]
SEARCH = """
import sys
from vbot.cli import run_command
from vbot.search.__main__ import main
from vbot.search.executor import Process
Process.__init__.__defaults__ = ((sys.executable, sys.argv.pop(1)),)
run_command(main)
"""
SLOW_TRAIN = Path(__file__).parent / "search" / "slow_train.py"


def python(*arguments: object, cwd: Path, **more: object) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SLOW_TRAIN_S": "0.5"}
    return subprocess.Popen([sys.executable, *map(str, arguments)], cwd=cwd, env=environment, text=True, **more)


def train(folder: Path, name: str, *options: str) -> subprocess.Popen:
    return python("-m", "vbot.train", *TINY, *options, "--run-dir", f"runs/{name}", cwd=folder)


def wait_for(condition: Callable[[], object], process: subprocess.Popen, timeout_s: float = 240.0) -> None:
    limit = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < limit
        time.sleep(0.05)


def beat(run: Path) -> dict:
    try:
        return json.loads((run / "heartbeat.json").read_text())
    except FileNotFoundError:
        return {}


def judged(run: Path) -> bool:
    """Whether a run is in its last evaluation."""
    return (run / "checkpoints" / "final.pt").is_file() and beat(run).get("doing") == "evaluating"


def entry(path: Path) -> Entry:
    (found,) = look([path]).entries
    return found


def said(arguments: list, capsys) -> str:
    vbot.status.main([str(a) for a in arguments])
    return capsys.readouterr().out


def files(folder: Path) -> dict[str, int]:
    return {str(f.relative_to(folder)): f.stat().st_mtime_ns for f in sorted(folder.rglob("*"))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """``runs`` with runs that have come to an end, each in its own way, and no process left."""
    folder = tmp_path_factory.mktemp("campaign")
    finished = train(folder, "finished", *SHORT)
    killed = train(folder, "killed", *JUDGED_LONG)
    stopped = train(folder, "deep/stopped", "--steps", "1e9", "--set", "train.final_episodes=4")
    assert finished.wait(240) == 0
    wait_for(lambda: beat(folder / "runs" / "deep" / "stopped").get("doing") == "training", stopped)
    stopped.send_signal(signal.SIGINT)
    wait_for(lambda: judged(folder / "runs" / "killed"), killed)
    killed.kill()
    killed.wait()
    assert stopped.wait(240) == 130
    shutil.copytree(folder / "runs" / "finished", folder / "runs" / "broken")
    (folder / "runs" / "broken" / "result.json").write_text('{"status": "fini')
    (folder / "runs" / "notes.txt").write_text("no run")
    return folder


@pytest.fixture
def runs(folder, monkeypatch) -> Path:
    monkeypatch.chdir(folder)
    return Path("runs")


def test_what_has_ended_is_told_with_the_command_that_goes_on(runs):
    found = {e.path.name: e for e in look([runs]).entries}
    assert {name: e.state for name, e in found.items()} == {
        "broken": "broken", "finished": "finished", "killed": "died", "stopped": "stopped",
    }  # fmt: skip
    assert (found["stopped"].why, found["stopped"].resume) == (
        "Ctrl-C", "python -m vbot.train --resume runs/deep/stopped",
    )  # fmt: skip
    killed = found["killed"]
    assert killed.why.startswith(f"process {beat(runs / 'killed')['pid']} is gone")
    assert killed.resume == "python -m vbot.train --resume runs/killed"
    assert (killed.steps, killed.progress, killed.evaluation["steps"]) == (UPDATE, 1.0, UPDATE)
    finished = found["finished"]
    result = json.loads((runs / "finished" / "result.json").read_text())
    assert finished.evaluation == result["best"]
    assert (finished.reward_set, finished.task, finished.seed) == ("swift", "section001-contest", 0)
    assert (finished.resume, finished.steps) == (None, 2 * UPDATE)
    assert not (runs / "finished" / "heartbeat.json").exists()
    assert "line 1 column" in found["broken"].why


def test_the_command_that_goes_on_does(runs, tmp_path):
    shutil.copytree(runs / "deep" / "stopped", tmp_path / "run")
    config = tmp_path / "run" / "config.yaml"
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    one_more = json.loads(rows[-1])["steps"] + UPDATE
    config.write_text(config.read_text().replace("steps: 1000000000", f"steps: {one_more}"))
    resume = entry(tmp_path / "run").resume.split()
    assert resume == ["python", "-m", "vbot.train", "--resume", str(tmp_path / "run")]
    assert python(*resume[1:], "--quiet", cwd=tmp_path).wait(240) == 0
    assert entry(tmp_path / "run").state == "finished"


def test_a_run_without_a_checkpoint_is_begun_anew_elsewhere(runs, tmp_path):
    shutil.copytree(runs / "killed", tmp_path / "a run")
    (tmp_path / "a run" / "checkpoints" / "resume.state").unlink()
    (tmp_path / "a run" / "plugins" / "tall.py").write_text("")
    at = f"'{tmp_path}/a run"
    assert entry(tmp_path / "a run").resume == (
        f"python -m vbot.train --config {at}/config.yaml' --plugin {at}/plugins/tall.py' --run-dir {at}-again'"
    )


@pytest.mark.parametrize(
    ("age_s", "state", "why"), [(60, "running", "on elsewhere, heard of 1:0"), (700, "died", "for 11:4")]
)
def test_of_another_machine_the_age_of_the_heartbeat_decides(runs, tmp_path, age_s, state, why):
    shutil.copytree(runs / "killed", tmp_path / "run")
    content = {**beat(runs / "killed"), "host": "elsewhere", "machine": "another", "time": time.time() - age_s}
    (tmp_path / "run" / "heartbeat.json").write_text(json.dumps(content))
    found = entry(tmp_path / "run")
    assert found.state == state
    assert why in found.why


def test_a_run_of_a_version_without_heartbeats_is_not_running(runs, tmp_path):
    shutil.copytree(runs / "killed", tmp_path / "run")
    (tmp_path / "run" / "heartbeat.json").unlink()
    assert (entry(tmp_path / "run").state, entry(tmp_path / "run").steps) == ("died", UPDATE)


@pytest.mark.slow
def test_a_run_lives_through_a_long_evaluation_and_dies_at_once(folder, runs, capsys):
    process = train(folder, "long", *JUDGED_LONG)
    try:
        wait_for(lambda: judged(runs / "long"), process)
        first, rows = beat(runs / "long"), (runs / "long" / "metrics.jsonl").read_text()
        assert first["pid"] == process.pid
        assert (first["host"], first["steps"], first["progress"]) == (platform.node(), UPDATE, 1.0)
        wait_for(lambda: beat(runs / "long")["time"] > first["time"], process)  # and nothing else was written
        assert (runs / "long" / "metrics.jsonl").read_text() == rows
        process.send_signal(signal.SIGSTOP)  # as of a machine that is busy with other things
        long = entry(runs / "long")
        assert (long.state, long.doing, long.resume, long.why) == ("running", "evaluating", None, "")
        assert "- runs/long (swift, section001-contest, seed 0) 100.0 %, 0.00 M steps," in said([runs], capsys)
        refused = python("-m", "vbot.train", "--resume", runs / "long", cwd=folder, stderr=subprocess.PIPE)
        error = refused.communicate(timeout=240)[1]
        assert (refused.returncode, error) == (
            2, f"error: runs/long is in use by another training, process {process.pid}; wait for its end, or stop it "
            "first\n",
        )  # fmt: skip
        assert beat(runs / "long")["pid"] == process.pid
    finally:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert entry(runs / "long").state == "died"  # though it is a zombie until it is waited for
    process.wait()
    shutil.rmtree(runs / "long")


@pytest.mark.slow
def test_a_study_is_one_entry_running_killed_and_finished(tmp_path, monkeypatch, capsys):
    options = ["--trials", 2, "--trial-steps", 800, "--only", "learning_rate", "--no-audit", "--quiet",
               "--budget-hours", 1, "--out", "runs/study"]  # fmt: skip
    monkeypatch.chdir(tmp_path)
    study = Path("runs/study")

    def states() -> dict:
        return dict(entry(study).trials) if (study / "state.yaml").is_file() else {}

    process = python("-c", SEARCH, SLOW_TRAIN, *options, cwd=tmp_path)
    try:
        wait_for(lambda: states() == {"COMPLETE": 1, "RUNNING": 1}, process)
        running = entry(study)
        assert (running.kind, running.state, running.reward_set, running.task) == (
            "study", "running", "phase5", "section001",
        )  # fmt: skip
        assert 3500 < running.left_s < 3600
        assert (running.best_trial, running.doing) == (0, "trial 1 at 0 %")
        assert "- runs/study (search, phase5, section001, seed 0) 1 COMPLETE, 1 RUNNING, 59:" in said([], capsys)
    finally:
        process.kill()
        process.wait()
    died = entry(study)
    assert (died.state, died.resume) == ("died", "python -m vbot.search --resume runs/study")
    assert died.why.startswith(f"process {process.pid} is gone")
    assert 3500 < died.left_s < 3600
    assert f"      {died.resume}\n" in said([], capsys)
    assert len(look([tmp_path]).entries) == 1  # its trials are not told one by one
    process = python("-c", SEARCH, SLOW_TRAIN, *died.resume.split()[3:], "--quiet", cwd=tmp_path)
    assert process.wait(240) == 0
    finished = entry(study)
    assert (finished.state, dict(finished.trials)) == ("finished", {"COMPLETE": 6})
    assert finished.resume is None


def test_what_is_said_is_the_same_for_people_and_programs_and_changes_nothing(runs, capsys):
    before = files(runs)
    text = said([], capsys)
    told = json.loads(said(["--json"], capsys))
    assert files(runs) == before
    assert "1 stopped, 1 died, 1 broken, 1 finished" in text
    assert [len(told[state]) for state in ("running", "stopped", "died", "broken", "finished")] == [0, 1, 1, 1, 1]
    for e in (*told["stopped"], *told["died"]):
        assert f"      {e['resume']}\n" in text
    assert told["best"]["section001-contest"]["path"] == "runs/finished"
    assert [step["command"] for step in told["next"]][:2] == [e["resume"] for e in told["stopped"] + told["died"]]


def test_a_snapshot_is_replaced_whole(runs, capsys):
    wake_up = runs / "WAKE_UP.md"
    assert said([runs, "--snapshot"], capsys) == wake_up.read_text()
    with wake_up.open() as reader:
        old = wake_up.read_text()
        said([runs, "--snapshot"], capsys)
        assert reader.read() == old  # who reads while it is written has the old one, whole
        assert os.fstat(reader.fileno()).st_ino != wake_up.stat().st_ino
    assert not list(runs.glob("*.tmp"))
    assert len(look([runs]).entries) == 4  # it is no run


def test_watch_keeps_screen_and_file_fresh_until_ctrl_c(folder, runs):
    wake_up = runs / "WAKE_UP.md"
    wake_up.unlink(missing_ok=True)
    process = python(
        "-m", "vbot.status", "--watch", "--interval", 1, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_for(wake_up.exists, process)
    first = wake_up.read_text()
    wait_for(lambda: wake_up.read_text() != first, process)  # the time is in it
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "")
    assert out.count("# runs at ") >= 2


def test_the_best_is_of_those_that_finished_and_the_latest_come_first(runs, tmp_path):
    for number, success in enumerate([0.3, 0.7, 0.5]):
        run = tmp_path / f"run{number}"
        shutil.copytree(runs / "finished", run)
        result = json.loads((run / "result.json").read_text())
        result["best"] |= {"success_rate": success, "time_to_target_s": 3.0}
        (run / "result.json").write_text(json.dumps(result))
        os.utime(run / "result.json", (1e9 + number, 1e9 + number))
    shutil.copytree(runs / "killed", tmp_path / "killed")
    row = {**beat(tmp_path / "killed"), **entry(tmp_path / "killed").evaluation, "success_rate": 1.0}
    (tmp_path / "killed" / "eval.jsonl").write_text(json.dumps({**row, "time_to_target_s": 1.0}) + "\n")
    overview = look([tmp_path])
    assert [e.path.name for e in overview.finished()] == ["run2", "run1", "run0"]
    assert {task: e.path.name for task, e in overview.best().items()} == {"section001-contest": "run1"}
    best = tmp_path / "run1"
    assert [command for command, _ in overview.next()] == [
        f"python -m vbot.train --resume {tmp_path / 'killed'}",
        f"python -m vbot.play {best}",
        f"python -m vbot.train --config {best / 'config.yaml'} --seed 1",
    ]


def test_an_empty_folder_says_how_to_begin(tmp_path, capsys):
    text = said([tmp_path], capsys)
    assert "nothing has been trained here" in text
    assert "    python -m vbot.train --reward-set swift\n" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no folder 'runs'; give the one that holds the runs"),
        (["nowhere"], "no folder 'nowhere'"),
        (["--interval", "5"], "--interval is of --watch"),
        (["--watch", "--interval", "0"], "--interval must be at least 1 s; got 0"),
        (["--watch", "--json"], "--watch is for people"),
        (["--watch", "--snapshot"], "not allowed with"),
        (["one", "two", "--snapshot"], "give one folder, that is no run"),
        (["--snapshot", "nowhere"], "no folder 'nowhere'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: vbot.status.main(arguments))
    out, error = capsys.readouterr()
    assert (stopped.value.code, out, error.count("\n")) == (2, "", 1)
    assert message in error
    assert not list(tmp_path.iterdir())


def test_a_run_is_no_folder_to_write_into(runs):
    with pytest.raises(UserError, match=r"--snapshot writes WAKE_UP\.md into the folder of the runs"):
        vbot.status.main(["runs/finished", "--snapshot"])
    assert not (runs / "finished" / "WAKE_UP.md").exists()


def test_status_does_not_wait_for_torch(tmp_path):
    code = "import sys, vbot.status; sys.exit('torch' in sys.modules)"
    assert python("-c", code, cwd=tmp_path).wait(60) == 0
