"""The one file that knows backends: which namespace an array belongs to, and how to recur over time in it.

Nothing is imported from JAX or torch. An array of JAX's can only exist once JAX has been loaded, so its
`lax` is taken from the loaded module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from qfix.errors import OptionError, option_error

Array = Any  # any array of the Python array API standard, or a number where a function says scalar


def namespace(*arrays: Array) -> Any:
    """The array namespace of the arguments; Python numbers among them are passed over."""
    from array_api_compat import array_namespace  # here, so that importing the equations costs nothing

    return array_namespace(*arrays)


def is_scalar(x: Array) -> bool:
    """Whether `x` is a number or a 0-dimensional array."""
    return isinstance(x, (int, float)) or x.ndim == 0


def shape_of(x: Array) -> tuple[int, ...]:
    """The shape of an array, or () for a Python number."""
    return () if isinstance(x, (int, float)) else tuple(x.shape)


def require_shape(owner: str, name: str, x: Array, shape: tuple[int, ...], of: str) -> None:
    """Raise unless `x` has exactly `shape`, so that no (T,) meets a (T, 1) and silently becomes (T, T)."""
    if shape_of(x) != shape:
        remedy = "Index or reshape it to that shape: to broadcast it would mix rows."
        raise _shape_error(owner, name, f"must have the shape of {of}, {shape}", x, remedy)


def require_scalar_or_shape(owner: str, name: str, x: Array, shape: tuple[int, ...], of: str) -> None:
    """Raise unless `x` is a scalar or has exactly `shape`."""
    if not is_scalar(x):
        require_shape(owner, name, x, shape, of)


def require_actions_axis(owner: str, name: str, x: Array, batch: tuple[int, ...], of: str) -> None:
    """Raise unless `x` has the axes of `batch` and one trailing axis."""
    shape = shape_of(x)
    if len(shape) != len(batch) + 1 or shape[:-1] != batch:
        rule = f"must have the shape of {of}, {batch}, and one trailing axis"
        raise _shape_error(owner, name, rule, x, "Put the axis of actions (or atoms) last.")


def _shape_error(owner: str, name: str, rule: str, x: Array, remedy: str) -> OptionError:
    return OptionError(f"The '{name}' parameter of {owner} {rule}. Got shape {shape_of(x)}. {remedy}")


def require_range(
    owner: str, name: str, x: Array, low: float, high: float, remedy: str, *, open_low: bool = False
) -> None:
    """Raise unless a Python number lies in range; an array passes, as under a tracer it has no value yet."""
    if isinstance(x, (int, float)) and not ((low < x if open_low else low <= x) and x <= high):
        left = "(" if open_low else "["
        right = f"{high}]" if high != float("inf") else "inf)"
        raise option_error(owner, name, f"must be in {left}{low}, {right}", x, remedy)


def like(xp: Any, x: Array, reference: Array) -> Array:
    """`x`, a scalar or an array of numbers or flags, as a numeric array shaped like `reference`."""
    if isinstance(x, (int, float)):
        return xp.zeros_like(reference) + float(x)
    if xp.isdtype(x.dtype, ("bool", "integral")):
        x = xp.astype(x, reference.dtype)
    return x if x.ndim else xp.zeros_like(reference) + x


def take_last(xp: Any, x: Array, index: Array) -> Array:
    """`x[..., index]` along the last axis, one index for each of the leading positions."""
    return xp.take_along_axis(x, index[..., None], axis=-1)[..., 0]


def scan_reverse(
    step: Callable[[Array, tuple[Array, ...]], tuple[Array, Array]], init: Array, xs: tuple[Array, ...]
) -> tuple[Array, Array]:
    """Recur over the leading axis of `xs` from its end to its start.

        c, y_t = step(c, x_t)   for t = T−1, ..., 0

    On JAX this is one `lax.scan` (a Python loop there is unrolled, and takes half a minute to compile at T =
    128); elsewhere it is a loop.

    Args:
        step: from the carry and one row of each of `xs` to the next carry and an output, which may be None.
        init: carry before the last row.
        xs: arrays of equal leading length T >= 1.

    Returns:
        The carry after row 0, and the outputs stacked in the order of the rows (None if they are None).
    """
    from array_api_compat import is_jax_namespace

    xp = namespace(*xs)
    if is_jax_namespace(xp):
        return sys.modules["jax"].lax.scan(step, init, xs, reverse=True)
    carry, ys = init, []
    for t in range(xs[0].shape[0] - 1, -1, -1):
        carry, y = step(carry, tuple(x[t, ...] for x in xs))
        ys.append(y)
    return carry, None if ys[0] is None else xp.stack(ys[::-1], axis=0)
