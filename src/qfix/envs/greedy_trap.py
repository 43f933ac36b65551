"""GreedyTrap: a short corridor and a long detour to the same prize."""

from __future__ import annotations

from qfix.envs.grid import COMPASS, EAST, NORTH, SOUTH, GridMap
from qfix.envs.world import Outcome, World, start_at

MAP = GridMap(
    (
        "....",
        ".##.",
        "S..G",
    )
)
_ONWARD = {
    (1, 0): NORTH,
    (0, 0): EAST,
    (0, 1): EAST,
    (0, 2): EAST,
    (0, 3): SOUTH,
    (1, 3): SOUTH,
    (2, 1): EAST,
    (2, 2): EAST,
}


def greedy_trap(gamma: float = 0.9) -> World:
    """Two routes from the start to the same +1: a corridor of 3 moves east and a detour of 7 moves by the
    north.

        v(start) = γ² by the corridor, γ⁶ by the detour        (0.81 and 0.531441 at γ = 0.9)

    Doors close behind: off the start, every cell has one move that goes on and three that stay in place. So
    the only decision is the first, and once the start's move north has a positive value while its move east
    has none, a greedy learner never takes the corridor again, however it breaks ties. A learner that backs
    up whole episodes (Monte Carlo, eligibility traces) is there after one success by the detour, one-step
    Q-learning from zeros after seven, the reward moving back one cell each time. Exploration at the start,
    as with epsilon = 0.1, finds the corridor.

    States are the 10 free cells in reading order, cells are (row, column), the start is (2, 0) = 6.

    Args:
        gamma: discount in [0, 1].
    """
    start = MAP.find("S")

    def outcomes(state: int, action: int) -> list[Outcome]:
        open_way = state == start or action == _ONWARD[MAP.cell(state)]
        after = MAP.neighbour(state, COMPASS[action]) if open_way else state
        won = MAP.glyph(after) == "G"
        return [(1.0, after, float(won), won)]

    return World(
        name="GreedyTrap",
        outcomes=outcomes,
        start=start_at(MAP.n_states, start),
        terminal=frozenset({MAP.find("G")}),
        n_actions=4,
        gamma=gamma,
        cells=MAP.cells,
        layout=MAP.layout(),
        known_values={"V(2,0)": gamma**2, "Q((2,0),right)": gamma**2, "Q((2,0),up)": gamma**6},
    )
