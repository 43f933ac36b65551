"""Add seeds until the answer is clear, and still be wrong only as often as promised.

Who tests again after every few seeds and stops at p ≤ 5 % finds a difference between equal runs in 15 % of cases or
more. Here the α is spent little by little over the looks at n_1 < n_2 < ... seeds of at most N:

    obrien_fleming    α(t) = 4 (1 - Φ(z_{1-α/4} / √t))         almost nothing early, almost all left for the end
    pocock            α(t) = α ln(1 + (e - 1) t)               as easy to stop early as late;  t = n / N

The boundary c_k of look k is found from the one before by

    P(|W(t_1)| < c_1 √t_1, ..., |W(t_{k-1})| < c_{k-1} √t_{k-1}, |W(t_k)| ≥ c_k √t_k) = α(t_k) - α(t_{k-1})

for a Brownian motion W, the limit of the sums of differences. A look stops where the p of the t test is at most
2 (1 - Φ(c_k)): it is the p that is compared, not t with a normal's boundary, which at 3 seeds would stop far too often.
Looks need not be planned, but N and α must be before the first one, and what makes one look must not be the scores.

The interval that a look gives, d ± t_{ν, Φ(c_k)} s, holds at all looks together with probability 1 - α, so that it may
also be what decides when to stop: give `width`.

Exact for large n. With looks from 3 seeds on, the rate of false alarms at α = 5 % was by simulation 4.5 to 6 % for
normal scores, 1 to 4 % for skewed ones, and up to 8 % for scores in two tight clusters of equal weight.

Source: Lan and DeMets (1983) Biometrika 70; Armitage, McPherson and Rowe (1969) JRSS A 132 for the recursion; Jennison
and Turnbull (2000) Group sequential methods, chapters 7, 9 (repeated intervals) and 11 (t statistics by their p).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from qfix.errors import option_error
from qfix.stats.difference import (
    Floats,
    as_scores,
    check_between,
    check_choice,
    check_paired,
    count_permutations,
    difference,
    location,
    t_test,
)
from qfix.stats.judge import FEWEST_SEEDS

SPENDING = ("obrien_fleming", "pocock")
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(96)
_NEVER = 9.0
"""A boundary that a normal number never crosses."""


@dataclass(frozen=True)
class Sequence:
    """What was planned, and the looks so far."""

    max_seeds: int
    """N: no more seeds than this are run."""
    alpha: float
    """Rate of false alarms over all looks."""
    spending: str
    """How α is spent: "obrien_fleming" or "pocock"."""
    paired: bool
    """Seed by seed?"""
    width: float | None
    """Stop where the interval is no wider; None: stop where a difference is shown."""
    looks: tuple[int, ...] = ()
    """Seeds at each look."""
    boundaries: tuple[float, ...] = ()
    """c_k of each look."""
    scores: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    """Scores of a and b at the last look."""
    stopped: bool = False
    """Was it over at the last look?"""


@dataclass(frozen=True)
class Decision:
    """What a look says."""

    stop: bool
    """Are more seeds of no use?"""
    verdict: str
    """In words."""
    n: int
    """Seeds of either side."""
    estimate: float
    """Difference of the means, or the mean of the one run."""
    low: float
    """Lower end of its interval, good at all looks together; -inf where none can be given."""
    high: float
    """Upper end."""
    boundary: float
    """The p at or below which this look stops."""
    p: float
    """Of this look's t test by itself: not to be told without the boundary."""
    better: str | None
    """"a" or "b", if one was shown to be."""

    def __str__(self) -> str:
        return self.verdict


