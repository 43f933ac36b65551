"""Orthogonal weights to begin with: a layer turns its input and keeps its length, whatever the depth.

    W = g·Q,    Q from a matrix of normal numbers = Q R with a positive diagonal of R;    b = 0

Source: Saxe et al. (2014), Exact solutions to the nonlinear dynamics of learning in deep linear neural networks; the
gains of PPO's heads: Engstrom et al. (2020), Implementation matters in deep policy gradients.
1. The gates of a recurrent layer are three layers of their own, at g = 1: no rectifier follows that takes half of it.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qfix.deep.layers import GRU, Layout

Array = Any

POLICY_GAIN, VALUE_GAIN = 0.01, 1.0
"""Of the two heads: a policy begins nearly uniform."""
_GAIN = math.sqrt(2.0)
_GATES = (f"{GRU}.input", f"{GRU}.state")


def orthogonal_start(layout: Layout, key: Array) -> Array:
    """(P,) weights before learning.

    Args:
        layout: of a network whose heads are called "head" (of the policy) and "value".
        key: where their randomness comes from.
    """
    keys = jax.random.split(key, len(layout.entries))
    found = []
    for (name, entry), one in zip(layout.entries.items(), keys, strict=True):
        layer, _, part = name.rpartition(".")
        if part == "weight":
            rows, columns = math.prod(entry.shape[:-1]), entry.shape[-1]
            if layer.endswith(_GATES):
                matrices = [_orthogonal(k, rows, columns // 3) for k in jax.random.split(one, 3)]
            else:
                gain = {"head": POLICY_GAIN, "value": VALUE_GAIN}.get(layer, _GAIN)
                matrices = [gain * _orthogonal(one, rows, columns)]
            found.append(jnp.concatenate(matrices, axis=-1).reshape(-1))
        else:
            value = 0.0 if part == "bias" else entry.centre
            found.append(jnp.full(math.prod(entry.shape), np.float32(value)))
    return jnp.concatenate(found)


def _orthogonal(key: Array, rows: int, columns: int) -> Array:
    """(rows, columns) of which the rows or the columns, whichever are fewer, are orthonormal."""
    normal = jax.random.normal(key, (max(rows, columns), min(rows, columns)))
    q, r = jnp.linalg.qr(normal)
    q = q * jnp.where(jnp.diagonal(r) < 0, -1.0, 1.0)
    return q if rows >= columns else q.T
