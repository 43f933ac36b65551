"""Where the states of an environment lie on paper: what pictures, heat maps and arrows need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class GridLayout:
    """States on a grid of cells, row 0 at the top.

    >>> cells, arrows = np.array([[0, 0], [0, 1], [0, 2]]), np.array([[0, -1], [0, 1]])
    >>> layout = GridLayout(("S#G",), cells, arrows, ("left", "right"))
    >>> layout.rows, layout.columns, layout.walls
    (1, 3, ((0, 1),))
    """

    glyphs: tuple[str, ...]
    """One string a row: `#` wall, `S` start, `G` goal, `P` pit, `~` spill, `^` wind, `.` floor, blank."""
    cell_of_state: NDArray[np.int64]
    """(S, 2) row and column of each state; (-1, -1) for a state that is not shown."""
    action_arrows: NDArray[np.int64]
    """(A, 2) rows and columns an action is meant to move; (0, 0) where an action has no direction."""
    action_names: tuple[str, ...] = ()
    """(A,) a word for each action."""
    labels: tuple[str, ...] = ()
    """(S,) a short name of each state to draw in its cell; empty where position says enough."""

    @property
    def rows(self) -> int:
        """Height in cells."""
        return len(self.glyphs)

    @property
    def columns(self) -> int:
        """Width in cells."""
        return max(len(row) for row in self.glyphs)

    @property
    def walls(self) -> tuple[tuple[int, int], ...]:
        """(row, column) of each wall."""
        return tuple(
            (r, c) for r, row in enumerate(self.glyphs) for c, glyph in enumerate(row) if glyph == "#"
        )


def strip(labels: tuple[str, ...], glyphs: str, action_names: tuple[str, ...]) -> GridLayout:
    """States side by side in one row, for worlds that are no grid; actions have no direction.

    Args:
        labels: (S,) a short name of each state.
        glyphs: S characters, see `GridLayout.glyphs`.
        action_names: (A,) a word for each action.
    """
    cells = np.array([(0, s) for s in range(len(labels))], dtype=np.int64)
    arrows = np.zeros((len(action_names), 2), dtype=np.int64)
    return GridLayout((glyphs,), cells, arrows, action_names, labels)
