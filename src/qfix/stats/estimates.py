"""One number for many seeds: mean, median, interquartile mean, optimality gap.

Scores are (seeds,), or (seeds, tasks) where several tasks were tried with the same number of seeds; tasks count
alike. Each estimate is the population's quantity taken of the empirical distribution, so scores that are all
taken twice give the same number.

A score that is NaN or infinite is an error. A seed that crashed has no score, and leaving it out makes an agent
that fails look good: count failures apart and tell them beside the estimate, or give them the score they earned.

Every estimate has two forms. The public functions take one table of scores. The functions in `ESTIMATES` take
stacks of them, (..., seeds, tasks), which is what bootstrap and simulation are made of.

Source: Agarwal, Schwarzer, Castro, Courville & Bellemare (2021), "Deep Reinforcement Learning at the Edge of the
Statistical Precipice", Section 4.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from qfix.errors import option_error, unknown_name

Stack = np.ndarray
"""(..., seeds, tasks) float64: any number of tables of scores."""


def mean(scores: ArrayLike) -> float:
    """The mean score: 1/(N M) Σ_m Σ_i x_{i,m}.

    Args:
        scores: (seeds,) or (seeds, tasks) finite numbers.

    Raises:
        OptionError: a score is not a finite number, or there is none.
    """
    return float(_mean(as_table(scores, "mean")))


def median(scores: ArrayLike) -> float:
    """The median score; of several tasks, the median over tasks of the mean over seeds.

        one task        the middle of the sorted scores, or the mean of the two in the middle
        M > 1 tasks     median_m ( 1/N Σ_i x_{i,m} )

    The second is the "median human-normalised score" of the literature. Half of the tasks can get worse without
    changing it.

    Args:
        scores: (seeds,) or (seeds, tasks) finite numbers. (seeds, 1) is the same as (seeds,).

    Raises:
        OptionError: a score is not a finite number, or there is none.

    Source: Agarwal et al. (2021), Section 4.3, for several tasks.
    """
    return float(_median(as_table(scores, "median")))


def iqm(scores: ArrayLike) -> float:
    """The interquartile mean: the mean of the middle half of all scores, exactly half.

        IQM(F) = 2 ∫_{1/4}^{3/4} F⁻¹(u) du

    With n = N·M scores x_(1) ≤ ... ≤ x_(n) of all tasks in one pool,

        IQM = 2 Σ_i w_i x_(i),     w_i = | [(i-1)/n, i/n] ∩ [1/4, 3/4] |

    For 3 scores the weights are 1/6, 2/3, 1/6; for 5 they are 0, 0.3, 0.4, 0.3, 0. For n divisible by 4 it is
    `scipy.stats.trim_mean(scores, 0.25, axis=None)`. For n = 1 or 2 it is the mean.

    Args:
        scores: (seeds,) or (seeds, tasks) finite numbers.

    Raises:
        OptionError: a score is not a finite number, or there is none.

    Source: Agarwal et al. (2021), Section 4.3.

    1. They compute `trim_mean`, which drops whole scores, ⌊n/4⌋ on either side: none at all of 3, so that one seed
       that failed moves it as it moves the mean. Here the scores on the border count in part, and exactly a
       quarter of the weight goes on either side.
    """
    return float(_iqm(as_table(scores, "iqm")))


def optimality_gap(scores: ArrayLike, target: float) -> float:
    """How far scores fall short of a target on average; what exceeds it earns nothing.

        gap = 1/(N M) Σ max(target - x_{i,m}, 0) = target - mean(min(x, target))

    0 where every seed reaches the target. Lower is better.

    Args:
        scores: (seeds,) or (seeds, tasks) finite numbers.
        target: the score aimed at: 1 for human-normalised scores, J* where the optimum is known.

    Raises:
        OptionError: a score or the target is not a finite number, or there is no score.

    Source: Agarwal et al. (2021), Section 4.3, with γ for the target.
    """
    return float(_mean(shortfall(as_table(scores, "optimality_gap"), target, "optimality_gap")))


def as_table(scores: ArrayLike, owner: str) -> np.ndarray:
    """Scores as (seeds, tasks) float64, each a finite number; an error in the name of `owner` otherwise."""
    try:
        table = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        shape = "must be numbers, (seeds,) or (seeds, tasks)"
        remedy = "Tasks with unequal numbers of seeds are told one by one."
        raise option_error(owner, "scores", shape, scores, remedy) from None
    if table.ndim not in (1, 2) or table.size == 0:
        remedy = "Pass one final score for each seed."
        raise option_error(owner, "scores", "must be (seeds,) or (seeds, tasks)", table.shape, remedy)
    table = table.reshape(len(table), -1)
    if not np.isfinite(table).all():
        seed, task = np.argwhere(~np.isfinite(table))[0].tolist()
        rule = f"must be finite; that of seed {seed}, task {task} is not"
        remedy = (
            "Count failed seeds apart and pass the scores of the others, or give failures what they earned."
        )
        raise option_error(owner, "scores", rule, float(table[seed, task]), remedy)
    return np.ascontiguousarray(table)


def shortfall(table: Stack, target: float, owner: str) -> Stack:
    """max(target - x, 0) of every score: the optimality gap is its mean."""
    if not np.isfinite(target):
        raise option_error(owner, "target", "must be finite", target, "Use target=1.0 for normalised scores.")
    return np.maximum(target - table, 0.0)


def _mean(x: Stack) -> np.ndarray:
    return _pool(x).mean(axis=-1)


def _median(x: Stack) -> np.ndarray:
    return np.median(x[..., 0] if x.shape[-1] == 1 else x.mean(axis=-2), axis=-1)


def _iqm(x: Stack) -> np.ndarray:
    pool = np.sort(_pool(x), axis=-1)
    n = pool.shape[-1]
    # quarters are exact in binary, so equal scores have themselves as their mean
    return (pool * _middle_half(n)).sum(axis=-1) / (0.5 * n)


def _pool(x: Stack) -> np.ndarray:
    return np.ascontiguousarray(x).reshape(*x.shape[:-2], -1)


def _middle_half(n: int) -> np.ndarray:
    """(n,) how much of each sorted score is in the middle half; they sum to n/2."""
    ends = np.arange(n + 1)
    inside = np.minimum(ends[1:], 0.75 * n) - np.maximum(ends[:-1], 0.25 * n)
    return np.maximum(inside, 0.0)


def mean_error(x: Stack) -> np.ndarray:
    """√( Σ_m s_m²/N ) / M with s_m² the variance over the seeds of task m."""
    n, m = x.shape[-2:]
    return np.sqrt(squares(x).sum(axis=-1) / (n - 1) / n) / m


def iqm_error(x: Stack) -> np.ndarray:
    """Tukey and McLaughlin's standard error of a trimmed mean, over tasks; see `winsorised`.

        √( Σ_m SSD_m / (h (h-1)) · N (n-1) / ((N-1) n) ),     h = n - 2⌊n/4⌋,  n = N M

    with SSD_m the sum of squared deviations of the winsorised scores of task m from their mean. The last factor is
    1 for one task.
    """
    seeds, tasks = x.shape[-2:]
    n = seeds * tasks
    h = n - 2 * (n // 4)
    between = seeds * (n - 1) / ((seeds - 1) * n)
    return np.sqrt(squares(winsorised(x)).sum(axis=-1) / (h * (h - 1)) * between)


def _iqm_scale(x: Stack) -> np.ndarray:
    """Of the middle of fewer than ten scores too few are left to tell its spread: then that of all of them."""
    return iqm_error(x) if x.shape[-1] * x.shape[-2] >= 10 else mean_error(x)


def winsorised(x: Stack) -> Stack:
    """Scores with the ⌊n/4⌋ lowest of the pool raised to the next one, and the ⌊n/4⌋ highest lowered."""
    pool = np.sort(_pool(x), axis=-1)
    g = pool.shape[-1] // 4
    low, high = pool[..., g], pool[..., pool.shape[-1] - 1 - g]
    return np.clip(x, low[..., None, None], high[..., None, None])


def squares(x: Stack) -> np.ndarray:
    """(..., tasks) sum over the seeds of squared deviations from the mean of the task."""
    return ((x - x.mean(axis=-2, keepdims=True)) ** 2).sum(axis=-2)


class Estimate(NamedTuple):
    """An estimate on stacks of tables."""

    name: str
    """Its name."""
    of: Callable[[Stack], np.ndarray]
    """(..., seeds, tasks) to (...)."""
    scale: Callable[[Stack], np.ndarray] | None
    """What a bootstrap-t divides by, the same shapes: a standard error, which needs two seeds. None without formula."""


ESTIMATES = {
    "mean": Estimate("mean", _mean, mean_error),
    "median": Estimate("median", _median, None),
    "iqm": Estimate("iqm", _iqm, _iqm_scale),
}
"""Estimates by name. The optimality gap is the mean of `shortfall`."""


def estimate_of(name: str) -> Estimate:
    """The estimate of a name; an error that suggests the nearest one."""
    if name not in ESTIMATES:
        raise unknown_name("estimate", name, ESTIMATES)
    return ESTIMATES[name]
