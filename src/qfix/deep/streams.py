"""Random streams of a run: every number drawn is a function of the seed, what it is for, and a count."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Array = Any

WEIGHTS, ACT, LEARN, ENVIRONMENT = 0, 1, 2, 3
"""What numbers are drawn for."""


def seed_words(seed: int) -> np.ndarray:
    """(2,) uint32 of a seed below 2^64: the key of its run."""
    return np.array([seed >> 32, seed & 0xFFFFFFFF], np.uint32)


def stream(words: Array, purpose: int, count: Array = 0) -> Array:
    """The key for one purpose at one count.

    Args:
        words: (2,) uint32 of `seed_words`.
        purpose: one of those above.
        count: whole number below 2^32.
    """
    key = jax.random.fold_in(jax.random.wrap_key_data(words), purpose)
    return jax.random.fold_in(key, count)


def learning_keys(words: Array, count: Array) -> tuple[Array, Array]:
    """The keys of one gradient step: to draw what is learned from, and to learn.

    Args:
        words: (2,) uint32 of `seed_words`.
        count: gradient steps before it.
    """
    draw, update = jax.random.split(stream(words, LEARN, count))
    return draw, update


def episode_keys(words: Array, episode: Array) -> Array:
    """(N,) key of the running episode of each environment; a function of the seed, the environment and the episode.

    Args:
        words: (2,) uint32 of `seed_words`.
        episode: (N,) int32, from 0 on.
    """
    base = jax.random.fold_in(jax.random.wrap_key_data(words), ENVIRONMENT)

    def one(index: Array, count: Array) -> Array:
        return jax.random.fold_in(jax.random.fold_in(base, index), count)

    return jax.vmap(one)(jnp.arange(episode.shape[0]), episode)
