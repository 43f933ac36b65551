"""Pit4x4: sixteen cells, a goal in the corner and a pit on the way."""

from __future__ import annotations

from qfix.envs.grid import COMPASS, GridMap
from qfix.envs.world import Outcome, World, start_at

MAP = GridMap(
    (
        "S...",
        "..P.",
        "....",
        "...G",
    )
)


def pit4x4(gamma: float = 0.99) -> World:
    """From state 0 to the goal, state 15, +10; the pit, state 6, -10; both end the episode; every other step
    -0.1.

        v(0) = 10 γ⁵ - 0.1 (1 + γ + γ² + γ³ + γ⁴)        six moves

    States are the cells row by row, 0 to 15; cells are (row, column).

    Args:
        gamma: discount in [0, 1].
    """
    reward = {"G": 10.0, "P": -10.0}

    def outcomes(state: int, action: int) -> list[Outcome]:
        after = MAP.neighbour(state, COMPASS[action])
        glyph = MAP.glyph(after)
        return [(1.0, after, reward.get(glyph, -0.1), glyph in reward)]

    return World(
        name="Pit4x4",
        outcomes=outcomes,
        start=start_at(MAP.n_states, 0),
        terminal=frozenset({6, 15}),
        n_actions=4,
        gamma=gamma,
        cells=MAP.cells,
        layout=MAP.layout(),
        known_values={
            "V(0,0)": 10.0 * gamma**5 - 0.1 * sum(gamma**t for t in range(5)),
            "Q((1,1),right)": -10.0,
            "Q((2,3),down)": 10.0,
        },
    )
