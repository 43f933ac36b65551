"""Bellman operators: by hand, their fixed points, and the theorem that makes everything converge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfix.core import bellman, policies
from qfix.errors import OptionError

# Two states, two actions: from 0, stay or go to 1 with 0.75; from 1, stay or end (discount 0).
P = np.array([[[1.0, 0.0], [0.25, 0.75]], [[0.0, 1.0], [0.0, 1.0]]])
R = np.array([[1.0, 0.0], [2.0, 10.0]])
DISCOUNT = np.array([[0.9, 0.9], [0.9, 0.0]])
V = np.array([4.0, 8.0])


def test_backup_by_hand():
    expected = [[1 + 0.9 * 4, 0.9 * 7], [2 + 0.9 * 8, 10.0]]
    np.testing.assert_allclose(bellman.backup(P, R, DISCOUNT, V), expected, rtol=1e-14)


def test_optimality_by_hand():
    np.testing.assert_allclose(bellman.optimality(P, R, DISCOUNT, V), [6.3, 10.0], rtol=1e-14)


def test_expectation_by_hand():
    policy = np.array([[0.2, 0.8], [0.6, 0.4]])
    # 0.2·4.6 + 0.8·6.3 and 0.6·9.2 + 0.4·10.
    expected = bellman.expectation(P, R, DISCOUNT, policy, V)
    np.testing.assert_allclose(expected, [5.96, 9.52], rtol=1e-14)


def test_residual_by_hand():
    assert bellman.residual(lambda v: bellman.optimality(P, R, DISCOUNT, v), V) == pytest.approx(
        2.3, rel=1e-14
    )


def random_model(seed, states=4, actions=3):
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.full(states, 0.3), (states, actions))
    return rng, transition, rng.normal(size=(states, actions))


def exact_value(transition, reward, gamma, policy):
    chain = np.einsum("sa,sat->st", policy, transition)
    return np.linalg.solve(np.eye(len(chain)) - gamma * chain, np.sum(policy * reward, -1))


seeds, gammas = st.integers(0, 2**32 - 1), st.floats(0.05, 0.95)


@given(seeds, gammas)
def test_value_of_a_policy_is_the_fixed_point_of_its_operator(seed, gamma):
    rng, transition, reward = random_model(seed)
    policy = rng.dirichlet(np.ones(3), 4)
    value = exact_value(transition, reward, gamma, policy)
    assert (
        bellman.residual(lambda v: bellman.expectation(transition, reward, gamma, policy, v), value) < 1e-10
    )


@given(seeds, gammas)
def test_operators_contract_by_gamma_and_no_more_than_gamma(seed, gamma):
    rng, transition, reward = random_model(seed)
    policy = rng.dirichlet(np.ones(3), 4)
    v, w = rng.normal(size=(2, 4))
    for operator in (
        lambda v: bellman.optimality(transition, reward, gamma, v),
        lambda v: bellman.expectation(transition, reward, gamma, policy, v),
    ):
        assert bellman.contraction(operator, v, w) <= gamma + 1e-12
        assert bellman.contraction(operator, v, v + 1.5) == pytest.approx(gamma, rel=1e-9)


@given(seeds, gammas)
def test_optimality_is_the_best_expectation_and_the_greedy_policy_attains_it(seed, gamma):
    rng, transition, reward = random_model(seed)
    v, policy = rng.normal(size=4), rng.dirichlet(np.ones(3), 4)
    best = bellman.optimality(transition, reward, gamma, v)
    assert np.all(bellman.expectation(transition, reward, gamma, policy, v) <= best + 1e-12)
    greedy = policies.greedy(bellman.backup(transition, reward, gamma, v))
    attained = bellman.expectation(transition, reward, gamma, greedy, v)
    np.testing.assert_allclose(attained, best, rtol=1e-12, atol=1e-12)


@given(seeds, gammas)
def test_residual_bounds_the_distance_to_the_optimal_value(seed, gamma):
    rng, transition, reward = random_model(seed, states=3, actions=2)
    every = [np.eye(2)[[a, b, c]] for a in range(2) for b in range(2) for c in range(2)]
    optimal = np.max([exact_value(transition, reward, gamma, policy) for policy in every], axis=0)
    v = rng.normal(size=3)
    residual = bellman.residual(lambda v: bellman.optimality(transition, reward, gamma, v), v)
    assert np.max(np.abs(v - optimal)) <= residual / (1 - gamma) + 1e-10


def test_contraction_is_measured_between_the_two_functions():
    assert bellman.contraction(
        lambda v: -0.3 * v, np.array([2.0, -1.0]), np.array([1.0, 4.0])
    ) == pytest.approx(0.3)


REFUSED = {
    "transition": lambda: bellman.backup(P[:, :1], R, 0.9, V),
    "discount": lambda: bellman.backup(P, R, np.array([0.9, 0.9]), V),
    "value": lambda: bellman.optimality(P, R, 0.9, V[:, None]),
    "policy": lambda: bellman.expectation(P, R, 0.9, np.ones((2, 1)), V),
    "other": lambda: bellman.contraction(lambda v: v, V, V[:, None]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_argument_is_named(name):
    with pytest.raises(OptionError, match=f"The '{name}' parameter of "):
        REFUSED[name]()
