"""Seaquest in MinAtar: shoot fish and submarines, +1 each, fetch divers, and come up for air in time.

The submarine moves in rows 0 to 8, where row 0 is the surface, and shoots the way it faces, every 5 steps. Fish (2 in
3) and enemy submarines come from either side every `spawn_speed` steps, 20 at first, unless their row has one coming
the other way; they move every `move_speed` + 1 steps, 5 + 1 at first, and submarines shoot every 11. A diver comes
every 30 steps and moves every 6; touching it takes it on board, up to 6. Bullets fly a cell a step.

200 steps of oxygen: a step under water takes one. Surfacing with divers on board fills it up and costs a diver; with
all 6 it takes all and pays one for each of the up to 10 lights of the oxygen bar. Each surfacing makes it harder:
spawning gets faster by one, to 1 at least, and every second time moving too, to 2 at least. The episode terminates on
touching a fish, a submarine or an enemy bullet, when the oxygen is used up, and on surfacing without a diver.

Source: see `qfix.envs.jax.minatar`. As in their program, surfacing with 6 divers takes all of them and then one more,
so that -1 are on board; nothing forbids to surface with that.
Deviation: (1) room for 32 enemies at once, 2 bullets of the player and 2 divers; more do not come together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from qfix.envs.jax.minatar import (
    COLUMNS,
    DOWN,
    FIRE,
    LEFT,
    RIGHT,
    ROWS,
    SIZE,
    UP,
    MinAtar,
    at,
    cells,
    counted_down,
    inside,
    moved,
    whole,
)
from qfix.envs.jax.view import JaxEnvView

OXYGEN = 200
DIVERS = 6
SPAWN_STEPS = 20
DIVER_SPAWN_STEPS = 30
MOVE_STEPS = 5
LEAST_MOVE_STEPS = 2
DIVER_MOVE_STEPS = 5
SHOT_STEPS = 5
ENEMY_SHOT_STEPS = 10
ROOM = 32  # for enemies. At their fastest one comes each step and stays 30; when they are slower, fewer come
_LATE = 1 << 30  # after all that have come


class Things(NamedTuple):
    """n things that swim or fly along a row, each (n,)."""

    there: Any  # bool
    y: Any  # int32
    x: Any  # int32
    rightward: Any  # bool


class Enemies(NamedTuple):
    """Fish and submarines, each (32,)."""

    place: Things
    submarine: Any  # bool, else a fish
    born: Any  # int32, how many came before: the order in which they are dealt with
    timer: Any  # int32, steps until it moves
    shot_timer: Any  # int32, steps until it shoots, if a submarine


class SeaquestState(NamedTuple):
    """Everything there is, each () int32 but where said."""

    y: Any  # the submarine's front
    x: Any
    rightward: Any  # () bool
    oxygen: Any
    carried: Any  # divers on board
    surfaced: Any  # () bool, whether it was at the surface after the last step
    bullets: Any  # Things (2,), the older one first
    bombs: Any  # (2, 10, 10) bool, the enemies' bullets that fly left and right
    enemies: Any  # Enemies
    divers: Any  # Things (2,), the older one first
    diver_timers: Any  # (2,) int32, steps until it moves
    shot_timer: Any
    spawn_speed: Any
    spawn_timer: Any
    diver_spawn_timer: Any
    move_speed: Any
    ramp: Any  # how often it got harder
    born: Any  # enemies so far


@dataclass(frozen=True)
class Seaquest:
    """The rules; a `Game`."""

    difficulty_ramping: bool = True
    """Whether it gets harder."""
    layers: tuple[str, ...] = (
        *("front", "back", "* bullet", "~ trail", "x bomb"),
        *("e fish", "submarine", "oxygen", "D divers", "diver"),
    )
    n_start_draws: int = 1
    n_draws: int = 5

    def start(self, u: Any) -> SeaquestState:
        """At the surface of an empty sea. Nothing is left to chance."""
        number = jnp.int32
        return SeaquestState(
            *(number(0), number(5), jnp.zeros((), bool), number(OXYGEN), number(0), jnp.ones((), bool)),
            bullets=_nothing(2),
            bombs=jnp.zeros((2, SIZE, SIZE), bool),
            enemies=Enemies(
                _nothing(ROOM), jnp.zeros(ROOM, bool), *(jnp.zeros(ROOM, number) for _ in range(3))
            ),
            divers=_nothing(2),
            diver_timers=jnp.zeros(2, number),
            shot_timer=number(0),
            spawn_speed=number(SPAWN_STEPS),
            spawn_timer=number(SPAWN_STEPS),
            diver_spawn_timer=number(DIVER_SPAWN_STEPS),
            move_speed=number(MOVE_STEPS),
            ramp=number(0),
            born=number(0),
        )

    def advance(self, state: SeaquestState, action: Any, u: Any) -> tuple[SeaquestState, Any, Any, Any]:
        """Spawn, act, move everything in turn, breathe. The uniforms: side, kind and row of an enemy, side and row of a
        diver."""
        state = _diver_spawned(_enemy_spawned(state, u[:3]), u[3:])
        state = _acted(state, action)
        state, shot = _bullets_moved(state)
        state = _divers_moved(state)
        state, rammed, shot_submarines = _enemies_moved(state, state.enemies.submarine)
        state, bombed = _bombs_moved(state)
        state, bitten, shot_fish = _enemies_moved(state, ~state.enemies.submarine)
        choked = state.oxygen <= 0
        state, paid, empty = _breathed(state, self.difficulty_ramping)
        state = state._replace(
            spawn_timer=counted_down(state.spawn_timer),
            diver_spawn_timer=counted_down(state.diver_spawn_timer),
            shot_timer=counted_down(state.shot_timer),
        )
        reward = (shot + shot_submarines + shot_fish + paid).astype(jnp.float32)
        lost = rammed | bombed | bitten | choked | empty
        return state, reward, lost, jnp.zeros_like(lost)

    def layers_of(self, state: SeaquestState) -> list[Any]:
        """Front, back, bullets, trails, enemy bullets, fish, submarines, oxygen, divers on board, divers."""
        sea = state.enemies.place
        lights = jnp.maximum(state.oxygen, 0) * 10 // OXYGEN
        bottom = ROWS == SIZE - 1
        trails = _behind(sea) | _behind(state.divers)
        return [
            at(state.y, state.x),
            at(state.y, state.x - _sign(state.rightward)),
            cells(state.bullets.there, state.bullets.y, state.bullets.x),
            trails,
            jnp.any(state.bombs, 0),
            cells(sea.there & ~state.enemies.submarine, sea.y, sea.x),
            cells(sea.there & state.enemies.submarine, sea.y, sea.x),
            bottom & (lights > COLUMNS),
            bottom & (SIZE - 1 - state.carried <= COLUMNS) & (COLUMNS < SIZE - 1),
            cells(state.divers.there, state.divers.y, state.divers.x),
        ]


def _nothing(n: int) -> Things:
    no, zero = jnp.zeros(n, bool), jnp.zeros(n, jnp.int32)
    return Things(no, zero, zero, no)


def _sign(rightward: Any) -> Any:
    return jnp.where(rightward, 1, -1)


def _behind(things: Things) -> Any:
    """(10, 10) bool: where they come from."""
    return cells(things.there, things.y, things.x - _sign(things.rightward))


def _swum(things: Things, moving: Any) -> Things:
    """Those of a mask one cell on; what leaves the field is gone."""
    x = things.x + moving * _sign(things.rightward)
    return things._replace(x=x, there=things.there & inside(x))


def _entering(rightward: Any, row: Any) -> Things:
    """One thing at the edge it comes from, each ()."""
    x = jnp.where(rightward, 0, SIZE - 1).astype(jnp.int32)
    return Things(jnp.ones((), bool), row, x, rightward)


def _queued(two: Any, new: Any, due: Any) -> Any:
    """Room for two, the older first, with a new one behind if it is due; one of the two is gone by then."""
    older = two.there[0] if isinstance(two, Things) else two[0].there[0]

    def put(pair: Any, added: Any) -> Any:
        return jnp.where(due, jnp.stack((jnp.where(older, pair[0], pair[1]), added)), pair)

    return jax.tree.map(put, two, new)


def _enemy_spawned(state: SeaquestState, u: Any) -> SeaquestState:
    """An enemy, if it is time and none comes the other way in its row."""
    due = state.spawn_timer == 0
    enemies = state.enemies
    rightward, submarine, row = u[0] < 1 / 2, u[1] < 1 / 3, 1 + whole(u[2], 8)
    sea = enemies.place
    against = jnp.any(sea.there & (sea.y == row) & (sea.rightward != rightward))
    fresh = Enemies(
        _entering(rightward, row), submarine, state.born, state.move_speed, jnp.int32(ENEMY_SHOT_STEPS)
    )
    here = due & ~against & (jnp.arange(ROOM) == state.born % ROOM)
    return state._replace(
        enemies=jax.tree.map(lambda old, new: jnp.where(here, new, old), enemies, fresh),
        born=state.born + jnp.any(here),
        spawn_timer=jnp.where(due, state.spawn_speed, state.spawn_timer),
    )


def _diver_spawned(state: SeaquestState, u: Any) -> SeaquestState:
    due = state.diver_spawn_timer == 0
    new = (_entering(u[0] < 1 / 2, 1 + whole(u[1], 8)), jnp.int32(DIVER_MOVE_STEPS))
    divers, timers = _queued((state.divers, state.diver_timers), new, due)
    timer = jnp.where(due, DIVER_SPAWN_STEPS, state.diver_spawn_timer)
    return state._replace(divers=divers, diver_timers=timers, diver_spawn_timer=timer)


def _acted(state: SeaquestState, action: Any) -> SeaquestState:
    """Shoot or move."""
    shoots = (action == FIRE) & (state.shot_timer == 0)
    bullet = Things(jnp.ones((), bool), state.y, state.x, state.rightward)
    return state._replace(
        x=moved(state.x, action, LEFT, RIGHT),
        y=moved(state.y, action, UP, DOWN, 0, SIZE - 2),
        rightward=(action == RIGHT) | (state.rightward & (action != LEFT)),
        bullets=_queued(state.bullets, bullet, shoots),
        shot_timer=jnp.where(shoots, SHOT_STEPS, state.shot_timer),
    )


def _bullets_moved(state: SeaquestState) -> tuple[SeaquestState, Any]:
    """The player's bullets, the newer one first, and how many hit. Of several targets a fish is hit before a submarine,
    and then the one that came first."""
    bullets = _swum(state.bullets, True)
    enemies = state.enemies
    sea, there = enemies.place, bullets.there
    order = enemies.born + jnp.where(enemies.submarine, _LATE, 0)
    hits = jnp.int32(0)
    for i in (1, 0):
        targets = sea.there & there[i] & (sea.x == bullets.x[i]) & (sea.y == bullets.y[i])
        first = targets & (order == jnp.min(jnp.where(targets, order, 2 * (_LATE - 1))))
        hit = jnp.any(targets)
        sea = sea._replace(there=sea.there & ~first)
        there = there.at[i].set(there[i] & ~hit)
        hits = hits + hit
    bullets = bullets._replace(there=there)
    return state._replace(bullets=bullets, enemies=enemies._replace(place=sea)), hits


def _divers_moved(state: SeaquestState) -> SeaquestState:
    """Divers that are touched come on board, the newer one first, while there is room; others go on."""
    before = state.divers
    moving = state.diver_timers == 0
    after = _swum(before, moving)
    timers = jnp.where(moving, DIVER_MOVE_STEPS, state.diver_timers - 1)
    touched = before.there & (before.y == state.y) & (before.x == state.x)
    met = after.there & (after.y == state.y) & (after.x == state.x)
    touched = touched | met
    newer = touched[1] & (state.carried < DIVERS)
    older = touched[0] & (state.carried + newer < DIVERS)
    there = after.there & ~jnp.stack((older, newer))
    divers = after._replace(there=there)
    return state._replace(divers=divers, diver_timers=timers, carried=state.carried + newer + older)


def _enemies_moved(state: SeaquestState, kind: Any) -> tuple[SeaquestState, Any, Any]:
    """The enemies of a kind, the newest first: the state, whether one touches the player, and how many ran into a
    bullet. Submarines shoot, from where they are then, even from where they are hit."""
    enemies, bullets = state.enemies, state.bullets
    sea = enemies.place
    swimming = sea.there & kind
    touching = swimming & (sea.y == state.y) & (sea.x == state.x)
    moving = swimming & (enemies.timer == 0)
    after = _swum(sea, moving)
    met = moving & after.there & (after.y == state.y) & (after.x == state.x)
    there, flying = after.there, bullets.there
    open_to = moving & after.there & ~met
    hits = jnp.int32(0)
    for i in (0, 1):
        targets = open_to & there & flying[i] & (after.x == bullets.x[i]) & (after.y == bullets.y[i])
        last = targets & (enemies.born == jnp.max(jnp.where(targets, enemies.born, -1)))
        hit = jnp.any(targets)
        there, flying = there & ~last, flying.at[i].set(flying[i] & ~hit)
        hits = hits + hit
    shooting = swimming & enemies.submarine & (enemies.shot_timer == 0)
    new = [cells(shooting & (sea.rightward == side), sea.y, after.x) for side in (False, True)]
    shot_timer = jnp.where(shooting, ENEMY_SHOT_STEPS, enemies.shot_timer - (swimming & enemies.submarine))
    enemies = enemies._replace(
        place=after._replace(there=there),
        timer=jnp.where(moving, state.move_speed, enemies.timer - swimming),
        shot_timer=shot_timer,
    )
    state = state._replace(
        enemies=enemies,
        bullets=bullets._replace(there=flying),
        bombs=state.bombs | jnp.stack(new),
    )
    return state, jnp.any(touching | met), hits


def _bombs_moved(state: SeaquestState) -> tuple[SeaquestState, Any]:
    """The enemies' bullets one cell on, and whether one is where the player is, before or after."""
    left = jnp.roll(state.bombs[0], -1, 1) & (COLUMNS != SIZE - 1)
    right = jnp.roll(state.bombs[1], 1, 1) & (COLUMNS != 0)
    after = jnp.stack((left, right))
    hit = jnp.any((state.bombs | after) & at(state.y, state.x))
    return state._replace(bombs=after), hit


