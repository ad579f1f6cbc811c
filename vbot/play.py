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
    show = Show(load_policy(given.path, task=given.task), given.episodes, given.seed)
    if given.video is None:
        view(show)
    else:
        record(show, given.video)
        print(f"wrote {given.video}")


if __name__ == "__main__":
    run_command(main)
