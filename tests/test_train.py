"""The commands as a user types them: real subprocesses, real physics, tiny runs."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from commands import command

import vbot

TINY = [
    "--task", "section001-contest", "--num-envs", "32", "--threads", "1", "--device", "cpu",
    "--set", "ppo.rollouts=8", "--set", "train.eval_episodes=4", "--set", "train.final_episodes=4",
    "--set", "ppo.policy_hidden_layer_sizes=[16]", "--set", "ppo.value_hidden_layer_sizes=[16]", "--no-audit",
]  # fmt: skip
AUDITED = TINY[:-1]
STEPS_PER_UPDATE = 32 * 8


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A finished run of twelve updates."""
    directory = tmp_path_factory.mktemp("trained")
    run = directory / "run"
    command(
        "train", "--reward-set", "phase5", "--run-dir", run, "--steps", 12 * STEPS_PER_UPDATE, *AUDITED, cwd=directory
    )
    return run


def rows(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_run_leaves_everything_the_design_names(trained):
    assert {p.name for p in trained.iterdir()} >= {
        "config.yaml", "meta.json", "metrics.jsonl", "eval.jsonl", "checkpoints", "plugins", "result.json",
    }  # fmt: skip
    assert list(trained.glob("events.out.tfevents.*"))
    listed = yaml.safe_load((trained / "checkpoints" / "registry.yaml").read_text())["checkpoints"]
    names = [c["name"] for c in listed]
    assert {"init", "best", "final"} <= set(names)
    assert sum(name.startswith("step_") for name in names) >= 5
    assert all((trained / "checkpoints" / c["file"]).is_file() for c in listed)
    assert not list(trained.rglob("*.tmp"))
    meta = json.loads((trained / "meta.json").read_text())
    assert {"versions", "git_commit", "seed", "machine", "fingerprint"} <= set(meta)
    result = json.loads((trained / "result.json").read_text())
    assert result["steps"] == 12 * STEPS_PER_UPDATE
    assert result["best"]["episodes"] == 4


def test_a_run_begins_with_an_audit_that_it_records(trained, tmp_path):
    report = json.loads((trained / "audit.json").read_text())
    assert report["reward_set"] == "phase5"
    assert "conservative hovering" in {f["name"] for f in report["findings"]}
    said = command(
        "train", "--reward-set", "phase5", "--run-dir", "said", "--steps", STEPS_PER_UPDATE, *AUDITED, cwd=tmp_path
    ).stdout
    assert "warning  conservative hovering: standing just outside the target pays" in said
    command(
        "train", "--reward-set", "phase5", "--run-dir", "unsaid", "--steps", STEPS_PER_UPDATE, *TINY, cwd=tmp_path
    )  # fmt: skip
    assert not (tmp_path / "unsaid" / "audit.json").exists()
    weights = [
        torch.load(tmp_path / name / "checkpoints" / "final.pt", weights_only=True)["model"]
        for name in ("said", "unsaid")
    ]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])  # and changes nothing


def test_a_run_says_at_its_beginning_what_is_not_a_default(tmp_path):
    said = command(
        "train", "--reward-set", "phase5", "--run-dir", "run", "--steps", STEPS_PER_UPDATE, *TINY, cwd=tmp_path
    ).stdout.splitlines()
    told = [" ".join(line.split()) for line in said]
    assert "ppo.discount_factor 0.995 (reward set phase5)" in told
    assert "ppo.rollouts 8 (--set)" in told
    assert "env.num_envs 32 (option)" in told
    assert not any(line.startswith("reward.terms") for line in told)  # twenty-one of them


def test_evaluated_episodes_are_recorded_and_come_again_to_the_bit(trained):
    from vbot.evaluation import load_policy
    from vbot.player import Show
    from vbot.records import load

    files = sorted(f.name for f in (trained / "episodes").iterdir())
    assert f"{12 * STEPS_PER_UPDATE}.npz" in files
    assert "final.npz" in files
    records = load(trained / "episodes" / f"{12 * STEPS_PER_UPDATE}.npz")
    assert sorted(records.number.tolist()) == [0, 1, 2, 3]
    for row in (0, 3):
        show = Show(load_policy(trained / "checkpoints" / "final.pt"), 1, 0, held_out=int(records.number[row]))
        steps = sum(1 for _ in show)
        assert steps == int(records.steps[row])
        final = show._env.state.distance[show._row]
        assert float(final) == float(records.episodes.final_distance_m[row])


