"""Train a policy: ``python -m vbot.train --reward-set phase5``."""

import time
from pathlib import Path
from typing import Any

from vbot.cli import Parser, refuse_beside_resume, run_command
from vbot.config import Config
from vbot.errors import UserError
from vbot.rewards.plugins import load_plugins
from vbot.run import Run
from vbot.settings import REWARD_SET, resolve

_OPTIONS = {
    "task": "env.task",
    "robot": "env.robot",
    "num_envs": "env.num_envs",
    "seed": "train.seed",
    "device": "train.device",
    "threads": "train.threads",
    "eval_interval": "train.eval_interval",
    "checkpoint_interval": "train.checkpoint_interval",
}


def _parser() -> Parser:
    parser = Parser(prog="python -m vbot.train", description="Train a policy into a run directory.")
    parser.add_settings()
    parser.add_argument("--robot", metavar="NAME", help="vbot (default), or an .xml file with a .yaml beside it")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="default: runs/SET-TIME-sSEED")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--steps", type=float, metavar="N", help="budget in control steps, as in 12e6")
    budget.add_argument("--minutes", type=float, metavar="M", help="budget in minutes instead")
    parser.add_argument("--num-envs", type=int, metavar="N")
    parser.add_argument("--seed", type=int, metavar="S")
    parser.add_argument("--device", help="auto (default), cpu or cuda")
    parser.add_argument("--threads", type=int, metavar="N", help="default: every core")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with an interrupted run")
    parser.add_argument("--eval-interval", type=int, metavar="STEPS")
    parser.add_argument("--checkpoint-interval", type=int, metavar="STEPS")
    parser.add_argument("--no-audit", action="store_true", help="do not look first at what the reward pays for")
    parser.add_no_archive()
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """The command; ``arguments`` default to those of the process. Raises UserError."""
    given = _parser().parse_args(arguments)
    from vbot.experiment import Experiment  # late: torch's dashboard takes a second to import, --help should not

    if given.resume is not None:
        refuse_beside_resume(given, "the run as it was configured")
        run = Run.open(given.resume)
        if run.result() is not None:
            raise UserError(f"{run.path} has finished; its result is in {run.path / 'result.json'}")
        load_plugins(run.plugins)
        settings = resolve(config_file=run.config_file)
        experiment = Experiment(settings, quiet=given.quiet)
    else:
        plugins = load_plugins(given.plugin)
        settings = resolve(
            given.reward_set, config_file=given.config, options=_options(given), assignments=given.assignments
        )
        experiment = Experiment(settings, quiet=given.quiet)
        directory = given.run_dir or _default_directory(settings.config)
        run = Run.create(directory, settings.config, settings.fingerprint, plugins, settings.term_code)
    with run.alone():
        if not given.quiet:
            print(_table(settings.config, run, settings.fingerprint), flush=True)
        if given.resume is None and not given.no_audit:
            from vbot.audit.report import begin

            begin(settings, run.path, quiet=given.quiet)
        try:
            experiment.train(run, resume=given.resume is not None)
        except KeyboardInterrupt:
            if not given.quiet:
                print(f"stopped at {experiment.steps:,} steps; go on with: python -m vbot.train --resume {run.path}")
            raise
    if not given.no_archive and "--no-archive" not in run.meta()["command"]:  # of a run that was resumed
        from vbot.archive.finish import finish_training

        finish_training(run, quiet=given.quiet)
    if not given.quiet:
        print(f"evaluate it: python -m vbot.evaluate {run.path}\nwatch it:    python -m vbot.play {run.path}")


def _options(given: Any) -> dict[str, Any]:
    options = {key: getattr(given, name) for name, key in _OPTIONS.items() if getattr(given, name) is not None}
    if given.steps is not None:
        options |= {"train.steps": given.steps, "train.minutes": None}
    if given.minutes is not None:
        options["train.minutes"] = given.minutes
    return options


def _default_directory(config: Config) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{config.reward.name}-{stamp}-s{config.train.seed}"


def _table(config: Config, run: Run, fingerprint: str) -> str:
    """The short table at the start: what decides the run, and every value that is not a default."""
    train = config.train
    budget = f"{train.minutes:g} minutes" if train.minutes is not None else f"{train.steps:,} control steps"
    rows = [
        ("run", str(run.path)),
        ("reward set", f"{config.reward.name}, {len(config.reward.terms)} terms"),
        ("task", f"{config.env.task}, robot {config.env.robot}, {config.env.num_envs} environments"),
        ("budget", f"{budget}, seed {train.seed}"),
        ("fingerprint", fingerprint),
    ]
    flat = config.flat()
    for key, origin in sorted(config.origins.items()):
        of_set = origin.startswith(REWARD_SET) and not key.startswith("reward.")  # its terms are too many to tell
        if flat.get(key) is not None and (of_set or origin in ("--set", "option") or origin.startswith("--config")):
            rows.append((key, f"{flat[key]}  ({origin})"))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {value}" for name, value in rows)


if __name__ == "__main__":
    run_command(main)
