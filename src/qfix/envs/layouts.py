"""Where the states of an environment lie on paper, for our own worlds and for Gymnasium's grids."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from qfix.envs.grid import COMPASS, COMPASS_NAMES, GridMap
from qfix.envs.layout import GridLayout
from qfix.envs.make import make_env
from qfix.envs.table_env import TableEnv

# FrozenLake and Taxi number their moves in their own ways
_FROZEN_LAKE = (((0, -1), (1, 0), (0, 1), (-1, 0)), ("left", "down", "right", "up"))
_TAXI = (
    ((1, 0), (-1, 0), (0, 1), (0, -1), (0, 0), (0, 0)),
    ("down", "up", "right", "left", "pick up", "drop off"),
)
ABOARD, DESTINATION = 4, 0


def layout_of(
    env: str | gymnasium.Env[Any, Any], env_kwargs: dict[str, Any] | None = None
) -> GridLayout | None:
    """The layout of an environment whose states lie on a grid; None for any other.

    Knows the worlds of this package, FrozenLake (any map), CliffWalking and Taxi. Of Taxi's 500 states it
    shows the 25 in which the passenger is aboard and wants to go to the red stand at the top left; the
    others lie at (-1, -1), which means nowhere.

    Args:
        env: an environment, or the id of one, which is made for the purpose and closed.
        env_kwargs: options of the environment; only with an id.
    """
    if isinstance(env, str):
        made = make_env(env, env_kwargs)
        try:
            return layout_of(made)
        finally:
            made.close()
    world = env.unwrapped
    if isinstance(world, TableEnv):
        return world.layout
    known = {"FrozenLake": _frozen_lake, "FrozenLake8x8": _frozen_lake, "CliffWalking": _cliff, "Taxi": _taxi}
    name = "" if env.spec is None else env.spec.name
    return known[name](world) if name in known else None


def _frozen_lake(world: Any) -> GridLayout:
    glyph = {"S": "S", "F": ".", "H": "P", "G": "G"}
    rows = tuple("".join(glyph[letter.decode()] for letter in row) for row in world.desc)
    return GridMap(rows).layout(*_FROZEN_LAKE)


def _cliff(world: Any) -> GridLayout:
    return GridMap(("." * 12, "." * 12, "." * 12, "S" + "P" * 10 + "G")).layout(COMPASS, COMPASS_NAMES)


def _taxi(world: Any) -> GridLayout:
    cells = np.full((500, 2), -1, dtype=np.int64)
    for row in range(5):
        for column in range(5):
            cells[world.encode(row, column, ABOARD, DESTINATION)] = row, column
    moves, names = _TAXI
    return GridLayout(("G....", *("....." for _ in range(4))), cells, np.array(moves, dtype=np.int64), names)
