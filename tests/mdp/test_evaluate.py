"""Values and returns of given policies."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from qfix.errors import ModelError, OptionError
from qfix.mdp import FiniteMDP, evaluate_policy, expected_return, garnet, policy_value, start_value
from qfix.mdp.krylov import bicgstab, solve_linear

from .worlds import INDEX, dense, grid4x3, walled_grid


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_states=st.integers(1, 25),
    gamma=st.sampled_from([0.0, 0.5, 0.99, 0.9999]),
    deterministic=st.booleans(),
)
def test_evaluation_is_the_linear_system(seed, n_states, gamma, deterministic):
    mdp = garnet(n_states, 3, min(2, n_states), seed, gamma=gamma, terminal_fraction=0.1)
    rng = np.random.default_rng(seed)
    weights = (
        np.eye(3)[rng.integers(3, size=n_states)] if deterministic else rng.dirichlet(np.ones(3), n_states)
    )
    p, r = dense(mdp)
    truth = np.linalg.solve(
        np.eye(n_states) - gamma * np.einsum("sa,sat->st", weights, p), (weights * r).sum(1)
    )
    given_as = weights.argmax(1) if deterministic else weights
    assert np.abs(evaluate_policy(mdp, given_as, tol=1e-9) - truth).max() <= 1e-9 + 1e-14 * np.abs(
        truth
    ).max() / (1 - gamma)


@pytest.mark.parametrize("gamma", [0.999, 0.99999, 1.0])
def test_a_large_slow_world(gamma):
    mdp = walled_grid(40, gamma)
    uniform = np.full((1600, 4), 0.25)
    v = evaluate_policy(mdp, uniform, tol=1e-9)
    p, r = dense(mdp)
    truth = np.linalg.solve(np.eye(1600) - gamma * p.mean(1), r.mean(1))
    assert np.abs(v - truth).max() < 1e-8
    if gamma == 1.0:
        np.testing.assert_allclose(v[:-1], 1.0, atol=1e-8)


def test_where_krylov_gives_up_the_direct_solver_answers():
    # a cyclic shift: BiCGSTAB's residual does not fall until n iterations are done
    n = 300
    shift = sp.csr_matrix((np.full(n, 0.9999999), (np.arange(n), (np.arange(n) + 1) % n)), shape=(n, n))
    b = np.random.default_rng(0).normal(size=n)
    x, residual = solve_linear(shift, b, np.zeros(n), 1e-9)
    assert residual <= 1e-9
    np.testing.assert_allclose(x - shift @ x, b, atol=1e-9)


def test_bicgstab_solves_by_itself():
    mdp = walled_grid(15, 0.99)
    m = sp.csr_matrix(0.99 * dense(mdp)[0].mean(1))
    b, x = mdp.reward.mean(1), np.zeros(225)
    iterations = bicgstab(m.indptr, m.indices, m.data, b, x, 1e-12, 500)
    assert 1 < iterations < 200
    np.testing.assert_allclose(x, np.linalg.solve(np.eye(225) - m.toarray(), b), atol=1e-10)


def test_policies_that_never_end():
    mdp = grid4x3(1.0, step_reward=-0.04)
    left = np.full(11, 3)
    with pytest.raises(ModelError, match=r"never does from state 0 \(9 states in all\)"):
        evaluate_policy(mdp, left)
    assert evaluate_policy(mdp.with_gamma(0.9), left)[0] == pytest.approx(-0.4)
    # resting for nothing is a value of 0, and what was earned on the way there counts
    np.testing.assert_array_equal(evaluate_policy(grid4x3(1.0), left), 0.0)
    p = np.array([[[0.0, 1.0]], [[0.0, 1.0]]])
    resting = FiniteMDP.from_arrays(p, np.array([[3.0], [0.0]]), 1.0)
    np.testing.assert_allclose(evaluate_policy(resting, np.zeros(2, int)), [3.0, 0.0])


def test_states_that_no_episode_comes_to_do_not_matter_to_its_value():
    """From (1,1) the way north and east is open: by hand 1 - 5 * 0.04; anywhere below it the policy walks in place."""
    mdp = grid4x3(1.0, step_reward=-0.04)
    policy = np.full(11, 3)
    for cell, move in {(1, 1): 0, (1, 2): 0, (1, 3): 1, (2, 3): 1, (3, 3): 1}.items():
        policy[INDEX[cell]] = move
    with pytest.raises(ModelError, match="must terminate at gamma=1"):
        evaluate_policy(mdp, policy)
    assert policy_value(mdp, policy) == pytest.approx(0.8, abs=1e-12)
    assert expected_return(mdp, policy) == pytest.approx(0.8, abs=1e-12)
    policy[INDEX[3, 3]] = 3  # and back: now an episode does walk for ever
    for ask in (policy_value, expected_return):
        with pytest.raises(ModelError, match="must terminate at gamma=1"):
            ask(mdp, policy)
    assert policy_value(mdp.with_gamma(0.9), policy) == pytest.approx(-0.4)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), gamma=st.sampled_from([0.0, 0.9, 0.999]))
def test_a_policys_value_is_that_of_its_start(seed, gamma):
    mdp = garnet(12, 3, 2, seed, gamma=gamma, terminal_fraction=0.1)
    policy = np.random.default_rng(seed).integers(3, size=12)
    expected = start_value(mdp, evaluate_policy(mdp, policy))
    assert policy_value(mdp, policy) == pytest.approx(expected, abs=1e-9)


def test_expected_return_counts_to_the_limit():
    def step(s, a):
        return [(0.75, 0, 2.0, False), (0.25, 1, 5.0, True)]

    mdp = FiniteMDP.from_function(step, 2, 1, 0.5, start=0, terminal=[1], max_episode_steps=3)
    per_step = 0.75 * 2 + 0.25 * 5
    policy = np.zeros(2, int)
    assert expected_return(mdp, policy) == pytest.approx(per_step * (1 + 0.75 + 0.75**2))
    assert expected_return(mdp, policy, steps=1) == pytest.approx(per_step)
    assert expected_return(mdp, policy, steps=2, gamma=0.9) == pytest.approx(per_step * (1 + 0.9 * 0.75))
    assert expected_return(mdp, policy, steps=10_000) == pytest.approx(per_step / 0.25)
    unlimited = FiniteMDP.from_function(step, 2, 1, 0.5, start=0, terminal=[1])
    assert expected_return(unlimited, policy) == pytest.approx(per_step / 0.25)
    assert expected_return(unlimited, np.ones((2, 1)), gamma=0.5) == pytest.approx(
        start_value(unlimited, evaluate_policy(unlimited, policy))
    )


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (np.zeros(10, int), "shape"),
        (np.zeros(11), "probabilities"),
        (np.full(11, 4), "0..3"),
        (np.full((11, 4), 0.3), "distribution"),
        (np.tile([1.5, -0.5, 0, 0], (11, 1)), "distribution"),
        (np.full((11, 4), np.nan), "distribution"),
    ],
)
def test_what_is_no_policy(policy, words):
    with pytest.raises(OptionError, match="'policy' parameter of evaluate_policy"):
        evaluate_policy(grid4x3(0.9), policy)
