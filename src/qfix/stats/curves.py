"""A learning curve in a few numbers: where it ends, the area under it, and when it passed a threshold.

Curves are `steps` (n,) and `values` (seeds, n), NaN where a seed has no number at that step. Every summary gives one
number a seed, which is what the rest of `qfix.stats` works on.

Steps to a threshold are censored: a seed that never got there needs more steps than it was given, and leaving it out,
or counting it with the budget, makes a bad run look good. What is known is the survival function, by Kaplan and Meier:

    S(t) = Π_{t_i ≤ t} (1 - d_i / r_i),    median = min{t : S(t) ≤ ½},    restricted mean = ∫_0^τ S(t) dt

with d_i seeds that pass at step t_i and r_i those that had neither passed nor stopped being watched before it. τ is
the budget: the restricted mean is that of min(steps needed, τ).

That takes censoring which has nothing to do with how well a seed was doing: true of a budget, doubtful of a crash.

Source: Kaplan and Meier (1958) JASA 53; Royston and Parmar (2013) BMC Medical Research Methodology 13 for the
restricted mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from qfix.errors import option_error
from qfix.stats.difference import Floats, check_between

_REMEDY = "Pass steps (n,), increasing, and values (seeds, n)."


@dataclass(frozen=True, repr=False)
class StepsToThreshold:
    """When the seeds first reached a threshold. `print` tells the median, the restricted mean and the censored."""

    threshold: float
    """The value to reach."""
    steps: Floats
    """(seeds,) first recorded step at or above it; of a censored seed the step up to which it was watched."""
    censored: np.ndarray
    """(seeds,) True where a seed did not reach it while it was watched."""
    budget: float
    """τ: the last step of all."""
    times: Floats
    """(K,) steps at which some seed reached it, increasing."""
    survival: Floats
    """(K,) S at these steps: the share that needs longer."""

    @property
    def n_censored(self) -> int:
        """Seeds that did not reach it."""
        return int(self.censored.sum())

    @property
    def median(self) -> float:
        """Steps by which half of the seeds reached it; inf where fewer did."""
        below = np.flatnonzero(self.survival <= 0.5 + 1e-12)
        return float(self.times[below[0]]) if len(below) else math.inf

    @property
    def restricted_mean(self) -> float:
        """Mean of min(steps needed, budget).

        Where a seed stopped being watched before the budget and later than all that reached the threshold, S is taken
        not to fall any further: the mean is then the largest it can be.
        """
        edges = np.concatenate([[0.0], self.times, [self.budget]])
        return float(np.diff(edges) @ np.concatenate([[1.0], self.survival]))

    def __repr__(self) -> str:
        half = f"{self.median:,.0f}" if math.isfinite(self.median) else f"over {self.budget:,.0f}"
        reached = len(self.steps) - self.n_censored
        return (
            f"StepsToThreshold({self.threshold:.4g} reached by {reached} of {len(self.steps)} seeds, median {half}, "
            f"mean up to {self.budget:,.0f}: {self.restricted_mean:,.0f}, {self.n_censored} censored)"
        )


@dataclass(frozen=True, repr=False)
class CurveSummary:
    """Learning curves in one number a seed each."""

    final: Floats
    """(seeds,) mean of the last stretch; NaN where a seed has no number there."""
    area: Floats
    """(seeds,) mean height of the curve; NaN where too much of it is absent."""
    to_threshold: StepsToThreshold | None
    """When the seeds reached the threshold, if there was one."""

    def __repr__(self) -> str:
        parts = [_described("final", self.final), _described("area", self.area)]
        if self.to_threshold is not None:
            parts.append(repr(self.to_threshold))
        return f"CurveSummary({', '.join(parts)})"


def _described(name: str, x: Floats) -> str:
    known = x[np.isfinite(x)]
    absent = f", {len(x) - len(known)} absent" if len(known) < len(x) else ""
    return f"{name} {known.mean():.4g} of {len(known)} seeds{absent}" if len(known) else f"{name} absent"


def summarise_curves(
    steps: ArrayLike,
    values: ArrayLike,
    *,
    threshold: float | None = None,
    last_fraction: float = 0.1,
    hold: int = 1,
) -> CurveSummary:
    """`final`, `area_under_curve` and, given a threshold, `steps_to_threshold`, with these options.

    >>> summarise_curves([0, 50, 100], [[0, 4, 6], [0, 2, 2]], threshold=4)
    CurveSummary(final 4 of 2 seeds, area 2.5 of 2 seeds, StepsToThreshold(4 reached by 1 of 2 seeds, median 50, \
mean up to 100: 75, 1 censored))
    """
    reached = None if threshold is None else steps_to_threshold(steps, values, threshold, hold=hold)
    return CurveSummary(final(steps, values, last_fraction), area_under_curve(steps, values), reached)


def final(steps: ArrayLike, values: ArrayLike, last_fraction: float = 0.1) -> Floats:
    """Mean of each seed's values in the last fraction of the steps.

        mean of v(t) over the recorded t ≥ t_n - fraction · (t_n - t_1)

    The last value alone where no other is that late.

    Args:
        steps: (n,) increasing.
        values: (seeds, n); NaN where absent.
        last_fraction: in (0, 1).

    Returns:
        (seeds,); NaN where a seed has no number in that stretch, as one that crashed before.

    Raises:
        OptionError: shapes do not match, steps do not increase, or the fraction is out of range.

    >>> final([10, 20, 30, 40], [[1, 2, 3, 5], [1, 2, float("nan"), 6]], last_fraction=0.4)
    array([4., 6.])
    """
    owner = "final"
    t, v = _curves(owner, steps, values)
    check_between(owner, "last_fraction", last_fraction, 0, 1, "Use last_fraction=0.1.")
    stretch = v[:, t >= t[-1] - last_fraction * (t[-1] - t[0])]
    known = np.isfinite(stretch)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, stretch, 0.0).sum(1) / known.sum(1), dtype=np.float64)


def area_under_curve(steps: ArrayLike, values: ArrayLike, least_cover: float = 0.9) -> Floats:
    """Mean height of each seed's curve: the area by the trapezoid rule, over the steps it spans.

        Σ_i ½ (v_i + v_{i+1}) (t_{i+1} - t_i) / (t_last - t_first)

    over the steps at which the seed has a number; between them the curve is taken to be straight.

    Args:
        steps: (n,) increasing, n ≥ 2.
        values: (seeds, n); NaN where absent.
        least_cover: share of the steps that a seed's first and last number have to span, in (0, 1].

    Returns:
        (seeds,); NaN where a seed spans less: the early part of a curve is not comparable with the whole.

    Raises:
        OptionError: shapes do not match, steps do not increase, there are fewer than two, or the share is out of range.

    >>> area_under_curve([0, 10, 20, 40], [[0, 2, 4, 4], [0, float("nan"), 4, 4]])
    array([3., 3.])
    """
    owner = "area_under_curve"
    t, v = _curves(owner, steps, values)
    check_between(owner, "least_cover", least_cover, 0, math.nextafter(1, 2), "Use least_cover=0.9.")
    if len(t) < 2:
        raise option_error(
            owner, "steps", "must hold at least two", t.tolist(), "Record the curve more often."
        )
    out = np.full(len(v), np.nan)
    for i, row in enumerate(v):
        known = np.isfinite(row)
        x, y = t[known], row[known]
        if len(x) >= 2 and x[-1] - x[0] >= least_cover * (t[-1] - t[0]):
            out[i] = np.trapezoid(y, x) / (x[-1] - x[0])
    return out


def steps_to_threshold(
    steps: ArrayLike, values: ArrayLike, threshold: float, *, hold: int = 1
) -> StepsToThreshold:
    """When each seed first reached a threshold, with those that did not told as censored.

    The first recorded step is told: the crossing lies between it and the one before.

    Args:
        steps: (n,) increasing, from 0 or more.
        values: (seeds, n); NaN where absent.
        threshold: reached where value ≥ threshold.
        hold: how many numbers in a row have to be there; the first of them counts. 1 takes a lucky evaluation for it.

    Returns:
        Censored seeds with the step of their last number: the budget, or less for one that crashed.

    Raises:
        OptionError: shapes do not match, steps do not increase or begin below 0, a seed without any number, or an
            option out of range.

    >>> steps_to_threshold([100, 200, 300], [[0, 7, 9], [0, 1, 2], [8, 8, 9]], threshold=7)
    StepsToThreshold(7 reached by 2 of 3 seeds, median 200, mean up to 300: 200, 1 censored)
    """
    owner = "steps_to_threshold"
    t, v = _curves(owner, steps, values)
    check_between(owner, "threshold", threshold, -math.inf, math.inf, "Give it in units of the score.")
    if not isinstance(hold, (int, np.integer)) or isinstance(hold, bool) or hold < 1:
        raise option_error(owner, "hold", "must be a whole number of at least 1", hold, "Use hold=1.")
    if t[0] < 0:
        raise option_error(owner, "steps", "must not be negative", float(t[0]), _REMEDY)
    when, censored = np.empty(len(v)), np.ones(len(v), dtype=bool)
    for i, row in enumerate(v):
        known = np.isfinite(row)
        if not known.any():
            remedy = "Leave that seed out and count it as a failure."
            raise option_error(
                owner, "values", "must have a number for every seed", f"none of seed {i}", remedy
            )
        x, above = t[known], row[known] >= threshold
        when[i] = x[-1]
        if len(above) >= hold:
            held = np.lib.stride_tricks.sliding_window_view(above, hold).all(1)
            if held.any():
                when[i], censored[i] = x[held.argmax()], False
    times, survival = kaplan_meier(when, censored)
    return StepsToThreshold(float(threshold), when, censored, float(t[-1]), times, survival)


def kaplan_meier(times: ArrayLike, censored: ArrayLike) -> tuple[Floats, Floats]:
    """The survival function S of the head of this module.

    A seed censored at the very step at which another passes was still watched then.

    Args:
        times: (n,) of the event, or up to which was watched.
        censored: (n,) True where it was only watched.

    Returns:
        (K,) distinct times of events, and (K,) S at them.
    """
    when, lost = np.asarray(times, dtype=np.float64), np.asarray(censored, dtype=bool)
    events = np.unique(when[~lost])
    passed = (when[~lost][None, :] == events[:, None]).sum(1)
    at_risk = (when[None, :] >= events[:, None]).sum(1)
    return events, np.cumprod(1 - passed / at_risk)


def _curves(owner: str, steps: ArrayLike, values: ArrayLike) -> tuple[Floats, Floats]:
    """Steps and values as arrays that fit."""
    t, v = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if t.ndim != 1 or v.ndim != 2 or len(t) == 0 or len(v) == 0 or v.shape[1] != len(t):
        shapes = f"{t.shape} and {v.shape}"
        raise option_error(owner, "values", "must be (seeds, n) for (n,) steps", shapes, _REMEDY)
    if not (np.isfinite(t).all() and (np.diff(t) > 0).all()):
        raise option_error(owner, "steps", "must increase", t.tolist()[:8], _REMEDY)
    if np.isinf(v).any():
        seed, at = (int(i) for i in np.argwhere(np.isinf(v))[0])
        rule = f"must be finite, or NaN where absent, and that of seed {seed} at step {t[at]:g} is neither"
        raise option_error(owner, "values", rule, float(v[seed, at]), "Put NaN where there is no number.")
    return t, v
