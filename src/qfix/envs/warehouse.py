"""Warehouse: the world of an incident. A learner that stops exploring early settles for the obvious route."""

from __future__ import annotations

from qfix.envs.grid import COMPASS, GridMap, slipping
from qfix.envs.world import Outcome, World, require_probability, start_at

MAP = GridMap(
    (
        "........",
        ".######.",
        ".######.",
        ".######.",
        ".######.",
        ".###~~~.",
        "..S....G",
        "####~~~#",
    )
)


def warehouse(slip: float = 0.2, gamma: float = 0.99) -> World:
    """Carry a load from S to G, +1; on a spill (~) it falls, and the trip is over with nothing.

        ........
        .######.        # shelf
        .######.        the obvious way: 5 moves east, three of them between spills
        .######.        the safe way: 21 moves, back west, up and round the shelves
        .######.
        .###~~~.
        ..S....G
        ####~~~#

    The floor is slippery: always east delivers (1 - slip)³ = 0.51 of the loads and is worth 0.489 at the
    start (discount 0.99), the safe way delivers all and is worth v(start) = 0.703. Nothing ever costs
    anything, so values along the obvious way never look bad enough to leave it, and once they have spread
    back to the start, all cells around point to it.

    The incident: epsilon decayed from 1 to 0.01 within 100 episodes and alpha fixed at 0.5. Four seeds in
    five never find the safe way; the share delivered stays near 0.47 and the value at the start swings with
    every load that falls. The cure: epsilon decayed exponentially over 5,000 episodes, alpha from 0.5 to
    0.01, small random initial values: 0.97 delivered, and the values rest. `docs/worlds.md` measures both.

    States are the free cells in reading order, spills among them; cells are (row, column), the start (6, 2).

    Args:
        slip: probability of going to a side instead, half to each perpendicular direction; in [0, 1].
        gamma: discount in [0, 1].
    """
    require_probability("Warehouse", "slip", slip, "Use slip=0.2, the floor of the incident.")

    def outcomes(state: int, action: int) -> list[Outcome]:
        found = []
        for probability, direction in slipping(action, slip):
            after = MAP.neighbour(state, COMPASS[direction])
            glyph = MAP.glyph(after)
            found.append((probability, after, float(glyph == "G"), glyph in "G~"))
        return found

    return World(
        name="Warehouse",
        outcomes=outcomes,
        start=start_at(MAP.n_states, MAP.find("S")),
        terminal=frozenset(s for s in range(MAP.n_states) if MAP.glyph(s) in "G~"),
        n_actions=4,
        gamma=gamma,
        cells=MAP.cells,
        layout=MAP.layout(),
    )
