"""What real trainings leave in the library and the journal, at their own end."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vbot
from vbot.archive.library import Library
from vbot.yaml_files import read_yaml

TINY = [
    "--reward-set", "swift", "--task", "section001-contest", "--num-envs", "16", "--threads", "1", "--device", "cpu",
    "--steps", "128", "--set", "ppo.rollouts=8", "--set", "train.eval_episodes=4", "--set", "train.final_episodes=4",
    "--set", "ppo.policy_hidden_layer_sizes=[16]", "--set", "ppo.value_hidden_layer_sizes=[16]", "--no-audit",
]  # fmt: skip
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "VBOT_LIBRARY"} | {
    "PYTHONPATH": str(Path(vbot.__file__).parents[1]),
    "OMP_NUM_THREADS": "1",
}


def start(cwd: Path, *options: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "vbot.train", *TINY, *options],
        cwd=cwd, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def train(cwd: Path, *options: str) -> tuple[str, str]:
    """What it prints, and what it warns of."""
    process = start(cwd, *options)
    said, warned = process.communicate(timeout=300)
    assert process.returncode == 0, warned
    return said, warned


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder in which two processes trained two seeds at the same time."""
    folder = tmp_path_factory.mktemp("work")
    processes = [start(folder, "--seed", seed, "--run-dir", f"runs/s{seed}") for seed in ("0", "1")]
    for process in processes:
        said, warned = process.communicate(timeout=600)
        assert (process.returncode, warned) == (0, "")
        assert "archived in reward_library" in said
        assert "journal: " in said
    return folder


def test_two_trainings_that_end_at_once_are_one_entry_with_two_seeds(trained):
    library = Library(trained / "reward_library")
    (entry,) = library.entries("config")
    assert sorted(row["run"] for row in entry["experiments"]) == ["runs/s0", "runs/s1"]
    assert entry["results"][0]["seeds"] == [0, 1]
    assert (entry["results"][0]["episodes"], entry["status"]) == (8, "untested")
    assert entry["code"]["trot"] == library.find("trot")["version"]
    report = (trained / "runs" / "REPORT.md").read_text()
    assert sorted(line[-2:] for line in report.splitlines() if line.startswith("## ")) == ["s0", "s1"]
    assert "python -m vbot.train --reward-set swift --task section001-contest" in report


def test_a_training_that_is_to_leave_nothing_leaves_nothing(tmp_path):
    said, warned = train(tmp_path, "--no-archive", "--run-dir", "runs/quiet")
    assert "archived" not in said + warned
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["quiet"]


def test_a_library_that_cannot_be_written_is_a_warning_and_no_failure(tmp_path):
    (tmp_path / "reward_library").write_text("a file where a folder should be")
    (tmp_path / "runs" / "REPORT.md").mkdir(parents=True)
    _, warned = train(tmp_path, "--run-dir", "runs/s0", "--quiet")
    lines = warned.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("warning: not archived: cannot write the library reward_library: ")
    assert lines[0].endswith("; later: python -m vbot.archive rebuild runs/s0")
    assert lines[1].startswith("warning: no entry in the journal: ")
    assert (tmp_path / "runs" / "s0" / "result.json").is_file()


def test_rebuild_says_of_real_runs_what_they_said_themselves(trained, tmp_path):
    shutil.copytree(trained / "runs", tmp_path / "runs")
    subprocess.run([sys.executable, "-m", "vbot.archive", "rebuild"], cwd=tmp_path, env=ENVIRONMENT, check=True)
    (file,) = (trained / "reward_library" / "configs").glob("*.yaml")
    assert read_yaml(tmp_path / "reward_library" / "configs" / file.name) == read_yaml(file)
