"""A tree of arrays as a few arrays: what a compiled program hands back costs some microseconds an array.

Large leaves stay by themselves, so that nothing large is copied; all the small ones lie in one vector of 32-bit words.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = Any

_LARGE = 2048  # numbers from which a leaf is an array of its own


class Wrapped(NamedTuple):
    """The arrays of a tree."""

    large: tuple[Array, ...]
    small: Array  # (words,) uint32


class Bundle:
    """How a tree of one structure is wrapped.

    Args:
        example: a tree like it, of arrays or shapes, every leaf of 32 bits.
    """

    def __init__(self, example: Any) -> None:
        leaves, self._structure = jax.tree_util.tree_flatten(example)
        self._kinds = [(leaf.shape, np.dtype(leaf.dtype)) for leaf in leaves]
        assert all(dtype.itemsize == 4 for _, dtype in self._kinds)
        self._sizes = [math.prod(shape) for shape, _ in self._kinds]

    def wrap(self, tree: Any) -> Wrapped:
        """The arrays of a tree, within a compiled program."""
        leaves = jax.tree_util.tree_leaves(tree)
        large = tuple(x for x, size in zip(leaves, self._sizes, strict=True) if size >= _LARGE)
        small = [
            jax.lax.bitcast_convert_type(x, jnp.uint32).reshape(-1)
            for x, size in zip(leaves, self._sizes, strict=True)
            if size < _LARGE
        ]
        return Wrapped(large, jnp.concatenate(small))

    def unwrap(self, wrapped: Wrapped) -> Any:
        """The tree, within a compiled program."""

        def read(words: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
            return jax.lax.bitcast_convert_type(words, dtype).reshape(shape)

        return self._unwrap(wrapped.large, wrapped.small, read)

    def as_numpy(self, wrapped: Wrapped) -> Any:
        """The tree in NumPy, as read-only views."""

        def read(words: np.ndarray, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
            return words.view(dtype).reshape(shape)

        return self._unwrap([np.asarray(x) for x in wrapped.large], np.asarray(wrapped.small), read)

    def reader(self, pick: Callable[[Any], Any]) -> Callable[[Wrapped], np.ndarray]:
        """What reads one leaf in NumPy, as a read-only view, and nothing else.

        Args:
            pick: from the tree to the leaf.
        """
        k = pick(jax.tree_util.tree_unflatten(self._structure, range(len(self._kinds))))
        shape, dtype = self._kinds[k]
        if self._sizes[k] >= _LARGE:
            place = sum(size >= _LARGE for size in self._sizes[:k])
            return lambda wrapped: np.asarray(wrapped.large[place])
        start = sum(size for size in self._sizes[:k] if size < _LARGE)
        here = slice(start, start + self._sizes[k])
        return lambda wrapped: np.asarray(wrapped.small)[here].view(dtype).reshape(shape)

    def _unwrap(self, large: Any, small: Array, read: Any) -> Any:
        leaves, rest, at = [], iter(large), 0
        for (shape, dtype), size in zip(self._kinds, self._sizes, strict=True):
            if size >= _LARGE:
                leaves.append(next(rest))
                continue
            leaves.append(read(small[at : at + size], shape, dtype))
            at += size
        return jax.tree_util.tree_unflatten(self._structure, leaves)
