"""Colours and sheets of paper that all figures share. Drawn by matplotlib's Agg, never through pyplot.

Zero is the colour of paper, good is blue, bad is red: a table in which nothing has been learned looks empty.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

INK, FAINT, GRID = "#2b2f38", "#7a7f8a", "#e4e2dc"
FLOOR = "#fbfaf6"
SERIES = ("#2663d1", "#c8553d", "#2f8f6b", "#8a5fb5", "#c98a1b", "#3d8ea8", "#b04a7a", "#6b7a3a")

_BAD = ["#6d1a1a", "#a5352f", "#cf6a55", "#e8a88f", "#f5dacb"]
_GOOD = ["#d6e8ee", "#9cc8dc", "#5a9fc8", "#2b6fb0", "#173f7a"]
VALUES = LinearSegmentedColormap.from_list("values", [*_BAD, FLOOR, *_GOOD])


class ValueScale(Normalize):
    """One scale for several pictures: 0 in the middle of the colours, the largest value at an end."""

    def __init__(self, values: np.ndarray) -> None:
        known = values[np.isfinite(values)]
        size = float(np.abs(known).max()) if len(known) else 0.0
        self.low = float(min(known.min(), 0.0)) if len(known) else 0.0
        self.high = float(max(known.max(), 0.0)) if len(known) else 0.0
        if size == 0.0:
            size = self.high = 1.0
        super().__init__(-size, size)

    def text(self, value: float) -> str:
        """A value in as many digits as tell it from its neighbours."""
        size = float(self.vmax or 1.0)
        digits = 2 if size < 10 else 1 if size < 100 else 0
        return "0" if value == 0 else f"{value:.{digits}f}".replace("-0.00", "0.00")


def ink_on(rgba: np.ndarray) -> str:
    """Black or white, whichever can be read on a colour."""
    luminance = float(np.dot(rgba[:3], (0.299, 0.587, 0.114)))
    return INK if luminance > 0.55 else "#ffffff"


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
    axes.imshow(VALUES(scale(steps))[:, None], aspect="auto", extent=(0, 1, scale.low, scale.high))
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
