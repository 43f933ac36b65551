"""An agent's arrays, which a stranger may have made: what kernels take for granted is looked at before they see it.

Kernels check no bounds. So every whole number that is used as an index, every list that is followed to its end
and every count of what is held is checked here, or, for the memory of an algorithm, by the plain method `check`
of that memory's own class, which has:

    def check(self, name, bounds):      # name: in front of its arrays' names, bounds: what indices lie in

Floating-point numbers may be anything: no kernel finds a place by them, but for constants, which must be as the
run's options have them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from qfix.runs.arrays import MOST, require, require_counts, require_each_once, require_indices, require_like
from qfix.tabular import agent as building
from qfix.tabular.agent import (
    EPISODE,
    LOGGED,
    MARK,
    STATUS,
    STEP,
    STEP_IN_EPISODE,
    Blueprint,
    leaves,
)
from qfix.tabular.kernel import Agent
from qfix.tabular.store import Dense, Linear, Sparse


class Bounds(NamedTuple):
    """What the indices in an agent's arrays lie in."""

    n_handles: int  # rows of a table; places of the ring of features
    n_rows: int  # of the weights
    n_actions: int


def check_sizes(blueprint: Blueprint, arrays: dict[str, np.ndarray], name: str) -> tuple[int | None, int]:
    """Rows of a sparse table and the history of the memory, before anything is made to such sizes.

    A history is believed only if there is an array that is as long.

    Raises:
        OptionError: they are no sizes that this run comes to.
    """
    usual = blueprint.config.history
    key = f"{name}history"
    require_like(key, arrays.get(key), np.zeros(1, np.int64))
    history = int(arrays[key][0])
    doubled, rest = divmod(history, usual)
    rule = f"must be {usual} times a power of two, and at most {building.LONGEST_HISTORY}"
    known = 0 < history <= max(usual, building.LONGEST_HISTORY) and rest == 0 and doubled & (doubled - 1) == 0
    require(known, key, rule, history)
    if history > usual:
        there = (len(a) for k, a in arrays.items() if k.startswith(name) and np.ndim(a) > 0)
        require(history <= max(there) + 2, key, "must be the length of an array of this state", history)
    n_rows, key = None, f"{name}store.weights"
    weights = arrays.get(key)
    if blueprint.store == "sparse" and isinstance(weights, np.ndarray) and weights.ndim == 2:
        n_rows = len(weights)
        rule = "must have a power of two of rows"
        require(n_rows >= 2 and n_rows & (n_rows - 1) == 0, key, rule, weights.shape)
    return n_rows, history


def check_agent(agent: Agent, own: Agent, blueprint: Blueprint, name: str) -> None:
    """All of an agent that was unpacked.

    Args:
        agent: what was unpacked; its arrays have the types and shapes of `own`.
        own: the same before its first step.
        blueprint: of the run.
        name: in front of the names of its arrays.

    Raises:
        OptionError: names the array and the rule.
    """
    given = dict(leaves(agent._replace(log=None)))
    for key, array in leaves(own._replace(log=None)):
        if key in ("alpha", "behaviour.params", "behaviour.schedule") or key.startswith("store.encoder."):
            rule = "must be as this run's options have it"
            require(np.array_equal(given[key], array), f"{name}{key}", rule, given[key].ravel()[:8])
    store = agent.store
    bounds = Bounds(len(store.weights), len(store.weights), blueprint.n_actions)
    if isinstance(store, Linear):
        bounds = bounds._replace(n_handles=len(store.rows))
        _check_ring(store, f"{name}store.")
    else:
        _check_table(store, f"{name}store.", bounds)
    if isinstance(store, Sparse):
        assert blueprint.codec is not None
        _check_keys(store, f"{name}store.", min(blueprint.codec.n_states, 1 << 63))
    n_states = blueprint.model.n_states if blueprint.model is not None else 1
    _check_registers(agent.registers, f"{name}registers.", n_states, bounds)
    seed, of_state = int(own.registers.streams[2]), int(agent.registers.streams[2])
    rule = f"must be {seed}, the seed of this run, in its last place"
    require(of_state == seed, f"{name}registers.streams", rule, of_state)
    check = getattr(type(agent.memory), "check", None)
    if check is not None:  # a memory without indices has nothing to check
        check(agent.memory, f"{name}memory.", bounds)


def _check_registers(registers: Any, name: str, n_states: int, bounds: Bounds) -> None:
    counts, key = registers.counts, f"{name}counts"
    require_indices(f"{key}[state]", counts[0:1], n_states)
    require_indices(f"{key}[x]", counts[1:2], bounds.n_handles)
    require_indices(f"{key}[a]", counts[2:3], bounds.n_actions)
    require_indices(f"{key}[step]", counts[STEP : STEP + 1], MOST)
    step, t, episode = int(counts[STEP]), int(counts[STEP_IN_EPISODE]), int(counts[EPISODE])
    rule = f"must be in 0..{step}: an episode has a step, and a step is in one episode"
    require(0 <= episode <= step, f"{key}[episode]", rule, episode)
    require(0 <= t <= step - episode, f"{key}[step in episode]", rule, t)
    require(counts[LOGGED] == 0, f"{key}[logged]", "must be 0: what was logged has been read", counts[LOGGED])
    mark = int(counts[MARK])
    rule = f"must be an episode after {episode}, or -1 for none"
    require(mark == -1 or episode < mark < MOST, f"{key}[mark]", rule, mark)
    require(0 <= counts[STATUS] < 16, f"{key}[status]", "must be one of the kernels' answers", counts[STATUS])


def _check_table(store: Dense | Sparse, name: str, bounds: Bounds) -> None:
    # first greedy action in the lower half, how many more tie with it in the upper
    require_indices(f"{name}greedy", store.greedy, bounds.n_actions << 32)
    require_indices(f"{name}greedy", store.greedy & 0xFFFFFFFF, bounds.n_actions)
    require_counts(f"{name}counts", store.counts)


def _check_keys(store: Sparse, name: str, n_keys: int) -> None:
    """Every row given out stands in one slot, and no other; the slots are twice the rows, so some are free."""
    used = int(store.used[0])
    require_indices(f"{name}used", store.used, len(store.keys) + 1)
    require_indices(f"{name}keys", store.keys, n_keys)
    taken = store.slots[store.slots != 0]
    rule = f"must name each of the {used} rows that are used once"
    require(len(taken) == used, f"{name}slots", rule, len(taken))
    require_indices(f"{name}slots", taken, used + 1, low=1)
    require_each_once(f"{name}slots", taken - 1, used)


def _check_ring(store: Linear, name: str) -> None:
    require_indices(f"{name}place", store.place, len(store.rows))
    require_indices(f"{name}rows", store.rows, len(store.weights))
    # A place holds different rows; only one that was never filled holds row 0 alone, with nothing active.
    ordered = np.sort(store.rows, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    unfilled = (store.rows == 0).all(axis=1) & (store.activities == 0.0).all(axis=1)
    fits = ~twice | unfilled
    require(fits.all(), f"{name}rows", "must not name a row twice in one place", int(fits.argmin()))
