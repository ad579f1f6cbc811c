"""Compare runs: ``python tools/compare.py runs/*``, or where vbot is installed ``python -m vbot.comparison``."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from vbot.cli import Parser, run_command
from vbot.comparison.collect import collect
from vbot.comparison.groups import compare
from vbot.comparison.metrics import METRICS, find_metric
from vbot.comparison.table import text
from vbot.errors import UserError


def main(arguments: list[str] | None = None) -> None:
    """The command; ``arguments`` default to those of the process. Raises UserError."""
    parser = Parser(
        prog="python tools/compare.py",
        description="Runs beside each other, the best first; seeds of one configuration as a group.",
    )
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="PATH", help="run directories, checkpoints, studies, folders of them"
    )
    parser.add_argument("--by", metavar="NAME", help=f"{' | '.join(METRICS)}; default: success")
    parser.add_argument("--diff", action="store_true", help="what differs between the configurations")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="curves and income by term, as a picture")
    parser.add_argument("--html", type=Path, metavar="FILE", help="everything on one page that needs no network")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--importance", action="store_true", help="of one study: which parameters mattered, and how")
    parser.add_argument("--yaml", action="store_true", help="with --importance: print YAML")
    given = parser.parse_intermixed_args(arguments)  # options may stand among the paths
    if given.importance:
        _importance(given)
        return
    if given.yaml:
        raise UserError("--yaml prints what --importance finds; for runs there is --json")
    metric = find_metric(given.by or "success")
    collection = collect(given.paths)
    comparison = compare(collection, metric)
    content = comparison.to_dict()
    said = text(comparison, _width())
    if given.diff:
        from vbot.comparison import differences

        found = differences.differences(comparison)
        content["diff"] = found.to_dict()
        said = differences.text(found, _width())
    if given.plot is not None:
        from vbot.comparison.picture import picture

        picture(comparison, given.plot)
    if given.html is not None:
        from vbot.comparison.page import page, write_page

        write_page(page(comparison), given.html)
    print(json.dumps(content) if given.json else said)


def _importance(given: Any) -> None:
    others = ("by", "diff", "plot", "html")
    if odd := next((name for name in others if getattr(given, name)), None):
        raise UserError(f"--importance tells of the parameters of a study; --{odd} compares runs: ask for one of them")
    if given.yaml and given.json:
        raise UserError("--yaml and --json are two forms of the same: give one of them")
    if len(given.paths) != 1:
        raise UserError(f"--importance takes one study; got {len(given.paths)} paths")
    from vbot.comparison import analysis
    from vbot.yaml_files import write_yaml

    found = analysis.analyse(given.paths[0])
    if given.yaml:
        print(write_yaml(found.to_dict()), end="")
    else:
        print(json.dumps(found.to_dict()) if given.json else analysis.text(found))


def _width() -> int | None:
    """Of the terminal; a pipe has none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


if __name__ == "__main__":
    run_command(main)
