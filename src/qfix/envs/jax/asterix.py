"""Asterix in MinAtar: collect gold that flies by, +1 each, and touch no enemy, or the episode terminates.

The player walks in eight rows (1 to 8) of ten cells. Each row has room for one thing, gold (1 in 3) or an enemy,
which comes from either side and crosses the field. A new one appears in a free row every `spawn_speed` steps, 10 at
first, and all move every `move_speed` steps, 5 at first. About every 100 steps it gets harder: spawning gets faster
by one, and moving too every second time, down to 1.

Source: see `qfix.envs.jax.minatar`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from qfix.envs.jax.minatar import DOWN, LEFT, RIGHT, UP, MinAtar, at, inside, lanes, moved, whole
from qfix.envs.jax.view import JaxEnvView

RAMP_STEPS = 100
SPAWN_STEPS = 10
MOVE_STEPS = 5
LANES = np.arange(1, 9)  # (8,) row of each thing


class AsterixState(NamedTuple):
    """Everything there is, each () int32 but where said."""

    y: Any  # the player
    x: Any
    there: Any  # (8,) bool, whether a row has a thing
    columns: Any  # (8,) int32, where it is
    rightward: Any  # (8,) bool, whether it moves right
    gold: Any  # (8,) bool, whether it is gold
    spawn_speed: Any  # steps from one to the next
    spawn_timer: Any
    move_speed: Any
    move_timer: Any
    ramp_timer: Any
    ramp: Any  # how often it got harder


@dataclass(frozen=True)
class Asterix:
    """The rules; a `Game`."""

    difficulty_ramping: bool = True
    """Whether it gets harder."""
    layers: tuple[str, ...] = ("player", "enemy", "trail", "gold")
    n_start_draws: int = 1
    n_draws: int = 3

    def start(self, u: Any) -> AsterixState:
        """In the middle of an empty field. Nothing is left to chance."""
        number, none = jnp.int32, jnp.zeros(8, bool)
        return AsterixState(
            *(number(5), number(5), none, jnp.zeros(8, number), none, none),
            *(number(SPAWN_STEPS), number(SPAWN_STEPS), number(MOVE_STEPS), number(MOVE_STEPS)),
            *(number(RAMP_STEPS), number(0)),
        )

    def advance(self, state: AsterixState, action: Any, u: Any) -> tuple[AsterixState, Any, Any, Any]:
        """Spawn, move the player, then the things. The uniforms: side, gold or enemy, row."""
        state = _spawned(state, u)
        x, y = moved(state.x, action, LEFT, RIGHT), moved(state.y, action, UP, DOWN, 1, 8)
        touched = state.there & (state.columns == x) & (y == LANES)
        there = state.there & ~(touched & state.gold)
        moving = state.move_timer == 0
        columns = jnp.where(there & moving, state.columns + jnp.where(state.rightward, 1, -1), state.columns)
        there = there & inside(columns)
        met = there & moving & (columns == x) & (y == LANES)
        there = there & ~(met & state.gold)
        reward = jnp.sum((touched | met) & state.gold, dtype=jnp.float32)
        caught = jnp.any((touched | met) & ~state.gold)
        following = state._replace(
            y=y,
            x=x,
            there=there,
            columns=columns,
            spawn_timer=state.spawn_timer - 1,
            move_timer=jnp.where(moving, state.move_speed, state.move_timer) - 1,
        )
        if self.difficulty_ramping:
            following = _harder(following)
        return following, reward, caught, jnp.zeros_like(caught)

    def layers_of(self, state: AsterixState) -> list[Any]:
        """Player, enemies, trails, gold."""
        enemies = lanes(state.there & ~state.gold, state.columns)
        gold = lanes(state.there & state.gold, state.columns)
        trail = lanes(state.there, state.columns - jnp.where(state.rightward, 1, -1))
        return [at(state.y, state.x), enemies, trail, gold]


def _spawned(state: AsterixState, u: Any) -> AsterixState:
    """With a new thing in one of the free rows, if it is time and there is one."""
    due = state.spawn_timer == 0
    free = ~state.there
    rank = jnp.cumsum(free) - 1  # of each free row among them
    new = due & free & (rank == whole(u[2], jnp.sum(free)))
    rightward = u[0] < 1 / 2
    return state._replace(
        there=state.there | new,
        columns=jnp.where(new, jnp.where(rightward, 0, 9), state.columns),
        rightward=jnp.where(new, rightward, state.rightward),
        gold=jnp.where(new, u[1] < 1 / 3, state.gold),
        spawn_timer=jnp.where(due, state.spawn_speed, state.spawn_timer),
    )


def _harder(state: AsterixState) -> AsterixState:
    """A step of the ramp: its timer runs from 100 to -1, then speeds change."""
    open_ended = (state.spawn_speed > 1) | (state.move_speed > 1)
    due = open_ended & (state.ramp_timer < 0)
    faster = due & (state.move_speed > 1) & (state.ramp % 2 == 1)
    return state._replace(
        spawn_speed=state.spawn_speed - (due & (state.spawn_speed > 1)),
        move_speed=state.move_speed - faster,
        ramp_timer=jnp.where(due, RAMP_STEPS, state.ramp_timer - open_ended),
        ramp=state.ramp + due,
    )


def asterix(
    sticky_action_prob: float = 0.1, difficulty_ramping: bool = True, render_mode: str | None = None
) -> JaxEnvView:
    """Asterix as a Gymnasium environment; its `jax_env` is a `MinAtar` of `Asterix`.

    Args:
        sticky_action_prob: probability in [0, 1] that the action before is played instead.
        difficulty_ramping: whether it gets harder.
        render_mode: None, "ansi" or "rgb_array".
    """
    return JaxEnvView(MinAtar(Asterix(difficulty_ramping), sticky_action_prob), render_mode)


asterix.metadata = JaxEnvView.metadata  # type: ignore[attr-defined] # Gymnasium reads the render modes off here
