"""Policies: by hand, limits, and laws that hold for any action values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qfix.core import policies
from qfix.errors import OptionError

Q = np.array([[1.0, 3.0, 3.0, 2.0], [5.0, 0.0, -1.0, 4.0]])
values = hnp.arrays(float, (3, 4), elements=st.floats(-50, 50))


def test_greedy_shares_ties():
    np.testing.assert_array_equal(policies.greedy(Q), [[0, 0.5, 0.5, 0], [1, 0, 0, 0]])


def test_epsilon_greedy_by_hand():
    expected = [[0.05, 0.45, 0.45, 0.05], [0.85, 0.05, 0.05, 0.05]]
    np.testing.assert_allclose(policies.epsilon_greedy(Q, 0.2), expected, rtol=1e-14)


def test_epsilon_may_differ_by_row():
    both = policies.epsilon_greedy(Q, np.array([0.2, 0.6]))
    np.testing.assert_allclose(both[0], policies.epsilon_greedy(Q[0], 0.2), rtol=1e-15)
    np.testing.assert_allclose(both[1], policies.epsilon_greedy(Q[1], 0.6), rtol=1e-15)


def test_epsilon_greedy_reduces_to_greedy_and_to_uniform():
    np.testing.assert_array_equal(policies.epsilon_greedy(Q, 0.0), policies.greedy(Q))
    np.testing.assert_array_equal(policies.epsilon_greedy(Q, 1.0), np.full((2, 4), 0.25))


def test_boltzmann_by_hand():
    q = 2.0 * np.log(np.array([1.0, 3.0, 4.0]))
    np.testing.assert_allclose(policies.boltzmann(q, 2.0), [0.125, 0.375, 0.5], rtol=1e-14)
    np.testing.assert_allclose(policies.log_softmax(q / 2.0), np.log([0.125, 0.375, 0.5]), rtol=1e-14)


def test_boltzmann_gives_a_forbidden_action_no_probability():
    np.testing.assert_allclose(policies.boltzmann(np.array([0.0, -np.inf, 0.0]), 0.3), [0.5, 0.0, 0.5])


def test_boltzmann_tends_to_greedy_and_to_uniform():
    np.testing.assert_allclose(policies.boltzmann(Q, 1e-3), policies.greedy(Q), atol=1e-12)
    np.testing.assert_allclose(policies.boltzmann(Q, 1e9), np.full((2, 4), 0.25), rtol=1e-7)


def test_ties_are_broken_by_the_largest_of_u():
    u = np.array([[0.99, 0.3, 0.7, 0.98], [0.0, 0.9, 0.9, 0.9]])
    np.testing.assert_array_equal(policies.best(Q, u), [2, 0])
    with pytest.raises(OptionError, match="'u' parameter of best must have the shape of q"):
        policies.best(Q, u[0])


def test_draws_by_hand():
    """Odds 0 : 2 : 0 : 5 : 3 : 0, which need not add up to 1: up to 0.2 the second, up to 0.7 the fourth."""
    odds = np.tile([0.0, 2.0, 0.0, 5.0, 3.0, 0.0], (6, 1))
    u = np.array([0.0, 0.19, 0.21, 0.69, 0.71, np.nextafter(1.0, 0.0)])
    np.testing.assert_array_equal(policies.draw(odds, u), [1, 1, 3, 3, 4, 4])
    assert policies.draw(odds[0], u[3]) == 3
    with pytest.raises(
        OptionError, match="'u' parameter of draw must have the shape of probabilities without"
    ):
        policies.draw(odds, u[:2])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_rounding_draws_nothing_impossible(kind):
    """Sums that round to a little less or more than 1, u just below 1, and nothing possible at the end."""
    chances = np.random.default_rng(0).dirichlet(np.ones(6), 20_000).astype(kind)
    chances = np.pad(chances, ((0, 0), (0, 2)))
    for u in (np.nextafter(kind(1), kind(0)), np.nextafter(1.0, 0.0)):
        drawn = policies.draw(chances, np.full(len(chances), u))
        assert (np.take_along_axis(chances, drawn[:, None], -1) > 0).all()


def test_ucb_by_hand():
    # log 10 = 2.3026: bonuses 2·√(2.3026/(6, 3, 1)) = 1.2390, 1.7522, 3.0349.
    counts = np.array([6, 3, 1])
    score = np.array([2.0, 1.4, 0.1])  # totals 3.239, 3.152, 3.135: the first wins, by its value
    np.testing.assert_array_equal(policies.ucb(score, counts, 2.0), [1, 0, 0])
    score = np.array([1.9, 1.4, 0.1])  # totals 3.139, 3.152, 3.135: the second wins, by its bonus
    np.testing.assert_array_equal(policies.ucb(score, counts, 2.0), [0, 1, 0])
    score = np.array([1.9, 1.4, 0.2])  # totals 3.139, 3.152, 3.235
    np.testing.assert_array_equal(policies.ucb(score, counts, 2.0), [0, 0, 1])


def test_ucb_counts_the_total_of_each_row_alone():
    q, counts = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[9, 1], [900, 900]])
    np.testing.assert_array_equal(policies.ucb(q, counts, 1.0), [[0, 1], [1, 0]])


def test_ucb_tries_untried_actions_first_and_evenly():
    probs = policies.ucb(np.array([9.0, 0.0, 1.0]), np.array([5, 0, 0]), 0.1)
    np.testing.assert_array_equal(probs, [0, 0.5, 0.5])
    np.testing.assert_array_equal(policies.ucb(np.zeros(2), np.zeros(2), 1.0), [0.5, 0.5])


def test_ucb_without_bonus_is_greedy():
    np.testing.assert_array_equal(policies.ucb(Q, np.ones_like(Q), 0.0), policies.greedy(Q))


@given(values, st.floats(0, 1), st.floats(0.01, 100))
def test_probabilities_sum_to_one_and_follow_the_order_of_the_values(q, epsilon, temperature):
    for probs in (policies.epsilon_greedy(q, epsilon), policies.boltzmann(q, temperature)):
        np.testing.assert_allclose(probs.sum(-1), 1.0, rtol=1e-13)
        assert np.all(probs >= 0)
        in_order = np.take_along_axis(probs, q.argsort(-1), -1)
        assert np.all(np.diff(in_order, axis=-1) >= -1e-15)


@given(values, st.floats(-100, 100), st.floats(0.1, 10))
def test_boltzmann_is_unchanged_by_a_constant(q, constant, temperature):
    shifted = policies.boltzmann(q + constant, temperature)
    np.testing.assert_allclose(shifted, policies.boltzmann(q, temperature), rtol=1e-10, atol=1e-300)


def test_boltzmann_does_not_overflow():
    np.testing.assert_allclose(policies.boltzmann(np.array([1e6, 1e6 - 1.0]), 1e-2), [1.0, 0.0], atol=1e-40)


REFUSED = {
    "epsilon": lambda: policies.epsilon_greedy(Q, 1.2),
    "temperature": lambda: policies.boltzmann(Q, -1.0),
    "counts": lambda: policies.ucb(Q, np.ones(4), 1.0),
    "exploration": lambda: policies.ucb(Q, np.ones_like(Q), -1.0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_argument_is_named(name):
    with pytest.raises(OptionError, match=f"The '{name}' parameter of "):
        REFUSED[name]()


def test_epsilon_of_another_shape_is_refused():
    with pytest.raises(OptionError, match="'epsilon' parameter of epsilon_greedy must have the shape"):
        policies.epsilon_greedy(Q, np.full((2, 1), 0.1))
