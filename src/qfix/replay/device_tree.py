"""The sum tree of `qfix.replay.priorities` on the device: float32, pure functions, at home in a loop's carry."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from qfix.replay.priorities import FAN_OUT, level_lengths

_LOWER = np.tril(np.ones((FAN_OUT, FAN_OUT), np.float32))  # _LOWER @ x: sums of x up to each place
_SUMS_AND_SELF = np.concatenate([_LOWER, np.eye(FAN_OUT, dtype=np.float32)])
_LAST_AXES = (((1,), (1,)), ((), ()))


class SumTree(NamedTuple):
    """The levels, and the value that new leaves get."""

    levels: tuple[
        jax.Array, ...
    ]  # leaves first: `level_lengths(n)` float32 each; what stands for nothing is 0
    largest: jax.Array  # () float32: of all leaves that were ever set, and at least 1


def start(n: int) -> SumTree:
    """A tree over `n` leaves, all 0."""
    return SumTree(tuple(jnp.zeros(length, jnp.float32) for length in level_lengths(n)), jnp.float32(1.0))


def assign_block(tree: SumTree, first: jax.Array, count: int, value: jax.Array) -> SumTree:
    """Set `count` neighbouring leaves, from `first` on, to one value: slices alone, nothing is searched or copied."""
    leaves = lax.dynamic_update_slice(tree.levels[0], jnp.full(count, value, jnp.float32), (first,))
    levels = [leaves]
    for level in tree.levels[1:]:
        below = levels[-1]
        # As many parents as the block can touch wherever it begins; where it begins late, some before it as well.
        count = min((count + FAN_OUT - 2) // FAN_OUT + 1, below.size // FAN_OUT)
        first = jnp.minimum(first // FAN_OUT, below.size // FAN_OUT - count)
        children = lax.dynamic_slice(below, (first * FAN_OUT,), (count * FAN_OUT,))
        levels.append(lax.dynamic_update_slice(level, _sums(children.reshape(count, FAN_OUT)), (first,)))
    return tree._replace(levels=tuple(levels))


def assign(tree: SumTree, index: jax.Array, value: jax.Array) -> SumTree:
    """Set leaves `index` (B,) to `value` (B,). Of duplicates the last counts, whatever order a device writes in."""
    largest = jnp.maximum(tree.largest, jnp.max(value))
    same = index[:, None] == index[None, :]
    value = _take(value, jnp.max(jnp.where(same, jnp.arange(index.size)[:, None], 0), axis=0))
    levels = []
    for level in tree.levels:
        level = level.at[index].set(value, mode="promise_in_bounds")
        levels.append(level)
        index = index // FAN_OUT
        value = _sums(_children(level, index))
    return SumTree(tuple(levels), largest)


def draw(tree: SumTree, bits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Stratified draws, one for each of `bits` (B,) uint32: leaves (B,) int32 and their probabilities (B,) float32.

    A position has more bits than float32 holds, so it is the sum of two: u has the first 24, `lower` the others. On the
    way down u becomes small and takes up more and more of them. So each of a million leaves still gets its share.
    """
    n, root = bits.size, tree.levels[-1]
    total = jnp.sum(root)
    width = total / n
    late = 8 + (n - 1).bit_length()  # of the 32 random bits, those that come late
    u = jnp.arange(n, dtype=jnp.uint32) * 2 ** (32 - late) + (bits >> late)
    u = u.astype(jnp.float32) * (2.0 ** (late - 32) * width)
    lower = (bits & (2**late - 1)).astype(jnp.float32) * (2.0**-32 * width)
    node, u, leaf = _fall(root[None], u)
    for level in reversed(tree.levels[:-1]):
        taken = u + lower
        u, lower = taken, lower - (taken - u)
        child, u, leaf = _fall(_children(level, node), u)
        node = node * FAN_OUT + child
    return node, leaf / total


def _fall(children: jax.Array, u: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The child (B,) in which u falls, where in it, and its value. Beyond the end is in the last that is not 0.

    Sums come from a product with a triangle: on a CPU cumsum is a loop that takes three times as long. The value comes
    out of the same product and not from the leaves: a compiler may put off what reads the leaves until after an update,
    and keeps a copy of all of them until then.
    """
    product = lax.dot_general(_SUMS_AND_SELF, children, _LAST_AXES, precision=lax.Precision.HIGHEST)
    prefix = product[:FAN_OUT]
    passed = (prefix <= u) & (prefix < prefix[-1])
    child = jnp.sum(passed, axis=0, dtype=jnp.int32)
    product = jnp.broadcast_to(product, (2 * FAN_OUT, *u.shape))
    before = _take_place(product, jnp.maximum(child - 1, 0))
    return child, u - jnp.where(child > 0, before, 0.0), _take_place(product, FAN_OUT + child)


def _take_place(columns: jax.Array, place: jax.Array) -> jax.Array:
    """columns[place_b, b] for each b."""
    return jnp.take_along_axis(columns, place[None], axis=0, mode="promise_in_bounds")[0]


def _children(level: jax.Array, node: jax.Array) -> jax.Array:
    """(B, 16) of nodes (B,) of the level above."""
    return _take(level.reshape(-1, FAN_OUT), node)


def _take(array: jax.Array, index: jax.Array) -> jax.Array:
    """Rows of an array at indices that are known to be inside."""
    return array.at[index].get(mode="promise_in_bounds")


def _sums(children: jax.Array) -> jax.Array:
    return jnp.sum(children, axis=1)
