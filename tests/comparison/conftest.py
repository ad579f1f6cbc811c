"""Run directories on disk as a training leaves them, made in no time; and a study of trainings that take none."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vbot.proportions import wilson_interval
from vbot.yaml_files import write_yaml

Make = Callable[..., Path]


def summary(success: float, episodes: int = 1000, time_s: float | None = 4.0, falls: float = 0.0) -> dict[str, Any]:
    """An evaluation, its interval the one that belongs to it."""
    return {
        "episodes": episodes,
        "success_rate": success,
        "success_ci95": list(wilson_interval(round(success * episodes), episodes)),
        "reached_rate": success,
        "fall_rate": falls,
        "timeout_rate": 1 - success - falls,
        "time_to_target_s": time_s if success else None,
        "path_efficiency": 0.9,
        "mean_speed_mps": 1.2,
        "contest_score": 20 * success,
    }


def make_run(
    path: Path,
    success: float | None = 0.9,
    *,
    fingerprint: str = "aaaaaaaaaaaaaaaa",
    seed: int = 0,
    reward_set: str = "swift",
    task: str = "section001",
    terms: dict[str, dict[str, float]] | None = None,
    term_code: dict[str, str] | None = None,
    steps: int = 1_000_000,
    finished: bool = True,
    findings: tuple[str, ...] = (),
    curve: tuple[float, ...] = (),
    returns: float = 100.0,
    **evaluation: Any,
) -> Path:
    """A run directory; ``success`` None is one that was never evaluated, ``curve`` the evaluations while training."""
    (path / "checkpoints").mkdir(parents=True)
    terms = terms or {"progress": {"scale": 30.0}, "stay": {"scale": 1.0}}
    config = {
        "env": {"task": task, "num_envs": 64},
        "ppo": {"learning_rate": 2e-3, "policy_hidden_layer_sizes": [128, 128]},
        "reward": {"name": reward_set, "terms": terms, "scale_dt": 0.01, "time_decay": None},
        "train": {"seed": seed, "steps": steps},
    }
    (path / "config.yaml").write_text(write_yaml({**config, "origin": {"train.seed": "option"}}))
    meta = {"started": "2026-01-02T03:04:05+0000", "command": ["vbot"], "fingerprint": fingerprint, "seed": seed}
    meta["term_code"] = term_code if term_code is not None else dict.fromkeys(terms, "c0de")
    (path / "meta.json").write_text(json.dumps(meta))
    rates = curve or (() if success is None else (success / 2, success))
    rows = [
        {"steps": steps * k // len(rates), "elapsed_s": 60.0 * k, "seed": seed, **summary(rate, 256)}
        for k, rate in enumerate(rates, 1)
    ]
    write_lines(path / "eval.jsonl", rows)
    metrics = [
        {
            "steps": steps * k // 10,
            "elapsed_s": 12.0 * k,
            "steps_per_s": 20_000.0,
            "return_mean": returns * k / 10,
            "term_sums": {name: returns * k / 10 / len(terms) for name in terms},
        }
        for k in range(1, 11)
    ]
    write_lines(path / "metrics.jsonl", metrics)
    if findings:
        write_lines(path / "findings.jsonl", [finding(name, steps) for name in findings])
    listed = [{"name": "init", "file": "init.pt", "steps": 0, "evaluation": None}]
    if rows:
        listed.append({"name": "best", "file": "best.pt", "steps": rows[-1]["steps"], "evaluation": rows[-1]})
    for row in listed:
        (path / "checkpoints" / row["file"]).write_bytes(b"")
    (path / "checkpoints" / "registry.yaml").write_text(write_yaml({"checkpoints": listed}))
    if finished and success is not None:
        result = {
            "status": "finished",
            "steps": steps,
            "elapsed_s": 120.0,
            "evaluation_s": 20.0,
            "steps_per_s": steps / 100,
            "seed": seed,
            "task": task,
            "reward_set": reward_set,
            "fingerprint": fingerprint,
            "best": {"checkpoint": "best", "steps": steps, **summary(success, **evaluation)},
            "final": rows[-1],
        }
        (path / "result.json").write_text(json.dumps(result))
    return path


def finding(name: str, steps: int) -> dict[str, Any]:
    return {
        "steps": steps,
        "level": "warning",
        "name": name,
        "message": "<b>98 %</b> of 256 episodes stood",
        "suggestion": "a lower alive_bonus",
        "replay": "python -m vbot.play step_1.pt --episode-seed 7",
    }


def write_lines(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def run(tmp_path) -> Make:
    """``run("a/b", 0.9, seed=1)`` makes a run directory below the test's own."""
    return lambda name, *args, **options: make_run(tmp_path / name, *args, **options)


@pytest.fixture(scope="session")
def make() -> Make:
    """``make(path, 0.9, seed=1)`` makes a run directory anywhere."""
    return make_run
