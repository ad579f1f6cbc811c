"""What a reward set really pays for: ``python -m vbot.audit --reward-set phase5``."""

import json
import sys
from pathlib import Path
from typing import Any

from vbot.audit import audit, diff, rescore
from vbot.audit.report import text
from vbot.cli import Parser, run_command
from vbot.records import load
from vbot.rewards.plugins import load_plugins
from vbot.run import Run
from vbot.settings import resolve


def main(arguments: list[str] | None = None) -> None:
    """The command; ``arguments`` default to those of the process. Raises UserError."""
    parser = Parser(
        prog="python -m vbot.audit",
        description="What a reward set really pays for, without training. Exit code 1 if it has an error.",
    )
    parser.add_settings()
    parser.add_argument("--robot", metavar="NAME", help="vbot (default), or an .xml file with a .yaml beside it")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="of the physics; default: every core")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--episodes", type=Path, metavar="RUN", help="rank a run's recorded episodes under --reward-set, or --set"
    )
    parser.add_argument("--diff", nargs=2, metavar=("A", "B"), help="compare rewards: sets, configurations or runs")
    given = parser.parse_args(arguments)
    if given.diff is not None:
        compared = diff.diff(*(diff.side(name, given.plugin) for name in given.diff))
        print(json.dumps(compared.to_dict()) if given.json else diff.text(compared))
        return
    if given.episodes is not None:
        compared_scores = _rescore(given)
        print(json.dumps(compared_scores.to_dict()) if given.json else rescore.text(compared_scores))
        return
    load_plugins(given.plugin)
    options = {f"env.{name}": getattr(given, name) for name in ("task", "robot") if getattr(given, name) is not None}
    settings = resolve(given.reward_set, config_file=given.config, options=options, assignments=given.assignments)
    report = audit(settings, threads=given.threads)
    print(json.dumps(report.to_dict()) if given.json else text(report))
    if report.failed:
        sys.exit(1)


def _rescore(given: Any) -> rescore.Comparison:
    run = Run.open(given.episodes)
    load_plugins([*run.plugins, *given.plugin])
    recorded = resolve(config_file=run.config_file)
    if given.reward_set is None and given.config is None and not given.assignments:
        other = recorded
    elif given.reward_set is None and given.config is None:
        other = resolve(config_file=run.config_file, assignments=given.assignments)
    else:
        other = resolve(given.reward_set, config_file=given.config, assignments=given.assignments)
    records = [load(file) for file in run.episode_files()]
    return rescore.rescore(records, recorded.reward_set, other.reward_set, recorded.config.env.step_s)


if __name__ == "__main__":
    run_command(main)
