"""What runs, what stopped, what finished, and what to do next: ``python -m vbot.status``."""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from vbot.cli import Parser, run_command
from vbot.errors import UserError
from vbot.interrupt import catch_interrupt
from vbot.overview import Entry, Overview, find, look
from vbot.run import write_atomically
from vbot.terminal import duration, percent

WAKE_UP = "WAKE_UP.md"
"""What --snapshot and --watch write into the folder of runs."""
LISTED = 15
"""Finished ones that are named, the latest."""


def _parser() -> Parser:
    parser = Parser(
        prog="python -m vbot.status", description="What runs, what stopped, what finished, what to do next."
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="RUNS_DIR", help="where to look (default: runs)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--watch", action="store_true", help=f"again and again, on the screen and in {WAKE_UP}")
    how.add_argument("--snapshot", action="store_true", help=f"write it to {WAKE_UP} in the folder too")
    parser.add_argument(
        "--interval", type=float, metavar="S", help="seconds between two looks of --watch (default 120)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """The command; ``arguments`` default to those of the process. Raises UserError."""
    given = _parser().parse_args(arguments)
    folders = given.folders or [Path("runs")]
    if given.interval is not None and not given.watch:
        raise UserError("--interval is of --watch; add that, or leave it out")
    if given.interval is not None and not given.interval >= 1:
        raise UserError(f"--interval must be at least 1 s; got {given.interval:g}")
    if given.watch and given.json:
        raise UserError("--watch is for people, --json for programs; leave one out")
    if given.watch or given.snapshot:
        option = "--watch" if given.watch else "--snapshot"
        if len(folders) > 1 or folders[0] in find(folders[0]):
            raise UserError(f"{option} writes {WAKE_UP} into the folder of the runs; give one folder, that is no run")
    if not given.watch:
        _show(folders, given)
        return
    # A flag and not an exception: one that is raised in a destructor or a callback from C is lost.
    with catch_interrupt() as interrupt:
        next_s = time.monotonic()
        while not interrupt.requested:
            if time.monotonic() >= next_s:
                _show(folders, given)
                next_s = time.monotonic() + (given.interval or 120.0)
            time.sleep(0.1)
    raise KeyboardInterrupt


def _show(folders: list[Path], given: argparse.Namespace) -> None:
    """One look, printed and, if asked for, written."""
    overview = look(folders)
    text = render(overview)
    if given.watch or given.snapshot:
        try:
            write_atomically(folders[0] / WAKE_UP, text.encode())
        except OSError as error:
            raise UserError(f"cannot write {folders[0] / WAKE_UP}: {error.strerror}") from None
    if given.watch and sys.stdout.isatty():
        text = f"\x1b[2J\x1b[H{_cut(text)}"
    print(json.dumps(overview.to_dict(), indent=2) if given.json else text, end="\n" if given.json else "", flush=True)


def render(overview: Overview) -> str:
    """The overview as Markdown, which is also what the screen shows."""
    o = overview
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(o.time))
    counts = [(len(o.of(state)), state) for state in ("running", "stopped", "died", "broken", "finished")]
    told = ", ".join(f"{number} {state}" for number, state in counts if number) or "nothing has been trained here"
    lines = [f"# {', '.join(map(str, o.folders))} at {when}", "", f"{told}; commands are for {Path.cwd()}"]
    if running := o.of("running"):
        lines += ["", "## Running", "", *(line for e in running for line in _running(e))]
    if ended := o.of("died", "stopped"):
        lines += ["", "## Stopped and died", ""]
        for e in ended:
            at = f" at {percent(e.progress)}" if e.progress is not None else ""
            lines += [f"- {_named(e)} {e.state}{at}: {e.why}", *_known(e), "", f"      {e.resume}", ""]
        lines.pop()
    if broken := o.of("broken"):
        lines += ["", "## Broken", "", *(f"- {e.path}: {e.why}" for e in broken)]
    if finished := o.finished():
        lines += ["", "## Finished", "", *_table(_HEAD, map(_finished, finished[:LISTED]))]
        if len(finished) > LISTED:
            lines += ["", f"and {len(finished) - LISTED} before these"]
    if best := o.best():
        lines += ["", "## Best so far", "", *_table(_HEAD, map(_finished, best.values()))]
        if any(e.state != "finished" and e.kind == "run" for e in best.values()):
            lines += ["", "(*) not finished: the last evaluation, on the episodes that chose the policy"]
    resumes = [e.resume for e in ended]  # which stand above
    if commands := [(command, why) for command, why in o.next() if command not in resumes]:
        lines += ["", "## What to do next", ""]
        lines += [line for command, why in commands for line in (f"    # {why}", f"    {command}")]
    return "\n".join(lines) + "\n"


def _running(e: Entry) -> list[str]:
    parts = [percent(e.progress)] if e.progress is not None else []
    if e.kind == "study":
        parts += [f"{number} {state}" for state, number in e.trials.items()]
    elif e.steps is not None:
        parts.append(f"{e.steps / 1e6:.2f} M steps")
    parts += [f"{e.steps_per_s / 1e3:.1f} k/s"] if e.steps_per_s else []
    parts += [f"{duration(e.left_s)} left"] if e.left_s is not None else []
    parts += [text for text in (e.doing, e.why) if text and text != "training"]
    return [f"- {_named(e)} {', '.join(parts)}", *_known(e)]


def _known(e: Entry) -> list[str]:
    """What is known of something that has not finished, in further lines."""
    lines = []
    if e.kind == "study":
        if e.best_so_far is not None:
            lines.append(f"  best: trial {e.best_trial}, objective {e.best_so_far:.3f}")
        if e.state != "running" and e.trials:
            lines.append(f"  trials: {', '.join(f'{number} {state}' for state, number in e.trials.items())}")
        if e.state != "running" and e.left_s is not None:
            lines.append(f"  {duration(e.left_s)} of its budget left")
    elif e.evaluation is not None:
        at = f"{e.evaluation['steps'] / 1e6:.2f} M steps"
        lines.append(f"  success {percent(e.evaluation['success_rate'])} at {at}, best {percent(e.best_so_far)}")
    if e.findings:
        lines.append(f"  seen at {(e.findings_at or 0) / 1e6:.2f} M steps: {', '.join(e.findings)}")
    return lines


_HEAD = ("run", "set", "task", "seed", "success", "to target", "seen")


def _finished(e: Entry) -> tuple[str, ...]:
    known = e.evaluation or {}
    low, high = known.get("success_ci95") or (None, None)
    success = percent(known.get("success_rate"))
    success += f" [{100 * low:.1f}, {100 * high:.1f}]" if low is not None and high is not None else ""
    time_s = known.get("time_to_target_s")
    name = f"{e.path} trial {e.best_trial}" if e.best_trial is not None else str(e.path)
    name += " (*)" if e.kind == "run" and e.state != "finished" else ""
    seen = ", ".join(e.findings) or "-"
    row = (name, e.reward_set, e.task, e.seed, success, f"{time_s:.1f} s" if time_s is not None else "-", seen)
    return tuple("-" if cell is None else str(cell) for cell in row)


def _named(e: Entry) -> str:
    what = [text for text in ("search" if e.kind == "study" else "", e.reward_set, e.task) if text]
    return f"{e.path} ({', '.join(what)}{f', seed {e.seed}' if e.seed is not None else ''})"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """A table of Markdown whose columns stand one under the other."""
    cells = [head, *rows]
    widths = [max(len(row[k]) for row in cells) for k in range(len(head))]
    told = [f"| {' | '.join(f'{cell:{width}}' for cell, width in zip(row, widths, strict=True))} |" for row in cells]
    return [told[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *told[1:]]


def _cut(text: str) -> str:
    """What fits on the terminal: a longer text would scroll away at the top."""
    size = shutil.get_terminal_size()
    lines = [line[: size.columns - 1] for line in text.splitlines()]
    if len(lines) >= size.lines:
        lines = [*lines[: size.lines - 2], f"... the rest is in {WAKE_UP}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_command(main)
