"""What the benchmarks share: the machine they ran on, tables, JSON files, and when a success rate holds."""

import argparse
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from vbot.sim import available_cores

IN_A_ROW = 3
"""Evaluations that a success rate must hold in, so that a lucky one does not count."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """A command line with the benchmark's own docstring as its help, and ``--json``."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="also write rows and machine here")
    return made


def machine() -> dict[str, Any]:
    """What a number cannot be read without."""
    return {
        "cpu": _cpu_model(),
        "cores": available_cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("torch", "mujoco", "numpy")},
        "date": time.strftime("%Y-%m-%d"),
    }


def stolen_s() -> float:
    """CPU seconds, over all cores, that a hypervisor gave to others while this machine wanted them, since it started.

    0 where the system does not tell. A wall-clock is that of the named cores only where this hardly grew.
    """
    try:
        total = Path("/proc/stat").read_text().split("\n", 1)[0].split()
        return int(total[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return 0.0


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def write_json(file: Path | None, rows: Sequence[Mapping[str, Any]], **more: Any) -> None:
    """Write ``rows``, the machine and whatever ``more`` there is; nothing without a file."""
    if file is not None:
        file.write_text(json.dumps({"machine": machine(), **more, "rows": list(rows)}, indent=2) + "\n")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns aligned, the first to the left and the others to the right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(header))]
    for first, *others in lines:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        print("  ".join(cells).rstrip())


def first_hold(evaluations: Sequence[Mapping[str, Any]], level: float) -> Mapping[str, Any] | None:
    """The first of ``IN_A_ROW`` evaluations in a row with ``success_rate`` of ``level`` or more; None if there is none.

    Args:
        evaluations: in the order of training.
    """
    run = 0
    for number, row in enumerate(evaluations):
        run = run + 1 if row["success_rate"] >= level else 0
        if run == IN_A_ROW:
            return evaluations[number - IN_A_ROW + 1]
    return None
