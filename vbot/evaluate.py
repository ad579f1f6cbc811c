"""Judge a policy on held-out episodes: ``python -m vbot.evaluate DIR_OR_CHECKPOINT``."""

import json
from pathlib import Path

import torch

from vbot.cli import Parser, run_command
from vbot.courses import load_task
from vbot.errors import UserError
from vbot.terminal import percent


def main(arguments: list[str] | None = None) -> None:
    """The command; ``arguments`` default to those of the process. Raises UserError."""
    parser = Parser(prog="python -m vbot.evaluate", description="Deterministic success on held-out episodes.")
    parser.add_argument("path", type=Path, metavar="DIR_OR_CHECKPOINT", help="a run directory (its best) or a .pt file")
    parser.add_argument("--task", help="default: the task of the training")
    parser.add_argument("--episodes", type=int, default=1024, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="no seed repeats an episode of training")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    if given.episodes < 1:
        raise UserError(f"--episodes must be at least 1; got {given.episodes}")
    if given.seed < 0:
        raise UserError(f"--seed must be at least 0; got {given.seed}")
    if given.task is not None:
        load_task(given.task)
    from vbot.evaluation import Evaluator, load_policy

    torch.set_num_threads(1)  # torch's idle workers would spin on the cores that physics needs
    policy = load_policy(given.path, task=given.task)
    summary = Evaluator(policy.env, given.episodes, given.seed, purpose="evaluate")(policy).summary()
    summary |= {"seed": given.seed, "task": policy.env.task, "checkpoint": str(policy.file), "steps": policy.steps}
    print(json.dumps(summary) if given.json else _report(summary))


def _report(s: dict) -> str:
    low, high = s["success_ci95"]

    def number(key: str, unit: str) -> str:
        return "-" if s[key] is None else f"{s[key]:.2f}{unit}"

    rows = [
        ("checkpoint", f"{s['checkpoint']}, {s['steps']:,} steps"),
        ("task", f"{s['task']}, {s['episodes']} episodes, seed {s['seed']}"),
        ("success", f"{percent(s['success_rate'])}  [{100 * low:.1f}, {100 * high:.1f}] 95 % interval"),
        ("reached", percent(s["reached_rate"])),
        ("falls", percent(s["fall_rate"])),
        ("timeouts", percent(s["timeout_rate"])),
        ("time to target", number("time_to_target_s", " s")),
        ("path efficiency", number("path_efficiency", "")),
        ("mean speed", number("mean_speed_mps", " m/s")),
        ("contest score", number("contest_score", " of 20")),
    ]
    return "\n".join(f"{name:16}{value}" for name, value in rows)


if __name__ == "__main__":
    run_command(main)
