"""Choosing actions while learning: the strategies of `qfix.explore`, compiled."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from qfix.core import td
from qfix.explore import bonuses, schedule_code, strategies
from qfix.mdp.inline import inlined, outlined
from qfix.mdp.simulate import next_bits, uniform
from qfix.tabular.store import (
    approach,
    best_value,
    greedy_action,
    mean_value,
    pick,
    step_scale,
    value,
    visit,
    visits,
)

_GREEDY = strategies.GREEDY
_EPSILON_GREEDY = strategies.EPSILON_GREEDY
_BOLTZMANN = strategies.BOLTZMANN
_UCB_BONUS = strategies.UCB_BONUS
_VALUE_DIFFERENCE = strategies.VALUE_DIFFERENCE
_CONSTANT = float(schedule_code.CONSTANT)
_BY_VISIT = float(schedule_code.BY_VISIT)

_schedule_value = inlined(schedule_code.schedule_value)
_pick_counter = inlined(schedule_code.pick_counter)
_ucb_bonus = inlined(bonuses.ucb_bonus)
_count_bonus = inlined(bonuses.count_bonus)
_vdbe_update = inlined(bonuses.vdbe_update)
_epsilon_greedy_value = inlined(td.epsilon_greedy_value)

_32 = np.uint64(32)
WINDOW = 256  # updates that are watched; a power of two
_LAST_PLACE = np.uint64(WINDOW - 1)


class Clock(NamedTuple):
    """What schedules can count."""

    step: int  # steps taken by this seed
    episode: int  # episodes finished
    step_in_episode: int


@inlined
def next_tick(clock):
    """The clock one step later in the same episode: when the next action is chosen."""
    return Clock(clock.step + 1, clock.episode, clock.step_in_episode + 1)


class Watch(NamedTuple):
    """What is noted of every update and every action, to be measured now and then. Nothing is decided by it."""

    updates: (
        np.ndarray
    )  # (WINDOW, 3) float64: value before, step size and TD error of the last update in each of the
    # latest steps; NaN where there was none
    explored: (
        np.ndarray
    )  # (2,) int64: exploratory actions since the last measurement; the step that was made at
    rewards: np.ndarray  # (2,) float64: lowest and highest reward of a live environment


class Behaviour(NamedTuple):
    """An encoded exploration strategy, and what it remembers."""

    kind: int
    params: np.ndarray  # (4,) float64
    schedule: np.ndarray  # encoded
    rate: np.ndarray  # (rows,) float64: epsilon of each state under VDBE; (0,) under the others
    scratch: np.ndarray  # (A,) float64
    watch: Watch


@inlined
def step_size(code, store, x, a, clock):
    """Alpha of this update of (x, a), which is counted as a visit."""
    return scheduled_step(code, store, visit(store, x, a), clock)


@inlined
def scheduled_step(code, store, n, clock):
    """Alpha of an update that is made for the (n + 1)-th time."""
    if code[0] == _CONSTANT:
        return code[2] * step_scale(store)
    counter = _pick_counter(code, clock.step, clock.episode, n, clock.step_in_episode)
    return _schedule_value(code, counter) * step_scale(store)


@inlined
def state_visits(store, x):
    """How often any action was updated in the state of x."""
    n = 0
    for a in range(store.weights.shape[1]):
        n += visits(store, x, a)
    return n


@inlined
def intensity(behaviour, store, x, clock):
    """The scheduled quantity now: epsilon, temperature or the size of a bonus."""
    code = behaviour.schedule
    if code[0] == _CONSTANT:
        return code[2]
    n = state_visits(store, x) if code[1] == _BY_VISIT else 0
    return _schedule_value(code, _pick_counter(code, clock.step, clock.episode, n, clock.step_in_episode))


@inlined
def exploration_rate(behaviour, store, x, clock):
    """Epsilon of an epsilon-greedy kind; 0 for greedy."""
    if behaviour.kind == _VALUE_DIFFERENCE:
        return behaviour.rate[x]
    return intensity(behaviour, store, x, clock)


@inlined
def is_epsilon_greedy(behaviour):
    """Whether the behaviour is greedy but for a random action now and then."""
    kind = behaviour.kind
    return kind in (_EPSILON_GREEDY, _GREEDY, _VALUE_DIFFERENCE)


@inlined
def act(behaviour, store, x, clock, stream):
    """Choose an action at x: (action, stream after one draw)."""
    stream, bits = next_bits(stream)
    behaviour.watch.explored[1] += 1
    if is_epsilon_greedy(behaviour):
        # The upper half of the bits decides whether, the lower half which.
        if np.float64(bits >> _32) * 2.0**-32 < exploration_rate(behaviour, store, x, clock):
            behaviour.watch.explored[0] += 1
            return pick(store.weights.shape[1], bits), stream
        return greedy_action(store, x, bits), stream
    a = act_by_preferences(behaviour, store, x, clock, bits)
    behaviour.watch.explored[0] += value(store, x, a) < best_value(store, x)
    return a, stream


@outlined
def act_by_preferences(behaviour, store, x, clock, bits):
    """Boltzmann, UCB and count bonus."""
    preferences(behaviour, store, x, clock, behaviour.scratch)
    if behaviour.kind == _BOLTZMANN:
        u = uniform(bits)
        for a in range(store.weights.shape[1] - 1):
            u -= behaviour.scratch[a]
            if u < 0.0:
                return a
        return store.weights.shape[1] - 1
    best = behaviour.scratch[0]
    ties = 1
    for a in range(1, store.weights.shape[1]):
        score = behaviour.scratch[a]
        ties = 1 if score > best else ties + (score == best)
        best = max(best, score)
    nth = pick(ties, bits)
    for a in range(store.weights.shape[1]):
        if behaviour.scratch[a] == best:
            if nth == 0:
                return a
            nth -= 1
    return 0


@inlined
def preferences(behaviour, store, x, clock, out):
    """Boltzmann: the probability of each action. UCB and count bonus: value plus bonus of each."""
    size = intensity(behaviour, store, x, clock)
    n_actions = store.weights.shape[1]
    if behaviour.kind == _BOLTZMANN:
        best = best_value(store, x)
        total = 0.0
        for a in range(n_actions):
            out[a] = math.exp((value(store, x, a) - best) / size)
            total += out[a]
        for a in range(n_actions):
            out[a] /= total
        return
    t = state_visits(store, x)
    for a in range(n_actions):
        n = visits(store, x, a)
        if behaviour.kind == _UCB_BONUS:
            out[a] = value(store, x, a) + _ucb_bonus(size, t, n)
        else:
            out[a] = value(store, x, a) + _count_bonus(size, n)


@inlined
def probabilities(behaviour, store, x, clock, out):
    """π(a | x) of the behaviour; ties share."""
    n_actions = store.weights.shape[1]
    if behaviour.kind == _BOLTZMANN:
        preferences(behaviour, store, x, clock, out)
        return
    epsilon = 0.0
    if is_epsilon_greedy(behaviour):
        epsilon = exploration_rate(behaviour, store, x, clock)
        for a in range(n_actions):
            out[a] = value(store, x, a)
    else:
        preferences(behaviour, store, x, clock, out)
    best = out[0]
    for a in range(1, n_actions):
        best = max(best, out[a])
    ties = 0
    for a in range(n_actions):
        ties += out[a] == best
    for a in range(n_actions):
        out[a] = epsilon / n_actions + ((1.0 - epsilon) / ties if out[a] == best else 0.0)


@inlined
def expected_value(behaviour, store, x, clock):
    """Σ_a π(a | x) q(x, a) under the behaviour."""
    if is_epsilon_greedy(behaviour):
        epsilon = exploration_rate(behaviour, store, x, clock)
        return _epsilon_greedy_value(best_value(store, x), mean_value(store, x), epsilon)
    probabilities(behaviour, store, x, clock, behaviour.scratch)
    total = 0.0
    for a in range(store.weights.shape[1]):
        total += behaviour.scratch[a] * value(store, x, a)
    return total


@inlined
def settle_behaviour(behaviour, clock, x, q, rate, error):
    """Let the behaviour take note of an update of a value q at x."""
    place = np.uint64(clock.step) & _LAST_PLACE
    behaviour.watch.updates[place, 0] = q
    behaviour.watch.updates[place, 1] = rate
    behaviour.watch.updates[place, 2] = error
    if behaviour.kind == _VALUE_DIFFERENCE:
        moved = abs(rate * error)
        behaviour.rate[x] = _vdbe_update(behaviour.rate[x], moved, behaviour.params[0], behaviour.params[1])


@inlined
def improve(store, behaviour, alpha, clock, x, a, target):
    """One update of q(x, a) towards a target, with all that hangs on it: (step size, TD error before)."""
    rate = step_size(alpha, store, x, a, clock)
    error = approach(store, x, a, rate, target)
    settle_behaviour(behaviour, clock, x, target - error, rate, error)
    return rate, error
