"""The definition of a finite world, from which every view of it is derived and none written twice.

A world is data and one pure function: `outcomes(state, action)` lists what may happen as `(probability,
next_state, reward, terminated)`. From it come the exact model (`model_of`), the Gymnasium environment
(`qfix.envs.table_env`) and the pictures (`qfix.envs.drawing`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qfix.envs.catalogue import CATALOGUE, definition_of, entry
from qfix.envs.layout import GridLayout
from qfix.errors import option_error, unknown_name
from qfix.mdp import FiniteMDP

Outcome = tuple[float, int, float, bool]
"""(probability, next state, reward, terminated)"""


@dataclass(frozen=True, eq=False)
class World:
    """A finite Markov decision process by its definition, with its states named and placed on paper."""

    name: str
    """As in its id `qfix/<name>-v0`."""
    outcomes: Callable[[int, int], list[Outcome]]
    """All that may happen after an action in a state that is not terminal."""
    start: NDArray[np.float64]
    """(S,) probability of each state at the start of an episode."""
    terminal: frozenset[int]
    """States in which an episode is over."""
    n_actions: int
    """Number of actions A, the same in every state."""
    gamma: float
    """Discount the world is meant for, in [0, 1]."""
    cells: tuple[Hashable, ...]
    """(S,) what each state is called in the world's own terms: (row, column), (column, row), or a word."""
    layout: GridLayout
    """Where the states lie on paper."""
    known_values: Mapping[str, float] = field(default_factory=dict)
    """Exact optimal values under these options, as `V(cell)` or `Q(cell,action)`; empty if none is known."""

    @property
    def n_states(self) -> int:
        """Number of states S, terminal ones included."""
        return len(self.cells)

    def cell(self, state: int) -> Hashable:
        """The world's own name of a state."""
        return self.cells[state]

    def state(self, cell: Hashable) -> int:
        """The state of that name.

        Raises:
            KeyError: no state is called so, as a wall is none.
        """
        if cell not in self.cells:
            raise KeyError(
                f"{self.name} has no state {cell!r}. Its states: {', '.join(map(repr, self.cells))}."
            )
        return self.cells.index(cell)


def make_world(name: str, **options: Any) -> World:
    """The definition of a finite world, by name or id, under some options.

    >>> make_world("Grid4x3", slip=0.2).cell(7)
    (1, 1)

    Raises:
        UnknownNameError: no finite world is called so.
        TypeError: the world has no such option.
    """
    row = entry(name)
    if not row.finite:
        raise unknown_name("finite world", name, [row.name for row in CATALOGUE if row.finite])
    return definition_of(row)(**options)


def model_of(world: World, max_episode_steps: int | None = None) -> FiniteMDP:
    """The exact model of a world, to solve or to learn on at compiled speed.

    Args:
        world: its definition.
        max_episode_steps: time limit to note in the model, a truncation; None for none.
    """
    return FiniteMDP.from_function(
        world.outcomes,
        world.n_states,
        world.n_actions,
        world.gamma,
        start=world.start,
        terminal=sorted(world.terminal),
        max_episode_steps=max_episode_steps,
    )


def start_at(n_states: int, *states: int) -> NDArray[np.float64]:
    """A start distribution, (S,): the same probability on each of `states`, nothing elsewhere."""
    start = np.zeros(n_states)
    start[list(states)] = 1.0 / len(states)
    return start


def require_probability(owner: str, name: str, value: float, remedy: str) -> None:
    """Refuse a `value` outside [0, 1].

    Raises:
        OptionError: naming the world and its option.
    """
    if not 0.0 <= value <= 1.0:
        raise option_error(owner, name, "must be in [0, 1]", value, remedy)


def require_finite(owner: str, name: str, value: float, remedy: str) -> None:
    """Refuse NaN and infinities.

    Raises:
        OptionError: naming the world and its option.
    """
    if not np.isfinite(value):
        raise option_error(owner, name, "must be a finite number", value, remedy)
