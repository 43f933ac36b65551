"""Sheets of paper that all figures share. Drawn by matplotlib's Agg, never through pyplot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qfix.report.value_scale import INK, ValueScale

FAINT, GRID = "#7a7f8a", "#e4e2dc"
SERIES = ("#2663d1", "#c8553d", "#2f8f6b", "#8a5fb5", "#c98a1b", "#3d8ea8", "#b04a7a", "#6b7a3a")


def sheet(width: float, height: float) -> Figure:
    """A blank figure; sizes in inches."""
    figure = Figure((width, height), dpi=110)
    figure.set_facecolor("#ffffff")
    return figure


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes by their distances from the left and the top, in inches."""
    w, h = figure.get_size_inches()
    return figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))


def heading(figure: Figure, text: str, note: str = "") -> None:
    """Title at the top left, with a fainter line under it."""
    w, h = figure.get_size_inches()
    figure.text(0.3 / w, 1 - 0.36 / h, text, fontsize=12, fontweight="bold", color=INK, va="center")
    if note:
        figure.text(0.3 / w, 1 - 0.62 / h, note, fontsize=9, color=FAINT, va="center")


def colour_bar(figure: Figure, scale: ValueScale, left: float, top: float, height: float) -> None:
    """The colours with their values, from the lowest that occurs to the highest."""
    axes = place(figure, left, top, 0.16, height)
    steps = np.linspace(scale.high, scale.low, 256)
    axes.imshow(scale.paint(steps)[:, None], aspect="auto", extent=(0, 1, scale.low, scale.high))
    axes.yaxis.tick_right()
    axes.set_xticks([])
    axes.tick_params(length=2, labelsize=8, colors=INK, width=0.5)
    for spine in axes.spines.values():
        spine.set_color(GRID)


def write(figure: Figure, path: Path) -> Path:
    """Save as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")
    return path
