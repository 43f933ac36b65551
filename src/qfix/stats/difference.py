"""The difference of two samples of scores, its standard error and its tests.

Every seed gives one score. `d` is the difference of the means, or of the interquartile means (IQM), of two samples,

    t = d / s,    s² = s_a² + s_b²,    p = P(|T_ν| ≥ |t|),    interval = d ± t_{ν, 1-α/2} · s

with, for a sample of n scores of which g = ⌊n/4⌋ count as cut at each end (g = 0 for the mean) and h = n - 2g are left,

    s_i² = Σ (w_j - w̄)² / (h (h - 1)),    ν = (s_a² + s_b²)² / (s_a⁴ / (h_a - 1) + s_b⁴ / (h_b - 1))

where w are the scores with the cut ones set to the nearest that was kept. For g = 0 that is Welch's test. Paired by
seed, a single sample of differences a_j - b_j is held against 0; the IQM is then that of the differences.

A sample without spread has s = 0, which is common here: two policies evaluated exactly, the same in every seed. Then
t says nothing, and p is that of the permutations: 2 / C(n_a + n_b, n_a), or 2 / 2ⁿ paired.

Source: Welch (1947) Biometrika 34; Yuen (1974) Biometrika 61; Student (1908) Biometrika 6. For the
IQM itself see `qfix.stats.estimates`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, stdtr, stdtrit

from qfix.errors import option_error
from qfix.stats.estimates import ESTIMATES

Floats = NDArray[np.float64]

ROUNDING = 1e-12
"""Spread and differences below this share of the largest score are rounding, not results."""
LARGEST = 1e100
"""Beyond, variances of variances are no numbers any more."""
COMPARED = ("mean", "iqm")
"""Estimates whose standard error has a formula that holds at few seeds."""


class Difference(NamedTuple):
    """Of two samples, or of one of paired differences."""

    value: float
    """a - b."""
    std_error: float
    """0 without spread; NaN where a sample of one leaves it unknown."""
    df: float
    """Degrees of freedom; NaN with the standard error."""


class Answer(NamedTuple):
    """What a test says of a difference."""

    p_value: float
    """Two-sided."""
    low: float
    """Lower end of the interval of the difference; -inf where none can be given."""
    high: float
    """Upper end; inf where none can be given."""


def as_scores(owner: str, run: str, scores: ArrayLike) -> Floats:
    """One finite score a seed, as an array (n,).

    Raises:
        OptionError: not a list of numbers, empty, or with a number that is not finite or whose square is not; names the
            run and the seed.
    """
    try:
        x = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        x = np.empty((0, 0))
    if x.ndim != 1 or x.size == 0:
        raise option_error(
            owner, run, "must be a list of one score a seed", scores, "Give each seed its mean return."
        )
    bad = ~(np.abs(x) < LARGEST)
    if bad.any():
        place = int(np.flatnonzero(bad)[0])
        raise option_error(
            owner,
            run,
            f"must have a score below {LARGEST:g} in size for every seed, and that at place {place} is none",
            float(x[place]),
            "Count that seed as a failure: give it the score that a failure is worth, or leave it out and say so.",
        )
    return x


def check_paired(owner: str, a: Floats, b: Floats) -> None:
    """Pairs need as many scores on either side.

    Raises:
        OptionError: they differ in number.
    """
    if len(a) != len(b):
        raise option_error(
            owner,
            "paired",
            "needs the same seeds in both",
            f"{len(a)} and {len(b)} scores",
            "Use paired=False, or give both the same seeds in the same order.",
        )


def check_choice(owner: str, name: str, value: str, known: tuple[str, ...]) -> None:
    """One of a few words.

    Raises:
        OptionError: it is another one.
    """
    if value not in known:
        raise option_error(
            owner, name, f"must be one of {', '.join(known)}", value, f"Use {name}={known[0]!r}."
        )


def check_between(owner: str, name: str, value: float, low: float, high: float, remedy: str) -> None:
    """A number inside an open interval.

    Raises:
        OptionError: it is not.
    """
    if not (isinstance(value, (int, float, np.number)) and low < value < high):
        raise option_error(owner, name, f"must be above {low:g} and below {high:g}", value, remedy)


def _centre(x: Floats, estimate: str) -> tuple[Floats, Floats, int]:
    """(centre, its squared standard error, h), over the last axis."""
    n = x.shape[-1]
    cut = n // 4 if estimate == "iqm" else 0
    left = n - 2 * cut
    middle = np.asarray(ESTIMATES[estimate].of(x[..., None]), dtype=np.float64)
    if left < 2:
        return middle, np.full_like(middle, np.nan), left
    if cut:
        ordered = np.sort(x, axis=-1)
        x = np.clip(ordered, ordered[..., cut, None], ordered[..., n - 1 - cut, None])
    return middle, x.var(-1) * n / (left * (left - 1)), left


def _studentise(d: Floats, parts: list[tuple[Floats, int]], scale: float) -> tuple[Floats, Floats, Floats]:
    """(d, s, ν), with what is rounding set to 0."""
    d = np.where(np.abs(d) <= ROUNDING * scale, 0.0, d)
    square = np.sum([part for part, _ in parts], axis=0)
    flat = square <= (ROUNDING * scale) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        df = square**2 / np.sum([part**2 / (left - 1) for part, left in parts], axis=0)
    lowest = float(sum(left - 1 for _, left in parts))
    return d, np.where(flat, 0.0, np.sqrt(square)), np.where(flat, lowest, df)


def unpaired(a: Floats, b: Floats, estimate: str, scale: float) -> tuple[Floats, Floats, Floats]:
    """(d, s, ν) of (..., n_a) and (..., n_b) scores; what is below `ROUNDING` of `scale` counts as 0."""
    (ca, va, na), (cb, vb, nb) = _centre(a, estimate), _centre(b, estimate)
    if na < 2 or nb < 2:
        return ca - cb, np.full_like(ca, np.nan), np.full_like(ca, np.nan)
    return _studentise(ca - cb, [(va, na), (vb, nb)], scale)


def one_sample(x: Floats, estimate: str, scale: float) -> tuple[Floats, Floats, Floats]:
    """(centre, s, ν) of (..., n) scores or differences."""
    c, v, n = _centre(x, estimate)
    if n < 2:
        return c, np.full_like(c, np.nan), np.full_like(c, np.nan)
    return _studentise(c, [(v, n)], scale)


def difference(a: Floats, b: Floats, estimate: str = "mean", paired: bool = False) -> Difference:
    """d, s and ν of the head of this module.

    Args:
        a: (n_a,) scores.
        b: (n_b,) scores; of the same seeds in the same order if paired.
        estimate: "mean" or "iqm".
        paired: the difference is taken seed by seed.
    """
    scale = scale_of(a, b)
    d, s, df = one_sample(a - b, estimate, scale) if paired else unpaired(a, b, estimate, scale)
    return Difference(float(d), float(s), float(df))


def location(x: Floats, estimate: str = "mean") -> Difference:
    """Of one sample: its centre, the standard error and the degrees of freedom."""
    return Difference(*(float(part) for part in one_sample(x, estimate, scale_of(x, x))))


def t_test(found: Difference, permutations: int, alpha: float) -> Answer:
    """Is the difference 0? By Student's t; by counting where there is no spread.

    For normal scores and equal numbers of seeds P(p ≤ 5 %) lies between 3.5 % (n = 3) and 5 %; see `qfix.stats.judge`
    for others.

    Args:
        found: of `difference`.
        permutations: C(n_a + n_b, n_a), or 2ⁿ paired: used without spread alone.
        alpha: 1 - confidence of the interval.

    Returns:
        An interval that holds 0 exactly where p > alpha; without one, (-inf, inf).
    """
    d, s, df = found
    if math.isnan(s):
        return Answer(1.0, -math.inf, math.inf)
    if s == 0:
        least = min(1.0, 2 / permutations)
        ends = (d, d) if least <= alpha else (-math.inf, math.inf)
        return Answer(least if d else 1.0, *ends)
    half = float(stdtrit(df, 1 - alpha / 2)) * s
    return Answer(float(2 * stdtr(df, -abs(d / s))), d - half, d + half)


def count_permutations(n_a: int, n_b: int, paired: bool) -> int:
    """How many ways there are to deal the scores to a and b."""
    return 2**n_a if paired else math.comb(n_a + n_b, n_a)


def has_spread(a: Floats, b: Floats, paired: bool) -> bool:
    """Do the scores of a or b (paired, the differences) vary from seed to seed by more than rounding?"""
    widest = np.ptp(a - b) if paired else max(np.ptp(a), np.ptp(b))
    return bool(widest > ROUNDING * scale_of(a, b))


def scale_of(a: Floats, b: Floats) -> float:
    """The largest score, against which rounding is measured."""
    return float(max(np.abs(a).max(), np.abs(b).max()))


def effect_size(a: Floats, b: Floats, paired: bool) -> float:
    """The difference of the means in standard deviations, corrected for few seeds.

        g* = J(ν) (ā - b̄) / √((s_a² + s_b²) / 2),    J(ν) = Γ(ν/2) / (√(ν/2) Γ((ν-1)/2))
        ν = (n_a - 1)(n_b - 1)(s_a² + s_b²)² / ((n_b - 1) s_a⁴ + (n_a - 1) s_b⁴)

    Paired, J(n - 1) times the mean difference over the standard deviation of the differences. NaN with one seed.

    Source: Hedges (1981) Journal of Educational Statistics 6, for J; Delacre et al. (2021), Why Hedges' g*s based on
    the non-pooled standard deviation should be reported with Welch's t-test.
    """
    n, m = len(a), len(b)
    if min(n, m) < 2:
        return math.nan
    scale = max(np.abs(a).max(), np.abs(b).max())
    gap = float(np.mean(a) - np.mean(b))
    if abs(gap) <= ROUNDING * scale:
        return 0.0
    if paired:
        variance, df = float(np.var(a - b, ddof=1)), n - 1.0
    else:
        v, w = float(np.var(a, ddof=1)), float(np.var(b, ddof=1))
        variance = (v + w) / 2
        spread = (m - 1) * v**2 + (n - 1) * w**2
        df = (n - 1) * (m - 1) * (v + w) ** 2 / spread if spread else n + m - 2.0
    if variance <= (ROUNDING * scale) ** 2:
        return math.copysign(math.inf, gap)
    if df <= 1:
        return math.nan
    return math.exp(gammaln(df / 2) - gammaln((df - 1) / 2)) / math.sqrt(df / 2) * gap / math.sqrt(variance)