def start(
    max_seeds: int,
    *,
    alpha: float = 0.05,
    spending: str = "obrien_fleming",
    paired: bool = False,
    width: float | None = None,
) -> Sequence:
    """Plan: before any score is seen.

    Args:
        max_seeds: N, at least 3. What is lost against a single test at N is little with "obrien_fleming".
        alpha: rate of false alarms over all looks, 1 - confidence of the intervals.
        spending: "obrien_fleming" or "pocock"; for a `width`, "pocock" gives the narrower intervals early.
        paired: the scores are of the same seeds in the same order.
        width: stop as soon as the interval is no wider than this, in units of the score; otherwise as soon as a
            difference is shown.

    Raises:
        OptionError: a number out of range.

    >>> plan = start(max_seeds=20)
    >>> plan, decision = update(plan, [5.1, 6.0, 5.4, 6.2, 5.8], [3.9, 4.4, 3.6, 4.9, 4.3])
    >>> decision.stop, round(decision.boundary, 6)
    (False, 1.5e-05)
    """
    owner = "sequential.start"
    if (
        not isinstance(max_seeds, (int, np.integer))
        or isinstance(max_seeds, bool)
        or max_seeds < FEWEST_SEEDS
    ):
        rule = f"must be a whole number of at least {FEWEST_SEEDS}"
        raise option_error(owner, "max_seeds", rule, max_seeds, "Use as many as you can afford, 30 say.")
    check_between(owner, "alpha", alpha, 0, 1, "Use alpha=0.05.")
    check_choice(owner, "spending", spending, SPENDING)
    if width is not None:
        check_between(owner, "width", width, 0, math.inf, "Give it in units of the score.")
    return Sequence(int(max_seeds), alpha, spending, paired, width)


def update(
    sequence: Sequence, scores_a: ArrayLike, scores_b: ArrayLike | None = None
) -> tuple[Sequence, Decision]:
    """Look at all scores so far.

    Args:
        sequence: of `start` or of the last `update`.
        scores_a: (n,) scores of a: those of the last look and more.
        scores_b: (n,) of b. Without, the question is the mean of a, which takes a `width`.

    Returns:
        The sequence for the next look, and what this one says.

    Raises:
        OptionError: the sequence has stopped, scores of the last look are missing or changed, there are no new ones or
            more than planned, or a and b differ in number.
    """
    owner = "sequential.update"
    a = as_scores(owner, "scores_a", scores_a)
    b = None if scores_b is None else as_scores(owner, "scores_b", scores_b)
    _check(owner, sequence, a, b)
    n = len(a)
    boundaries = (*sequence.boundaries, _next_boundary(sequence, n))
    level = float(2 * ndtr(-boundaries[-1]))
    found = location(a) if b is None else difference(a, b, paired=sequence.paired)
    said = t_test(found, count_permutations(n, n, b is None or sequence.paired), level)
    shown = b is not None and said.p_value <= level
    if sequence.width is None:
        enough = shown
    else:
        enough = said.high - said.low <= sequence.width
    stop = enough or n == sequence.max_seeds
    better = ("a" if found.value > 0 else "b") if shown else None
    after = replace(
        sequence,
        looks=(*sequence.looks, n),
        boundaries=boundaries,
        scores=(tuple(a.tolist()), () if b is None else tuple(b.tolist())),
        stopped=stop,
    )
    words = _words(sequence, n, found.value, said.low, said.high, stop, better, b is None)
    return after, Decision(stop, words, n, found.value, said.low, said.high, level, said.p_value, better)


def spent(alpha: float, spending: str, fraction: float) -> float:
    """α(t): what may have been spent when a fraction t of the seeds is in; α(0) = 0, α(1) = α."""
    if fraction <= 0:
        return 0.0
    if spending == "pocock":
        return alpha * math.log1p((math.e - 1) * min(fraction, 1.0))
    return float(4 * ndtr(ndtri(alpha / 4) / math.sqrt(min(fraction, 1.0))))


def boundaries(alpha: float, spending: str, fractions: list[float]) -> list[float]:
    """c_1, ..., c_K for looks at these fractions of N, in the scale of a standard normal z.

    Args:
        alpha: two-sided.
        spending: "obrien_fleming" or "pocock".
        fractions: (K,) increasing, in (0, 1].

    >>> [round(c, 3) for c in boundaries(0.05, "obrien_fleming", [0.2, 0.4, 0.6, 0.8, 1.0])]
    [4.877, 3.357, 2.68, 2.29, 2.031]
    """
    found: list[float] = []
    for k, t in enumerate(fractions):
        before = spent(alpha, spending, fractions[k - 1]) if k else 0.0
        found.append(_boundary(fractions[:k], found, t, spent(alpha, spending, t) - before))
    return found


