"""Optimal values: exact answers, agreement of all methods, and bounds that hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfix.errors import ModelError, OptionError, UnknownNameError
from qfix.mdp import (
    METHODS,
    FiniteMDP,
    evaluate_policy,
    finite_horizon,
    garnet,
    soft_value_iteration,
    solve,
    start_value,
)
from qfix.mdp.layout import layout
from qfix.mdp.sweeps import action_values, gauss_seidel_sweep, optimality, policy_sweep

from .worlds import INDEX, dense, exact, grid4x3, walled_grid

every_method = pytest.mark.parametrize("method", METHODS)
random_models = given(
    seed=st.integers(0, 10**6),
    n_states=st.integers(1, 25),
    n_actions=st.integers(1, 4),
    gamma=st.sampled_from([0.0, 0.3, 0.9, 0.99]),
    share=st.sampled_from([0.0, 0.3]),
)


def model(seed, n_states, n_actions, gamma, share):
    return garnet(n_states, n_actions, min(3, n_states), seed, gamma=gamma, terminal_fraction=share)


@every_method
def test_the_grid_of_russell_and_norvig(method):
    solution = solve(grid4x3(1.0, slip=0.2, step_reward=-0.04), method, tol=1e-6)
    shown = {
        (1, 3): 0.812, (2, 3): 0.868, (3, 3): 0.918, (1, 2): 0.762, (3, 2): 0.660,
        (1, 1): 0.705, (2, 1): 0.655, (3, 1): 0.611, (4, 1): 0.388,
    }  # fmt: skip
    for cell, utility in shown.items():
        assert solution.v[INDEX[cell]] == pytest.approx(utility, abs=5e-4)
    assert solution.v[INDEX[4, 3]] == solution.v[INDEX[4, 2]] == 0.0
    assert solution.converged


@every_method
def test_the_deterministic_grid(method):
    solution = solve(grid4x3(0.9), method, tol=1e-10)
    assert solution.v[INDEX[1, 1]] == pytest.approx(0.6561, abs=1e-10)
    np.testing.assert_allclose(solution.q[INDEX[3, 2]], [0.9, -1.0, 0.729, 0.81], atol=1e-10)
    assert solution.q[INDEX[3, 3], 1] == 1.0


@every_method
@pytest.mark.parametrize("gamma", [0.95, 0.999])
def test_two_states_by_hand(method, gamma):
    # stay and earn 1, or go over to earn 2 for ever; going pays nothing
    p = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    solution = solve(FiniteMDP.from_arrays(p, np.array([[1.0, 0.0], [2.0, 2.0]]), gamma), method, tol=1e-7)
    there = 2 / (1 - gamma)
    np.testing.assert_allclose(solution.v, [gamma * there, there], atol=1e-7)
    np.testing.assert_allclose(solution.q[0, 0], 1 + gamma**2 * there, atol=1e-7)
    assert solution.policy[0] == 1


def test_frozen_lake():
    mdp = FiniteMDP.from_env("FrozenLake-v1", 0.99)
    assert start_value(mdp, solve(mdp).v) == pytest.approx(0.54202593, abs=1e-8)
    assert start_value(mdp, solve(mdp.with_gamma(1.0)).v) == pytest.approx(14 / 17, abs=1e-8)


@settings(max_examples=60, deadline=None)
@random_models
def test_no_bound_is_below_the_error(seed, n_states, n_actions, gamma, share):
    mdp = model(seed, n_states, n_actions, gamma, share)
    truth = exact(mdp)
    for method in METHODS:
        for tol in (1e-2, 1e-8):
            solution = solve(mdp, method, tol=tol)
            assert np.abs(solution.v - truth).max() <= solution.bound <= tol
            np.testing.assert_array_equal(solution.v, solution.q.max(1))
            np.testing.assert_array_equal(solution.policy, solution.q.argmax(1))
            # Singh and Yee (1994): what a greedy policy can lose
            loss = np.abs(truth - evaluate_policy(mdp, solution.policy)).max()
            assert loss <= 2 * gamma / (1 - gamma) * solution.bound + 1e-9


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n_states=st.integers(2, 20), n_actions=st.integers(1, 4))
def test_undiscounted_episodes_that_may_wander(seed, n_states, n_actions):
    """Losses on every step: whoever does not end pays without limit, so the best policy is proper."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(n_states, 0.2), (n_states, n_actions))
    p = 0.9 * p
    p[..., 0] += 0.1
    mdp = FiniteMDP.from_arrays(
        p / p.sum(-1, keepdims=True), -rng.random((n_states, n_actions)), 1.0, terminal=[0]
    )
    truth = exact(mdp)
    for method in METHODS:
        solution = solve(mdp, method, tol=1e-8)
        assert np.abs(solution.v - truth).max() <= solution.bound <= 1e-8


