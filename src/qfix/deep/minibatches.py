"""A rollout gone through some times, in random parts of one size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from qfix.deep.shuffling import shuffled

Array = Any


def each_part(
    key: Array,
    shape: tuple[int, int],
    epochs: int,
    parts: int,
    learn: Callable[[Any, Array], Any],
    carry: Any,
    going: Callable[[Any], Array] | None = None,
) -> Any:
    """What learning from every part in turn makes of a carry.

    Args:
        key: of the orders.
        shape: (T, N) of the rollout; its step t of environment n is the row t·N + n.
        epochs: how often it is gone through, each time in another order.
        parts: of an epoch; divides T·N.
        learn: from the carry and (T·N/parts,) rows of a part to the next carry.
        going: of the carry: whether to go on, asked before each part; by default always.
    """
    orders = shuffled(key, epochs, shape)
    rows = orders.reshape((epochs * parts, shape[0] * shape[1] // parts))
    if going is None:
        return jax.lax.fori_loop(0, len(rows), lambda i, carry: learn(carry, rows[i]), carry)
    more = going

    def wanted(both: tuple[Array, Any]) -> Array:
        return (both[0] < len(rows)) & more(both[1])

    def part(both: tuple[Array, Any]) -> tuple[Array, Any]:
        return both[0] + 1, learn(both[1], rows[both[0]])

    return jax.lax.while_loop(wanted, part, (jnp.int32(0), carry))[1]