def _next_boundary(sequence: Sequence, n: int) -> float:
    fractions = [look / sequence.max_seeds for look in sequence.looks]
    t = n / sequence.max_seeds
    alpha, spending = sequence.alpha, sequence.spending
    to_spend = spent(alpha, spending, t) - spent(alpha, spending, fractions[-1] if fractions else 0.0)
    return _boundary(fractions, list(sequence.boundaries), t, to_spend)


def _boundary(fractions: list[float], found: list[float], t: float, to_spend: float) -> float:
    """c with P(no stop before, |W(t)| ≥ c √t) = to_spend, for the looks `fractions` with their boundaries `found`."""
    points, mass = _still_going(fractions, found)
    step = math.sqrt(t - (fractions[-1] if fractions else 0.0))

    def beyond(c: float) -> float:
        edge = c * math.sqrt(t)
        return float(mass @ (ndtr((points - edge) / step) + ndtr((-points - edge) / step)))

    if beyond(_NEVER) >= to_spend:
        return _NEVER
    return float(brentq(lambda c: beyond(c) - to_spend, 0.0, _NEVER, xtol=1e-10))


def _still_going(fractions: list[float], found: list[float]) -> tuple[Floats, Floats]:
    """(points, mass): density of W at the last look where no look has stopped, times the weights of Gauss's rule."""
    points, mass, last = np.zeros(1), np.ones(1), 0.0
    for t, c in zip(fractions, found, strict=True):
        edge = c * math.sqrt(t)
        there, step = edge * _NODES, math.sqrt(t - last)
        density = np.exp(-0.5 * ((there[:, None] - points) / step) ** 2) / (step * math.sqrt(2 * math.pi))
        points, mass, last = there, edge * _WEIGHTS * (density @ mass), t
    return points, mass


def _check(owner: str, sequence: Sequence, a: Floats, b: Floats | None) -> None:
    n = len(a)
    if sequence.stopped:
        remedy = "Take the decision it stopped with; a new question takes new seeds."
        raise option_error(
            owner, "sequence", "must not have stopped", f"stopped at {sequence.looks[-1]} seeds", remedy
        )
    if b is None and sequence.width is None:
        remedy = "Pass the scores of b, or start(..., width=) for the mean of one run."
        raise option_error(owner, "scores_b", "is needed where no width was planned", None, remedy)
    if b is not None:
        check_paired(owner, a, b)
    fewest = max(FEWEST_SEEDS, sequence.looks[-1] + 1 if sequence.looks else 0)
    if not fewest <= n <= sequence.max_seeds:
        rule = f"must hold {fewest} to {sequence.max_seeds} scores at this look"
        raise option_error(
            owner, "scores_a", rule, f"{n} scores", "Pass those of the last look and the new ones."
        )
    for name, now, then in (("scores_a", a, sequence.scores[0]), ("scores_b", b, sequence.scores[1])):
        old = [] if now is None else now[: len(then)].tolist()
        if old != list(then):
            rule = f"must begin with the {len(then)} scores of the last look"
            raise option_error(owner, name, rule, old, "Add new seeds at the end and leave none out.")


def _words(
    sequence: Sequence,
    n: int,
    value: float,
    low: float,
    high: float,
    stop: bool,
    better: str | None,
    alone: bool,
) -> str:
    sure = f"{1 - sequence.alpha:.4g} interval"
    between = f"[{low:.4g}, {high:.4g}]" if math.isfinite(low) else "none yet"
    if sequence.width is not None:
        what = "mean" if alone else "a - b"
        state = f"{what} = {value:.4g}, {sure} {between} after {n} seeds"
        if high - low <= sequence.width:
            return f"{state}: narrow enough."
        return f"{state}: {'still too wide at the last look' if stop else 'go on'}."
    if better:
        gap, ends = abs(value), (low, high) if value > 0 else (-high, -low)
        other = "b" if better == "a" else "a"
        found = f"{better} is better than {other} by {gap:.4g} [{ends[0]:.4g}, {ends[1]:.4g}]"
        return f"{found} ({sure}, shown after {n} of {sequence.max_seeds} seeds)."
    state = f"a - b = {value:.4g}, {sure} {between}"
    if stop:
        return f"No difference could be shown with all {n} seeds: {state}."
    return f"Not clear after {n} of {sequence.max_seeds} seeds: {state}. Go on."
