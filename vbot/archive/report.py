"""The journal of a runs folder, ``REPORT.md``: an entry for each finished training and search, never rewritten.

Entries are only ever appended, each in one write, so that people may write between them and several processes may
finish at once. A comment in the entry tells whether something has been entered before.
"""

import contextlib
import json
import os
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from vbot.audit.diff import diff, side, text
from vbot.errors import UserError
from vbot.keys import flatten
from vbot.run import META, RESULT, Run
from vbot.terminal import duration, percent
from vbot.yaml_files import read_yaml

REPORT = "REPORT.md"
QUARTERS = (0.25, 0.5, 0.75, 1.0)
"""Shares of the training at which the journal says how good it was."""


def enter(folder: Path, title: str, mark: str, lines: Iterable[str]) -> Path | None:
    """Append an entry to the journal of ``folder``; gives its file, or None where ``mark`` has been entered before.

    Raises:
        OSError: it cannot be written.
    """
    file = folder / REPORT
    comment = f"<!-- {mark.replace('--', '-')} -->"
    if file.is_file() and comment in file.read_text(errors="replace"):
        return None
    entry = "\n".join(["", f"## {time.strftime('%Y-%m-%d %H:%M')} {title}", "", comment, *lines, ""])
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(handle, entry.encode())
    finally:
        os.close(handle)
    return file


def enter_training(run: Run) -> Path | None:
    """Append the entry of a finished run to the journal of the folder that it is in."""
    meta, result = run.meta(), run.result()
    if result is None:
        raise UserError(f"{run.path} has not finished")
    best = result["best"]
    low, high = best["success_ci95"]
    time_to = best["time_to_target_s"]
    file = run.checkpoint_file("best")
    lines = [
        f"- command: `{command_text('vbot.train', meta['command'])}`",
        f"- fingerprint {result['fingerprint']}, reward set {result['reward_set']}, task {result['task']}, "
        f"seed {result['seed']}; {result['steps']:,} steps in {duration(result['elapsed_s'])}",
        *_since_last(run, meta, result),
        *progress_table(run.evaluations(), result["steps"]),
        f"- result: success {percent(best['success_rate'])} [{100 * low:.1f}, {100 * high:.1f}] of "
        f"{best['episodes']:,} fresh episodes, falls {percent(best['fall_rate'])}"
        + (f", {time_to:.1f} s to the target" if time_to is not None else ""),
        *_diagnosis(run, result["final"]["steps"]),
        f"- best checkpoint: {file} (of {best['steps']:,} steps); replay: `python -m vbot.play {file}`",
    ]
    return enter(run.path.absolute().parent, run.path.name, f"training {run.path.name} {meta['started']}", lines)


def command_text(module: str, arguments: Sequence[str]) -> str:
    """What was typed, as it can be typed again; ``arguments`` are those of the process, the program first."""
    return shlex.join(["python", "-m", module, *arguments[1:]])


def _since_last(run: Run, meta: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    """What changed since the run of the same set that started last before this one, in the same folder."""
    last = _last_run(run, meta["started"], result["reward_set"])
    if last is None:
        return [f"- the first run with {result['reward_set']} here"]
    head = f"- since {last.path.name}, the last run with {result['reward_set']} here"
    before = last.meta()
    if before["fingerprint"] == result["fingerprint"]:
        return [f"{head}: the same reward, environment and algorithm; seed {result['seed']} after {before['seed']}"]
    try:
        changes = text(diff(side(str(last.path)), side(str(run.path)))).splitlines()[2:]
        a, b = (_settings(r) for r in (last, run))
    except UserError as error:
        return [f"{head}: what changed cannot be told: {error}"]
    lines = [line for line in changes if not line.startswith("the fingerprints also")]
    lines += [f"~ {key}: {a.get(key)} -> {b.get(key)}" for key in sorted({*a, *b}) if a.get(key) != b.get(key)]
    return [f"{head}:", *(f"  - `{line}`" for line in lines)]


def _last_run(run: Run, started: str, reward_set: str) -> Run | None:
    """Told by the results alone: a folder may hold hundreds of runs."""
    found: list[tuple[datetime, Run]] = []
    for file in run.path.absolute().parent.glob(f"*/{RESULT}"):
        if file.parent.name == run.path.name:
            continue
        # One that is damaged is not the last run of anything.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if json.loads(file.read_text())["reward_set"] == reward_set:
                begun = datetime.fromisoformat(json.loads((file.parent / META).read_text())["started"])
                found.append((begun, Run(run.path.parent / file.parent.name)))
    earlier = [(begun, other) for begun, other in found if begun < datetime.fromisoformat(started)]
    return max(earlier, key=lambda pair: pair[0])[1] if earlier else None


def _settings(run: Run) -> dict[str, Any]:
    """Dotted key -> value of environment and algorithm."""
    content = read_yaml(run.config_file)
    return flatten({section: content[section] for section in ("env", "ppo")}, str(run.config_file))


def progress_table(evaluations: Sequence[Mapping[str, Any]], steps: int) -> list[str]:
    """A table of the last evaluation by each quarter of the steps."""
    names = ("success_rate", "reached_rate", "fall_rate")
    rows = ["", "| of the training | success | reached | falls |", "|---" * 4 + "|"]
    for share in QUARTERS:
        by_then = [e for e in evaluations if e["steps"] <= share * steps]
        cells = [percent(by_then[-1].get(name)) if by_then else "-" for name in names]
        rows.append(f"| {100 * share:.0f} % | {' | '.join(cells)} |")
    return [*rows, ""]


def _diagnosis(run: Run, last: int) -> list[str]:
    """What the detectors saw at the end, and what they had seen before."""
    rows = run.findings()
    at_end = [row for row in rows if row["steps"] == last]
    gone = {row["name"]: row["steps"] for row in rows if row["name"] not in {r["name"] for r in at_end}}
    lines = [f"  - {row['level']}: {row['name']}: {row['message']}; try {row['suggestion']}" for row in at_end]
    lines += [f"  - seen earlier, no longer at the end: {name} (at {steps:,} steps)" for name, steps in gone.items()]
    if not lines:
        return ["- diagnosis: no cheats seen"]
    return ["- diagnosis:" if at_end else "- diagnosis: no cheats seen at the end", *lines]
