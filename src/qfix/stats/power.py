"""How many seeds a difference needs, and what a number of seeds can show.

The power of a test is the probability that it finds a true difference Δ. For normal scores it is exact here. Paired,

    power = P(|T| > t_{ν, 1-α/2}),    T ~ noncentral t with ν = n - 1 and shift Δ / (σ / √n)

with σ the standard deviation of the differences. Unpaired, the degrees of freedom of Welch's test depend on the
sample variances. Given B = χ_a² / (χ_a² + χ_b²), the share of a in the sum of squares in units of each σ², they are
fixed, and

    power = E_B[ P(|T| > t_{ν(B), 1-α/2} √(k c(B)) / τ) ],    B ~ Beta((n_a - 1)/2, (n_b - 1)/2)
    c(B) = σ_a² B / (n_a (n_a - 1)) + σ_b² (1 - B) / (n_b (n_b - 1)),    τ² = σ_a² / n_a + σ_b² / n_b

with T ~ noncentral t with k = n_a + n_b - 2 and shift Δ / τ, since the sum of squares is independent of B and of the
means. The expectation is taken by Gauss's rule with 64 points over the quantiles of B.

At Δ = 0 the power is the rate of false alarms.

Source: Cohen (1988) Statistical power analysis, chapter 2; Colas, Sigaud and Oudeyer (2018), How many random seeds?,
for its use here; Lee and Gurland (1975) JASA 70 for the conditioning on the ratio of variances.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import betaincinv, gammainc, nctdtr, stdtrit

from qfix.errors import option_error
from qfix.stats.difference import Floats, check_between

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_QUANTILES, _SHARES = (_NODES + 1) / 2, _WEIGHTS / 2
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)
_PLACES, _MASSES = (_NODES + 1) / 2, _WEIGHTS / 2
_FAR = 9.0  # no standard normal number is beyond
MOST_SEEDS = 10_000_000
"""Where `required_seeds` gives up."""


def power(
    n: int,
    difference: float,
    std: float,
    *,
    n_b: int | None = None,
    std_b: float | None = None,
    alpha: float = 0.05,
    paired: bool = False,
) -> float:
    """Probability that Welch's t test, or the paired one, finds a true difference between normal scores.

    Args:
        n: seeds of a, and of b unless `n_b` says otherwise; at least 2.
        difference: Δ, in units of the score; its sign does not matter.
        std: σ of the scores of a, and of b unless `std_b` says otherwise; paired, of the differences seed by seed.
        n_b, std_b: of b, where they differ.
        alpha: rate of false alarms the test is held to.
        paired: seed by seed.

    Raises:
        OptionError: a number out of range.

    >>> round(power(64, difference=0.5, std=1.0), 3)
    0.801
    """
    m, spread_b = n if n_b is None else n_b, std if std_b is None else std_b
    _check("power", n, m, std, spread_b, alpha)
    if paired and (m != n or std_b is not None):
        raise option_error(
            "power",
            "paired",
            "takes one n and one std, of the differences",
            (n_b, std_b),
            "Leave out n_b and std_b.",
        )
    return _power(n, m, abs(difference), std, spread_b, alpha, paired)


def required_seeds(
    difference: float, std: float, power: float = 0.8, alpha: float = 0.05, paired: bool = False
) -> int:
    """The least number of seeds, of either side, with which a true difference is found with the given probability.

    Args:
        difference: Δ that would matter, in units of the score; not 0.
        std: σ of the scores of either side; paired, of the differences.
        power: probability to find it.
        alpha: rate of false alarms.
        paired: seed by seed.

    Returns:
        n ≥ 3 with power(n) ≥ power > power(n - 1), or 3 where fewer would do: with fewer nothing is claimed.

    Raises:
        OptionError: a number out of range, or more than 10 million seeds are needed.

    >>> required_seeds(difference=0.8, std=1.0), required_seeds(difference=0.8, std=1.0, paired=True)
    (26, 15)
    """
    owner = "required_seeds"
    _check(owner, 2, 2, std, std, alpha)
    check_between(owner, "power", power, alpha, 1, "Use power=0.8.")
    remedy = "Say which difference would matter to you."
    check_between(owner, "difference", abs(difference), 0, math.inf, remedy)

    def enough(n: int) -> bool:
        return _power(n, n, abs(difference), std, std, alpha, paired) >= power

    high = 3
    while not enough(high):
        high *= 2
        if high > MOST_SEEDS:
            raise option_error(
                owner, "difference", f"needs more than {MOST_SEEDS:,} seeds", difference, remedy
            )
    low = max(3, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high


def detectable_difference(
    n: int,
    std: float,
    power: float = 0.8,
    alpha: float = 0.05,
    paired: bool = False,
    *,
    n_b: int | None = None,
    std_b: float | None = None,
) -> float:
    """The true difference that n seeds find with the given probability: `power` solved for Δ.

    Args:
        n, n_b: seeds; at least 2.
        std, std_b: standard deviations; paired, that of the differences.
        power: probability to find it.
        alpha: rate of false alarms.
        paired: seed by seed.

    Raises:
        OptionError: a number out of range.

    >>> round(detectable_difference(n=10, std=2.0), 2)
    2.66
    """
    owner = "detectable_difference"
    m, spread_b = n if n_b is None else n_b, std if std_b is None else std_b
    _check(owner, n, m, std, spread_b, alpha)
    check_between(owner, "power", power, alpha, 1, "Use power=0.8.")
    unit = math.sqrt(std**2 / n + spread_b**2 / m)
    if unit == 0:
        return 0.0
    return unit * _solve(lambda x: _power(n, m, x * unit, std, spread_b, alpha, paired), power)


def detectable_shift(df: float, power: float, alpha: float) -> float:
    """The true difference, in standard errors, that a t test of so many degrees of freedom finds with this probability.

    P(|T| > t_{ν, 1-α/2}) = power for T ~ noncentral t with ν and this shift: z_{1-α/2} + z_power for large ν.
    """
    limit = np.atleast_1d(stdtrit(df, 1 - alpha / 2))
    beyond = _by_quadrature if df <= 100 else _beyond  # the faster one; it needs a smooth χ
    return _solve(lambda x: float(beyond(df, x, limit)[0]), power, first=1.3 * float(limit[0]) + 2)


def _solve(of: Callable[[float], float], power: float, first: float = 4.0) -> float:
    high = first
    while of(high) < power:
        high *= 2
    return float(brentq(lambda x: of(x) - power, 0.0, high, xtol=1e-9, rtol=1e-9))


def _power(n: int, m: int, shift: float, std: float, std_b: float, alpha: float, paired: bool) -> float:
    error = std / math.sqrt(n) if paired else math.sqrt(std**2 / n + std_b**2 / m)
    if error == 0:
        return 1.0 if shift else 0.0
    if paired:
        df = float(n - 1)
        return float(_beyond(df, shift / error, stdtrit(df, 1 - alpha / 2))[0])
    share = betaincinv((n - 1) / 2, (m - 1) / 2, _QUANTILES)
    a, b = std**2 * share / (n * (n - 1)), std_b**2 * (1 - share) / (m * (m - 1))
    df = (a + b) ** 2 / (a**2 / (n - 1) + b**2 / (m - 1))
    limit = stdtrit(df, 1 - alpha / 2) * np.sqrt((n + m - 2) * (a + b)) / error
    return min(1.0, float(_SHARES @ _beyond(n + m - 2, shift / error, limit)))


def _beyond(df: float, shift: float, limit: ArrayLike) -> Floats:
    """(L,) P(|T| > limit) of the noncentral t with `df` degrees of freedom, for (L,) limits."""
    limits = np.atleast_1d(np.asarray(limit, dtype=np.float64))
    found = 1 - nctdtr(df, shift, limits) + nctdtr(df, shift, -limits)
    lost = np.isnan(found)
    if lost.any():  # SciPy's series breaks off here and there at large shifts
        found[lost] = _by_quadrature(df, shift, limits[lost])
    return found


def _by_quadrature(df: float, shift: float, limits: Floats) -> Floats:
    """P(|Z + shift| > limit · S) with ν S² ~ χ²_ν: ∫ φ(z) P(S < |z + shift| / limit) dz by Gauss's rule.

    In two pieces, since |z + shift| has a kink.
    """
    kink = max(-shift, -_FAR)
    found = np.zeros(len(limits))
    for low, high in ((-_FAR, kink), (kink, _FAR)):
        z = low + (high - low) * _PLACES
        weight = (high - low) * _MASSES * np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
        found += gammainc(df / 2, df / 2 * ((z + shift) / limits[:, None]) ** 2) @ weight
    return found


def _check(owner: str, n: int, m: int, std: float, std_b: float, alpha: float) -> None:
    for name, count in (("n", n), ("n_b", m)):
        if not isinstance(count, (int, np.integer)) or isinstance(count, bool) or count < 2:
            raise option_error(owner, name, "must be a whole number of at least 2", count, "Use n=10.")
    for name, spread in (("std", std), ("std_b", std_b)):
        if not (isinstance(spread, (int, float, np.number)) and 0 <= spread < math.inf):
            raise option_error(
                owner, name, "must be a number of at least 0", spread, "Use that of a pilot run."
            )
    check_between(owner, "alpha", alpha, 0, 1, "Use alpha=0.05.")
