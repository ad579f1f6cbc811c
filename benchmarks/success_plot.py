"""The figure of time_to_success.py: success against training time, a line and a band per reward set."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

try:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.axes import Axes
except ImportError:
    sys.exit('error: --plot needs the extra "plot": pip install "vbot[plot]"')

KNEE, KNEE_HEIGHT = 0.90, 0.45
"""Success up to the knee takes this share of the height: what matters happens above it."""
LEVELS = (0.90, 0.95, 0.99)
INK, FAINT = "#24292f", "#d5d9de"
COLORS = ("#0b6bcb", "#d9480f", "#2b8a3e", "#7048c4", "#868e96")


def _stretched(success: np.ndarray) -> np.ndarray:
    return np.interp(success, (0, KNEE, 1), (0, KNEE_HEIGHT, 1))


def _unstretched(height: np.ndarray) -> np.ndarray:
    return np.interp(height, (0, KNEE_HEIGHT, 1), (0, KNEE, 1))


def _curves(runs: Sequence[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Minutes (T,) that all runs have seen, and the success of each run then (R, T), between evaluations by a line."""
    times = [np.array([row["training_s"] for row in run["evaluations"]]) / 60 for run in runs]
    rates = [np.array([row["success_rate"] for row in run["evaluations"]]) for run in runs]
    minutes = np.linspace(max(t[0] for t in times), min(t[-1] for t in times), 400)
    return minutes, np.stack([np.interp(minutes, t, r) for t, r in zip(times, rates, strict=True)])


def plot(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Write the figure, twice as fine as the 800 pixels that it is made for."""
    pyplot.rcParams |= {"font.size": 10.5, "text.color": INK, "font.family": "sans-serif"}
    figure, axes = pyplot.subplots(figsize=(8, 4.5), dpi=200, layout="constrained")
    sets = list(dict.fromkeys(row["set"] for row in rows))
    curves = {name: _curves([row for row in rows if row["set"] == name]) for name in sets}
    seeds = sorted({len(rates) for _, rates in curves.values()})
    end = max(minutes[-1] for minutes, _ in curves.values())
    _paper(axes, end)
    middle = {name: _crossing(minutes, np.median(rates, axis=0)) for name, (minutes, rates) in curves.items()}
    for place, name in enumerate(sorted(sets, key=lambda name: middle[name])):
        minutes, rates = curves[name]
        color = COLORS[sets.index(name) % len(COLORS)]
        axes.fill_between(minutes, rates.min(0), rates.max(0), color=color, alpha=0.16, linewidth=0)
        axes.plot(minutes, np.median(rates, axis=0), color=color, linewidth=2, solid_capstyle="round", clip_on=False)
        # The names stand beside the slopes, at heights of their own: at the end of the lines they would meet.
        left = place == 0 and len(sets) > 1 and middle[name] > 0.1 * end
        height = max(0.12, 0.5 - 0.16 * place)
        at = _crossing(minutes, np.min(rates, axis=0) if not left else np.max(rates, axis=0), height)
        axes.annotate(
            name,
            (at, height),
            xytext=(-9 if left else 9, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            color=color,
            fontsize=13,
            fontweight="bold",
        )
    many = "one seed" if seeds == [1] else f"median and range of {' or '.join(map(str, seeds))} seeds"
    axes.set_title(f"Success on held-out episodes while training ({many})", loc="left", color=INK, pad=12)
    figure.savefig(file)
    pyplot.close(figure)


def _paper(axes: Axes, end: float) -> None:
    axes.set_yscale("function", functions=(_stretched, _unstretched))
    axes.set_ylim(0, 1.0)
    axes.set_xlim(0, end)
    ticks = (0, 0.25, 0.5, 0.75, *LEVELS, 1)
    axes.set_yticks(ticks, [f"{100 * tick:.0f} %" for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.grid(color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    for level in LEVELS:
        axes.axhline(level, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.55, zorder=1)
    axes.text(
        0.992, KNEE_HEIGHT - 0.02, "scale stretched above 90 %", transform=axes.transAxes,
        ha="right", va="top", fontsize=8.5, alpha=0.65,
    )  # fmt: skip
    axes.set_xlabel("training time on this machine, minutes (evaluations apart)", color=INK)
    axes.tick_params(length=0, colors=INK)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)


def _crossing(minutes: np.ndarray, rates: np.ndarray, level: float = 0.5) -> float:
    """When a curve first comes to ``level``; its end if it never does."""
    above = np.flatnonzero(rates >= level)
    return float(minutes[above[0]] if len(above) else minutes[-1])