def corridor(gamma=1.0, step_reward=0.0, pay=1.0, n=6):
    """Walk left or right along a row for `step_reward`; the right end pays and ends. Left of 0 is a wall."""

    def step(s, a):
        s2 = max(s - 1, 0) if a == 0 else s + 1
        return [(1.0, s2, pay if s2 == n else step_reward, s2 == n)]

    return FiniteMDP.from_function(step, n + 1, 2, gamma, terminal=[n])


@pytest.mark.parametrize("pay", [1.0, -1.0])
def test_free_circles_do_not_hide_the_exit(pay):
    # walking to and fro is free: any constant above `pay` is a fixed point of T, only `pay` is earned by
    # ending
    solution = solve(corridor(pay=pay), tol=1e-9)
    np.testing.assert_allclose(solution.v, [pay] * 6 + [0.0], atol=1e-9)
    assert solution.converged
    np.testing.assert_allclose(evaluate_policy(corridor(pay=pay), solution.policy), solution.v, atol=1e-9)


def test_an_undiscounted_world_that_traps_is_named():
    def step(s, a):
        return [[(1.0, 1, -1.0, False)], [(1.0, 1, -1.0, False)], [(1.0, 3, 0.0, True)], []][s]

    mdp = FiniteMDP.from_function(step, 4, 1, 1.0, terminal=[3])
    with pytest.raises(ModelError, match=r"state 0, from which termination is unreachable.*2 such states"):
        solve(mdp)


def test_an_undiscounted_circle_that_pays_is_named():
    with pytest.raises(ModelError, match=r"circle of states through state [0-5]"):
        solve(corridor(step_reward=0.5))


def test_a_state_that_rests_for_nothing_needs_no_end():
    p = np.array([[[0.0, 1.0]], [[0.0, 1.0]]])
    solution = solve(FiniteMDP.from_arrays(p, np.array([[3.0], [0.0]]), 1.0))
    np.testing.assert_allclose(solution.v, [3.0, 0.0], atol=1e-12)


def test_gamma_one_needs_no_bracket_where_every_move_may_end():
    mdp = FiniteMDP.from_function(
        lambda s, a: [(0.5, s, 1.0, False), (0.5, s, 1.0, True)], 1, 2, 1.0, start=0
    )
    np.testing.assert_allclose(solve(mdp, "value_iteration").v, [2.0], atol=1e-8)


def test_gamma_zero_is_the_best_reward():
    mdp = garnet(30, 4, 3, 2, gamma=0.0)
    np.testing.assert_array_equal(solve(mdp).v, mdp.reward.max(1))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_bound_asked_too_fine_is_still_true(scale):
    base = garnet(20, 3, 3, 5, gamma=0.99)
    mdp = FiniteMDP.from_arrays(dense(base)[0], base.reward * scale, 0.99)
    solution = solve(mdp, tol=1e-300)
    assert np.abs(solution.v - exact(mdp)).max() <= solution.bound
    assert solution.bound < 1e-10 * scale
    assert not solution.converged
    assert "asked: 1.0e-300" in repr(solution)


@every_method
def test_running_out_of_iterations_is_told(method):
    mdp = walled_grid(12, 0.99)
    solution = solve(mdp, method, tol=1e-8, max_iterations=1)
    assert np.abs(solution.v - exact(mdp)).max() <= solution.bound
    assert solution.converged == (solution.bound <= 1e-8)


@pytest.mark.parametrize(("n", "gamma"), [(60, 0.99), (60, 0.9999), (60, 1.0)])
def test_wide_rows_and_narrow_ones_take_the_same_values(n, gamma):
    # 14,400 rows of at most 3 outcomes are padded to one width, and renumbered
    mdp = walled_grid(n, gamma)
    assert len(layout(mdp).width) == 3
    best = solve(mdp, tol=1e-7)
    other = solve(mdp, "policy_iteration" if gamma < 1 else "value_iteration", tol=1e-7)
    assert np.abs(best.v - other.v).max() <= best.bound + other.bound <= 2e-7
    residual = np.abs(evaluate_policy(mdp, best.policy) - best.v).max()
    assert residual <= 2e-7 / max(1 - gamma, 1e-4)


