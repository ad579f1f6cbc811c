"""The reward library: ``python -m vbot.archive list | show NAME | promote NAME | reject NAME | rebuild | find``."""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from vbot.archive.entries import REJECTED, STATUSES, Entry, Row, best_result, kind_of, text_of, values_of
from vbot.archive.gather import runs_of
from vbot.archive.library import DIRECTORY, VARIABLE, Library, library_directory
from vbot.cli import Parser, run_command
from vbot.errors import UserError, nearest
from vbot.keys import names_of
from vbot.rewards.plugins import load_plugins
from vbot.terminal import duration, percent
from vbot.yaml_files import parse_yaml, write_yaml

RUNS = Path("runs")


def _parser() -> Parser:
    parser = Parser(prog="python -m vbot.archive", description="What was tried, what it gave, what became of it.")
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="list | show | promote | reject | rebuild | find"
    )

    def add(name: str, what: str) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=what, description=what)
        where = f"default: ${VARIABLE}, else {DIRECTORY} where one works"
        action.add_argument("--library", type=Path, metavar="DIR", help=where)
        return action

    listing = add("list", "all configurations and components, with what they came to")
    show = add("show", "one entry")
    promote = add("promote", "raise the status of an entry, or take a rejected one back")
    reject = add("reject", "take an entry out of what is proposed")
    rebuild = add("rebuild", "take up all runs and registered terms; what people wrote stays")
    find = add("find", "has this been tried?")
    for action in (show, promote, reject):
        action.add_argument("name", metavar="NAME", help="of an entry, or how it begins")
    for action in (listing, show, find):
        action.add_argument("--json", action="store_true", help="print JSON")
    show.add_argument("--settings", action="store_true", help="print the configuration for vbot.train --config")
    reject.add_argument("--reason", required=True, metavar="TEXT")
    rebuild.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="runs, searches, or folders of them; default: runs"
    )
    rebuild.add_argument("--plugin", action="append", default=[], metavar="FILE", help="a file with reward terms")
    find.add_argument(
        "--set", dest="reward_set", metavar="SET", help="reward set, and what searches of it named SET-..."
    )
    find.add_argument("--task", metavar="NAME")
    find.add_argument("--set-value", action="append", default=[], dest="assignments", metavar="KEY=VALUE")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """The command; ``arguments`` default to those of the process. Raises UserError."""
    given = _parser().parse_args(arguments)
    library = Library(library_directory(given.library))
    if given.action != "rebuild" and not library.directory.is_dir():
        raise UserError(
            f"there is no reward library {library.directory}; a finished training makes one, and so does "
            "python -m vbot.archive rebuild (or give --library DIR)"
        )
    match given.action:
        case "list":
            _list(library, as_json=given.json)
        case "show":
            _show(library.find(given.name), as_json=given.json, settings=given.settings)
        case "promote":
            _say(library.decide(given.name, _promote))
        case "reject":
            if not given.reason.strip():
                raise UserError("--reason must say why; whoever comes next will ask")
            _say(library.decide(given.name, lambda entry: _reject(entry, given.reason)))
        case "rebuild":
            load_plugins(given.plugin)
            changed = library.rebuild(runs_of(given.paths or ([RUNS] if RUNS.is_dir() else []), _complain))
            print(f"{library.directory}: {len(changed)} entries changed")
        case "find":
            _find(library, given)


# What people decide.


def _promote(entry: Entry) -> None:
    if entry["status"] == REJECTED:
        entry |= {"decided_by": "evidence", "reason": None, "status": STATUSES[0]}
        return
    if entry["status"] == STATUSES[-1]:
        if entry["decided_by"] == "evidence":
            entry["decided_by"] = "person"
            return
        raise UserError(f"{entry['name']} is {entry['status']} already, by a person; nothing is above it")
    entry |= {"decided_by": "person", "status": STATUSES[STATUSES.index(entry["status"]) + 1]}


def _reject(entry: Entry, reason: str) -> None:
    entry |= {"decided_by": "person", "status": REJECTED, "reason": reason}


def _say(entry: Entry) -> None:
    reason = f": {entry['reason']}" if entry["reason"] else ""
    by = "a person" if entry["decided_by"] == "person" else "the evidence"
    print(f"{entry['name']} is {entry['status']}, by {by}{reason}")


def _complain(line: str) -> None:
    print(line, file=sys.stderr)


# What is known.


def _list(library: Library, *, as_json: bool) -> None:
    configs, components = library.entries("config"), library.entries("component")
    if as_json:
        print(json.dumps([_summary(entry) for entry in (*configs, *components)], indent=2))
        return
    if configs:
        print("configurations: status, task, success of the best policy on fresh episodes")
        print("\n".join(_config_lines(_best_first(configs))), end="\n\n")
    rows = []
    for entry in components:
        scale = f"{entry['scale']:g} of {entry['search']}" if "scale" in entry else "not registered"
        used = len({row["config"] for row in entry["experiments"]})
        rows.append((entry["name"], entry["status"], f"in {used} configuration{'s'[: used != 1]:1}", scale))
    print("components: status, use, default scale and its range")
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    for row in rows:
        print("  " + "  ".join([*(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)), row[3]]))


def _best_first(configs: Iterable[Entry]) -> list[Entry]:
    def key(entry: Entry) -> tuple[str, float]:
        best = best_result(entry)
        return entry["task"], -(best["success_ci95"][0] if best else -1.0)

    return sorted(configs, key=key)


