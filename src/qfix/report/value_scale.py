"""From values to colours, and from values to the actions worth an arrow. What paper and terminal share.

Zero is the colour of paper, good is blue, bad is red: a table in which nothing has been learned looks empty.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

INK, FLOOR = "#2b2f38", "#fbfaf6"
BAD = ("#6d1a1a", "#a5352f", "#cf6a55", "#e8a88f", "#f5dacb")
GOOD = ("#d6e8ee", "#9cc8dc", "#5a9fc8", "#2b6fb0", "#173f7a")
STOPS = (*BAD, FLOOR, *GOOD)
_SAME = 1e-9  # of the largest value: closer action values are a tie


def rgb(colour: str) -> tuple[float, float, float]:
    """Red, green and blue in [0, 1] of "#rrggbb"."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


_STOPS = np.array([rgb(colour) for colour in STOPS])


class ValueScale:
    """One scale for several pictures: 0 in the middle of the colours, the largest value at an end."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        known = values[np.isfinite(values)]
        self.low = float(min(known.min(), 0.0)) if len(known) else 0.0
        self.high = float(max(known.max(), 0.0)) if len(known) else 0.0
        self.size = max(-self.low, self.high)
        if self.size == 0.0:
            self.size = self.high = 1.0

    def paint(self, values: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """(..., 3) red, green and blue in [0, 1]."""
        at = (np.clip(np.asarray(values) / self.size, -1.0, 1.0) + 1.0) * (len(_STOPS) - 1) / 2
        return np.stack([np.interp(at, range(len(_STOPS)), _STOPS[:, i]) for i in range(3)], axis=-1)

    def colours(self, value: float) -> tuple[str, str]:
        """The colour of a value and the ink to write on it, as "#rrggbb"."""
        paper = self.paint(value)
        return "#{:02x}{:02x}{:02x}".format(*(round(255 * x) for x in paper)), ink_on(paper)

    def text(self, value: float) -> str:
        """A value in as many digits as tell it from its neighbours."""
        digits = 2 if self.size < 10 else 1 if self.size < 100 else 0
        text = f"{value:.{digits}f}" if abs(value) < 1e6 else f"{value:.0e}".replace("+", "")
        return "0" if value == 0 else text.removeprefix("-") if float(text) == 0 else text


def ink_on(paper: NDArray[np.float64]) -> str:
    """Black or white, whichever can be read on a colour (3,)."""
    return INK if float(np.dot(paper[:3], (0.299, 0.587, 0.114))) > 0.55 else "#ffffff"


def greedy_actions(q: NDArray[np.float64], size: float) -> NDArray[np.int64]:
    """Actions that are as good as the best, or none where all are.

    Args:
        q: (A,) action values.
        size: of the largest value in the picture.
    """
    best = np.flatnonzero(q >= q.max() - _SAME * size)
    return best if len(best) < len(q) else best[:0]
