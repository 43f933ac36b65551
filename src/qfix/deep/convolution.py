"""A convolution whose gradients are convolutions of the usual layout.

    y[n, i, j, o] = Σ_{a, b, c} x[n, s·i + a, s·j + b, c] · w[a, b, c, o]

    ∂w[a, b, c, o] = Σ_{n, i, j} x[n, s·i + a, s·j + b, c] · g[n, i, j, o]       images and channels change places
    ∂x             = g, spread by s, with w turned by half a turn and its channels exchanged

These are the compiler's own gradients, to the bit. It writes them by naming the axes otherwise, and on a CPU finds its
fast convolution for such names only outside of loops: within `lax.fori_loop` or `lax.scan`, where learning happens, a
gradient by `w` then takes 30 to 80 times as long (github.com/jax-ml/jax/issues/12868). Here the axes are moved instead.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Array = Any

_LAYOUT = ("NHWC", "HWIO", "NHWC")


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolved(x: Array, w: Array, stride: int) -> Array:
    """y (N, H', W', O) of images x (N, H, W, C) and a kernel w (k, k, C, O), without padding."""
    return lax.conv_general_dilated(x, w, (stride, stride), "VALID", dimension_numbers=_LAYOUT)


def _forward(x: Array, w: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    return convolved(x, w, stride), (x, w)


def _backward(stride: int, kept: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, w = kept
    side = w.shape[0]
    by_w = lax.conv_general_dilated(
        jnp.transpose(x, (3, 1, 2, 0)),
        jnp.transpose(g, (1, 2, 0, 3)),
        (1, 1),
        "VALID",
        rhs_dilation=(stride, stride),
        dimension_numbers=_LAYOUT,
    )
    by_w = jnp.transpose(by_w[:, :side, :side], (1, 2, 0, 3))
    # what the last window does not reach has no gradient
    rest = [n - (stride * (m - 1) + side) for n, m in zip(x.shape[1:3], g.shape[1:3])]
    by_x = lax.conv_general_dilated(
        g,
        jnp.transpose(w[::-1, ::-1], (0, 1, 3, 2)),
        (1, 1),
        [(side - 1, side - 1 + more) for more in rest],
        lhs_dilation=(stride, stride),
        dimension_numbers=_LAYOUT,
    )
    return by_x, by_w


convolved.defvjp(_forward, _backward)
