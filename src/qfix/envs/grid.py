"""Grids: a map in text, its free cells numbered in reading order, and the four compass moves.

    # wall   S start   G goal   P pit   ~ spill   ^ wind   . floor   (blank) not part of the world

Cells are (row, column) from (0, 0) at the top left. Walls and blanks are no states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qfix.envs.layout import GridLayout

NORTH, EAST, SOUTH, WEST = range(4)
COMPASS: tuple[tuple[int, int], ...] = ((-1, 0), (0, 1), (1, 0), (0, -1))
COMPASS_NAMES = ("up", "right", "down", "left")


@dataclass(frozen=True)
class GridMap:
    """The free cells of a text map, numbered in reading order.

    >>> grid = GridMap(("S#", ".G"))
    >>> grid.n_states, grid.state(1, 0), grid.cell(2), grid.neighbour(0, (0, 1))
    (3, 1, (1, 1), 0)
    """

    rows: tuple[str, ...]
    """One string a row, all of one length."""

    @cached_property
    def cells(self) -> tuple[tuple[int, int], ...]:
        """(row, column) of each state."""
        return tuple(
            (r, c) for r, row in enumerate(self.rows) for c, glyph in enumerate(row) if glyph not in "# "
        )

    @cached_property
    def _state_of(self) -> dict[tuple[int, int], int]:
        return {cell: state for state, cell in enumerate(self.cells)}

    @property
    def n_states(self) -> int:
        """Number of free cells."""
        return len(self.cells)

    def cell(self, state: int) -> tuple[int, int]:
        """(row, column) of a state."""
        return self.cells[state]

    def state(self, row: int, column: int) -> int:
        """State of a free cell. A wall raises KeyError."""
        return self._state_of[row, column]

    def find(self, glyph: str) -> int:
        """The first state drawn with `glyph`."""
        return next(s for s, (r, c) in enumerate(self.cells) if self.rows[r][c] == glyph)

    def glyph(self, state: int) -> str:
        """What the map shows at a state."""
        row, column = self.cells[state]
        return self.rows[row][column]

    def neighbour(self, state: int, move: tuple[int, int]) -> int:
        """The state one `move` (rows, columns) away; the same one where a wall or border is in the way."""
        row, column = self.cells[state]
        return self._state_of.get((row + move[0], column + move[1]), state)

    def layout(
        self, arrows: Sequence[tuple[int, int]] = COMPASS, action_names: Sequence[str] = COMPASS_NAMES
    ) -> GridLayout:
        """The map as a layout, with the directions of its actions."""
        return GridLayout(
            glyphs=self.rows,
            cell_of_state=np.array(self.cells, dtype=np.int64),
            action_arrows=np.array(arrows, dtype=np.int64),
            action_names=tuple(action_names),
        )


def slipping(action: int, slip: float) -> list[tuple[float, int]]:
    """A compass action under slip: `1 - slip` as meant, the rest split over the two perpendicular directions.

    >>> slipping(0, 0.2)
    [(0.8, 0), (0.1, 1), (0.1, 3)]
    """
    if slip == 0.0:
        return [(1.0, action)]
    sides = [(slip / 2, (action + 1) % 4), (slip / 2, (action + 3) % 4)]
    return ([(1.0 - slip, action)] if slip < 1.0 else []) + sides
