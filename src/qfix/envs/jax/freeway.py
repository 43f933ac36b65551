"""Freeway in MinAtar: a chicken crosses eight lanes of cars, +1 each time it reaches the top.

It walks up and down in column 4 and can move once in 3 steps. Cars cross the lanes 1 to 8, one each, a cell every n + 1
steps with n in 1..5, and come in again at the other side. A car that touches the chicken sends it back to the bottom,
as does success, which also draws new speeds and directions for all cars. After 2,501 steps the episode is over.

Source: see `qfix.envs.jax.minatar`.
Deviation: (1) the end is a truncation, where theirs is a termination: how much time is left cannot be seen, and nothing
in the game ends then. (2,501, not the 2,500 of their description, is when their program ends.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from qfix.envs.jax.minatar import DOWN, SIZE, UP, MinAtar, at, counted_down, lanes, moved, whole
from qfix.envs.jax.view import JaxEnvView

STEPS = 2_500
REST_STEPS = 3  # from one move of the chicken to the next
COLUMN = 4  # of the chicken
BOTTOM = SIZE - 1
LANES = np.arange(1, 9)  # (8,) row of each car


class FreewayState(NamedTuple):
    """Everything there is, each () int32 but where said."""

    y: Any  # the chicken's row
    rest: Any  # steps until it can move
    columns: Any  # (8,) int32, the cars
    timers: Any  # (8,) int32, steps until a car moves
    speeds: Any  # (8,) int32, ±1 to ±5: steps between moves, + to the right
    steps_left: Any


@dataclass(frozen=True)
class Freeway:
    """The rules; a `Game`. It does not get harder."""

    layers: tuple[str, ...] = ("P chicken", "car", "1", "2", "3", "4", "5")
    n_start_draws: int = 8
    n_draws: int = 8

    def start(self, u: Any) -> FreewayState:
        """At the bottom, all cars at the left edge, their speeds drawn by 8 uniforms."""
        speeds, zeros = _speeds(u), jnp.zeros(8, jnp.int32)
        rest, left = jnp.int32(REST_STEPS), jnp.int32(STEPS)
        return FreewayState(jnp.int32(BOTTOM), rest, zeros, jnp.abs(speeds), speeds, left)

    def advance(self, state: FreewayState, action: Any, u: Any) -> tuple[FreewayState, Any, Any, Any]:
        """Move the chicken, then the cars. The uniforms are new speeds, in case it arrives."""
        walking = (state.rest == 0) & ((action == UP) | (action == DOWN))
        y = jnp.where(walking, moved(state.y, action, UP, DOWN), state.y)
        rest = jnp.where(walking, REST_STEPS, state.rest)
        arrived = y == 0
        y = jnp.where(arrived, BOTTOM, y)
        speeds = jnp.where(arrived, _speeds(u), state.speeds)
        timers = jnp.where(arrived, jnp.abs(speeds), state.timers)
        moving = timers == 0
        columns = jnp.where(moving, (state.columns + jnp.sign(speeds)) % SIZE, state.columns)
        timers = jnp.where(moving, jnp.abs(speeds), timers - 1)
        run_over = jnp.any((y == LANES) & ((state.columns == COLUMN) | (columns == COLUMN)))
        y = jnp.where(run_over, BOTTOM, y)
        left = state.steps_left - 1
        following = FreewayState(y, counted_down(rest), columns, timers, speeds, left)
        return following, arrived.astype(jnp.float32), jnp.zeros((), bool), left < 0

    def layers_of(self, state: FreewayState) -> list[Any]:
        """Chicken, cars, and behind each car its trail, in the layer of its speed."""
        behind = (state.columns - jnp.sign(state.speeds)) % SIZE
        trails = [lanes(jnp.abs(state.speeds) == speed, behind) for speed in range(1, 6)]
        cars = lanes(jnp.ones(8, bool), state.columns)
        return [at(state.y, COLUMN), cars, *trails]


def _speeds(u: Any) -> Any:
    """(8,) of -1 to -5 and 1 to 5, by as many uniforms."""
    drawn = whole(u, 10)
    return jnp.where(drawn < 5, -1 - drawn, drawn - 4)


def freeway(sticky_action_prob: float = 0.1, render_mode: str | None = None) -> JaxEnvView:
    """Freeway as a Gymnasium environment; its `jax_env` is a `MinAtar` of `Freeway`.

    Args:
        sticky_action_prob: probability in [0, 1] that the action before is played instead.
        render_mode: None, "ansi" or "rgb_array".
    """
    return JaxEnvView(MinAtar(Freeway(), sticky_action_prob), render_mode)


freeway.metadata = JaxEnvView.metadata  # type: ignore[attr-defined] # Gymnasium reads the render modes off here
