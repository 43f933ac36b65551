"""Tolerance intervals against published tables, and against the share of future seeds that they hold."""

import numpy as np
import pytest
from scipy import stats

from qfix.errors import OptionError, UnknownNameError
from qfix.stats import seeds_needed, tolerance
from qfix.stats.tolerance import tolerance_factor

SHARES = (0.90, 0.95, 0.99)


# Normal theory


@pytest.mark.parametrize(
    ("n", "k"),
    [
        (4, (5.37, 6.34, 8.22)),
        (5, (4.29, 5.08, 6.60)),
        (6, (3.73, 4.42, 5.76)),
        (8, (3.16, 3.75, 4.89)),
        (10, (2.86, 3.39, 4.44)),
        (20, (2.32, 2.76, 3.62)),
        (30, (2.15, 2.55, 3.35)),
        (60, (1.96, 2.34, 3.07)),
    ],
)
def test_the_factor_is_that_of_the_tables(n, k):
    """Berthouex & Brown (2002), "Statistics for Environmental Engineers", table 21.1: γ = 0.95, two decimals."""
    for share, published in zip(SHARES, k):
        assert tolerance_factor(n, share, 0.95) == pytest.approx(published, abs=0.0051)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("n", [5, 10, 30])
def test_howes_approximation_is_near(n, share):
    howe = stats.norm.ppf(0.5 * (1 + share)) * np.sqrt((n - 1) * (1 + 1 / n) / stats.chi2.ppf(0.05, n - 1))
    assert tolerance_factor(n, share, 0.95) == pytest.approx(howe, rel=0.02)


def test_with_endless_seeds_the_factor_is_the_normal_quantile():
    assert tolerance_factor(10_000_000, 0.9, 0.95) == pytest.approx(stats.norm.ppf(0.95), rel=1e-3)


def test_the_interval_is_mean_and_factor_times_deviation():
    found = tolerance([1.0, 2.0, 3.0, 6.0], share=0.9, confidence=0.95)
    deviation = np.sqrt((4 + 1 + 0 + 9) / 3)
    assert found.low == pytest.approx(3.0 - 5.3681 * deviation, abs=1e-3)
    assert found.high == pytest.approx(3.0 + 5.3681 * deviation, abs=1e-3)
    assert (found.method, found.n, found.seeds_needed) == ("normal", 4, 46)
    assert "Rests on normal scores" in found.note


@pytest.mark.parametrize(
    ("n", "share", "confidence"), [(2, 0.9, 0.95), (3, 0.9, 0.95), (5, 0.8, 0.9), (20, 0.95, 0.99)]
)
def test_normal_tolerance_holds_exactly_what_it_promises(n, share, confidence):
    """40,000 sets of normal seeds; the share of intervals that hold β of all is γ within 4.5 standard errors.

    A false alarm has probability 7e-6 in each case.
    """
    trials = 40_000
    x = np.random.default_rng(8).normal(size=(trials, n))
    half = tolerance_factor(n, share, confidence) * x.std(axis=1, ddof=1)
    held = stats.norm.cdf(x.mean(axis=1) + half) - stats.norm.cdf(x.mean(axis=1) - half)
    margin = 4.5 * np.sqrt(confidence * (1 - confidence) / trials)
    assert abs((held >= share).mean() - confidence) < margin


# Order statistics


@pytest.mark.parametrize(
    ("share", "confidence", "n"),
    [(0.9, 0.95, 46), (0.95, 0.95, 93), (0.99, 0.95, 473), (0.9, 0.9, 38), (0.5, 0.5, 3)],
)
def test_the_number_of_seeds_is_wilks(share, confidence, n):
    """46, 93, 473 and 38 are in tables of Wilks's formula; at β = 1/2, 1 - 3/4 + 2/8 = 1/2 for 3."""
    assert seeds_needed(share, confidence) == n
    enough = [1 - m * share ** (m - 1) + (m - 1) * share**m >= confidence - 1e-12 for m in (n - 1, n)]
    assert enough == [False, True]


def test_with_enough_seeds_the_range_is_taken_and_with_more_what_is_inside():
    shuffled = np.random.default_rng(1).permutation
    found = tolerance(shuffled(46), share=0.9, confidence=0.95)
    assert (found.low, found.high, found.method, found.note) == (0.0, 45.0, "order", "")
    found = tolerance(shuffled(200), share=0.9, confidence=0.95)
    # the smallest span with P(Bin(200, 0.9) <= span - 1) >= 0.95
    span = int(found.high - found.low)
    assert stats.binom.cdf(span - 1, 200, 0.9) >= 0.95 > stats.binom.cdf(span - 2, 200, 0.9)
    assert abs(found.low - (199 - found.high)) <= 1


def test_with_too_few_seeds_order_statistics_say_how_many_they_need():
    found = tolerance([3.0, 1.0, 2.0], share=0.9, confidence=0.95, method="order")
    assert (found.low, found.high) == (-np.inf, np.inf)
    # 1 - 3 β² + 2 β³ = 0.028
    assert found.note == "Needs 46 seeds: the range of 3 holds that share with confidence 0.028 only."
    assert tolerance([3.0], method="order").high == np.inf


@pytest.mark.parametrize("draw", ["exponential", "standard_cauchy", "standard_normal"])
def test_order_statistics_hold_their_promise_whatever_the_distribution(draw):
    """4,000 sets of 60 seeds, by their distribution function: a binomial bound with false-alarm probability 1e-6."""
    x = getattr(np.random.default_rng(5), draw)(size=(4_000, 60))
    cdf = {"exponential": stats.expon, "standard_cauchy": stats.cauchy, "standard_normal": stats.norm}[
        draw
    ].cdf
    found = [tolerance(row, share=0.85, confidence=0.9, method="order") for row in x]
    held = sum(cdf(f.high) - cdf(f.low) >= 0.85 for f in found)
    assert held >= stats.binom.ppf(1e-6, len(x), 0.9)
    assert {f.low for f in found}.isdisjoint({-np.inf})


# The edges


def test_one_seed_has_no_interval_and_two_have():
    one = tolerance([2.0])
    assert np.isnan([one.low, one.high]).all()
    assert "One seed" in one.note
    two = tolerance([2.0, 3.0])
    assert two.high - two.low == pytest.approx(2 * 31.0922 * np.sqrt(0.5), rel=1e-4)


def test_it_prints_what_it_means():
    text = str(tolerance(range(50)))
    assert text == "with confidence 0.95, 0.9 of future seeds score in [0, 49] (order, n=50)"
    assert str(tolerance([1, 2])).endswith(tolerance([1, 2]).note)
    assert tolerance([1, 2]).to_dict()["seeds_needed"] == 46


def test_what_is_refused():
    with pytest.raises(OptionError, match="'share' parameter of tolerance must be in"):
        tolerance([1.0, 2.0], share=90)
    with pytest.raises(OptionError, match="'confidence' parameter of tolerance must be in"):
        seeds_needed(0.9, 1.0)
    with pytest.raises(OptionError, match=r"'scores' parameter of tolerance must be \(seeds,\)"):
        tolerance([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(OptionError, match="'n' parameter of tolerance_factor must be at least 2"):
        tolerance_factor(1)
    with pytest.raises(UnknownNameError, match="Did you mean 'normal'"):
        tolerance([1.0, 2.0], method="norm")