def test_findings_of_a_run_name_an_episode_that_play_shows(tmp_path, capsys):
    """A policy that has learned nothing stands, and pay for standing is what it lives on."""
    from vbot.evaluation import load_policy
    from vbot.play import witness
    from vbot.player import Show

    (tmp_path / "lazy.yaml").write_text("terms: {alive_bonus: 0.5, arrival_bonus: 15, termination: -100}")
    command(
        "train", "--reward-set", "lazy.yaml", "--run-dir", "run", "--steps", 8 * STEPS_PER_UPDATE, *TINY,
        "--eval-interval", 4 * STEPS_PER_UPDATE, cwd=tmp_path,
    )  # fmt: skip
    findings = {f["name"]: f for f in rows(tmp_path / "run" / "findings.jsonl")}
    lazy = findings["lazy robot"]
    assert "alive dominance" in findings
    assert (lazy["steps"], lazy["evaluation_seed"], lazy["level"]) == (8 * STEPS_PER_UPDATE, 0, "warning")
    policy = f"run/checkpoints/{lazy['checkpoint']}.pt"
    assert lazy["replay"] == f"python -m vbot.play {policy} --episode-seed {lazy['episode']}"
    assert witness(tmp_path / "run", lazy["episode"]) == tmp_path / policy  # of the run, the policy that was seen
    assert sum(1 for _ in Show(load_policy(tmp_path / policy), 1, 0, held_out=lazy["episode"])) == 10 / 0.02
    shown = capsys.readouterr().out
    assert "lazy robot at 2,048 steps: 100 % of 4 episodes stood" in shown
    assert "ran out of time after 10.0 s" in shown
    refused = command("play", "run", "--episode-seed", 4, "--video", "no.gif", cwd=tmp_path, check=False)
    assert refused.returncode == 2
    assert "--episode-seed must be one of the 4 held-out episodes, 0..3" in refused.stderr
    assert not (tmp_path / "no.gif").exists()
    scored = command("audit", "--episodes", "run", "--set", "reward.terms.alive_bonus=0.1", cwd=tmp_path).stdout
    assert "0 of them successes" in scored


def test_config_yaml_tells_every_value_and_its_origin(trained):
    content = yaml.safe_load((trained / "config.yaml").read_text())
    assert content["env"]["num_envs"] == 32
    assert content["reward"]["terms"]["arrival_bonus"] == {"scale": 100.0}
    assert content["reward"]["terms"]["position_tracking"]["sigma"] == 5.0
    origin = content["origin"]
    assert origin["env.num_envs"] == "option"
    assert origin["ppo.rollouts"] == "--set"
    assert origin["ppo.learning_rate"] == "default"
    assert origin["ppo.discount_factor"] == "reward set phase5"
    assert origin["reward.terms.arrival_bonus.scale"] == "reward set phase5"
    assert origin["reward.terms.position_tracking.sigma"] == "registered default"


def test_metrics_rows_add_up(trained):
    metrics = rows(trained / "metrics.jsonl")
    assert [m["steps"] for m in metrics] == [STEPS_PER_UPDATE * k for k in range(1, 13)]
    with_episodes = [m for m in metrics if "term_sums" in m]
    for row in with_episodes:
        assert sum(row["term_sums"].values()) == pytest.approx(row["return_mean"], rel=1e-9)


