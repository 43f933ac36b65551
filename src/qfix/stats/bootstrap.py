"""The bootstrap over seeds: what the estimate would have been, had other seeds been drawn.

A resample draws, for every task by itself, N seeds with replacement from the N there are (stratified: the tasks
stay as they are). The spread of the estimate θ* over resamples stands for that of θ̂ over sets of seeds. With q*(p)
for the quantile of θ*, and α = (1 - confidence)/2 on either side:

    percentile     [q*(α), q*(1-α)]
    basic          [2θ̂ - q*(1-α), 2θ̂ - q*(α)]
    expanded       [q*(α'), q*(1-α')],  α' = Φ(-√(N/(N-1)) t_{1-α}(M (N-1)))
    bca            [q*(α₁), q*(α₂)],  α_i = Φ(z₀ + (z₀ + z_i)/(1 - a (z₀ + z_i))),  z₁ = Φ⁻¹(α), z₂ = -z₁
    studentised    [θ̂ - t*(1-α) σ̂, θ̂ - t*(α) σ̂],  t* = (θ* - θ̂)/σ̂*

with t_p(ν) the quantile of Student's t, M the number of tasks, the bias correction z₀ = Φ⁻¹(share of θ* < θ̂, ties
by half), the acceleration a from the jackknife, and σ̂ the standard error of the estimate. A studentised limit is
infinite where more than α of the resamples have σ̂* = 0.

With fewer than ten seeds percentile, basic and BCa intervals are far too short: docs/statistics.md has how often they
hold what they promise.

Sources: Efron & Tibshirani (1993), "An Introduction to the Bootstrap": equations 12.22 (bootstrap-t), 13.5
(percentile), 14.9 and 14.10 (BCa), 14.15 (acceleration). Hesterberg (2015), "What Teachers Should Know About the
Bootstrap", The American Statistician 69 (expanded percentile; there for one task). Davison & Hinkley (1997),
"Bootstrap Methods and their Application", equation 5.6 (basic) and Section 5.4 (BCa of several samples). Agarwal et
al. (2021), Section 4.1 (strata).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri, stdtrit

from qfix.errors import option_error
from qfix.stats.estimates import Estimate, Stack, as_table, estimate_of

RESAMPLING = ("percentile", "basic", "expanded", "bca", "studentised")
"""The bootstrap's ways to make an interval."""

_AT_ONCE = 1 << 20

Seed = int | np.random.Generator
"""An int starts a stream of its own; a Generator is drawn from and moves on."""


def bootstrap(
    scores: ArrayLike, estimate: str = "iqm", resamples: int = 10_000, seed: Seed = 0
) -> np.ndarray:
    """The estimate on `resamples` stratified resamples of the seeds.

    Args:
        scores: (seeds,) or (seeds, tasks) finite numbers.
        estimate: "mean", "median" or "iqm".
        resamples: how many.
        seed: int or Generator. The same seed gives the same bits.

    Returns:
        (resamples,) in the order drawn.

    Raises:
        OptionError: a score is not finite, or `resamples` is not positive.
        UnknownNameError: no such estimate.

    Source: see the module.
    """
    table = as_table(scores, "bootstrap")
    return resampled(table[None], estimate_of(estimate), resamples, seed, scales=False).estimates[0]


class Resampled(NamedTuple):
    """Estimates on resamples of K tables of one shape, which share the draws."""

    estimates: np.ndarray
    """(K, resamples)."""
    scales: np.ndarray | None
    """(K, resamples) what a bootstrap-t divides them by; None where not asked for."""


def resampled(
    tables: Stack, estimate: Estimate, resamples: int, seed: Seed, scales: bool, at_once: int = _AT_ONCE
) -> Resampled:
    """Resample every table of a stack with the same draws.

    Args:
        tables: (K, seeds, tasks).
        estimate: what to compute of each resample.
        resamples: how many.
        seed: int or Generator.
        scales: whether to compute what a bootstrap-t divides by.
        at_once: numbers to hold in memory at a time; does not change the result.
    """
    if resamples < 1:
        raise option_error("bootstrap", "resamples", "must be at least 1", resamples, "Use resamples=10_000.")
    found = np.empty((len(tables), resamples))
    spread = np.empty_like(found) if scales else None
    at = 0
    for drawn in _draws(tables, resamples, seed, at_once):
        there = slice(at, at + drawn.shape[1])
        found[:, there] = estimate.of(drawn)
        if spread is not None:
            assert estimate.scale is not None
            spread[:, there] = estimate.scale(drawn)
        at = there.stop
    return Resampled(found, spread)


