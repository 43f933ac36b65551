"""A queue of pairs by priority, for planning where values are most wrong."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qfix.mdp.inline import inlined
from qfix.runs.arrays import require, require_each_once, require_indices
from qfix.tabular.check import Bounds


class Queue(NamedTuple):
    """A binary heap of pairs, largest priority first, in which a pair's priority can be raised."""

    heap: np.ndarray  # (rows*A,) int64 pairs
    priority: np.ndarray  # (rows*A,) float64 of each pair
    spot: np.ndarray  # (rows*A,) int64: place of a pair in the heap + 1; 0 if it is not queued
    size: np.ndarray  # (1,) int64

    @classmethod
    def of(cls, n_pairs: int) -> Queue:
        """Nothing queued."""
        return cls(
            np.zeros(n_pairs, np.int64), np.zeros(n_pairs), np.zeros(n_pairs, np.int64), np.zeros(1, np.int64)
        )

    def check(self, name: str, bounds: Bounds) -> None:
        """Different pairs, and each knows its place, so that a queue of all of them has room."""
        require_indices(f"{name}size", self.size, self.heap.size + 1)
        queued = self.heap[: self.size[0]]
        require_each_once(f"{name}heap", queued, self.spot.size)
        rule = "must be 1 more than the place of each pair in the heap, and 0 for the others"
        places = np.arange(1, len(queued) + 1)
        fits = np.array_equal(self.spot[queued], places) and np.count_nonzero(self.spot) == len(queued)
        require(fits, f"{name}spot", rule, len(queued))


@inlined
def push(queue, pair, priority):
    """Queue a pair, or raise the priority of one that is queued."""
    i = queue.spot[pair] - 1
    if i < 0:
        i = queue.size[0]
        queue.size[0] = i + 1
    elif priority <= queue.priority[pair]:
        return
    queue.priority[pair] = priority
    while i > 0:
        parent = (i - 1) // 2
        other = queue.heap[parent]
        if queue.priority[other] >= priority:
            break
        queue.heap[i] = other
        queue.spot[other] = i + 1
        i = parent
    queue.heap[i] = pair
    queue.spot[pair] = i + 1


@inlined
def pop(queue):
    """Take out the pair of the largest priority."""
    top = queue.heap[0]
    queue.spot[top] = 0
    n = queue.size[0] - 1
    queue.size[0] = n
    if n > 0:
        moved = queue.heap[n]
        i = 0
        while True:
            child = 2 * i + 1
            if child >= n:
                break
            if child + 1 < n and queue.priority[queue.heap[child + 1]] > queue.priority[queue.heap[child]]:
                child += 1
            other = queue.heap[child]
            if queue.priority[other] <= queue.priority[moved]:
                break
            queue.heap[i] = other
            queue.spot[other] = i + 1
            i = child
        queue.heap[i] = moved
        queue.spot[moved] = i + 1
    return top