def test_tensorboard_keeps_the_names_that_dashboards_read(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    command(
        "train", "--reward-set", "phase5", "--run-dir", "run", "--steps", 40 * STEPS_PER_UPDATE, *TINY,
        # legs thrown away: episodes end, and are counted from their start, within this short run
        "--set", "env.action_scale=2.0", cwd=tmp_path,
    )  # fmt: skip
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {
        "Reward / Total reward (mean)", "Reward / Instantaneous reward (mean)", "Loss / policy_loss", "Loss / kl",
        "Loss / entropy", "Learning / Learning rate", "Speed / Control steps per second", "Evaluation / success_rate",
        "Reward term, weighted / arrival_bonus", "Reward term, raw / arrival_bonus", "Training episodes / fall_rate",
    } <= tags  # fmt: skip
    logged = events.Scalars("Learning / Learning rate")
    assert logged[-1].step == 40 * STEPS_PER_UPDATE


def test_evaluate_prints_the_contract_and_repeats_itself(trained, tmp_path):
    first = json.loads(command("evaluate", trained, "--episodes", 6, "--seed", 3, "--json", cwd=tmp_path).stdout)
    again = json.loads(command("evaluate", trained, "--episodes", 6, "--seed", 3, "--json", cwd=tmp_path).stdout)
    assert first == again
    assert set(first) >= {
        "episodes", "success_rate", "success_ci95", "reached_rate", "fall_rate", "timeout_rate", "time_to_target_s",
        "path_efficiency", "mean_speed_mps", "contest_score", "seed", "task", "checkpoint", "steps",
    }  # fmt: skip
    assert first["episodes"] == 6
    assert first["success_rate"] + first["fall_rate"] + first["timeout_rate"] == pytest.approx(1)
    checkpoint = trained / "checkpoints" / "init.pt"
    near = json.loads(
        command("evaluate", checkpoint, "--episodes", 2, "--task", "section001-near", "--json", cwd=tmp_path).stdout
    )
    assert near["task"] == "section001-near"
    assert near["steps"] == 0


def test_play_writes_a_video_in_which_something_moves(trained, tmp_path):
    imageio = pytest.importorskip("imageio.v2")
    command("play", trained, "--video", "out.gif", "--episode-seed", 0, cwd=tmp_path)
    frames = imageio.mimread(tmp_path / "out.gif", memtest=False)
    assert len(frames) > 20
    assert frames[0].shape[:2] == (400, 640)
    assert frames[0].std() > 10  # a picture, not one colour
    assert abs(frames[0].astype(int) - frames[15].astype(int)).max() > 50


@pytest.mark.slow
def test_a_killed_run_goes_on_bit_for_bit(tmp_path):
    budget = ["--reward-set", "phase5", "--steps", 60 * STEPS_PER_UPDATE, *TINY]
    command("train", *budget, "--run-dir", "whole", cwd=tmp_path)
    killed = subprocess.Popen(
        [sys.executable, "-m", "vbot.train", *map(str, budget), "--run-dir", "killed"],
        cwd=tmp_path, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    metrics = tmp_path / "killed" / "metrics.jsonl"
    deadline = time.monotonic() + 200
    # Past some checkpoints, and some updates further than the latest.
    while not metrics.is_file() or len(metrics.read_text().splitlines()) < 29:
        assert killed.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / "result.json").exists()
    with metrics.open("a") as file:
        file.write('{"steps": 99')  # a line torn by the kill
    command("train", "--resume", "killed", cwd=tmp_path)

    whole, resumed = (
        torch.load(tmp_path / name / "checkpoints" / "final.pt", weights_only=True) for name in ("whole", "killed")
    )
    assert whole["model"].keys() == resumed["model"].keys()
    assert all(torch.equal(whole["model"][k], resumed["model"][k]) for k in whole["model"])

    def timeless(name: str, file: str) -> list[dict]:
        clock = {"elapsed_s", "evaluation_s", "steps_per_s", "collect_s", "learn_s"}
        return [{k: v for k, v in row.items() if k not in clock} for row in rows(tmp_path / name / file)]

    for file in ("metrics.jsonl", "eval.jsonl"):
        assert timeless("killed", file) == timeless("whole", file)
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("whole", "killed")]
    assert results[0]["best"] == results[1]["best"]
    refused = command("train", "--resume", "killed", cwd=tmp_path, check=False)
    assert refused.returncode == 2
    assert "has finished" in refused.stderr


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "vbot.train", "--reward-set", "phase5", "--minutes", "30", *TINY, "--run-dir", "run"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    metrics = tmp_path / "run" / "metrics.jsonl"
    while not metrics.is_file() or len(metrics.read_text().splitlines()) < 5:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "go on with: python -m vbot.train --resume run" in out
    assert "Traceback" not in error
    steps = torch.load(tmp_path / "run" / "checkpoints" / "resume.state", weights_only=True)["steps"]
    assert steps >= 4 * STEPS_PER_UPDATE
    assert steps == rows(metrics)[-1]["steps"]


PLUGIN = '''
import torch
from vbot.rewards import State, Uniform, reward

@reward(scale=0.3, search=Uniform(0.0, 1.0))
def tall(s: State, *, height: float = 0.25) -> torch.Tensor:
    """Base height over `height` in m, not below 0."""
    return (s.base_pos_w[:, 2] - height).clamp(min=0)
'''


