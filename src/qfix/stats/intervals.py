"""Confidence intervals for a few seeds, chosen for their real coverage.

    "t"               θ̂ ± t_{1-α}(ν) √(Σ_m s_m²/N)/M,  ν = (Σ_m s_m²)² (N-1) / Σ_m s_m⁴   (N-1 for one task)
    "winsorised_t"    IQM ± t_{1-α}(ν) σ̂_w:  σ̂_w from winsorised scores, h-1 degrees of freedom for one task
    "order"           [x_(r), x_(N+1-r)] with the largest r for which 1 - 2 P(Bin(N, 1/2) < r) >= confidence
    "extended_range"  [x_(1) - c R, x_(N) + c R],  R = x_(N) - x_(1); c makes it exact for the median of a normal
    "task_t"          [median_m l_m, median_m h_m] with [l_m, h_m] Student's interval for the mean of task m
    "percentile", "basic", "expanded", "bca", "studentised"    see `qfix.stats.bootstrap`

α = (1 - confidence)/2. Only "order" holds its level whatever the population is. "t" is exact for the mean of normal
scores. The others are approximations, and docs/statistics.md has what they were measured to hold; "auto" picks by
that table. The median over tasks is biased where means of tasks are noisy, and "task_t" wide because of it; the IQM has
a shorter interval.

Sources: Student (1908). Tukey & McLaughlin (1963), "Less vulnerable confidence and significance procedures for
location based on a single sample", Sankhya A 25 (winsorised_t). Satterthwaite (1946) (ν over tasks). For "order"
and "extended_range" see `qfix.stats.order_statistics`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from qfix.errors import option_error, unknown_name
from qfix.stats.bootstrap import RESAMPLING, Seed, bootstrap_limits
from qfix.stats.estimates import (
    Estimate,
    Stack,
    as_table,
    estimate_of,
    iqm_error,
    mean_error,
    shortfall,
    squares,
    winsorised,
)
from qfix.stats.order_statistics import median_rank, range_extension

METHODS = {
    "mean": ("t", *RESAMPLING),
    "iqm": ("t", "winsorised_t", *RESAMPLING),
    "median": ("order", "extended_range", "task_t", "percentile", "basic", "expanded", "bca"),
}
"""The methods of each estimate."""

FEW_SEEDS = 10
"""Intervals of fewer seeds carry a note."""


@dataclass(frozen=True, repr=False)
class Interval:
    """A confidence interval, and what it rests on."""

    low: float
    """Lower limit; NaN where none is defined, -inf where nothing can be said."""
    high: float
    """Upper limit."""
    estimate: float
    """The estimate itself."""
    of: str
    """What was estimated: "mean", "median", "iqm" or "optimality_gap"."""
    confidence: float
    """The level asked for."""
    method: str
    """How the limits were made; never "auto"."""
    n: int
    """Number of seeds."""
    note: str
    """What a reader has to know; "" where nothing. Belongs under every table that shows the interval."""

    def __str__(self) -> str:
        text = (
            f"{self.of} {self.estimate:.6g}, {self.confidence:.4g} interval [{self.low:.6g}, {self.high:.6g}] "
            f"({self.method}, n={self.n})"
        )
        return f"{text}. {self.note}" if self.note else text

    def __repr__(self) -> str:
        return f"Interval({str(self).partition('. ')[0]})"

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def interval(
    scores: ArrayLike,
    estimate: str = "iqm",
    confidence: float = 0.95,
    method: str = "auto",
    seed: Seed = 0,
    resamples: int = 10_000,
    target: float | None = None,
) -> Interval:
    """A confidence interval for what an estimate would be over ever more seeds.

    Args:
        scores: (seeds,) or (seeds, tasks) finite numbers. Tasks are taken as fixed and their scores as
            independent; seeds are what varies.
        estimate: "mean", "median", "iqm" or "optimality_gap".
        confidence: in (0, 1).
        method: one of the module's list, or "auto": the one measured to hold its level best for that estimate and
            number of seeds.
        seed: int or Generator, for the methods that resample. The same seed gives the same bits.
        resamples: how many, for those methods.
        target: of the optimality gap, else left out.

    Returns:
        The interval. With one seed both limits are NaN. Below 10 seeds it carries a note.

    Raises:
        OptionError: a score is not finite, an option is out of range, or the method is not one of the estimate.
        UnknownNameError: no such estimate or method.

    Source: see the module.
    """
    table = as_table(scores, "interval")
    if not 0.0 < confidence < 1.0:
        raise option_error("interval", "confidence", "must be in (0, 1)", confidence, "Use confidence=0.95.")
    if (estimate == "optimality_gap") != (target is not None):
        rule = "goes with estimate='optimality_gap', and only with it"
        raise option_error("interval", "target", rule, target, "Use target=1.0 for normalised scores.")
    what = estimate_of("mean" if target is not None else estimate)
    if target is not None:
        table = shortfall(table, target, "interval")
    n, tasks = table.shape
    chosen = automatic(what.name, n, tasks, confidence) if method == "auto" else method
    _check_method(what, chosen, tasks)
    value = float(what.of(table))
    low = high = np.array([np.nan if n == 1 else value])
    if (table != table[0]).any():
        low, high = limits(table[None], what, chosen, confidence, seed, resamples)
    if method == "auto" and _broken(table[None], low, high)[0] and "t" in METHODS[what.name]:
        chosen = "t"
        low, high = limits(table[None], what, chosen, confidence)
    note = _note(table, what.name, chosen, confidence, float(low[0]), float(high[0]))
    return Interval(float(low[0]), float(high[0]), value, estimate, confidence, chosen, n, note)


def automatic(estimate: str, n: int, tasks: int = 1, confidence: float = 0.95) -> str:
    """The method that "auto" stands for: see the table of docs/statistics.md for why.

    Where it gives the mean or the IQM no finite interval, or one without width to scores that differ, because many
    of them are equal, "auto" takes "t" after all.

    >>> automatic("iqm", 4), automatic("iqm", 10), automatic("iqm", 10, tasks=5)
    ('t', 'studentised', 'winsorised_t')
    """
    if estimate == "median":
        if tasks > 1:
            return "task_t"
        return "order" if median_rank(n, confidence) else "extended_range"
    if tasks > 1:
        return "t" if estimate == "mean" else "winsorised_t"
    return "t" if n < 5 else "studentised"


def automatic_limits(
    tables: Stack, estimate: Estimate, confidence: float, seed: Seed = 0, resamples: int = 10_000
) -> tuple[np.ndarray, np.ndarray]:
    """What "auto" gives K tables of one shape: `limits` of the method it stands for, or of "t" where that breaks."""
    _, n, tasks = tables.shape
    chosen = automatic(estimate.name, n, tasks, confidence)
    low, high = limits(tables, estimate, chosen, confidence, seed, resamples)
    broken = _broken(tables, low, high)
    if broken.any() and "t" in METHODS[estimate.name]:
        low[broken], high[broken] = limits(tables[broken], estimate, "t", confidence)
    return low, high


def _broken(tables: Stack, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(K,) whether an interval is infinite, or has no width though scores of a task differ."""
    differ = (tables != tables[:, :1]).any(axis=(1, 2))
    with np.errstate(invalid="ignore"):
        flat = high - low <= 1e-12 * np.abs(tables).max(axis=(1, 2))
    return np.isinf(low) | np.isinf(high) | (differ & flat)


