"""DynaMaze: the mazes on which planning pays, and two that change under the planner."""

from __future__ import annotations

from qfix.envs.grid import COMPASS, GridMap
from qfix.envs.world import Outcome, World, start_at
from qfix.errors import unknown_name

_OPEN = "........."
MAZES = {
    "dyna": GridMap((".......#G", "..#....#.", "S.#....#.", "..#......", ".....#...", _OPEN)),
    "blocking": GridMap(("........G", _OPEN, _OPEN, "########.", _OPEN, "...S.....")),
    "blocked": GridMap(("........G", _OPEN, _OPEN, ".########", _OPEN, "...S.....")),
    "shortcut": GridMap(("........G", _OPEN, _OPEN, ".########", _OPEN, "...S.....")),
    "shortcut_open": GridMap(("........G", _OPEN, _OPEN, ".#######.", _OPEN, "...S.....")),
}
SHORTEST = {"dyna": 14, "blocking": 10, "blocked": 16, "shortcut": 16, "shortcut_open": 10}


def dyna_maze(maze: str = "dyna", gamma: float = 0.95) -> World:
    """6 x 9 cells, walls, +1 at the goal in the top right corner; the shortest way takes 14 steps.

        v(start) = γ^(steps - 1)        14 steps for "dyna"; 10 and 16 for "blocking", "blocked" and their kin

    The other mazes come in pairs, before and after a change of the world: "blocking" then "blocked" (the
    opening on the right is shut, one on the left opened), "shortcut" then "shortcut_open" (a second opening,
    on the right). Train on the first, go on with the second. States are the free cells in reading order,
    cells are (row, column).

    Args:
        maze: "dyna", "blocking", "blocked", "shortcut" or "shortcut_open".
        gamma: discount in [0, 1].

    Source: Sutton & Barto, 2nd ed., Examples 8.1 (Figure 8.2), 8.2 (Figure 8.4) and 8.3 (Figure 8.5).
    """
    if maze not in MAZES:
        raise unknown_name("maze of DynaMaze", maze, MAZES)
    grid = MAZES[maze]
    start, goal = grid.find("S"), grid.find("G")

    def outcomes(state: int, action: int) -> list[Outcome]:
        after = grid.neighbour(state, COMPASS[action])
        return [(1.0, after, float(after == goal), after == goal)]

    row, column = grid.cell(start)
    return World(
        name="DynaMaze",
        outcomes=outcomes,
        start=start_at(grid.n_states, start),
        terminal=frozenset({goal}),
        n_actions=4,
        gamma=gamma,
        cells=grid.cells,
        layout=grid.layout(),
        known_values={f"V({row},{column})": gamma ** (SHORTEST[maze] - 1)},
    )
