"""Run directories as a training leaves them, without the training: written by the code that writes real ones."""

import json
from pathlib import Path

from vbot.proportions import wilson_interval
from vbot.run import META, Run
from vbot.settings import Settings, resolve

EPISODES = 1000


def make_run(
    path: Path,
    reward_set: str = "swift",
    *,
    seed: int = 0,
    steps: int = 2_000_000,
    successes: int | None = 950,
    started: str = "2026-11-21T10:00:00+0000",
    assignments: tuple[str, ...] = (),
    findings: tuple[tuple[str, int], ...] = (),
    plugins: tuple[Path, ...] = (),
) -> Run:
    """A run of EPISODES final episodes, its success in equal steps of four evaluations; without ``successes`` one that
    has not finished.

    Args:
        findings: names of findings, and the steps at which they were seen.
    """
    settings = resolve(reward_set, options={"train.seed": seed, "train.steps": steps}, assignments=assignments)
    return write_run(path, settings, successes=successes, started=started, findings=findings, plugins=plugins)


def write_run(
    path: Path,
    settings: Settings,
    *,
    successes: int | None,
    started: str,
    findings: tuple[tuple[str, int], ...] = (),
    plugins: tuple[Path, ...] = (),
) -> Run:
    """The same of resolved settings."""
    reward_set, seed, steps = settings.config.reward.name, settings.config.train.seed, settings.config.train.steps
    run = Run.create(path, settings.config, settings.fingerprint, plugins, settings.term_code)
    meta = run.meta() | {"started": started, "command": ["/x/vbot/train.py", "--reward-set", reward_set]}
    (path / META).write_text(json.dumps(meta))
    run.append_metrics({"steps": steps, "elapsed_s": 60.0, "steps_per_s": 30_000.0})
    for quarter in (1, 2, 3, 4):
        so_far = summary(quarter * (successes or 0) // 4)
        row = {"steps": quarter * steps // 4, "elapsed_s": 15.0 * quarter, "seed": seed, **so_far}
        run.append_evaluation(row)
    run.append_findings(
        {
            "steps": at, "level": "warning", "name": name, "message": f"{name} was seen", "suggestion": "less of it",
            "numbers": {}, "replay": None,
        }
        for name, at in findings
    )  # fmt: skip
    if successes is not None:
        run.finish(
            {
                "status": "finished",
                "steps": steps,
                "elapsed_s": 60.0 + seed,
                "steps_per_s": 30_000.0,
                "seed": seed,
                "task": settings.config.env.task,
                "reward_set": reward_set,
                "fingerprint": settings.fingerprint,
                "best": {"checkpoint": "best", "steps": steps // 2, **summary(successes)},
                "final": row,
            }
        )
    return run


def summary(successes: int) -> dict:
    """An evaluation of which half of the failures are falls; a second to the target for each hundred successes."""
    low, high = wilson_interval(successes, EPISODES)
    falls = (EPISODES - successes) // 2
    return {
        "episodes": EPISODES,
        "success_rate": successes / EPISODES,
        "success_ci95": [low, high],
        "reached_rate": successes / EPISODES,
        "fall_rate": falls / EPISODES,
        "timeout_rate": (EPISODES - successes - falls) / EPISODES,
        "time_to_target_s": successes / 100 if successes else None,
        "path_efficiency": 0.9,
        "mean_speed_mps": 1.0,
        "contest_score": 20 * successes / EPISODES,
    }
