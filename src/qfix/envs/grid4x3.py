"""Grid4x3: four columns, three rows, a diamond and a pit; the grid of the textbooks."""

from __future__ import annotations

from qfix.envs.grid import COMPASS, GridMap, slipping
from qfix.envs.world import Outcome, World, require_finite, require_probability, start_at

MAP = GridMap(("...G", ".#.P", "S..."))
PRIZE = {"G": 1.0, "P": -1.0}


def grid4x3(slip: float = 0.0, step_reward: float = 0.0, gamma: float = 0.9) -> World:
    """Reach the diamond at (4, 3), +1, and keep out of the pit at (4, 2), -1; both end the episode.

    Cells are (column, row) from (1, 1) at the bottom left; states are the 11 free cells in reading order:

        0 1 2 3        (1,3) (2,3) (3,3) (4,3) diamond
        4 # 5 6        (1,2)  wall (3,2) (4,2) pit
        7 8 9 10       (1,1) (2,1) (3,1) (4,1)        start (1,1) = 7

    With slip=0.2, step_reward=-0.04 and gamma=1 this is the world of Russell & Norvig.

    Args:
        slip: probability of going to a side instead, half to each of the two perpendicular directions; in
            [0, 1].
        step_reward: reward of every step, the one into the diamond or the pit included.
        gamma: discount in [0, 1].

    Source: Russell & Norvig, Artificial Intelligence: A Modern Approach, 3rd ed., Figures 17.1 and 17.3.
    """
    require_probability("Grid4x3", "slip", slip, "Use slip=0.2 for the textbook's 0.8 / 0.1 / 0.1.")
    require_finite("Grid4x3", "step_reward", step_reward, "Use step_reward=-0.04 for the textbook's cost.")

    def outcomes(state: int, action: int) -> list[Outcome]:
        found = []
        for probability, direction in slipping(action, slip):
            after = MAP.neighbour(state, COMPASS[direction])
            prize = PRIZE.get(MAP.glyph(after), 0.0)
            found.append((probability, after, step_reward + prize, prize != 0.0))
        return found

    known = {
        "V(1,1)": gamma**4,
        "V(3,2)": gamma,
        "Q((3,2),up)": gamma,
        "Q((3,2),left)": gamma**2,
        "Q((3,2),down)": gamma**3,
        "Q((3,2),right)": -1.0,
        "Q((3,3),right)": 1.0,
    }
    return World(
        name="Grid4x3",
        outcomes=outcomes,
        start=start_at(MAP.n_states, MAP.find("S")),
        terminal=frozenset({MAP.find("G"), MAP.find("P")}),
        n_actions=4,
        gamma=gamma,
        cells=tuple((column + 1, 3 - row) for row, column in MAP.cells),
        layout=MAP.layout(),
        known_values=known if slip == 0.0 and step_reward == 0.0 else {},
    )
