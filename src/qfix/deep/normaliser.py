"""Running mean and variance of observations, so that networks see numbers of one size.

    n ← min(n, 2²²) and M ← M·min(n, 2²²)/n, then
    n' = n + N,   δ = mean(x) - μ,   μ' = μ + δ·N/n',   M' = M + Σ(x - mean(x))² + δ²·n·N/n'
    x̂ = clip((x - μ)/√(M/n + 1e-8), -10, 10)

Exact over everything seen, in whatever batches it came, up to four million observations; from there on what was seen
before counts as so many, and old ones are forgotten. Source: Chan, Golub & LeVeque (1983), Algorithms for
computing the sample variance.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = Any

LARGEST = np.float32(10.0)
"""Standard deviations at which normalised observations are cut."""
TINY = np.float32(1e-8)
"""What is added to a variance."""
_MOST = np.float32(1 << 22)  # observations that count; float32 cannot count on from 2^24


class Moments(NamedTuple):
    """Of what has been seen."""

    count: Array  # () float32
    mean: Array  # (size,) float32
    squares: Array  # (size,) float32: sum of squared distances from the mean


def no_moments(size: int) -> Moments:
    """Of nothing."""
    return Moments(np.zeros((), np.float32), np.zeros(size, np.float32), np.zeros(size, np.float32))


def updated_moments(xp: Any, moments: Moments, x: Array) -> Moments:
    """After a batch (N, size)."""
    n = np.float32(x.shape[0])
    before = xp.minimum(moments.count, _MOST)
    known = moments.squares * (before / xp.maximum(moments.count, np.float32(1.0)))
    count = before + n
    mean = xp.mean(x, axis=0)
    delta = mean - moments.mean
    squares = xp.sum((x - mean) ** 2, axis=0) + delta**2 * (before * n / count)
    return Moments(count, moments.mean + delta * (n / count), known + squares)


def normalised(xp: Any, moments: Moments, x: Array) -> Array:
    """x̂; x itself where nothing has been seen."""
    known = moments.count > 0
    variance = xp.where(known, moments.squares / xp.maximum(moments.count, np.float32(1.0)), 1.0)
    scaled = (x - moments.mean) / xp.sqrt(variance + TINY)
    return xp.where(known, xp.clip(scaled, -LARGEST, LARGEST), x)
