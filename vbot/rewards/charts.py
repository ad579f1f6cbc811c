"""A term's curves, as text for a terminal and, with the extra ``plot``, as a picture."""

from pathlib import Path

import torch

from vbot.errors import UserError
from vbot.rewards.cards import Curve

_COLUMNS, _ROWS = 60, 7
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bits of a braille character's 2 x 4 dots, by column and row."""


def text_chart(curve: Curve) -> str:
    """The curve in braille dots, with the ends of both axes."""
    value, low, high = curve.value, float(curve.value.min()), float(curve.value.max())
    # Points between the samples, so that steep parts have no gaps.
    fine = torch.nn.functional.interpolate(value[None, None], size=40 * _COLUMNS, mode="linear", align_corners=True)
    column = torch.arange(40 * _COLUMNS) * 2 * _COLUMNS // (40 * _COLUMNS)
    row = ((high - fine.flatten()) / (high - low) * (4 * _ROWS - 1)).round().long()
    cells = [[0] * _COLUMNS for _ in range(_ROWS)]
    for x, y in zip(column.tolist(), row.tolist(), strict=True):
        cells[y // 4][x // 2] |= _DOTS[x % 2][y % 4]
    labels = [f"{high:.3g}", *[""] * (_ROWS - 2), f"{low:.3g}"]
    width = max(map(len, labels))
    lines = [
        f"{label:>{width}} │{''.join(chr(0x2800 + c) for c in line)}" for label, line in zip(labels, cells, strict=True)
    ]
    left, right = f"{curve.axis.low:.3g}", f"{curve.axis.high:.3g} {curve.axis.unit}"
    lines.append(f"{'':{width}} └{'─' * _COLUMNS}")
    lines.append(f"{'':{width}}  {left}{right:>{_COLUMNS - len(left)}}")
    return "\n".join(lines)


def picture(name: str, curves: list[Curve], file: Path) -> None:
    """Values and slopes as an image, in the format of the file's name.

    Raises:
        UserError: matplotlib is missing, or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError('--plot needs the extra "plot": pip install "vbot[plot]"') from None
    figure = Figure(figsize=(8, 2.6 * len(curves)), layout="constrained")
    figure.suptitle(name)
    for place, curve in zip(figure.subplots(len(curves), 1, squeeze=False)[:, 0], curves, strict=True):
        place.plot(curve.at, curve.value, label="raw value")
        for low, high in curve.dead():
            place.axvspan(low, high, color="0.9", label="gradient dead")
        slope = place.twinx()
        slope.plot(curve.at, curve.slope, color="C1", linewidth=0.8, label="slope")
        place.set_xlabel(f"{curve.axis.name} ({curve.axis.unit}); {curve.context}")
        place.set_ylabel("raw value")
        slope.set_ylabel(f"slope per {curve.axis.unit}", color="C1")
        place.set_zorder(slope.get_zorder() + 1)
        place.patch.set_visible(False)
    try:
        figure.savefig(file, dpi=120)
    except (OSError, ValueError) as error:
        raise UserError(f"--plot: cannot write {str(file)!r}: {error}") from None
