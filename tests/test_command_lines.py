"""What the command lines answer: to a mistake one line, exit code 2 and nothing left behind; and their help."""

import pytest
import torch
from commands import command

import vbot.evaluate
import vbot.play
import vbot.train
from vbot.cli import run_command

SET = ["--reward-set", "phase5", "--set"]
BAD_INPUT = [
    (["--reward-set", "phase6"], "no reward set is named 'phase6'; did you mean 'phase5'?"),
    (["--reward-set", "phase5", "--task", "section01"], "did you mean 'section001"),
    ([*SET, "ppo.learning_rat=1"], "unknown key 'ppo.learning_rat'; did you mean 'ppo.learning_rate'?"),
    ([*SET, "reward.terms.alive_bonsu=1"], "no reward term is named 'alive_bonsu'; did you mean 'alive_bonus'?"),
    ([*SET, "reward.terms.torques=1"], "'torques' is a penalty, its scale must be <= 0; got 1"),
    ([*SET, "reward.terms.alive_bonus=lots"], "must be a finite number; got 'lots'"),
    ([*SET, "reward.terms.alive_bonus=.nan"], "must be a finite number"),
    ([*SET, "reward.terms.position_tracking.sgma=1"], "no parameter 'sgma'; did you mean 'sigma'?"),
    (["--reward-set", "phase5", "--num-envs", "0"], "env.num_envs must be at least 1; got 0"),
    (["--reward-set", "phase5", "--steps", "-5"], "train.steps must be at least 1"),
    (["--reward-set", "phase5", "--plugin", "nowhere.py"], "no plugin file 'nowhere.py'"),
    (["--reward-set", "phase5", "--config", "nowhere.yaml"], "nowhere.yaml"),
    (["--reward-set", "phase5", "--run-dir", "/proc/nowhere/run"], "cannot write run directory"),
    (["--reward-set", "phase5", "--nonsense"], "--nonsense"),
    (["--resume", "nowhere"], "no run directory"),
    ([*SET, "ppo.mini_batches=999999"], "ppo.mini_batches must be at most"),
    ([*SET, "ppo.initial_std=9"], "ppo.initial_std must be in"),
    ([], "give --reward-set"),
]


def in_process(main, arguments: list, capsys) -> tuple[int, str, str]:
    """The command's exit code, stdout and stderr, without the seconds that a new interpreter needs."""
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: main([str(a) for a in arguments]))
    out, error = capsys.readouterr()
    return stopped.value.code, out, error


@pytest.mark.parametrize(("arguments", "message"), BAD_INPUT)
def test_bad_input_gets_one_clear_line_and_leaves_nothing(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, error = in_process(vbot.train.main, arguments, capsys)
    assert code == 2
    assert out == ""
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("main", [vbot.evaluate.main, vbot.play.main])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "no run directory or checkpoint"),
        ("foreign.pt", "no vbot checkpoint"),
        ("other.pt", "no vbot checkpoint"),
    ],
)
def test_evaluate_and_play_name_a_missing_or_foreign_checkpoint(main, name, message, tmp_path, capsys):
    (tmp_path / "foreign.pt").write_bytes(b"not a checkpoint")
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    code, out, error = in_process(main, [tmp_path / name], capsys)
    assert (code, out) == (2, "")
    assert message in error
    assert error.count("\n") == 1


def test_a_mistake_ends_the_process_with_one_line_and_code_two(tmp_path):
    done = command("train", "--reward-set", "phase6", cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("name", ["train", "evaluate", "play", "archive", "status"])
def test_every_command_has_help(name, tmp_path):
    assert f"usage: python -m vbot.{name}" in command(name, "--help", cwd=tmp_path).stdout
