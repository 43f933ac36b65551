"""Outcome rows: how matrices and lists of outcomes become one flat table.

The table has a row for every decision (s, a), row number s*A + a, and a row is a run of outcomes
(probability, next state, reward, terminated). Everything here works on plain arrays, so that a million
states pass through without a Python loop over them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse import csgraph

from qfix.errors import ModelError

Step = Callable[[int, int], Iterable[tuple[float, int, float, bool]]]


class Rows(NamedTuple):
    """The flat table. N outcomes, S*A rows; `outcome_reward` is None when `reward` (S, A) says it all."""

    indptr: np.ndarray  # (S*A+1,) int64
    next_state: np.ndarray  # (N,) int32
    probability: np.ndarray  # (N,) float64
    terminated: np.ndarray  # (N,) bool
    outcome_reward: np.ndarray | None  # (N,) float64
    reward: np.ndarray  # (S, A) float64


def rows_from_matrices(p: Sequence[Any], r: Any, terminal: np.ndarray) -> Rows:
    """Flat table of A sparse (S, S) matrices and rewards (S, A), (S, A, S) or A sparse (S, S)."""
    n_states, n_actions = len(terminal), len(p)
    per_outcome = not (isinstance(r, np.ndarray) and r.ndim == 2)
    count = np.empty((n_states, n_actions), np.int64)
    for a in range(n_actions):
        count[:, a] = np.diff(p[a].indptr)
    count[terminal] = 1
    indptr = np.zeros(n_states * n_actions + 1, np.int64)
    np.cumsum(count.ravel(), out=indptr[1:])
    del count
    size = int(indptr[-1])
    next_state = np.empty(size, np.int32)
    probability = np.empty(size)
    outcome_reward = np.empty(size) if per_outcome else None
    for a in range(n_actions):
        matrix = p[a]
        first = indptr[:-1].reshape(n_states, n_actions)[:, a]
        keep: slice | np.ndarray = slice(None)
        entries = np.diff(matrix.indptr)
        if terminal.any():
            keep = ~np.repeat(terminal, entries)
        # an entry keeps its place within the row; the row moves from the matrix to the flat table
        place = (np.arange(matrix.nnz) + np.repeat(first - matrix.indptr[:-1], entries))[keep]
        next_state[place] = matrix.indices[keep]
        probability[place] = matrix.data[keep]
        if outcome_reward is not None:
            state = np.repeat(np.arange(n_states), entries)[keep]
            if sp.issparse(r[a]):
                outcome_reward[place] = np.asarray(r[a].tocsr()[state, matrix.indices[keep]]).ravel()
            else:
                outcome_reward[place] = r[a][state, matrix.indices[keep]]
    own = np.flatnonzero(terminal)
    for a in range(n_actions):
        place = indptr[own * n_actions + a]
        next_state[place] = own
        probability[place] = 1.0
        if outcome_reward is not None:
            outcome_reward[place] = 0.0
    if outcome_reward is None:
        reward = np.array(r, np.float64)
        reward[terminal] = 0.0
    else:
        reward = row_sums(indptr, probability * outcome_reward).reshape(n_states, n_actions)
    terminated = np.zeros(size, bool)
    if len(own):
        np.take(terminal, next_state, out=terminated)
    return Rows(indptr, next_state, probability, terminated, outcome_reward, reward)


def rows_from_outcomes(step: Step, n_states: int, n_actions: int, skip: np.ndarray, owner: str) -> Rows:
    """Flat table of `step(s, a)`, repeats merged, impossible outcomes dropped; `skip` states stay put."""
    indptr = [0]
    flat: list[tuple[float, int, float, bool]] = []
    for s in range(n_states):
        for a in range(n_actions):
            if skip[s]:
                flat.append((1.0, s, 0.0, True))
            else:
                try:
                    flat.extend(_merged(step(s, a)))
                except (TypeError, ValueError, OverflowError, LookupError) as fault:
                    said = f"No entry {fault}" if isinstance(fault, LookupError) else str(fault)
                    raise ModelError(
                        f"The outcomes of state {s}, action {a} in {owner} must be a list of "
                        f"(probability, next_state, reward, terminated). {said.rstrip('.')}. Return such a list for "
                        f"every state and action; name states in which nothing is decided in terminal=."
                    ) from fault
            indptr.append(len(flat))
    reward_of = np.array([o[2] for o in flat], np.float64)
    probability = np.array([o[0] for o in flat], np.float64)
    ends = np.array(indptr, np.int64)
    target = np.array([o[1] for o in flat], np.int64)
    # out of int32 is out of range for certain: keep it out of range instead of letting it wrap
    target = np.where((target < 0) | (target >= n_states), -1, target) if n_states else target
    reward = row_sums(ends, probability * reward_of).reshape(n_states, n_actions)
    outcome_reward: np.ndarray | None = reward_of
    sizes = np.diff(ends)
    if sizes.min(initial=1) > 0:
        first = reward_of[ends[:-1]]
        if np.array_equal(np.repeat(first, sizes), reward_of):
            outcome_reward, reward = None, first.reshape(n_states, n_actions).copy()
    return Rows(
        ends,
        target.astype(np.int32),
        probability,
        np.array([o[3] for o in flat], bool),
        outcome_reward,
        reward,
    )


def _merged(outcomes: Iterable[tuple[float, int, float, bool]]) -> list[tuple[float, int, float, bool]]:
    """Outcomes that agree in next state, reward and ending are one outcome; impossible ones are none."""
    merged: dict[tuple[int, float, bool], float] = {}
    for p, s2, r, terminated in outcomes:
        key = (int(s2), float(r), bool(terminated))
        if p != 0.0:
            merged[key] = merged.get(key, 0.0) + float(p)
    return [(p, *key) for key, p in merged.items()]


def row_sums(indptr: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Sum of `x` (N,) within every row; 0 for an empty row, which `np.add.reduceat` alone gets wrong."""
    if np.all(indptr[:-1] < indptr[1:]):
        return np.add.reduceat(x, indptr[:-1]) if len(x) else np.zeros(len(indptr) - 1)
    row = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    return np.bincount(row, weights=x, minlength=len(indptr) - 1)