def _breathed(state: SeaquestState, ramping: bool) -> tuple[SeaquestState, Any, Any]:
    """Oxygen after the step: the state, what surfacing pays, and whether there was no diver to surface with."""
    under = state.y > 0
    arriving = ~under & ~state.surfaced
    empty = arriving & (state.carried == 0)
    filling = arriving & ~empty
    full = filling & (state.carried == DIVERS)
    paid = jnp.where(full, state.oxygen * 10 // OXYGEN, 0)
    carried = jnp.where(full, 0, state.carried) - filling
    oxygen = jnp.where(filling, OXYGEN, state.oxygen - under)
    fastest = (state.spawn_speed <= 1) & (state.move_speed <= LEAST_MOVE_STEPS)
    harder = filling & ~fastest & ramping
    faster = harder & (state.move_speed > LEAST_MOVE_STEPS) & (state.ramp % 2 == 1)
    following = state._replace(
        oxygen=oxygen,
        carried=carried,
        surfaced=~under & (state.surfaced | filling),
        spawn_speed=state.spawn_speed - (harder & (state.spawn_speed > 1)),
        move_speed=state.move_speed - faster,
        ramp=state.ramp + harder,
    )
    return following, paid, empty


def seaquest(
    sticky_action_prob: float = 0.1, difficulty_ramping: bool = True, render_mode: str | None = None
) -> JaxEnvView:
    """Seaquest as a Gymnasium environment; its `jax_env` is a `MinAtar` of `Seaquest`.

    Args:
        sticky_action_prob: probability in [0, 1] that the action before is played instead.
        difficulty_ramping: whether it gets harder.
        render_mode: None, "ansi" or "rgb_array".
    """
    return JaxEnvView(MinAtar(Seaquest(difficulty_ramping), sticky_action_prob), render_mode)


seaquest.metadata = JaxEnvView.metadata  # type: ignore[attr-defined] # Gymnasium reads the render modes off here