def _draws(tables: Stack, resamples: int, seed: Seed, at_once: int) -> Iterator[Stack]:
    """(K, some, seeds, tasks) at a time. Whole numbers come off the stream one by one: any cut gives the same."""
    rng = np.random.default_rng(seed)
    _, n, m = tables.shape
    some = max(1, at_once // tables.size)
    task = np.arange(m)
    for begun in range(0, resamples, some):
        index = rng.integers(n, size=(min(some, resamples - begun), n, m))
        yield tables[:, index, task]


def bootstrap_limits(
    tables: Stack, estimate: Estimate, method: str, confidence: float, resamples: int, seed: Seed
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limits, (K,) each, for K tables of one shape.

    Args:
        tables: (K, seeds, tasks), at least two seeds.
        estimate: of what.
        method: one of `RESAMPLING`.
        confidence: in (0, 1).
        resamples: how many.
        seed: int or Generator.
    """
    if method == "studentised" and estimate.scale is None:
        rule = f"must be one that the {estimate.name} has"
        remedy = "There is no formula for its standard error: use method='auto'."
        raise option_error("interval", "method", rule, method, remedy)
    sample = resampled(tables, estimate, resamples, seed, scales=method == "studentised")
    value = estimate.of(tables)
    alpha = 0.5 * (1.0 - confidence)
    if method == "studentised":
        assert estimate.scale is not None
        assert sample.scales is not None
        return studentised(sample.estimates, sample.scales, value, estimate.scale(tables), alpha)
    if method == "bca":
        return bca(sample.estimates, value, acceleration(tables, estimate), alpha)
    if method == "expanded":
        n, m = tables.shape[-2:]
        alpha = float(ndtr(np.sqrt(n / (n - 1)) * stdtrit(m * (n - 1), alpha)))
    low, high = np.quantile(sample.estimates, [alpha, 1.0 - alpha], axis=1)
    return (2.0 * value - high, 2.0 * value - low) if method == "basic" else (low, high)


def studentised(
    estimates: np.ndarray, errors: np.ndarray, value: np.ndarray, error: np.ndarray, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap-t limits from (K, resamples) estimates and their errors, and the (K,) ones of the tables."""
    off = estimates - value[:, None]
    # a resample of one score drawn again and again comes out at a rounding error's spread
    spread = np.where(errors > 1e-12 * np.abs(error[:, None]), errors, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(np.abs(off) <= 1e-12 * error[:, None], 0.0, off / spread)
        # between two draws the outer one, as infinite ones are not averaged
        top = np.quantile(ratio, 1.0 - alpha, axis=1, method="higher")
        bottom = np.quantile(ratio, alpha, axis=1, method="lower")
        low, high = value - top * error, value - bottom * error
    return np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)


def bca(
    estimates: np.ndarray, value: np.ndarray, acceleration: np.ndarray, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """BCa limits from (K, resamples) estimates, and the (K,) estimate and acceleration of the tables."""
    # the same scores in another order may differ by rounding
    off = estimates - value[:, None]
    tie = 1e-12 * np.abs(estimates).max(axis=1, keepdims=True)
    below = (off < -tie).mean(axis=1) + (off <= tie).mean(axis=1)
    z0 = ndtri(0.5 * below)
    limits = []
    for z in (ndtri(alpha), -ndtri(alpha)):
        with np.errstate(invalid="ignore"):
            share = ndtr(z0 + (z0 + z) / (1.0 - acceleration * (z0 + z)))
        # z0 is infinite where the estimate is beyond every resample: then the outermost resample is the limit
        share = np.where(np.isnan(share), (z0 > 0).astype(float), share)
        limits.append(_quantile_each(estimates, share))
    return limits[0], limits[1]


def _quantile_each(estimates: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(K,) of each row its own quantile, between two draws on the straight line."""
    ordered = np.sort(estimates, axis=1)
    place = share * (ordered.shape[1] - 1)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, ordered.shape[1] - 1)
    row = np.arange(len(ordered))
    return ordered[row, below] + (place - below) * (ordered[row, above] - ordered[row, below])


def acceleration(tables: Stack, estimate: Estimate) -> np.ndarray:
    """(K,) a = Σ U³ / (6 (Σ U²)^{3/2}),  U_{i,m} = θ̂_(·,m) - θ̂_(i,m), over every seed i of every task m.

    θ̂_(i,m) leaves seed i of task m out, and θ̂_(·,m) is the mean of them over i. To leave one out of one task and
    keep all tasks at the same weight, the others' scores are taken N-1 times and what is left of that one's N times.
    """
    n, m = tables.shape[-2:]
    influence = np.empty((len(tables), n, m))
    for task in range(m):
        for seed in range(n):
            left = np.delete(tables, seed, axis=1)
            if m > 1:
                left, one = np.repeat(tables, n - 1, axis=1), np.repeat(left[:, :, task], n, axis=1)
                left[:, :, task] = one
            influence[:, seed, task] = estimate.of(left)
    off = influence.mean(axis=1, keepdims=True) - influence
    second, third = (off**2).sum(axis=(1, 2)), (off**3).sum(axis=(1, 2))
    return np.divide(third, 6.0 * second**1.5, out=np.zeros_like(third), where=second > 0.0)
