"""WindyGrid: a crosswind blows upward through the middle columns."""

from __future__ import annotations

from qfix.envs.grid import COMPASS, COMPASS_NAMES, GridMap
from qfix.envs.world import Outcome, World, start_at

MAP = GridMap(
    (
        "...^^^^^^.",
        "...^^^^^^.",
        "...^^^^^^.",
        "S..^^^^G^.",
        "...^^^^^^.",
        "...^^^^^^.",
        "...^^^^^^.",
    )
)
WIND = (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)
_DIAGONALS = ((-1, 1), (1, 1), (1, -1), (-1, -1))


def windy_grid(king_moves: bool = False, stochastic: bool = False, gamma: float = 1.0) -> World:
    """7 x 10 cells; each move is also blown up by the wind of the column it leaves; -1 a step until the goal.

        v(start) = -15 with compass moves, -7 with king's moves (undiscounted, steady wind)

    A move that would leave the grid is held at its border, row and column each. States row by row; the start
    is (3, 0), the goal (3, 7).

    Args:
        king_moves: four diagonal moves more, actions 4 to 7: up-right, down-right, down-left, up-left
            (Exercise 6.9).
        stochastic: where there is wind, its strength is one less, as said, or one more, 1/3 each (Exercise
            6.10).
        gamma: discount in [0, 1].

    Source: Sutton & Barto, 2nd ed., Example 6.5, Exercises 6.9 and 6.10.
    """
    moves = COMPASS + _DIAGONALS if king_moves else COMPASS
    names = (
        COMPASS_NAMES + ("up-right", "down-right", "down-left", "up-left") if king_moves else COMPASS_NAMES
    )
    goal = MAP.find("G")

    def outcomes(state: int, action: int) -> list[Outcome]:
        row, column = MAP.cell(state)
        gusts = (-1, 0, 1) if stochastic and WIND[column] else (0,)
        found = []
        for gust in gusts:
            up = WIND[column] + gust
            after_row = min(max(row + moves[action][0] - up, 0), 6)
            after_column = min(max(column + moves[action][1], 0), 9)
            after = MAP.state(after_row, after_column)
            found.append((1.0 / len(gusts), after, -1.0, after == goal))
        return found

    steps = 7 if king_moves else 15
    return World(
        name="WindyGrid",
        outcomes=outcomes,
        start=start_at(MAP.n_states, MAP.find("S")),
        terminal=frozenset({goal}),
        n_actions=len(moves),
        gamma=gamma,
        cells=MAP.cells,
        layout=MAP.layout(moves, names),
        known_values={} if stochastic else {"V(3,0)": -float(sum(gamma**t for t in range(steps)))},
    )