def ends_in(rows: Rows, n_states: int, start: np.ndarray | None) -> np.ndarray:
    """States in which an episode has ended, told from the table alone.

    A state is terminal if some terminated outcome enters it and no state that an episode can be in enters
    it without ending. Where an episode can be: reachable from `start` by outcomes that do not terminate
    (without a start, from every state that no terminated outcome enters).

    The second half matters: Taxi's destination cell is entered by an outcome that terminates, while other
    tables let a termination happen *on the way* through an ordinary state.

    Returns:
        (S,) bool.
    """
    entered = np.zeros(n_states, bool)
    entered[rows.next_state[rows.terminated]] = True
    n_actions = (len(rows.indptr) - 1) // n_states
    source = np.repeat(np.arange(n_states, dtype=np.int32), np.diff(rows.indptr[::n_actions]))
    goes_on = ~rows.terminated
    alive = ~entered if start is None else start > 0
    return entered & ~reachable(source[goes_on], rows.next_state[goes_on], alive)


def reachable(source: np.ndarray, target: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """(S,) bool: states that edges source -> target lead to from those of `origin` (S,), included."""
    n_states = len(origin)
    roots = np.flatnonzero(origin)
    # one more node, linked to every origin, makes it a search from a single node
    i = np.concatenate([source, np.full(len(roots), n_states, np.int32)])
    j = np.concatenate([target, roots.astype(np.int32)])
    graph = sp.csr_matrix((np.ones(len(i), np.int8), (i, j)), shape=(n_states + 1, n_states + 1))
    seen = np.zeros(n_states + 1, bool)
    seen[csgraph.breadth_first_order(graph, n_states, return_predecessors=False)] = True
    return seen[:n_states]


def settle(rows: Rows, terminal: np.ndarray, n_actions: int) -> Rows:
    """The table in which terminal states stay put for nothing, and entering one terminates."""
    if not terminal.any():
        return rows
    row_is_terminal = np.repeat(terminal, n_actions)
    size = np.diff(rows.indptr)
    keep = ~np.repeat(row_is_terminal, size)
    indptr = np.zeros_like(rows.indptr)
    np.cumsum(np.where(row_is_terminal, 1, size), out=indptr[1:])
    own = np.repeat(row_is_terminal, np.diff(indptr))
    state = np.repeat(np.flatnonzero(terminal), n_actions)

    def place(old: np.ndarray, at_terminal: Any) -> np.ndarray:
        new = np.empty(indptr[-1], old.dtype)
        new[~own] = old[keep]
        new[own] = at_terminal
        return new

    next_state = place(rows.next_state, state)
    terminated = place(rows.terminated, True)
    inside = (next_state >= 0) & (next_state < len(terminal))
    terminated[inside] |= terminal[next_state[inside]]
    reward = rows.reward.copy()
    reward[terminal] = 0.0
    outcome_reward = None if rows.outcome_reward is None else place(rows.outcome_reward, 0.0)
    return Rows(indptr, next_state, place(rows.probability, 1.0), terminated, outcome_reward, reward)
