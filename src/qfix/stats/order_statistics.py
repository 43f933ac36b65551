"""Intervals for the median from the sorted scores.

The number of n scores below the median of a continuous distribution is Bin(n, 1/2) whatever the distribution is, so

    P( x_(r) <= median <= x_(n+1-r) ) = 1 - 2 P(Bin(n, 1/2) < r)

With r = 1 that is 1 - 2^{1-n}: below 6 seeds not even the range of the scores reaches 95 %. Beyond it nothing holds
without a shape assumed, and what is assumed here is that the range tells how far to go, as it does for a normal.
"""

from __future__ import annotations

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import bdtr, ndtr


def median_rank(n: int, confidence: float) -> int:
    """The largest r for which [x_(r), x_(n+1-r)] holds the median with at least `confidence`; 0 if none does.

    >>> [median_rank(n, 0.95) for n in (5, 6, 10, 20)]
    [0, 1, 2, 6]

    Args:
        n: number of seeds.
        confidence: in (0, 1).

    Source: Thompson (1936), "On Confidence Ranges for the Median and Other Expectation Distributions for Populations
    of Unknown Distribution Form", Annals of Mathematical Statistics 7.
    """
    alpha = 0.5 * (1.0 - confidence)
    r = 0
    while bdtr(r, n, 0.5) <= alpha * (1.0 + 1e-12):
        r += 1
    return r


def range_extension(n: int, confidence: float) -> float:
    """c: how many ranges beyond the scores to go, on either side, to hold the centre of a normal population.

        P(x_(1) - c R > 0) = ∫_0^∞ n φ(x) [Φ(x (1 + 1/c)) - Φ(x)]^{n-1} dx = (1 - confidence)/2

    as x_(1) - c R > 0 where all scores are above 0 and the highest is below (1 + 1/c) times the lowest. It falls
    with c, from 2⁻ⁿ, so that c = 0 where the range alone is enough.

    Args:
        n: number of seeds, at least 2.
        confidence: in (0, 1).

    Source: derived here. For n = 2 it is Student's t interval.
    """
    alpha = 0.5 * (1.0 - confidence)
    if 0.5**n <= alpha:
        return 0.0

    def excess(log_c: float) -> float:
        stretch = 1.0 + np.exp(-log_c)

        def density(x: float) -> float:
            return n * np.exp(-0.5 * x * x) * (ndtr(x * stretch) - ndtr(x)) ** (n - 1)

        return quad(density, 0.0, 40.0, limit=200)[0] / np.sqrt(2.0 * np.pi) - alpha

    return float(np.exp(brentq(excess, -40.0, 40.0)))