@pytest.mark.parametrize("n", [5, 19, 101, 201])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_long_undiscounted_episodes_are_certified(n, scale):
    """v(k) = 2k/(n+1) - 1, scaled. An episode of n = 201 takes 10,201 steps, which are no part of the rounding."""

    def step(s, a):
        ends = {0: -scale, n + 1: scale}
        return [(0.5, to, ends.get(to, 0.0), to in ends) for to in (s - 1, s + 1)]

    mdp = FiniteMDP.from_function(step, n + 2, 1, 1.0, terminal=[0, n + 1])
    solution = solve(mdp, tol=1e-8 * scale)
    truth = scale * (2 * np.arange(1, n + 1) / (n + 1) - 1)
    assert np.abs(solution.v[1:-1] - truth).max() <= solution.bound
    assert solution.converged


@pytest.mark.parametrize("seed", range(5))
def test_a_certified_policy_loses_little(seed):
    """|q - q*| <= bound, and so the greedy policy is within 2 bound/(1-gamma) of the optimum, however rough."""
    mdp = garnet(30, 4, 3, seed, gamma=0.9)
    truth = exact(mdp)
    p, r = dense(mdp)
    for iterations in (1, 3, 10):
        solution = solve(mdp, "value_iteration", tol=1e-12, max_iterations=iterations)
        assert np.abs(solution.q - (r + 0.9 * p @ truth)).max() <= solution.bound
        loss = (truth - evaluate_policy(mdp, solution.policy)).max()
        assert loss <= 2 * solution.bound / (1 - 0.9) + 1e-9


def test_states_without_an_end_are_worth_nothing_if_nothing_is_paid_there():
    """At gamma = 1: 0 and 1 go round for nothing, 2 ends with 5."""
    p = np.zeros((4, 1, 4))
    p[[0, 1, 2], 0, [1, 0, 3]] = 1.0
    r = np.array([[0.0], [0.0], [5.0], [0.0]])
    assert solve(FiniteMDP.from_arrays(p, r, 1.0, terminal=[3])).v.tolist() == [0.0, 0.0, 5.0, 0.0]
    r[0] = -1.0
    with pytest.raises(ModelError, match="able to end from every state"):
        solve(FiniteMDP.from_arrays(p, r, 1.0, terminal=[3]))


def test_long_horizons_that_mix_switch_to_krylov():
    mdp = garnet(300, 3, 4, 1, gamma=0.9999)
    solution = solve(mdp, tol=1e-6)
    assert solution.method == "policy_iteration"
    assert np.abs(solution.v - exact(mdp)).max() <= solution.bound <= 1e-6


def test_the_operator_contracts():
    mdp = garnet(40, 3, 5, 3, gamma=0.8)
    truth, v = exact(mdp), np.random.default_rng(0).normal(size=41) * 10
    v[-1], out, policy = 0.0, np.zeros(41), np.zeros(40, np.int32)
    for _ in range(20):
        before = np.abs(v[:-1] - truth).max()
        optimality(layout(mdp), 0.8, v, out, policy)
        v, out = out, v
        assert np.abs(v[:-1] - truth).max() <= 0.8 * before + 1e-12


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize(
    "build", [lambda: garnet(30, 3, 4, 7, terminal_fraction=0.1), lambda: walled_grid(60, 0.95)]
)
def test_kernels_equal_their_twins(build, ordered):
    mdp = build()
    rng = np.random.default_rng(1)
    order = rng.permutation(mdp.n_states).astype(np.int32) if ordered else None
    t = layout(mdp, order)
    order = np.arange(mdp.n_states) if order is None else order
    place = np.empty(mdp.n_states, int)
    place[order] = np.arange(mdp.n_states)

    def backup(i, v):
        q = []
        for row in range(order[i] * mdp.n_actions, (order[i] + 1) * mdp.n_actions):
            o = slice(mdp.indptr[row], mdp.indptr[row + 1])
            follows = np.where(mdp.terminated[o], 0.0, v[place[mdp.next_state[o]]])
            q.append(mdp.reward.ravel()[row] + 0.95 * (mdp.probability[o] @ follows))
        return np.array(q)

    v = np.append(rng.normal(size=mdp.n_states), 0.0)
    q = np.array([backup(i, v) for i in range(mdp.n_states)])
    out, policy, best = v.copy(), np.zeros(mdp.n_states, np.int32), np.zeros(mdp.n_states)
    assert optimality(t, 0.95, v, out, policy) == pytest.approx(np.abs(q.max(1) - v[:-1]).max(), abs=1e-13)
    np.testing.assert_allclose(out[:-1], q.max(1), atol=1e-13)
    np.testing.assert_array_equal(policy, q.argmax(1))
    found, actions = np.empty(q.shape), np.empty(mdp.n_states, np.int64)
    assert action_values(t, 0.95, v, found, best, actions) == pytest.approx(np.abs(q.max(1) - v[:-1]).max())
    np.testing.assert_allclose(found, q, atol=1e-13)
    np.testing.assert_array_equal(actions, q.argmax(1))
    for forward in (True, False):
        ours, twin, choice = v.copy(), v.copy(), np.zeros(mdp.n_states, np.int32)
        gauss_seidel_sweep(t, 0.95, ours, choice, 1.2, forward)
        states = range(mdp.n_states) if forward else range(mdp.n_states - 1, -1, -1)
        for s in states:
            twin[s] += 1.2 * (backup(s, twin).max() - twin[s])
        np.testing.assert_allclose(ours, twin, atol=1e-12)
        policy_sweep(t, 0.95, ours, choice, 0.9, forward)
        for s in states:
            twin[s] += 0.9 * (backup(s, twin)[choice[s]] - twin[s])
        np.testing.assert_allclose(ours, twin, atol=1e-12)


