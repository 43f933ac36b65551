"""Warehouse: the world of an incident. A learner that stops exploring early settles for the obvious route."""

from __future__ import annotations

from qfix.envs.grid import COMPASS, GridMap, slipping
from qfix.envs.world import Outcome, World, require_probability, start_at

MAP = GridMap(("...........", ".####.####.", ".#~~~~~~~#.", "S.........G", ".#~~~~~~~#.", "..........."))


def warehouse(slip: float = 0.2, gamma: float = 0.99) -> World:
    """todo"""
    require_probability("Warehouse", "slip", slip, "Use slip=0.2.")

    def outcomes(state: int, action: int) -> list[Outcome]:
        found = []
        for probability, direction in slipping(action, slip):
            after = MAP.neighbour(state, COMPASS[direction])
            glyph = MAP.glyph(after)
            found.append((probability, after, {"G": 10.0, "~": -1.0}.get(glyph, 0.0), glyph == "G"))
        return found

    return World(
        name="Warehouse",
        outcomes=outcomes,
        start=start_at(MAP.n_states, MAP.find("S")),
        terminal=frozenset({MAP.find("G")}),
        n_actions=4,
        gamma=gamma,
        cells=MAP.cells,
        layout=MAP.layout(),
    )
