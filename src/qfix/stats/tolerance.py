"""Where future seeds fall: tolerance intervals.

A confidence interval is about the mean, the IQM or the median, and shrinks to nothing with more seeds. A
(β, γ) tolerance interval is about seeds: with confidence γ, at least the share β of all future seeds scores inside it.
It is what somebody needs who will train once.

Normal scores. [x̄ - k s, x̄ + k s], where k solves, with ν = n - 1,

    √(2n/π) ∫_0^∞ P(χ²_ν > ν r(z)²/k²) e^{-n z²/2} dz = γ,     Φ(z + r) - Φ(z - r) = β

z is how far x̄ is off in standard deviations, and r the half width that then covers β. Howe's approximation,
k ≈ Φ⁻¹((1+β)/2) √(ν (1 + 1/n) / χ²_ν(1-γ)), agrees to 2 % for n >= 5 in the usual range.

Any continuous distribution. [x_(r), x_(s)] covers a share that is Beta(s - r, n - s + r + 1) distributed, so it is a
(β, γ) interval if

    P(Bin(n, β) <= s - r - 1) >= γ

For the range of the scores, r = 1 and s = n, that is 1 - n β^{n-1} + (n-1) β^n >= γ: 46 seeds for β = 0.9 and γ = 0.95.
Scores with ties are covered with at least that confidence.

Sources: Wilks (1941), "Determination of Sample Sizes for Setting Tolerance Limits", Annals of Mathematical
Statistics 12. Howe (1969), "Two-Sided Tolerance Limits for Normal Populations: Some Improvements", JASA 64.
Krishnamoorthy & Mathew (2009), "Statistical Tolerance Regions", Section 2.3 (the exact factor) and Chapter 8 (order
statistics).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import betainc, chdtrc, chdtri, ndtr, ndtri

from qfix.errors import option_error, unknown_name
from qfix.stats.estimates import as_table

METHODS = ("normal", "order")
"""Normal theory, or order statistics whatever the distribution."""


@dataclass(frozen=True)
class Tolerance:
    """An interval that holds at least a share of all future seeds, with confidence."""

    low: float
    """Lower limit; NaN where none is defined, -inf where nothing can be said."""
    high: float
    """Upper limit."""
    share: float
    """β, of future seeds."""
    confidence: float
    """γ, that the interval holds them."""
    method: str
    """"normal" or "order"."""
    n: int
    """Number of seeds."""
    seeds_needed: int
    """With how many seeds their range is such an interval whatever the distribution."""
    note: str
    """What a reader has to know; "" where nothing."""

    def __str__(self) -> str:
        text = (
            f"with confidence {self.confidence:.4g}, {self.share:.4g} of future seeds score in "
            f"[{self.low:.6g}, {self.high:.6g}] ({self.method}, n={self.n})"
        )
        return f"{text}. {self.note}" if self.note else text

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def tolerance(
    scores: ArrayLike, share: float = 0.9, confidence: float = 0.95, method: str = "auto"
) -> Tolerance:
    """An interval that holds at least the share β of all future seeds with confidence γ; see the module.

    Args:
        scores: (seeds,) finite numbers.
        share: β in (0, 1).
        confidence: γ in (0, 1).
        method: "normal", "order", or "auto": order statistics from `seeds_needed` seeds on, normal theory below.

    Returns:
        The interval. With one seed normal theory has no limits: NaN. With fewer seeds than needed the limits of
        order statistics are infinite, and the note says how many are needed.

    Raises:
        OptionError: a score is not finite, or an option is out of range.
        UnknownNameError: no such method.

    Source: see the module.
    """
    table = as_table(scores, "tolerance")
    if table.shape[1] > 1:
        remedy = "Ask for each task by itself."
        raise option_error("tolerance", "scores", "must be (seeds,)", table.shape, remedy)
    x = np.sort(table[:, 0])
    n = len(x)
    needed = seeds_needed(share, confidence)
    if method == "auto":
        method = "order" if n >= needed else "normal"
    if method not in METHODS:
        raise unknown_name("method", method, (*METHODS, "auto"))
    low, high, note = np.nan, np.nan, ""
    if method == "order":
        low, high = _by_order(x, share, confidence)
        if n < needed:
            held = betainc(n - 1, 2, share) if n > 1 else 1.0
            note = f"Needs {needed} seeds: the range of {n} holds that share with confidence {1.0 - held:.2g} only."
    elif n == 1:
        note = "One seed shows no spread, so there is no interval: run at least 3, better 10."
    else:
        half = tolerance_factor(n, share, confidence) * float(x.std(ddof=1))
        low, high = float(x.mean()) - half, float(x.mean()) + half
        note = f"Rests on normal scores: skew, or a few seeds that fail, break it. {needed} seeds do without that."
    return Tolerance(low, high, share, confidence, method, n, needed, note)


def seeds_needed(share: float = 0.9, confidence: float = 0.95) -> int:
    """The smallest n whose range is a (β, γ) tolerance interval: 1 - n β^{n-1} + (n-1) β^n >= γ.

    >>> seeds_needed(0.9, 0.95), seeds_needed(0.95, 0.95), seeds_needed(0.99, 0.95)
    (46, 93, 473)

    Args:
        share: β in (0, 1).
        confidence: γ in (0, 1).

    Source: Wilks (1941).
    """
    _check_level("share", share)
    _check_level("confidence", confidence)
    enough = 2
    while betainc(enough - 1, 2, share) > 1.0 - confidence:
        enough *= 2
    few = enough // 2
    while enough - few > 1:
        middle = (few + enough) // 2
        if middle > 1 and betainc(middle - 1, 2, share) <= 1.0 - confidence:
            enough = middle
        else:
            few = middle
    return enough


@lru_cache(maxsize=256)
def tolerance_factor(n: int, share: float = 0.9, confidence: float = 0.95) -> float:
    """The exact k of the two-sided normal tolerance interval x̄ ± k s; see the module.

    Args:
        n: number of seeds, at least 2.
        share: β in (0, 1).
        confidence: γ in (0, 1).

    Source: Krishnamoorthy & Mathew (2009), Section 2.3.
    """
    _check_level("share", share)
    _check_level("confidence", confidence)
    if n < 2:
        raise option_error("tolerance_factor", "n", "must be at least 2", n, "Run more seeds.")
    node, weight = np.polynomial.legendre.leggauss(128)
    # x̄ is off by more than 9 standard errors with probability 2e-19
    z = 4.5 * (node + 1.0) / np.sqrt(n)
    density = 4.5 * weight * np.sqrt(2.0 / np.pi) * np.exp(-0.5 * n * z * z)
    half = np.array([_half_width(off, share) for off in z])
    freedom = n - 1

    def excess(k: float) -> float:
        return float((density * chdtrc(freedom, freedom * (half / k) ** 2)).sum()) - confidence

    howe = ndtri(0.5 * (1.0 + share)) * np.sqrt(freedom * (1.0 + 1.0 / n) / chdtri(freedom, confidence))
    low, high = 0.5 * howe, 2.0 * howe
    while excess(low) > 0.0:
        low *= 0.5
    while excess(high) < 0.0:
        high *= 2.0
    return float(brentq(excess, low, high, xtol=1e-12, rtol=1e-12))


def _half_width(z: float, share: float) -> float:
    """r for which Φ(z + r) - Φ(z - r) = β."""
    top = z + ndtri(0.5 * (1.0 + share)) + 1.0
    return float(brentq(lambda r: ndtr(z + r) - ndtr(z - r) - share, 0.0, top))


def _by_order(x: np.ndarray, share: float, confidence: float) -> tuple[float, float]:
    """The shortest span of sorted scores that is enough, as far in the middle as it goes; infinite if none is."""
    n = len(x)
    # the share between x_(r) and x_(s) is above β with probability 1 - I_β(s - r, n - s + r + 1)
    spans = np.arange(1, n)
    enough = spans[betainc(spans, n - spans + 1, share) <= 1.0 - confidence]
    if len(enough) == 0:
        return -np.inf, np.inf
    span = int(enough[0])
    first = (n - 1 - span) // 2
    return float(x[first]), float(x[first + span])


def _check_level(name: str, value: float) -> None:
    if not 0.0 < value < 1.0:
        raise option_error("tolerance", name, "must be in (0, 1)", value, f"Use {name}=0.95.")
