"""Breakout in MinAtar: a ball, a paddle and three rows of bricks, +1 for each.

The ball moves one cell on a diagonal each step. Side walls and the ceiling mirror it; a brick it would enter breaks and
turns it back up or down, in place, but only if it did not touch a brick in the step before: then it flies through, and
nothing breaks. At the bottom row it is turned back up if it comes down onto the paddle from straight above, back
whence it came if it comes onto the paddle from the side, and lost otherwise: the episode terminates. When it reaches
the bottom row with no bricks left, all are set again. The ball starts below the bricks in a corner, flying inwards.

Source: see `qfix.envs.jax.minatar`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp

from qfix.envs.jax.minatar import COLUMNS, LEFT, RIGHT, ROWS, SIZE, MinAtar, at, inside, moved
from qfix.envs.jax.view import JaxEnvView

WALL = (ROWS >= 1) & (ROWS <= 3) & (COLUMNS >= 0)  # (10, 10) bool, all bricks
BOTTOM = SIZE - 1


class BreakoutState(NamedTuple):
    """Everything there is, each () int32 but where said."""

    y: Any  # the ball
    x: Any
    dy: Any  # its direction, ±1
    dx: Any
    last_y: Any  # where the ball was before, the trail
    last_x: Any
    paddle: Any  # column
    touching: Any  # () bool, whether the ball touched a brick in the step before
    bricks: Any  # (10, 10) bool


@dataclass(frozen=True)
class Breakout:
    """The rules; a `Game`. It does not get harder."""

    layers: tuple[str, ...] = ("paddle", "o ball", "trail", "brick")
    n_start_draws: int = 1
    n_draws: int = 0

    def start(self, u: Any) -> BreakoutState:
        """In the left corner or in the right one, by one uniform."""
        right = u[0] >= 0.5
        y, x = jnp.int32(3), jnp.where(right, 9, 0).astype(jnp.int32)
        dx = jnp.where(right, -1, 1).astype(jnp.int32)
        return BreakoutState(
            y, x, jnp.int32(1), dx, y, x, jnp.int32(4), jnp.zeros((), bool), jnp.asarray(WALL)
        )

    def advance(self, state: BreakoutState, action: Any, u: Any) -> tuple[BreakoutState, Any, Any, Any]:
        """Move the paddle, then the ball. Nothing is left to chance."""
        paddle = moved(state.paddle, action, LEFT, RIGHT)
        y, x = state.y + state.dy, state.x + state.dx
        dy, dx = state.dy, jnp.where(inside(x), state.dx, -state.dx)
        x = jnp.clip(x, 0, SIZE - 1)
        ceiling = y < 0
        brick = jnp.any(state.bricks & at(y, x))
        breaks = brick & ~state.touching
        bricks = state.bricks & ~(at(y, x) & breaks)
        low = y == BOTTOM
        bricks = jnp.where(low & ~jnp.any(bricks), WALL, bricks)
        above = low & (state.x == paddle)
        beside = low & ~above & (x == paddle)
        dy = jnp.where(ceiling | breaks | above | beside, -dy, dy)
        dx = jnp.where(beside, -dx, dx)
        y = jnp.where(ceiling, 0, jnp.where(breaks | above | beside, state.y, y))
        following = BreakoutState(y, x, dy, dx, state.y, state.x, paddle, brick, bricks)
        lost = low & ~above & ~beside
        return following, breaks.astype(jnp.float32), lost, jnp.zeros_like(lost)

    def layers_of(self, state: BreakoutState) -> list[Any]:
        """Paddle, ball, trail, bricks."""
        ball, trail = at(state.y, state.x), at(state.last_y, state.last_x)
        return [at(BOTTOM, state.paddle), ball, trail, state.bricks]


def breakout(sticky_action_prob: float = 0.1, render_mode: str | None = None) -> JaxEnvView:
    """Breakout as a Gymnasium environment; its `jax_env` is a `MinAtar` of `Breakout`.

    Args:
        sticky_action_prob: probability in [0, 1] that the action before is played instead.
        render_mode: None, "ansi" or "rgb_array".
    """
    return JaxEnvView(MinAtar(Breakout(), sticky_action_prob), render_mode)


breakout.metadata = JaxEnvView.metadata  # type: ignore[attr-defined] # Gymnasium reads the render modes off here