def test_a_plugin_file_trains_without_any_other_edit_and_resumes_from_its_copy(tmp_path):
    (tmp_path / "tall.py").write_text(PLUGIN)
    command(
        "train", "--reward-set", "phase5", "--plugin", "tall.py", "--set", "reward.terms.tall=0.5", "--run-dir", "run",
        "--steps", 2 * STEPS_PER_UPDATE, *TINY, cwd=tmp_path,
    )  # fmt: skip
    assert (tmp_path / "run" / "plugins" / "tall.py").read_text() == PLUGIN
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["reward"]["terms"]["tall"] == {"height": 0.25, "scale": 0.5}
    # a run that did not finish goes on with the copy, though the file is gone
    (tmp_path / "tall.py").unlink()
    (tmp_path / "run" / "result.json").unlink()
    command("train", "--resume", "run", cwd=tmp_path)
    # and refuses to when the copy is another reward now
    (tmp_path / "run" / "result.json").unlink()
    (tmp_path / "run" / "plugins" / "tall.py").write_text(PLUGIN.replace("min=0)", "min=0) ** 2"))
    refused = command("train", "--resume", "run", cwd=tmp_path, check=False)
    assert refused.returncode == 2
    assert "fingerprint" in refused.stderr


def test_a_new_file_in_the_package_is_found_by_itself(tmp_path):
    """In a copy of the package, so that the real one is not touched."""
    shutil.copytree(Path(vbot.__file__).parent, tmp_path / "vbot", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "vbot" / "rewards" / "tall.py").write_text(PLUGIN)
    command(
        "train", "--reward-set", "phase5", "--set", "reward.terms.tall=0.5", "--run-dir", "run",
        "--steps", STEPS_PER_UPDATE, *TINY, cwd=tmp_path,
    )  # fmt: skip
    assert "tall" in yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["reward"]["terms"]


def test_a_term_that_gives_nan_stops_the_run_and_is_named(tmp_path):
    (tmp_path / "bad.py").write_text(PLUGIN.replace("clamp(min=0)", "sub(9).log()").replace("tall", "bad"))
    stopped = command(
        "train", "--reward-set", "phase5", "--plugin", "bad.py", "--set", "reward.terms.bad=0.5", "--run-dir", "run",
        "--steps", 2 * STEPS_PER_UPDATE, *TINY, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert stopped.returncode == 2
    assert "reward term 'bad' gave NaN" in stopped.stderr
    assert (tmp_path / "run" / "checkpoints" / "init.pt").is_file()
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.slow
def test_another_quadruped_trains_with_the_same_code(tmp_path):
    """A dog of our own: other names, other order of joints, a floating body under another name, no mirror stated."""
    legs = ""
    for name, x, y in (("a", 0.2, 0.12), ("b", 0.2, -0.12), ("c", -0.2, 0.12), ("d", -0.2, -0.12)):
        legs += f"""
      <body name="{name}_upper" pos="{x} {y} 0">
        <joint name="{name}_swing" axis="0 1 0" range="-1.5 2.5"/>
        <geom type="capsule" size="0.02" fromto="0 0 0 0 0 -0.2" mass="0.5"/>
        <body name="{name}_lower" pos="0 0 -0.2">
          <joint name="{name}_bend" axis="0 1 0" range="-2.6 0.1"/>
          <geom type="capsule" size="0.015" fromto="0 0 0 0 0 -0.2" mass="0.2"/>
          <geom name="{name}_toe" type="sphere" size="0.025" pos="0 0 -0.2" mass="0.05"/>
        </body>
      </body>"""
    (tmp_path / "dog.xml").write_text(f"""<mujoco model="dog">
  <compiler angle="radian" autolimits="true"/>
  <default><joint damping="0.2" armature="0.01"/></default>
  <worldbody>
    <body name="torso" pos="0 0 0.5"><freejoint/>
      <geom type="box" size="0.25 0.1 0.05" mass="6"/>{legs}
    </body>
  </worldbody>
</mujoco>""")
    joints = [f"{leg}_{part}" for part in ("bend", "swing") for leg in "dabc"]
    (tmp_path / "dog.yaml").write_text(yaml.safe_dump({
        "model": "dog.xml", "base": "torso", "joints": joints, "standing_pose": [-1.2] * 4 + [0.6] * 4,
        "feet": ["a_toe", "b_toe", "c_toe", "d_toe"], "kp": 60.0, "kd": 2.0,
    }))  # fmt: skip
    command(
        "train", "--reward-set", "phase5", "--robot", "dog.xml", "--run-dir", "run",
        "--steps", 3 * STEPS_PER_UPDATE, *TINY, cwd=tmp_path,
    )  # fmt: skip
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["sim_failures"] == 0
    evaluation = json.loads(command("evaluate", "run", "--episodes", 2, "--json", cwd=tmp_path).stdout)
    assert evaluation["fall_rate"] == 0  # an untrained policy hardly moves: the dog stands
