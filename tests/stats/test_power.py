"""Power against tables of the literature, SciPy's noncentral t and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import stdtr

from qfix.errors import OptionError
from qfix.stats.difference import unpaired
from qfix.stats.power import (
    _beyond,
    _by_quadrature,
    detectable_difference,
    detectable_shift,
    power,
    required_seeds,
)


@pytest.mark.parametrize(("d", "n"), [(0.2, 393), (0.3, 175), (0.5, 64), (0.8, 26), (1.0, 17)])
def test_seeds_of_cohens_table(d, n):
    """Cohen (1988), table 2.4.1, two-sided 5 %, power 0.80: for equal variances known to be equal; Welch takes one more
    at most, since it does not know."""
    assert n <= required_seeds(d, 1.0) <= n + 1
    assert required_seeds(3 * d, 3.0) == required_seeds(d, 1.0)


@pytest.mark.parametrize(("d", "n"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_pairs_of_the_standard_programs(d, n):
    """G*Power (Faul et al. 2007), matched pairs, two-sided 5 %, power 0.80."""
    assert required_seeds(d, 1.0, paired=True) == n


def test_power_of_cohens_table():
    """Cohen (1988), table 2.3.5: n = 20 has 0.33 at d = 0.5 and 0.69 at d = 0.8; n = 50 has 0.70 at d = 0.5."""
    assert power(20, 0.5, 1.0) == pytest.approx(0.33, abs=0.01)
    assert power(20, 0.8, 1.0) == pytest.approx(0.69, abs=0.01)
    assert power(50, 0.5, 1.0) == pytest.approx(0.70, abs=0.01)
    assert power(20, -0.8, 1.0) == power(20, 0.8, 1.0)


@pytest.mark.parametrize(("n", "shift", "std"), [(3, 2.0, 1.0), (7, 1.3, 2.0), (40, 0.5, 1.1)])
def test_paired_power_is_the_noncentral_t(n, shift, std):
    nc, limit = shift / (std / math.sqrt(n)), stats.t.ppf(0.975, n - 1)
    peer = stats.nct.sf(limit, n - 1, nc) + stats.nct.cdf(-limit, n - 1, nc)
    assert power(n, shift, std, paired=True) == pytest.approx(peer, rel=1e-10)


def test_many_seeds_come_near_students_power():
    """With 200 seeds and equal spreads Welch's degrees of freedom hardly vary."""
    nc, df = 0.3 * math.sqrt(100), 398
    peer = stats.nct.sf(stats.t.ppf(0.975, df), df, nc) + stats.nct.cdf(-stats.t.ppf(0.975, df), df, nc)
    assert power(200, 0.3, 1.0) == pytest.approx(peer, abs=2e-5)


@pytest.mark.parametrize(
    ("n", "m", "shift", "std", "std_b"),
    [
        (2, 2, 3, 1, 1),
        (3, 3, 2, 1, 1),
        (3, 10, 1, 2, 1),
        (5, 8, 1.5, 1, 3),
        (3, 3, 0, 1, 4),
        (10, 10, 0, 1, 1),
    ],
)
def test_power_is_what_simulation_finds(n, m, shift, std, std_b):
    """100 000 experiments, seed 31: within 4 standard errors, false alarm 6e-5 each."""
    rng = np.random.default_rng(31)
    a, b = rng.normal(shift, std, (100_000, n)), rng.normal(0, std_b, (100_000, m))
    d, s, df = unpaired(a, b, "mean", 0.0)
    rate = float(np.mean(2 * stdtr(df, -np.abs(d / s)) <= 0.05))
    told = power(n, shift, std, n_b=m, std_b=std_b)
    assert abs(rate - told) < 4 * math.sqrt(told * (1 - told) / 100_000)


@pytest.mark.parametrize("df", [1.0, 1.3, 4.0, 18.0, 200.0])
@pytest.mark.parametrize("shift", [0.0, 0.5, 3.0, 8.0, 20.0])
def test_the_quadrature_stands_in_for_scipys_series(df, shift):
    limits = stats.t.ppf([0.975, 1 - 5e-6], df)
    peer = 1 - stats.nct.cdf(limits, df, shift) + stats.nct.cdf(-limits, df, shift)
    ours = _by_quadrature(df, shift, limits)
    known = np.isfinite(peer)
    assert ours[known] == pytest.approx(peer[known], abs=1e-9)
    assert np.isfinite(_beyond(df, shift, limits)).all()


def test_required_seeds_are_the_fewest():
    for d in (0.4, 0.9, 1.7):
        for paired in (False, True):
            n = required_seeds(d, 1.3, power=0.9, alpha=0.01, paired=paired)
            assert power(n, d, 1.3, alpha=0.01, paired=paired) >= 0.9
            assert power(n - 1, d, 1.3, alpha=0.01, paired=paired) < 0.9
    assert required_seeds(1000.0, 1.0) == 3  # with fewer nothing is claimed


def test_detectable_difference_is_the_inverse():
    assert power(10, detectable_difference(10, 2.0), 2.0) == pytest.approx(0.8, abs=1e-8)
    assert power(7, detectable_difference(7, 2.0, 0.95, paired=True), 2.0, paired=True) == pytest.approx(
        0.95, abs=1e-8
    )
    told = detectable_difference(5, 1.0, n_b=9, std_b=3.0)
    assert power(5, told, 1.0, n_b=9, std_b=3.0) == pytest.approx(0.8, abs=1e-8)
    assert detectable_difference(10, 0.0) == 0


def test_detectable_shift_of_many_degrees_of_freedom():
    """z_0.975 + z_0.8 = 1.95996 + 0.84162."""
    assert detectable_shift(1e6, 0.8, 0.05) == pytest.approx(2.80158, abs=1e-4)
    assert detectable_shift(1.3, 0.99, 1e-5) > 1000


@pytest.mark.parametrize("df", [1.5, 4.0, 18.0, 99.0, 101.0])
def test_detectable_shift_is_where_the_noncentral_t_has_that_power(df):
    """The other tail has less than 1e-3 here, and SciPy gives NaN for it at 1.5."""
    upper = stats.nct.sf(stats.t.ppf(0.975, df), df, detectable_shift(df, 0.8, 0.05))
    assert 0.8 - 1e-3 < upper < 0.8 + 1e-7


def test_no_spread_finds_everything():
    assert power(5, 0.1, 0.0) == 1
    assert power(5, 0.0, 0.0) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: power(1, 1.0, 1.0), "'n' parameter of power must be a whole number of at least 2. Got 1"),
        (lambda: power(5, 1.0, -1.0), "'std'"),
        (lambda: power(5, 1.0, math.nan), "'std'"),
        (lambda: power(5, 1.0, 1.0, n_b=2.5), "'n_b'"),
        (lambda: power(5, 1.0, 1.0, n_b=6, paired=True), "takes one n"),
        (lambda: power(5, 1.0, 1.0, alpha=5), "'alpha'"),
        (lambda: required_seeds(0.0, 1.0), "'difference' .* Say which difference"),
        (lambda: required_seeds(1e-6, 1.0), "more than 10,000,000 seeds"),
        (lambda: required_seeds(1.0, 1.0, power=0.01), "'power'"),
        (lambda: detectable_difference(5, 1.0, power=1.0), "'power'"),
    ],
)
def test_what_has_no_power_is_refused(call, message):
    with pytest.raises(OptionError, match=message):
        call()
