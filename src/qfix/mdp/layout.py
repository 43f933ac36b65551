"""The model as the sweeps want to read it, and the one line of arithmetic they share.

A sweep is bound by memory and by latency, not by arithmetic: a row of three outcomes is three products. Two
things therefore matter more than the operation count.

* Rows of one width. Where (nearly) every row has the same small number K of outcomes, rows are padded to K. K
is
  the length of a tuple, hence known to the compiler, which unrolls the row: 2.5 times faster than a loop
  between two pointers. Other models keep their pointers (`width` is then the empty tuple).
* No branches. Outcomes after which no value follows point at a dummy state S whose value is always 0.

A permutation of the states may be applied on the way, so that a sweep over 0, 1, 2, ... meets the states in
the order in which values flow (see `qfix.mdp.sweeps`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qfix.mdp.cached import cached
from qfix.mdp.model import FiniteMDP

_WIDEST = 4
_WORTH_PADDING = 10_000


class Layout(NamedTuple):
    """A model for kernels. Row s*A + a; all arrays read-only, so that all callers share one compilation."""

    width: tuple[int, ...]  # K zeros: rows of K outcomes; (): rows between pointers
    indptr: np.ndarray  # (S*A+1,) int64, or (1,) where rows have a width
    next_state: np.ndarray  # (N,) int32; S where the outcome terminates
    probability: np.ndarray  # (N,) float64
    reward: np.ndarray  # (S*A,) float64
    n_states: int
    n_actions: int


def layout(mdp: FiniteMDP, order: np.ndarray | None = None) -> Layout:
    """The model's table laid out for sweeps, its states renumbered so that new state i is `order[i]`."""
    size = np.diff(mdp.indptr)
    rows, widest = mdp.n_states * mdp.n_actions, int(size.max())
    padded = widest <= _WIDEST and rows * widest >= _WORTH_PADDING and rows * widest <= 1.25 * mdp.n_outcomes
    natural = order is None
    if order is None:
        order = np.arange(mdp.n_states, dtype=np.int32)
    place = np.empty(mdp.n_states, np.int32)
    place[order] = np.arange(mdp.n_states, dtype=np.int32)
    if padded:
        width: tuple[int, ...] = (0,) * widest
        indptr = np.zeros(1, np.int64)
        next_state = np.empty(rows * widest, np.int32)
        same = natural and widest * rows == mdp.n_outcomes
        probability = mdp.probability if same else np.empty(rows * widest)
        _pad(
            mdp.indptr, mdp.next_state, mdp.probability, mdp.terminated, order, place, widest, mdp.n_actions,
            next_state, np.empty(0) if same else probability,
        )  # fmt: skip
    else:
        width = ()
        row = (order[:, None].astype(np.int64) * mdp.n_actions + np.arange(mdp.n_actions)).ravel()
        indptr = np.zeros(rows + 1, np.int64)
        np.cumsum(size[row], out=indptr[1:])
        next_state = np.empty(mdp.n_outcomes, np.int32)
        probability = np.empty(mdp.n_outcomes)
        _gather(
            mdp.indptr, mdp.next_state, mdp.probability, mdp.terminated, row, place, indptr, next_state,
            probability,
        )  # fmt: skip
    reward = (mdp.reward if natural else mdp.reward[order]).ravel()
    for array in (indptr, next_state, probability, reward):
        array.setflags(write=False)
    return Layout(width, indptr, next_state, probability, reward, mdp.n_states, mdp.n_actions)


@cached(error_model="numpy")
def expected(t, row, v):
    """Σ_i p_i v(s'_i) over the outcomes of a row; `v` is (S+1,) with v[S] = 0."""
    total = 0.0
    if len(t.width) > 0:  # known when compiling: only one of the two loops is left
        first = row * len(t.width)
        for k in range(len(t.width)):
            total += t.probability[first + k] * v[t.next_state[first + k]]
    else:
        for j in range(t.indptr[row], t.indptr[row + 1]):
            total += t.probability[j] * v[t.next_state[j]]
    return total


@cached(nogil=True)
def _pad(indptr, nexts, ps, terminated, order, place, width, n_actions, next_state, probability):
    n_states = len(order)
    j = 0
    for i in range(n_states):
        for a in range(n_actions):
            row = np.int64(order[i]) * n_actions + a
            first, end = indptr[row], indptr[row + 1]
            for k in range(first, first + width):
                inside = k < end
                if len(probability) > 0:
                    probability[j] = ps[k] if inside else 0.0
                next_state[j] = place[nexts[k]] if inside and not terminated[k] else n_states
                j += 1


@cached(nogil=True)
def _gather(indptr, nexts, ps, terminated, row, place, new_indptr, next_state, probability):
    n_states = len(place)
    for i in range(len(row)):
        shift = indptr[row[i]] - new_indptr[i]
        for j in range(new_indptr[i], new_indptr[i + 1]):
            probability[j] = ps[j + shift]
            next_state[j] = n_states if terminated[j + shift] else place[nexts[j + shift]]