def test_linear_programming_duality():
    """The reward of optimally discounted visits, from the dual, is the value of the primal."""
    mdp = garnet(30, 3, 4, 11, gamma=0.9)
    solution = solve(mdp, "linear_program", tol=1e-9)
    p, r = dense(mdp)
    rows = np.arange(30)
    visits = np.linalg.solve(np.eye(30) - 0.9 * p[rows, solution.policy].T, mdp.start)
    assert visits @ r[rows, solution.policy] == pytest.approx(start_value(mdp, solution.v), abs=1e-9)
    assert (solution.v[:, None] >= r + 0.9 * p @ solution.v - 2e-9).all()


def test_options_of_solve_have_ranges():
    mdp = grid4x3(0.9)
    with pytest.raises(UnknownNameError, match="Did you mean 'policy_iteration'"):
        solve(mdp, "policyiteration")
    with pytest.raises(OptionError, match="'tol' parameter of solve"):
        solve(mdp, tol=0.0)
    with pytest.raises(OptionError, match="'max_iterations' parameter of solve"):
        solve(mdp, max_iterations=0)


@pytest.mark.parametrize("gamma", [0.9, 1.0])
def test_finite_horizon_by_enumeration_and_in_the_limit(gamma):
    mdp = grid4x3(gamma, slip=0.2, step_reward=-0.04)
    v, policy = finite_horizon(mdp, 3)
    assert v.shape == (4, 11)
    assert policy.shape == (3, 11)
    p, r = dense(mdp)
    twin = np.zeros(11)
    for time in (2, 1, 0):
        q = r + gamma * p @ twin
        twin = q.max(1)
        np.testing.assert_allclose(v[time], twin, atol=1e-14)
        np.testing.assert_allclose(q[np.arange(11), policy[time]], twin, atol=1e-14)
    np.testing.assert_allclose(finite_horizon(mdp, 300).v[0], solve(mdp, tol=1e-10).v, atol=1e-9)
    assert (finite_horizon(mdp, 0).v == 0).all()
    with pytest.raises(OptionError, match="'horizon' parameter of finite_horizon"):
        finite_horizon(mdp)


@settings(max_examples=25, deadline=None)
@random_models
def test_soft_values(seed, n_states, n_actions, gamma, share):
    mdp = model(seed, n_states, n_actions, gamma, share)
    soft = soft_value_iteration(mdp, 0.3, tol=1e-9)
    assert soft.bound <= 1e-9
    p, r = dense(mdp)
    v = np.zeros(n_states)
    for _ in range(5000):
        q = r + gamma * p @ v
        new = np.where(mdp.terminal, 0.0, 0.3 * np.logaddexp.reduce(q / 0.3, axis=1))
        if np.array_equal(new, v):
            break
        v = new
    assert np.abs(soft.v - v).max() <= soft.bound + 1e-12
    hard = exact(mdp)
    assert (soft.v >= hard - 1e-8).all()
    assert (soft.v <= hard + 0.3 * np.log(n_actions) / (1 - gamma) + 1e-8).all()
    # the policy is the one whose entropy pays for the difference
    entropy = -(soft.policy * np.log(np.maximum(soft.policy, 1e-300))).sum(1)
    here = ~mdp.terminal
    np.testing.assert_allclose(((soft.policy * soft.q).sum(1) + 0.3 * entropy)[here], soft.v[here], atol=1e-8)


def test_soft_becomes_hard_as_it_cools():
    mdp = garnet(30, 3, 4, 0, gamma=0.9)
    hard = exact(mdp)
    gaps = [np.abs(soft_value_iteration(mdp, t).v - hard).max() for t in (1.0, 0.1, 0.01, 0.001)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] <= 0.001 * np.log(3) / 0.1
    with pytest.raises(OptionError, match="'temperature'"):
        soft_value_iteration(mdp, 0.0)
    with pytest.raises(OptionError, match="'gamma'"):
        soft_value_iteration(mdp.with_gamma(1.0), 1.0)
