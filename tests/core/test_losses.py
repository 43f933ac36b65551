"""Losses: by hand, and by what minimises them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfix.core import losses, td
from qfix.errors import OptionError

ERROR = np.array([-3.0, -0.5, 0.0, 2.0])


def test_squared_by_hand():
    np.testing.assert_array_equal(losses.squared(ERROR), [4.5, 0.125, 0.0, 2.0])


def test_huber_by_hand():
    # Width 0.8: −3 costs 0.8·(3 − 0.4), 2 costs 0.8·(2 − 0.4).
    np.testing.assert_allclose(losses.huber(ERROR, 0.8), [2.08, 0.125, 0.0, 1.28], rtol=1e-14)


def test_huber_is_squared_when_wide_and_absolute_when_narrow():
    np.testing.assert_array_equal(losses.huber(ERROR, 3.0), losses.squared(ERROR))
    np.testing.assert_allclose(losses.huber(ERROR, 1e-9) / 1e-9, np.abs(ERROR), atol=1e-8)


@given(st.floats(0.1, 5))
def test_huber_joins_smoothly(delta):
    inside, outside = (losses.huber(np.array(delta + step), delta) for step in (-1e-7, 1e-7))
    assert (outside - inside) / 2e-7 == pytest.approx(delta, rel=1e-4)


def test_expectile_by_hand():
    np.testing.assert_allclose(losses.expectile(ERROR, 0.7), [2.7, 0.075, 0.0, 2.8], rtol=1e-14)


def test_expectile_of_a_half_is_squared():
    np.testing.assert_allclose(losses.expectile(ERROR, 0.5), losses.squared(ERROR), rtol=1e-15)


def test_quantile_huber_by_hand():
    # u = target − quantile: (−1.5, 0.5) for τ = 0.25, (−4, −2) for τ = 0.75; κ = 0.8.
    quantile, target, tau = np.array([2.0, 4.5]), np.array([0.5, 2.5]), np.array([0.25, 0.75])
    first = (0.75 * 0.8 * (1.5 - 0.4) + 0.25 * 0.125) / 0.8 / 2
    second = (0.25 * 0.8 * (4.0 - 0.4) + 0.25 * 0.8 * (2.0 - 0.4)) / 0.8 / 2
    assert losses.quantile_huber(quantile, target, tau, 0.8) == pytest.approx(first + second, rel=1e-14)
    plain = (0.75 * 1.5 + 0.25 * 0.5) / 2 + (0.25 * 4.0 + 0.25 * 2.0) / 2
    assert losses.quantile_huber(quantile, target, tau, 0) == pytest.approx(plain, rel=1e-14)


def test_quantile_levels_may_differ_by_row(rng):
    quantile, target, tau = rng.normal(size=(2, 3)), rng.normal(size=(2, 5)), rng.random((2, 3))
    both = losses.quantile_huber(quantile, target, tau, 1.0)
    for row in range(2):
        alone = losses.quantile_huber(quantile[row], target[row], tau[row], 1.0)
        assert both[row] == pytest.approx(alone, rel=1e-14)


@pytest.mark.parametrize("tau", [0.1, 0.3, 0.8])
def test_quantile_loss_is_least_at_the_quantile(tau):
    target, grid = np.arange(10.0), np.linspace(-1, 10, 111)
    loss = [losses.quantile_huber(np.array([x]), target, np.array([tau]), 0) for x in grid]
    best = grid[np.isclose(loss, np.min(loss))]
    assert best.min() == pytest.approx(10 * tau - 1)  # between the two order statistics any point serves
    assert best.max() == pytest.approx(10 * tau)


def test_expectile_loss_is_least_at_the_expectile():
    target, tau = np.array([0.0, 1.0, 5.0]), 0.8
    # 0.2·(x − 0) + 0.2·(x − 1) = 0.8·(5 − x) at x = 4.2/1.2 = 3.5.
    x = 3.5
    here, left, right = (losses.expectile(target - y, tau).sum() for y in (x, x - 1e-3, x + 1e-3))
    assert here < left
    assert here < right


ATOMS = np.array([-1.0, 0.0, 1.0, 2.0])


def test_categorical_projection_by_hand():
    # 0.3 lies three tenths of the way from 0 to 1; −7 and 9 go to the ends.
    mass = losses.categorical_projection(np.array([0.5, 0.3, 0.2]), np.array([0.3, -7.0, 9.0]), ATOMS)
    np.testing.assert_allclose(mass, [0.3, 0.35, 0.15, 0.2], rtol=1e-14)


def test_categorical_projection_onto_a_coarser_scale():
    # Spacing 2: 0.5 lies a quarter of the way from 0 to 2.
    mass = losses.categorical_projection(np.array([1.0]), np.array([0.5]), np.array([0.0, 2.0, 4.0]))
    np.testing.assert_allclose(mass, [0.75, 0.25, 0.0], rtol=1e-14)


@given(st.integers(0, 2**32 - 1))
def test_categorical_projection_keeps_mass_and_mean(seed):
    rng = np.random.default_rng(seed)
    atoms, probs = np.linspace(-5, 5, 11), rng.dirichlet(np.ones(11), 3)
    atoms_next = td.one_step(rng.normal(size=(3, 1)) * 0.2, 0.9, atoms)
    mass = losses.categorical_projection(probs, atoms_next, atoms)
    np.testing.assert_allclose(mass.sum(-1), 1.0, rtol=1e-12)
    assert np.all(mass >= 0)
    mean = np.sum(probs * np.clip(atoms_next, -5, 5), -1)
    np.testing.assert_allclose(mass @ atoms, mean, rtol=1e-10, atol=1e-12)


def test_categorical_projection_onto_the_same_atoms_is_the_identity(rng):
    probs = rng.dirichlet(np.ones(4), 5)
    atoms_next = np.broadcast_to(ATOMS, (5, 4))
    np.testing.assert_allclose(losses.categorical_projection(probs, atoms_next, ATOMS), probs, rtol=1e-15)


def test_clipped_prediction_by_hand():
    """It has moved by -3, -0.5, 0.5 and 2, and 0.75 is allowed."""
    old = np.array([1.0, 1.0, -2.0, -2.0])
    found = losses.clipped_prediction(old + np.array([-3.0, -0.5, 0.5, 2.0]), old, 0.75)
    np.testing.assert_array_equal(found, [0.25, 0.5, -1.5, -1.25])
    np.testing.assert_array_equal(losses.clipped_prediction(ERROR, old, 1e9), ERROR)


def test_explained_variance_by_hand():
    """Targets of variance 1.25, errors 0, 1, 0, 1 of variance 0.25; a constant counts for nothing."""
    target = np.array([[1.0, 2.0], [3.0, 4.0]])
    prediction = target - np.array([[0.0, 1.0], [0.0, 1.0]])
    assert losses.explained_variance(prediction, target) == pytest.approx(0.8, rel=1e-14)
    assert losses.explained_variance(prediction + 7.0, target) == pytest.approx(0.8, rel=1e-12)
    assert losses.explained_variance(np.full((2, 2), 3.3), target) == 0.0
    assert losses.explained_variance(-target, target) == pytest.approx(-3.0)


REFUSED = {
    "prediction_old": lambda: losses.clipped_prediction(ERROR, ERROR[:2], 0.1),
    "clip": lambda: losses.clipped_prediction(ERROR, ERROR, -0.1),
    "delta": lambda: losses.huber(ERROR, 0.0),
    "tau": lambda: losses.expectile(ERROR, -1e-9),
    "target": lambda: losses.quantile_huber(np.ones((2, 3)), np.ones(3), np.ones(3), 1.0),
    "kappa": lambda: losses.quantile_huber(np.ones(3), np.ones(3), np.ones(3), -1.0),
    "atoms_next": lambda: losses.categorical_projection(np.ones((2, 4)), ATOMS, ATOMS),
    "atoms": lambda: losses.categorical_projection(np.ones(4), ATOMS, ATOMS[:1]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_argument_is_named(name):
    with pytest.raises(OptionError, match=f"The '{name}' parameter of "):
        REFUSED[name]()


def test_quantile_levels_of_another_length_are_refused():
    with pytest.raises(OptionError, match="'tau' parameter of quantile_huber"):
        losses.quantile_huber(np.ones((2, 3)), np.ones((2, 3)), np.ones(2), 1.0)