def limits(
    tables: Stack, estimate: Estimate, method: str, confidence: float, seed: Seed = 0, resamples: int = 10_000
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limits, (K,) each, for K tables of one shape: (K, seeds, tasks) with at least two seeds.

    `interval` is this for one table. Simulations use it on many, which then share the draws of a bootstrap.
    """
    alpha = 0.5 * (1.0 - confidence)
    if method in RESAMPLING:
        return bootstrap_limits(tables, estimate, method, confidence, resamples, seed)
    value = estimate.of(tables)
    n, tasks = tables.shape[-2:]
    if method in ("t", "winsorised_t"):
        wins = method == "winsorised_t"
        error = iqm_error if wins else mean_error
        freedom = _freedom(squares(winsorised(tables) if wins else tables), n)
        if wins:
            freedom *= (n * tasks - 2 * (n * tasks // 4) - 1) / (n * tasks - 1)
        half = -stdtrit(np.maximum(freedom, 1.0), alpha) * error(tables)
        return value - half, value + half
    if method == "task_t":
        half = -stdtrit(n - 1, alpha) * np.sqrt(squares(tables) / (n - 1) / n)
        centre = tables.mean(axis=1)
        return np.median(centre - half, axis=1), np.median(centre + half, axis=1)
    ordered = np.sort(tables[:, :, 0], axis=1)
    if method == "extended_range":
        reach = range_extension(n, confidence) * (ordered[:, -1] - ordered[:, 0])
        return ordered[:, 0] - reach, ordered[:, -1] + reach
    rank = median_rank(n, confidence)
    if not rank:
        nowhere = np.full(len(tables), np.inf)
        return -nowhere, nowhere
    return ordered[:, rank - 1], ordered[:, n - rank]


def _freedom(spread: np.ndarray, n: int) -> np.ndarray:
    """Satterthwaite's degrees of freedom of Σ_m s_m² from (..., tasks) sums of squares; N-1 where all are 0."""
    total, square = spread.sum(axis=-1), (spread**2).sum(axis=-1)
    return (n - 1) * np.divide(total**2, square, out=np.ones_like(total), where=square > 0.0)


def _check_method(estimate: Estimate, method: str, tasks: int) -> None:
    known = {name for names in METHODS.values() for name in names}
    if method not in known:
        raise unknown_name("method", method, known | {"auto"})
    if method not in METHODS[estimate.name]:
        rule = f"must be one of the {estimate.name}: {', '.join(METHODS[estimate.name])}"
        raise option_error("interval", "method", rule, method, "Use method='auto'.")
    if method in ("order", "extended_range", "task_t") and (tasks > 1) != (method == "task_t"):
        rule = "is for several tasks" if tasks == 1 else "is for one task"
        raise option_error("interval", "method", rule, method, "Use method='auto'.")


def _note(table: np.ndarray, estimate: str, method: str, confidence: float, low: float, high: float) -> str:
    """What a reader of the interval has to know."""
    n = len(table)
    if n == 1:
        return "One seed shows no spread, so there is no interval: run at least 3, better 10."
    said = []
    if (table == table[0]).all():
        said.append("All scores of a task are equal: an interval without width says nothing of other seeds.")
    elif high - low <= 1e-12 * np.abs(table).max():
        said.append("So many scores are equal that the interval has no width; look at the scores.")
    if np.isinf([low, high]).any():
        said.append(f"{n} seeds are too few, or too many of them equal, for a limit by '{method}'.")
    if method == "extended_range":
        share = 1.0 - 2.0 ** (1 - n)
        said.append(f"Without assuming a shape, {n} seeds hold the median with {share:.1%}, by their range.")
    if n < FEW_SEEDS:
        unseen = 1.0 - (1.0 - confidence) ** (1.0 / n)
        limited = "" if method == "order" else "the level holds for roughly symmetric scores only, and "
        said.append(
            f"Fewer than {FEW_SEEDS} seeds: {limited}a failure that hits {unseen:.0%} of all seeds stays unseen in "
            f"{n} with probability {1.0 - confidence:.2g}."
        )
        if method in ("percentile", "basic", "bca"):
            said.append(
                f"By '{method}' intervals of so few seeds are far too short: method='auto' does better."
            )
    return " ".join(said)
