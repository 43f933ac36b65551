"""SpaceInvaders in MinAtar: shoot aliens that come down in a block, +1 each.

The cannon moves along the bottom row and can shoot every 5 steps; bullets fly a cell a step. The block moves
sideways, and at an edge it turns and comes down a row instead. It moves every n steps, with n the number of aliens
left, but at most `move_speed`, 12 at first: few are fast. Every 10 steps the lowest alien of the nearest column
shoots. The episode terminates when a bullet or an alien is where the cannon is, or the block would leave the field at
the bottom. When all are shot a new block comes, and `move_speed` falls by one, to 6 at least.

Source: see `qfix.envs.jax.minatar`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp

from qfix.envs.jax.minatar import (
    COLUMNS,
    FIRE,
    LEFT,
    RIGHT,
    ROWS,
    SIZE,
    MinAtar,
    at,
    counted_down,
    moved,
)
from qfix.envs.jax.view import JaxEnvView

SHOT_STEPS = 5
ALIEN_SHOT_STEPS = 10
MOVE_STEPS = 12
LEAST_MOVE_STEPS = 6
BLOCK = (ROWS < 4) & (COLUMNS >= 2) & (COLUMNS < 8)  # (10, 10) bool, all aliens
BOTTOM = SIZE - 1


class SpaceInvadersState(NamedTuple):
    """Everything there is, each () int32 but where said."""

    x: Any  # the cannon
    aliens: Any  # (10, 10) bool
    direction: Any  # ±1, of all aliens
    bullets: Any  # (10, 10) bool, the player's
    bombs: Any  # (10, 10) bool, the aliens' bullets
    shot_timer: Any  # steps until the cannon can shoot
    bomb_timer: Any  # steps until an alien shoots
    move_timer: Any  # steps until the aliens move
    move_speed: Any


@dataclass(frozen=True)
class SpaceInvaders:
    """The rules; a `Game`."""

    difficulty_ramping: bool = True
    """Whether later blocks are faster."""
    layers: tuple[str, ...] = ("cannon", "alien", "left", "right", "bullet", "x bomb")
    n_start_draws: int = 1
    n_draws: int = 0

    def start(self, u: Any) -> SpaceInvadersState:
        """In the middle, a full block moving left. Nothing is left to chance."""
        number, none = jnp.int32, jnp.zeros((SIZE, SIZE), bool)
        return SpaceInvadersState(
            *(number(5), jnp.asarray(BLOCK), number(-1), none, none),
            *(number(0), number(ALIEN_SHOT_STEPS), number(MOVE_STEPS), number(MOVE_STEPS)),
        )

    def advance(
        self, state: SpaceInvadersState, action: Any, u: Any
    ) -> tuple[SpaceInvadersState, Any, Any, Any]:
        """The cannon, bullets, the aliens and their shot, then hits. Nothing is left to chance."""
        shoots = (action == FIRE) & (state.shot_timer == 0)
        x = moved(state.x, action, LEFT, RIGHT)
        cannon = at(BOTTOM, x)
        bullets = _shifted(state.bullets | (at(BOTTOM, x) & shoots), -1)
        bombs = _shifted(state.bombs, 1)
        hit = jnp.any((bombs | state.aliens) & cannon)
        aliens, direction, move_timer, landed = _marched(state)
        hit = hit | landed | jnp.any(aliens & cannon)
        bombing = state.bomb_timer == 0
        bombs = bombs | (_lowest_near(aliens, x) & bombing)
        killed = aliens & bullets
        aliens, bullets = aliens & ~killed, bullets & ~killed
        cleared = ~jnp.any(aliens)
        faster = cleared & (state.move_speed > LEAST_MOVE_STEPS) & self.difficulty_ramping
        following = SpaceInvadersState(
            x=x,
            aliens=jnp.where(cleared, BLOCK, aliens),
            direction=direction,
            bullets=bullets,
            bombs=bombs,
            shot_timer=counted_down(jnp.where(shoots, SHOT_STEPS, state.shot_timer)),
            bomb_timer=jnp.where(bombing, ALIEN_SHOT_STEPS, state.bomb_timer) - 1,
            move_timer=move_timer - 1,
            move_speed=state.move_speed - faster,
        )
        return following, jnp.sum(killed, dtype=jnp.float32), hit, jnp.zeros_like(hit)

    def layers_of(self, state: SpaceInvadersState) -> list[Any]:
        """Cannon, aliens, aliens moving left, aliens moving right, the player's bullets, the aliens'."""
        leftward = state.direction < 0
        left, right = state.aliens & leftward, state.aliens & ~leftward
        return [at(BOTTOM, state.x), state.aliens, left, right, state.bullets, state.bombs]


def _shifted(bullets: Any, rows: int) -> Any:
    """One row up (-1) or down (1); what leaves the field is gone."""
    edge = BOTTOM if rows < 0 else 0
    return jnp.roll(bullets, rows, 0) & (edge != ROWS)


def _marched(state: SpaceInvadersState) -> tuple[Any, Any, Any, Any]:
    """Aliens, direction and timer after their move, if it is time; and whether they would leave the bottom row."""
    due = state.move_timer == 0
    edge = jnp.where(state.direction < 0, 0, SIZE - 1)
    turning = due & jnp.any(state.aliens & (edge == COLUMNS))
    sideways = jnp.where(state.direction < 0, jnp.roll(state.aliens, -1, 1), jnp.roll(state.aliens, 1, 1))
    aliens = jnp.where(turning, jnp.roll(state.aliens, 1, 0), jnp.where(due, sideways, state.aliens))
    pause = jnp.minimum(jnp.sum(state.aliens, dtype=jnp.int32), state.move_speed)
    landed = turning & jnp.any(state.aliens[BOTTOM])
    direction = jnp.where(turning, -state.direction, state.direction)
    return aliens, direction, jnp.where(due, pause, state.move_timer), landed


def _lowest_near(aliens: Any, x: Any) -> Any:
    """(10, 10) bool: the lowest alien of the column nearest to x, the left one of two."""
    columns = COLUMNS[0]
    far = 2 * SIZE
    distance = 2 * jnp.abs(columns - x) + (columns > x)
    distance = jnp.where(jnp.any(aliens, 0), distance, far)
    column = aliens & (distance == jnp.min(distance))
    return column & (jnp.max(jnp.where(column, ROWS, -1)) == ROWS)


def space_invaders(
    sticky_action_prob: float = 0.1, difficulty_ramping: bool = True, render_mode: str | None = None
) -> JaxEnvView:
    """SpaceInvaders as a Gymnasium environment; its `jax_env` is a `MinAtar` of `SpaceInvaders`.

    Args:
        sticky_action_prob: probability in [0, 1] that the action before is played instead.
        difficulty_ramping: whether later blocks are faster.
        render_mode: None, "ansi" or "rgb_array".
    """
    return JaxEnvView(MinAtar(SpaceInvaders(difficulty_ramping), sticky_action_prob), render_mode)


space_invaders.metadata = JaxEnvView.metadata  # type: ignore[attr-defined] # Gymnasium reads the render modes off here
