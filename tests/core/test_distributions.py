"""Distributions of actions: by hand, against SciPy, and as integrals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from qfix.core import distributions, surrogates
from qfix.errors import OptionError


def test_categorical_log_prob_by_hand():
    logits = np.log(np.array([[1.0, 3.0, 4.0], [2.0, 2.0, 1.0]])) + 5.0
    found = distributions.categorical_log_prob(logits, np.array([1, 2]))
    np.testing.assert_allclose(found, np.log([3 / 8, 1 / 5]), rtol=1e-13)


def test_gaussian_log_prob_is_the_density():
    x, mean, std = np.array([0.3, -2.0, 5.0]), np.array([0.1, 1.0, 5.0]), np.array([0.5, 2.0, 3.0])
    found = distributions.gaussian_log_prob(x, mean, np.log(std))
    np.testing.assert_allclose(found, stats.norm.logpdf(x, mean, std), rtol=1e-13)


def test_gaussian_entropy_is_the_entropy():
    std = np.array([0.01, 1.0, 7.0])
    np.testing.assert_allclose(distributions.gaussian_entropy(np.log(std)), stats.norm.entropy(0, std))


@given(st.floats(-300, 300))
def test_the_slope_of_tanh_stays_finite(x):
    found = distributions.squash_log_slope(np.array(x))
    assert -2 * abs(x) <= found <= 0.0
    if abs(x) < 6:
        assert found == pytest.approx(np.log1p(-(np.tanh(x) ** 2)), rel=1e-7, abs=1e-12)


def test_a_squashed_density_is_the_slope_of_its_distribution():
    a, h, mean, std = np.array([-0.9, -0.2, 0.4, 0.97]), 1e-6, 0.3, 0.8
    below, above = (stats.norm.cdf(np.arctanh(a + s * h), mean, std) for s in (-1, 1))
    x = np.arctanh(a)
    log_prob = distributions.gaussian_log_prob(x, np.full(4, mean), np.full(4, np.log(std)))
    found = np.exp(log_prob - distributions.squash_log_slope(x))
    np.testing.assert_allclose(found, (above - below) / (2 * h), rtol=1e-6)


@pytest.mark.parametrize(("mean", "std", "within"), [(0.7, 0.3, 1e-8), (-1.5, 1.0, 1e-5), (2.0, 3.0, 0.02)])
def test_the_entropy_of_a_squashed_density_is_its_mean_surprise(mean, std, within):
    x = np.linspace(mean - 9 * std, mean + 9 * std, 200_001)
    log_prob = stats.norm.logpdf(x, mean, std) - distributions.squash_log_slope(x)
    entropy = integrate.trapezoid(-stats.norm.pdf(x, mean, std) * log_prob, x)
    found = distributions.squashed_gaussian_entropy(np.array(mean), np.log(np.array(std)))
    assert float(found) == pytest.approx(entropy, abs=within)


def test_the_entropy_of_numbered_actions_is_their_mean_surprise(rng):
    logits = rng.normal(size=4)
    log_prob = np.array([distributions.categorical_log_prob(logits, np.array(a)) for a in range(4)])
    assert surrogates.entropy(logits) == pytest.approx(-(np.exp(log_prob) @ log_prob), rel=1e-13)


REFUSED = {
    "action": lambda: distributions.categorical_log_prob(np.ones((2, 3)), np.zeros(3, int)),
    "mean": lambda: distributions.gaussian_log_prob(np.ones(3), np.ones((3, 1)), np.ones(3)),
    "log_std": lambda: distributions.squashed_gaussian_entropy(np.ones(3), np.ones(2)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_argument_is_named(name):
    with pytest.raises(OptionError, match=f"The '{name}' parameter of "):
        REFUSED[name]()