def _config_lines(configs: Iterable[Entry]) -> list[str]:
    configs = list(configs)
    width = max(len(e["name"]) for e in configs)
    return [f"  {e['name']:{width}}  {e['status']:9}  {e['task']}  {_result_text(best_result(e))}" for e in configs]


def _result_text(row: Row | None) -> str:
    if row is None or not row["seeds"]:
        return "no run has finished"
    low, high = row["success_ci95"]
    time_to = "" if row["time_to_target_s"] is None else f", {row['time_to_target_s']:.1f} s to the target"
    return (
        f"{percent(row['success'])} [{100 * low:.1f}, {100 * high:.1f}], falls {percent(row['falls'])}{time_to}; "
        f"{_seeds(row)}, {_budget(row)}, {duration(row['wall_s'])} each"
    )


def _seeds(row: Row) -> str:
    return f"seed {row['seeds'][0]}" if len(row["seeds"]) == 1 else f"{len(row['seeds'])} seeds"


def _budget(row: Row) -> str:
    budget = row["budget"]
    return f"{budget['steps']:,} steps" if "steps" in budget else f"{budget['minutes']:g} minutes"


def _summary(entry: Entry) -> dict[str, Any]:
    keys = ("name", "status", "decided_by", "reason", "hypothesis", "notes", "fingerprint", "task", "reward_set",
            "version", "kind", "sign", "scale", "search")  # fmt: skip
    told: dict[str, Any] = {"entry": kind_of(entry), **{key: entry[key] for key in keys if key in entry}}
    if kind_of(entry) == "config":
        return told | {"results": entry["results"]}
    return told | {"configs": sorted({row["config"] for row in entry["experiments"]})}


def _show(entry: Entry, *, as_json: bool, settings: bool) -> None:
    if settings:
        if kind_of(entry) != "config":
            raise UserError(f"{entry['name']} is a component; only configurations have settings")
        print(write_yaml(entry["settings"]), end="")
    elif as_json:
        print(json.dumps(entry, indent=2))
    else:
        # The settings are most of the file, and have an option of their own.
        shown = {
            key: value for key, value in entry.items() if key not in ("settings", "results", "experiments", "code")
        }
        print(text_of(shown).partition("NAME --reason TEXT.\n")[2], end="")
        if kind_of(entry) == "config":
            print("".join(f"together: {_result_text(row)}\n" for row in entry["results"]), end="")
            print("".join(f"  {_run_text(row)}\n" for row in entry["experiments"]), end="")
        else:
            for row in entry["experiments"]:
                print(f"  {row['config']} ({row['status']}), scale {row['scale']:g}: {_result_text(row)}")


def _run_text(row: Row) -> str:
    seen = f"; seen: {', '.join(row['findings'])}" if row["findings"] else ""
    if row["state"] != "finished":
        return f"{row['run']}: seed {row['seed']}, {_budget(row)}, {row['state']}{seen}"
    return f"{row['run']}: seed {row['seed']}, {_budget(row)}, {percent(row['success'])}{seen}"


def _find(library: Library, given: argparse.Namespace) -> None:
    """Exit code 1 where nothing was found."""
    configs = library.entries("config")
    chosen = [e for e in configs if given.reward_set is None or _is_of(e, given.reward_set)]
    if configs and not chosen and given.reward_set is not None:
        known = {e["reward_set"] for e in configs}
        print(f"nothing was run with {given.reward_set!r}{nearest(given.reward_set, known)}", file=sys.stderr)
    chosen = [e for e in chosen if given.task is None or e["task"] == given.task]
    for assignment in given.assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set-value takes KEY=VALUE, as in forward_velocity=0.8; got {assignment!r}")
        try:
            value = parse_yaml(text)
        except yaml.YAMLError:
            raise UserError(f"--set-value {name}: the value is no valid YAML; got {text!r}") from None
        values = {e["name"]: _value(e, name.strip()) for e in chosen}
        if chosen and all(value is _NOTHING for value in values.values()):
            known = {alias for e in chosen for key in values_of(e) for alias in names_of(key)}
            raise UserError(f"--set-value: no configuration here has {name!r}{nearest(name, known)}")
        matching = [e for e in chosen if _same(values[e["name"]], value)]
        if chosen and not matching and not given.json:
            tried = sorted({str(v) for v in values.values() if v is not _NOTHING})
            print(f"tried were {name}: {', '.join(tried)}", file=sys.stderr)
        chosen = matching
    if given.json:
        print(json.dumps([_summary(e) for e in _best_first(chosen)], indent=2))
    else:
        print("\n".join(_config_lines(_best_first(chosen))) if chosen else "not tried")
    if not chosen:
        sys.exit(1)


def _is_of(entry: Entry, reward_set: str) -> bool:
    return entry["reward_set"] == reward_set or entry["reward_set"].startswith(f"{reward_set}-")


_NOTHING = object()


def _value(entry: Entry, name: str) -> Any:
    return next((value for key, value in values_of(entry).items() if name in names_of(key)), _NOTHING)


def _same(a: Any, b: Any) -> bool:
    return a is not _NOTHING and a == b and isinstance(a, bool) == isinstance(b, bool)


if __name__ == "__main__":
    run_command(main)
