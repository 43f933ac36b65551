"""MinAtar: what its five games share, which is all but their rules.

A game is played on 10 by 10 cells with six actions. What is seen is a picture of C layers, one for each kind of thing,
1 where there is one. With probability `sticky_action_prob` the action before is played instead of the chosen one; it
counts as the action before of the next step.

The rules are those of the authors' own implementation (version 1.0), written anew for arrays of fixed size. All chance
of a step comes from one draw of uniforms, so that a game is a function of its state, the action and those numbers.

Source: Young and Tian (2019), MinAtar: An Atari-inspired testbed for thorough and reproducible reinforcement learning
experiments, arXiv:1903.03176; Machado et al. (2018), Revisiting the arcade learning environment, for sticky actions.
Deviations: (1) an episode's first action before is none, where theirs goes over from the episode before: here an
episode depends on its seed only. (2) Observations are uint8, not bool, as spaces of Gymnasium are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from qfix.envs.jax.protocol import Step
from qfix.errors import option_error

SIZE = 10  # cells a side
NOOP, LEFT, UP, RIGHT, DOWN, FIRE = range(6)
ROWS = np.arange(SIZE)[:, None]
COLUMNS = np.arange(SIZE)[None, :]

_PIXELS = 16  # a cell in pictures
_BLACK = (18, 20, 26)
_COLOURS = (
    *((86, 156, 240), (240, 196, 70), (232, 92, 84), (122, 196, 110), (190, 130, 220)),
    *((240, 148, 74), (96, 206, 196), (214, 120, 160), (168, 168, 178), (236, 236, 236)),
)


class Game(Protocol):
    """The rules of a game."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the C layers; their first letters stand for them in text."""

    @property
    def n_start_draws(self) -> int:
        """Uniforms that a start takes."""

    @property
    def n_draws(self) -> int:
        """Uniforms that a step takes."""

    def start(self, u: Any) -> Any:
        """The state at the start, by (n_start_draws,) uniforms."""

    def advance(self, state: Any, action: Any, u: Any) -> tuple[Any, Any, Any, Any]:
        """What follows an action, by (n_draws,) uniforms: (state, reward, terminated, truncated)."""

    def layers_of(self, state: Any) -> list[Any]:
        """C masks (10, 10) bool: where there is what."""


class MinAtarState(NamedTuple):
    """A game under sticky actions."""

    game: Any  # the state of the game
    action: Any  # () int32, the last that was played


@dataclass(frozen=True)
class MinAtar:
    """A game of MinAtar as a `JaxEnv`.

    Observation (10, 10, C) uint8, 0 or 1, row by row from the top left. Actions: 0 none, 1 left, 2 up, 3 right, 4 down,
    5 fire; every game takes all six.
    """

    game: Any
    """Its rules, a `Game`."""
    sticky_action_prob: float = 0.1
    """Probability in [0, 1] that the action before is played instead."""
    max_episode_steps: int | None = None
    """Time limit in steps; MinAtar has none."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.sticky_action_prob <= 1.0:
            name = type(self.game).__name__
            given = self.sticky_action_prob
            raise option_error(name, "sticky_action_prob", "must be in [0, 1]", given, "Use 0.1 or 0.")

    @cached_property
    def observation_space(self) -> gymnasium.spaces.Box:
        """Ones and zeros."""
        return gymnasium.spaces.Box(0, 1, (SIZE, SIZE, len(self.game.layers)), np.uint8)

    @cached_property
    def action_space(self) -> gymnasium.spaces.Discrete:
        """All six."""
        return gymnasium.spaces.Discrete(6)

    def reset(self, key: Any) -> tuple[MinAtarState, Any]:
        """A start of the game."""
        u = _once(jax.random.uniform(key, (self.game.n_start_draws,), jnp.float32))
        state = _once(self.game.start(u))
        return MinAtarState(state, jnp.int32(NOOP)), self._observe(state)

    def step(self, state: MinAtarState, action: Any, key: Any) -> Step:
        """A step of the game with `action`, or with the action before."""
        u = _once(jax.random.uniform(key, (1 + self.game.n_draws,), jnp.float32))
        played = jnp.where(u[0] < self.sticky_action_prob, state.action, jnp.asarray(action, jnp.int32))
        following, reward, terminated, truncated = _once(self.game.advance(state.game, played, u[1:]))
        observation = self._observe(following)
        return Step(MinAtarState(following, played), observation, reward, terminated, truncated)

    def _observe(self, state: Any) -> Any:
        return jnp.stack(self.game.layers_of(state), -1).astype(jnp.uint8)

    def render(self, state: MinAtarState) -> NDArray[np.uint8]:
        """A picture, (160, 160, 3): of things in one cell the last layer is on top."""
        palette = np.array([_BLACK, *_COLOURS], np.uint8)
        return palette[self._top(state)].repeat(_PIXELS, 0).repeat(_PIXELS, 1)

    def text(self, state: MinAtarState) -> str:
        """Ten lines of letters, the first of a layer's name for what is on top."""
        letters = "." + "".join(name[0] for name in self.game.layers)
        return "\n".join(" ".join(letters[top] for top in row) for row in self._top(state))

    def _top(self, state: MinAtarState) -> NDArray[np.int64]:
        """(10, 10) number of the layer on top, from 1; 0 for none."""
        seen = np.asarray(self._observe(state.game), np.int64)
        return np.max(seen * np.arange(1, seen.shape[-1] + 1), -1)


def _once(values: Any) -> Any:
    """The same, but computed before what follows: fused into the layers they would be computed again for every cell."""
    return jax.lax.optimization_barrier(values)


def whole(u: Any, n: Any) -> Any:
    """One of 0..n-1 by a uniform u in [0, 1), () int32."""
    return jnp.floor(u * n).astype(jnp.int32)


def at(row: Any, column: Any) -> Any:
    """(10, 10) bool: the cell; none outside the field."""
    return (row == ROWS) & (column == COLUMNS)


def cells(there: Any, row: Any, column: Any) -> Any:
    """(10, 10) bool: the cells of those of n things that are there; each argument (n,)."""
    # a row is a number: 10 n operations instead of 100 n
    bit = jnp.where(there & inside(column), 1 << column, 0)
    rows = jnp.bitwise_or.reduce(jnp.where(row == ROWS, bit, 0), axis=1)
    return (rows[:, None] >> COLUMNS) & 1 == 1


def lanes(there: Any, column: Any) -> Any:
    """(10, 10) bool: as `cells`, for one thing in each of the rows 1 to 8; each argument (8,)."""
    return jnp.pad(there[:, None] & (column[:, None] == COLUMNS), ((1, 1), (0, 0)))


def inside(x: Any) -> Any:
    """Whether a row or a column is on the field."""
    return (x >= 0) & (x < SIZE)


def moved(x: Any, action: Any, back: int, forth: int, low: int = 0, high: int = SIZE - 1) -> Any:
    """One cell back or forth by these actions, within low..high."""
    return jnp.clip(x + (action == forth) - (action == back), low, high).astype(jnp.int32)


def counted_down(timer: Any) -> Any:
    """A timer that stops at 0, one step on."""
    return jnp.maximum(timer - 1, 0)
