"""Watch a policy: ``python -m vbot.play RUN``, in MuJoCo's viewer or, with ``--video``, without a display."""

import os
import sys
from pathlib import Path

from vbot.cli import Parser, run_command
from vbot.errors import UserError


def main(arguments: list[str] | None = None) -> None:
    """The command; ``arguments`` default to those of the process. Raises UserError."""
    parser = Parser(prog="python -m vbot.play", description="Watch a policy walk.")
    parser.add_argument("path", type=Path, metavar="DIR_OR_CHECKPOINT", help="a run directory (its best) or a .pt file")
    parser.add_argument("--task", help="default: the task of the training")
    parser.add_argument("--episodes", type=int, default=3, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument(
        "--episode-seed", type=int, metavar="N", help="a held-out episode of the training, as findings.jsonl names them"
    )
    parser.add_argument("--video", type=Path, metavar="FILE", help="write a .gif or .mp4, without a display")
    given = parser.parse_args(arguments)
    if given.episodes < 1:
        raise UserError(f"--episodes must be at least 1; got {given.episodes}")
    if given.video is not None and sys.platform == "linux":
        os.environ.setdefault("MUJOCO_GL", "egl")  # needs no display; MuJoCo reads it when it is imported, so before:
    import torch

    from vbot.courses import load_task
    from vbot.evaluation import load_policy
    from vbot.player import Show, record, view

    if given.task is not None:
        load_task(given.task)
    torch.set_num_threads(1)
    path = given.path
    if given.episode_seed is not None:
        if given.task is not None:
            raise UserError("--episode-seed is an episode of the training's own task; leave out --task")
        path = witness(path, given.episode_seed)
    show = Show(load_policy(path, task=given.task), given.episodes, given.seed, held_out=given.episode_seed)
    if given.video is None:
        view(show)
    else:
        record(show, given.video)
        print(f"wrote {given.video}")


def witness(path: Path, episode: int) -> Path:
    """Of a run, the policy of the latest finding that names this episode, after saying what it shows; else ``path``."""
    from vbot.run import Run

    if path.is_dir():
        run = Run.open(path)
        rows = [row for row in run.findings() if row["episode"] == episode and row["checkpoint"]]
        if rows:
            last = rows[-1]["checkpoint"]
            for row in rows:
                if row["checkpoint"] == last:
                    print(f"{row['name']} at {row['steps']:,} steps: {row['message']}")
            return run.checkpoint_file(last)
    return path


if __name__ == "__main__":
    run_command(main)
