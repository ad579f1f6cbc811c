"""The benchmarks as a user types them, and the peers' environment against vbot's own."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vbot.config import EnvConfig
from vbot.courses import TASKS
from vbot.env import Env
from vbot.settings import Settings, resolve

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def benchmark(name: str, *arguments: object, file: Path) -> tuple[dict, str]:
    """Run benchmarks/NAME.py; what it wrote into ``file`` and what it printed."""
    done = subprocess.run(
        [sys.executable, BENCHMARKS / f"{name}.py", *map(str, arguments), "--json", file],
        capture_output=True, text=True, cwd=file.parent, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    content = json.loads(file.read_text())
    assert {"cpu", "cores", "python", "torch", "mujoco", "date"} <= set(content["machine"])
    return content, done.stdout


def test_throughput_says_what_is_left_of_physics(tmp_path):
    content, printed = benchmark(
        "throughput", "--num-envs", 32, "--threads", 1, "--repetitions", 2, "--warmup", 1, file=tmp_path / "out.json"
    )
    rows = {row["side"]: row for row in content["rows"]}
    assert list(rows) == [
        "physics alone, states of environment", "environment, random actions",
        "physics alone, states of training", "training, with all its logs",
    ]  # fmt: skip
    assert all(side in printed for side in rows)
    assert all(row["steps_per_s"] > 0 and 0 < row["in_physics"] <= 1 for row in rows.values())
    assert len(content["samples_s"]) == 2
    assert not (tmp_path / "runs").exists()


def test_scaling_measures_speed_and_memory_of_every_point(tmp_path):
    content, printed = benchmark("scaling", "--envs", 16, "--threads", 1, "--seconds", 0, file=tmp_path / "out.json")
    assert [(row["num_envs"], row["threads"]) for row in content["rows"]] == [(16, 1)]
    # Python with torch does not fit into 50 MiB, and so few robots do not need 2 GiB.
    assert all(row["steps_per_s"] > 0 and 50 < row["peak_rss_mib"] < 2000 for row in content["rows"])
    assert len(printed.splitlines()) == 2


def write_run(directory: Path, rates: list[float], interval_s: float) -> None:
    """What time_to_success reads of a run: an evaluation of 5 s every ``interval_s`` and 1,000 steps of training."""
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text("train: {seed: 0}\n")
    rows = [
        {"steps": 1000 * k, "elapsed_s": k * (interval_s + 5), "evaluation_s": 5.0 * k, "success_rate": rate}
        for k, rate in enumerate(rates, 1)
    ]
    (directory / "eval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_success_holds_from_the_first_of_three_in_a_row_in_training_time(tmp_path):
    # The 0.92 of the second evaluation is alone; 0.90 holds from the fourth on (40 s), 0.95 from the sixth (60 s).
    write_run(tmp_path / "runs" / "quick-s0", [0.1, 0.92, 0.8, 0.9, 0.94, 0.95, 0.99, 0.99, 0.98, 1.0], 10)
    # Half as fast, and 0.95 comes twice in a row only: 0.90 holds from the first of the last three on (60 s).
    write_run(tmp_path / "runs" / "quick-s1", [0.2, 0.3, 0.93, 0.96, 0.97], 20)
    write_run(tmp_path / "runs" / "slow-s0", [0.0, 0.1, 0.9, 0.9], 30)
    content, printed = benchmark("time_to_success", "--from", tmp_path / "runs", file=tmp_path / "out.json")
    runs = {(row["set"], row["seed"]): row for row in content["rows"]}
    assert list(runs) == [("quick", 0), ("quick", 1), ("slow", 0)]
    assert runs["quick", 0]["holds"] == {
        "0.90": {"training_s": 40, "steps": 4000}, "0.95": {"training_s": 60, "steps": 6000}, "0.99": None,
    }  # fmt: skip
    assert runs["quick", 1]["holds"] == {"0.90": {"training_s": 60, "steps": 3000}, "0.95": None, "0.99": None}
    assert runs["slow", 0]["holds"] == {"0.90": None, "0.95": None, "0.99": None}
    quick, slow = content["sets"]
    assert quick["holds"]["0.90"]["training_s"] == {"median": 50, "min": 40, "max": 60}
    # One seed of two never held it: later than all, and no median can be told.
    assert quick["holds"]["0.95"]["training_s"] == {"median": None, "min": 60, "max": None}
    assert quick["holds"]["0.95"]["held"] == 1
    assert slow["holds"]["0.90"]["held"] == 0
    assert "40 s, 0.00 M" in printed


def test_the_figure_is_made_for_800_pixels(tmp_path):
    from PIL import Image

    write_run(tmp_path / "runs" / "quick-s0", [0.0, 0.5, 0.97, 0.99], 10)
    write_run(tmp_path / "runs" / "quick-s1", [0.0, 0.6, 0.9, 1.0], 10)
    write_run(tmp_path / "runs" / "slow-s0", [0.0, 0.0, 0.2, 0.8], 20)
    picture = tmp_path / "figure.png"
    benchmark("time_to_success", "--from", tmp_path / "runs", "--plot", picture, file=tmp_path / "out.json")
    assert Image.open(picture).size == (1600, 900)


def test_contests_are_ten_robots_with_two_points_each(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from time_to_success import contests

    class Outcomes:
        fenced = torch.ones(1000, dtype=torch.bool)
        reached = torch.ones(1000, dtype=torch.bool)
        fell = torch.zeros(1000, dtype=torch.bool)

    assert contests(Outcomes) | {"full_ci95": None} == {
        "contests": 100, "full": 1.0, "full_ci95": None, "score_mean": 20.0,
    }  # fmt: skip
    Outcomes.fell[-10:] = True  # the last to end, but not therefore of one contest
    Outcomes.reached[0] = False
    result = contests(Outcomes)
    assert result["score_mean"] == pytest.approx(20 - (10 * 2 + 1) / 100)
    assert 0.89 <= result["full"] < 0.95


def single_robot(monkeypatch: pytest.MonkeyPatch, settings: Settings, task: str):
    monkeypatch.syspath_prepend(str(BENCHMARKS / "peers"))
    from single import SingleRobot

    return SingleRobot(EnvConfig(num_envs=1, task=task), settings.reward_set, seed=0)


def compare_episode(env: Env, single, actions: torch.Tensor) -> str:
    """Drive both from the spawn of ``env`` under the same actions to the end of the episode; how it ended.

    The single simulation is put into the state of the batched one before every step: float32 commands differ in their
    last bit, and contacts make more of it.
    """
    from single_reward import TERMS

    obs = env.reset()
    single_obs = single.place(env.sim.state_dict()["fields"]["qpos"][0].numpy())
    for action in actions:
        assert single_obs == pytest.approx(obs[0].numpy(), rel=1e-4, abs=1e-4)
        fields = env.sim.state_dict()["fields"]
        for name in ("qpos", "qvel", "qacc_warmstart"):
            getattr(single._data, name)[:] = fields[name][0].numpy()
        step = env.step(action[None])
        single_obs, reward, terminated, truncated = single.step(action.numpy())
        for name, params, raw in zip(env.term_names, env.params, env._reward.raw[:, 0].tolist(), strict=True):
            assert TERMS[name](single, **params) == pytest.approx(raw, rel=1e-3, abs=1e-4), name
        assert reward == pytest.approx(step.reward.item(), rel=1e-3, abs=1e-3)
        assert (terminated, truncated) == (step.terminated.item(), step.truncated.item())
        obs = step.obs
        if terminated or truncated:
            ended = env.take_episodes()
            return "success" if ended.success.all() else "fell" if ended.fell.all() else "timeout"
    raise AssertionError("the episode did not end")


def test_the_peers_single_robot_is_vbots(monkeypatch):
    settings = resolve("swift")
    short = dataclasses.replace(TASKS["section001"], episode_limit_s=1.5)
    monkeypatch.setitem(TASKS, "short", short)
    monkeypatch.setitem(TASKS, "inside", dataclasses.replace(short, spawn_min_m=0.2, spawn_max_m=0.6))
    generator = torch.Generator().manual_seed(1)
    ends = []
    for task, noise in [("short", 0.5), ("short", 6.0), ("inside", 0.0), ("inside", 0.0), ("inside", 1.0)]:
        config = EnvConfig(num_envs=1, task=task)
        env = Env(config, settings.reward_set, generator=generator, threads=1)
        env.params = [term.params for term in settings.reward_set.terms]
        actions = noise * torch.randn(75, 12, generator=generator)
        ends.append(compare_episode(env, single_robot(monkeypatch, settings, task), actions))
    assert set(ends) == {"success", "fell", "timeout"}
