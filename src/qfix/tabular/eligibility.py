"""Eligibility traces: which weights have lately been used, and how much each is to learn from an error.

Only the traces that are not 0 are listed, so a step costs as many operations as there are of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qfix.mdp.inline import inlined
from qfix.runs.arrays import require, require_each_once, require_indices
from qfix.tabular.check import Bounds
from qfix.tabular.store import activity, n_active, row, write

NEGLIGIBLE = 1e-12  # a trace this small is dropped; a fresh one has the size of the feature, 1 in a table


class Traces(NamedTuple):
    """One trace for each weight."""

    size: np.ndarray  # (rows, A) float64
    pair: np.ndarray  # (rows*A,) int64: row·A + a of each trace listed
    listed: np.ndarray  # (1,) int64

    @classmethod
    def of(cls, n_rows: int, n_actions: int) -> Traces:
        """No traces."""
        return cls(
            np.zeros((n_rows, n_actions)), np.zeros(n_rows * n_actions, np.int64), np.zeros(1, np.int64)
        )

    def check(self, name: str, bounds: Bounds) -> None:
        """Every trace that is not 0 is listed once, so that a list of all of them has room."""
        require_indices(f"{name}listed", self.listed, self.pair.size + 1)
        listed = self.pair[: self.listed[0]]
        require_each_once(f"{name}pair", listed, self.size.size)
        sizes = np.count_nonzero(self.size.ravel()[listed])
        require(sizes == np.count_nonzero(self.size), f"{name}pair", "must list every trace", sizes)


@inlined
def clear(traces):
    """Drop every trace."""
    n_actions = traces.size.shape[1]
    for i in range(traces.listed[0]):
        traces.size[traces.pair[i] // n_actions, traces.pair[i] % n_actions] = 0.0
    traces.listed[0] = 0


@inlined
def decay(traces, factor):
    """e ← factor · e."""
    n_actions = traces.size.shape[1]
    i = 0
    while i < traces.listed[0]:
        r = traces.pair[i] // n_actions
        a = traces.pair[i] % n_actions
        size = traces.size[r, a] * factor
        if abs(size) < NEGLIGIBLE:
            traces.size[r, a] = 0.0
            traces.listed[0] -= 1
            traces.pair[i] = traces.pair[traces.listed[0]]
        else:
            traces.size[r, a] = size
            i += 1


@inlined
def lay(traces, r, a, size):
    """Set the trace of one weight."""
    if traces.size[r, a] == 0.0:
        if size == 0.0:
            return
        traces.pair[traces.listed[0]] = r * traces.size.shape[1] + a
        traces.listed[0] += 1
    traces.size[r, a] = size


@inlined
def dot(traces, store, x, a):
    """eᵀ features(x, a)."""
    total = 0.0
    for k in range(n_active(store)):
        total += traces.size[row(store, x, k), a] * activity(store, x, k)
    return total


@inlined
def follow(traces, store, step):
    """w ← w + step · e."""
    n_actions = traces.size.shape[1]
    for i in range(traces.listed[0]):
        r = traces.pair[i] // n_actions
        a = traces.pair[i] % n_actions
        write(store, r, a, store.weights[r, a] + step * traces.size[r, a])
