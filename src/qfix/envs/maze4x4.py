"""Maze4x4: a small maze that punishes bumping."""

from __future__ import annotations

from qfix.envs.grid import GridMap
from qfix.envs.world import Outcome, World, start_at

MAP = GridMap(
    (
        "S...",
        ".#..",
        "..#.",
        "...G",
    )
)
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))


def maze4x4(gamma: float = 0.99) -> World:
    """From (0, 0) at the top left to the goal (3, 3): +1 on arrival, -1 for bumping into a wall or the
    border, else -0.01.

        v(start) = γ⁵ - 0.01 (1 + γ + γ² + γ³ + γ⁴)        six moves

    Actions are 0 up, 1 down, 2 left, 3 right. States are the 14 free cells in reading order, cells are (row,
    column).

    Args:
        gamma: discount in [0, 1].
    """

    def outcomes(state: int, action: int) -> list[Outcome]:
        after = MAP.neighbour(state, MOVES[action])
        if after == state:
            return [(1.0, state, -1.0, False)]
        arrived = MAP.glyph(after) == "G"
        return [(1.0, after, 1.0 if arrived else -0.01, arrived)]

    best = gamma**5 - 0.01 * sum(gamma**t for t in range(5))
    return World(
        name="Maze4x4",
        outcomes=outcomes,
        start=start_at(MAP.n_states, MAP.find("S")),
        terminal=frozenset({MAP.find("G")}),
        n_actions=4,
        gamma=gamma,
        cells=MAP.cells,
        layout=MAP.layout(MOVES, ("up", "down", "left", "right")),
        known_values={"V(0,0)": best, "Q((0,0),up)": -1.0 + gamma * best},
    )
