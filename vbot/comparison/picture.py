"""The comparison as a picture: learning curves, and what each term paid at the end of training."""

from pathlib import Path
from typing import Any

from vbot.comparison.curves import Curve, curves, income
from vbot.comparison.groups import Comparison
from vbot.errors import UserError

_COLORS = ("#0b6bcb", "#d9480f", "#2b8a3e", "#7048c4", "#a06b00", "#c2255c", "#0b7285", "#6c757d")
_TERMS = 10
"""Shown of a configuration, the largest sums."""
_BESIDE = 4
"""Panels of income in a row."""


def picture(comparison: Comparison, file: Path) -> None:
    """Write the picture, in the format of the file's name.

    Raises:
        UserError: matplotlib is missing, no run has an evaluation, or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError('--plot needs the extra "plot": pip install "vbot[plot]"') from None
    drawn = {table.task: of for table in comparison.tables if (of := curves(table.groups))}
    if not drawn:
        raise UserError("--plot: none of these runs has an evaluation to draw")
    rows = sum(1 + -(-len(of) // _BESIDE) for of in drawn.values())
    figure = Figure(figsize=(11, 3.4 * rows), layout="constrained")
    for section, (task, of) in zip(figure.subfigures(len(drawn), 1, squeeze=False)[:, 0], drawn.items(), strict=True):
        _section(section, task, of)
    try:
        figure.savefig(file, dpi=120)
    except (OSError, ValueError) as error:
        raise UserError(f"--plot: cannot write {str(file)!r}: {error}") from None


def _section(section: Any, task: str, of: list[Curve]) -> None:
    """Curves of a task above the income of each configuration."""
    beside = min(_BESIDE, len(of))
    rows = -(-len(of) // beside)
    grid = section.add_gridspec(1 + rows, beside, height_ratios=[1.3] + [1.0] * rows)
    axes = section.add_subplot(grid[0, :])
    for color, c in zip(_COLORS, of, strict=False):
        axes.fill_between(c.steps, c.low, c.high, color=color, alpha=0.15, linewidth=0)
        if len(c.lines) > 1:
            for line in c.lines:
                axes.plot(line.steps, line.success, color=color, alpha=0.4, linewidth=0.8)
        marker = "o" if len(c.steps) == 1 else None
        axes.plot(c.steps, c.mean, color=color, linewidth=2, marker=marker, label=f"{c.group.label}: {c.band}")
    axes.set_title(f"{task}: success on validation episodes while training", loc="left")
    axes.set_xlabel("control steps")
    axes.xaxis.set_major_formatter(lambda steps, _: f"{steps / 1e6:g} M")
    axes.yaxis.set_major_formatter(lambda rate, _: f"{100 * rate:.0f} %")
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="best")
    for place, (color, c) in enumerate(zip(_COLORS, of, strict=False)):
        _income(section.add_subplot(grid[1 + place // beside, place % beside]), c, color)


def _income(axes: Any, c: Curve, color: str) -> None:
    """Bars of a scale of their own: the sums of two rewards do not compare."""
    terms = list(income(c.group).items())[:_TERMS]
    if not terms:
        axes.text(0.5, 0.5, "no income was logged", ha="center", va="center", fontsize=8)
        axes.set_axis_off()
        return
    names, sums = zip(*reversed(terms), strict=True)
    axes.barh(names, sums, color=color, alpha=0.8)
    axes.axvline(0, color="0.3", linewidth=0.8)
    axes.set_title(f"{c.group.label}\npaid per episode", fontsize=9, loc="left")
    axes.tick_params(labelsize=7)
    axes.grid(axis="x", alpha=0.25)
