"""The sum tree of `qfix.replay.priorities` on the host: float64, one flat array of all levels, Numba kernels.

Every kernel takes `nodes`, the levels from the leaves up one after another, and `begins`, where each of them begins.
None checks bounds.
"""

from __future__ import annotations

import numpy as np

from qfix.mdp.cached import cached
from qfix.mdp.inline import inlined
from qfix.replay.priorities import FAN_OUT, LEAST, MOST, level_lengths


def new_tree(n: int) -> tuple[np.ndarray, np.ndarray]:
    """(nodes, begins) of a tree over `n` leaves, all 0: float64 and int64."""
    lengths = level_lengths(n)
    return np.zeros(sum(lengths)), np.cumsum([0, *lengths[:-1]])


@inlined
def _sum_children(nodes, first):
    a = b = c = d = 0.0
    for i in range(first, first + FAN_OUT, 4):
        a += nodes[i]
        b += nodes[i + 1]
        c += nodes[i + 2]
        d += nodes[i + 3]
    return (a + b) + (c + d)


@cached
def rebuild(nodes, begins):
    """Sum every node anew from the leaves."""
    for level in range(1, len(begins)):
        below, here = begins[level - 1], begins[level]
        for node in range((here - below) // FAN_OUT):
            nodes[here + node] = _sum_children(nodes, below + node * FAN_OUT)


@cached
def assign_block(nodes, begins, first, count, value):
    """Set `count` neighbouring leaves, from `first` on, to one value."""
    nodes[first : first + count] = value
    last = first + count - 1
    for level in range(1, len(begins)):
        first //= FAN_OUT
        last //= FAN_OUT
        for node in range(first, last + 1):
            nodes[begins[level] + node] = _sum_children(nodes, begins[level - 1] + node * FAN_OUT)


@cached
def assign(nodes, begins, size, index, priority, exponent):
    """Set leaves `index` (B,) to `priority` (B,) ** exponent, clipped; of duplicates the last counts.

    Returns:
        (largest value that was set, -1), or (0, b) where index b is not below `size`, or priority b is negative or not
        finite: nothing is changed then.
    """
    for b in range(len(index)):
        if not (0 <= index[b] < size and 0.0 <= priority[b] < np.inf):
            return 0.0, b
    largest = 0.0
    for b in range(len(index)):
        value = min(max(float(priority[b]) ** exponent, LEAST), MOST)
        nodes[index[b]] = value
        largest = max(largest, value)
    node = index.astype(np.int64)
    for level in range(1, len(begins)):
        for b in range(len(node)):
            node[b] //= FAN_OUT
            nodes[begins[level] + node[b]] = _sum_children(nodes, begins[level - 1] + node[b] * FAN_OUT)
    return largest, -1


@cached
def draw(nodes, begins, bits, index, probability):
    """Stratified draws by `bits` (B,) uint32, into `index` (B,) int32 and `probability` (B,) float32.

    All draws go down a level together, so that a processor waits for the memory of many at once.
    """
    n, top = len(bits), len(begins) - 1
    total = _sum_children(nodes, begins[top])
    u, node = np.empty(n), np.zeros(n, np.int64)
    for b in range(n):
        u[b] = (b + bits[b] * 2.0**-32) * (total / n)
    for level in range(top, -1, -1):
        for b in range(n):
            child, u[b] = _fall(nodes, begins[level] + node[b] * FAN_OUT, u[b])
            node[b] = node[b] * FAN_OUT + child
    for b in range(n):
        index[b] = node[b]
        probability[b] = nodes[node[b]] / total


@inlined
def _fall(nodes, first, u):
    """The child in which u falls, and where in it. What rounding puts beyond the end is in the last that is not 0."""
    rest = u
    for i in range(FAN_OUT):
        if rest < nodes[first + i]:
            return i, rest
        rest -= nodes[first + i]
    last = FAN_OUT - 1
    while last > 0 and nodes[first + last] == 0.0:
        last -= 1
    return last, nodes[first + last]
