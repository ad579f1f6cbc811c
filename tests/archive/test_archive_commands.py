"""The command as a user types it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from run_files import make_run

from vbot.archive.__main__ import main
from vbot.archive.library import Library
from vbot.cli import run_command
from vbot.config import PPOConfig
from vbot.errors import UserError
from vbot.settings import resolve
from vbot.yaml_files import read_yaml


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder of work: three seeds of swift, and phase5 with two values of forward_velocity; nothing archived yet."""
    folder = tmp_path_factory.mktemp("work")
    for seed in range(3):
        make_run(folder / "runs" / f"swift-s{seed}", seed=seed, successes=970)
    make_run(folder / "runs" / "phase5", "phase5", successes=600)
    make_run(folder / "runs" / "fast", "phase5", successes=0, assignments=("reward.terms.forward_velocity=1.2",))
    make_run(folder / "runs" / "unfinished", "kit", successes=None)
    (folder / "runs" / "notes").mkdir()
    return folder


@pytest.fixture
def work(folder, tmp_path, monkeypatch) -> Path:
    """The same, archived, to work in."""
    (tmp_path / "runs").symlink_to(folder / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VBOT_LIBRARY")
    main(["rebuild"])
    return tmp_path


def name_of(beginning: str) -> str:
    (name,) = [f.stem for f in Path("reward_library").rglob(f"{beginning}-*.yaml")]
    return name


def code_of(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: main(arguments))
    return int(ended.value.code or 0)


def test_from_runs_to_a_list(work, capsys):
    assert "reward_library: 28 entries changed" in run(work, "rebuild", "--library", "other/reward_library")
    capsys.readouterr()
    main(["list"])
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert " ".join(lines[1].split()) == (
        f"{name_of('swift')} verified section001 97.0 % [96.3, 97.6], falls 1.5 %, 9.7 s to the target; 3 seeds, "
        "2,000,000 steps, 1:01 each"
    )
    assert "kit-" not in said
    assert [line.split()[:4] for line in lines if "forward_velocity" in line] == [
        ["forward_velocity", "promising", "in", "2"]
    ]
    main(["list", "--json"])
    entries = json.loads(capsys.readouterr().out)
    assert {(e["entry"], e["status"]) for e in entries if e["name"].startswith("swift")} == {("config", "verified")}


def run(work: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "vbot.archive", *arguments], cwd=work, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_has_this_been_tried(work, capsys):
    main(["find", "--set", "phase5", "--set-value", "forward_velocity=1.2"])
    (line,) = capsys.readouterr().out.splitlines()
    assert "untested   section001  0.0 % [0.0, 0.4], falls 50.0 %; seed 0" in line
    default = f"ppo.rollouts={PPOConfig().rollouts}"
    main(["find", "--set", "phase5", "--set-value", "forward_velocity=0.8", "--set-value", default, "--json"])
    assert [e["results"][0]["success"] for e in json.loads(capsys.readouterr().out)] == [0.6]
    main(["find", "--set-value", "policy_hidden_layer_sizes=[128, 128]"])
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert code_of(["find", "--set", "phase5", "--set-value", "forward_velocity=0.9"]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == ("not tried\n", "tried were forward_velocity: 0.8, 1.2\n")
    assert code_of(["find", "--set", "phase5", "--task", "section001-far"]) == 1
    assert code_of(["find", "--set", "phase6"]) == 1
    assert "nothing was run with 'phase6'; did you mean 'phase5'?" in capsys.readouterr().err


def test_a_persons_decision_wins(work, capsys):
    swift = name_of("swift")
    main(["reject", swift, "--reason", "walks like a crab"])
    assert capsys.readouterr().out == f"{swift} is rejected, by a person: walks like a crab\n"
    assert read_yaml(work / "reward_library" / "rejected" / f"{swift}.yaml")["reason"] == "walks like a crab"
    assert not (work / "reward_library" / "configs" / f"{swift}.yaml").exists()
    library = Library(work / "reward_library")
    assert library.find("trot")["status"] == "untested"  # nothing else pays it
    main(["rebuild"])
    assert library.find("swift")["status"] == "rejected"
    main(["promote", "swift"])
    capsys.readouterr()
    assert (library.find("swift")["status"], library.find("trot")["status"]) == ("verified", "verified")
    assert not list((work / "reward_library" / "rejected").iterdir())
    main(["promote", "departure_penalty"])
    assert capsys.readouterr().out == "departure_penalty is promising, by a person\n"
    main(["rebuild"])
    assert library.find("departure_penalty")["status"] == "promising"
    main(["reject", "trot", "--reason", "a clock is no reward"])
    assert (work / "reward_library" / "rejected" / "trot.yaml").is_file()
    main(["rebuild", "runs/swift-s0"])
    assert library.find("trot")["status"] == "rejected"
    assert len(library.find("trot")["experiments"]) == 1


def test_an_entry_is_shown_and_its_settings_train_the_same_again(work, capsys):
    main(["show", "swift"])
    said = capsys.readouterr().out
    assert "  runs/swift-s2: seed 2, 2,000,000 steps, 97.0 %\n" in said
    main(["show", "trot"])
    assert f"  {name_of('swift')} (verified), scale 0.2: 97.0 % [96.3, 97.6]" in capsys.readouterr().out
    main(["show", "swift", "--settings"])
    (work / "again.yaml").write_text(capsys.readouterr().out)
    assert (
        resolve(config_file=work / "again.yaml").fingerprint
        == Library(work / "reward_library").find("swift")["fingerprint"]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "swfit"], "has nothing called 'swfit'; did you mean 'swift'?"),
        (["show", "phase5"], "'phase5' may be any of phase5-"),
        (["reject", "swift"], "the following arguments are required: --reason"),
        (["reject", "swift", "--reason", " "], "--reason must say why"),
        (["find", "--set-value", "forward_velocity"], "takes KEY=VALUE"),
        (["find", "--set-value", "forward_velocty=1"], "no configuration here has 'forward_velocty'; did you mean"),
        (["show", "trot", "--settings"], "trot is a component"),
        (["rebuild", "runs/none"], "runs/none is no run, no search and no folder of them"),
        (["list", "--library", "none"], "there is no reward library none"),
    ],
)
def test_mistakes(work, arguments, message):
    with pytest.raises(UserError) as error:
        main(arguments)
    assert message in str(error.value)
