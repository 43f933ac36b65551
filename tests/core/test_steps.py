"""The operator-only steps: by hand, bit for bit under Numba, and as the algorithms they make up."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from qfix.core import returns, td, traces

# Name, arguments, value worked by hand.
STEPS = {
    "td.one_step": ((1.0, 0.9, 3.0), 3.7),
    "td.td_error": ((3.7, 3.0), 0.7),
    "td.step_towards": ((3.0, 0.1, 3.7), 3.07),
    "td.epsilon_greedy_value": ((5.0, 2.0, 0.3), 4.1),
    "returns.lambda_step": ((1.0, 0.9, 0.8, 10.0, 20.0), 17.2),
    "returns.tree_backup_step": ((1.0, 0.9, 5.5, 0.75, 4.0, 13.7), 12.4975),
    "returns.gae_step": ((2.5, 0.9, 0.8, 3.3), 4.876),
    "traces.trace_decay": ((0.9, 0.8), 0.72),
    "traces.dutch_trace_increment": ((0.1, 0.36), 0.964),
    "traces.true_online_trace_step": ((0.1, 0.7, 3.0, 2.6), 0.11),
    "traces.true_online_feature_step": ((0.1, 3.0, 2.6), -0.04),
    "traces.gradient_correction": ((0.1, 0.9, 0.5), -0.045),
    "traces.gradient_auxiliary_step": ((0.2, 0.7, 0.5), 0.04),
}


def step_named(name):
    module, function = name.split(".")
    return getattr({"td": td, "returns": returns, "traces": traces}[module], function)


@pytest.mark.parametrize("name", STEPS)
def test_step_gives_the_value_worked_by_hand(name):
    arguments, expected = STEPS[name]
    assert step_named(name)(*arguments) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("name", STEPS)
def test_step_compiles_unchanged_and_agrees_bit_for_bit(name, rng):
    step = step_named(name)
    compiled = numba.njit(step)
    for arguments in rng.normal(size=(50, len(STEPS[name][0]))):
        assert compiled(*arguments) == step(*arguments)


def test_retrace_and_v_trace_share_the_steps_they_are_an_instance_of():
    assert returns.retrace_step is returns.tree_backup_step
    assert returns.v_trace_step is returns.gae_step


def test_every_trace_factor_is_reachable_beside_the_returns():
    names = [name.split(".")[1] for name in STEPS if name.startswith("traces.")]
    assert all(getattr(returns, name) is getattr(traces, name) for name in names)


def test_step_towards_with_inverse_counts_is_the_running_mean(rng):
    targets, q = rng.normal(size=20), 123.0
    for n, target in enumerate(targets, start=1):
        q = td.step_towards(q, 1.0 / n, target)
    assert q == pytest.approx(targets.mean(), rel=1e-12)


def test_dutch_trace_in_a_table_at_alpha_one_is_the_replacing_trace():
    decayed = 0.72 * 0.6
    assert decayed + returns.dutch_trace_increment(1.0, decayed) == pytest.approx(1.0, rel=1e-15)


def online_lambda_return_weights(x, reward, gamma, lambda_, alpha, w0):
    """The forward view, recomputed from the start at each horizon (van Seijen et al. 2016, section 3)."""
    history = [w0]
    for horizon in range(1, len(reward) + 1):
        w = w0
        for t in range(horizon):
            target = 0.0
            for n in range(1, horizon - t + 1):
                rewards = sum(gamma**i * reward[t + i] for i in range(n))
                n_step = rewards + gamma**n * history[t + n - 1] @ x[t + n]
                weight = lambda_ ** (n - 1) * ((1 - lambda_) if n < horizon - t else 1.0)
                target += weight * n_step
            w = w + alpha * (target - w @ x[t]) * x[t]
        history.append(w)
    return history[-1]


def test_true_online_td_equals_the_online_lambda_return_algorithm(rng):
    T, gamma, lambda_, alpha = 6, 0.9, 0.7, 0.13
    x, reward = rng.normal(size=(T + 1, 3)), rng.normal(size=T)
    w = w0 = rng.normal(size=3)
    trace, value_old = np.zeros(3), w0 @ x[0]  # the trace is x at the first step, so V_old cancels there
    for t in range(T):
        value, value_next = w @ x[t], w @ x[t + 1]
        error = td.td_error(td.one_step(reward[t], gamma, value_next), value)
        trace = returns.trace_decay(gamma, lambda_) * trace
        trace = trace + returns.dutch_trace_increment(alpha, trace @ x[t]) * x[t]
        w = w + returns.true_online_trace_step(alpha, error, value, value_old) * trace
        w = w + returns.true_online_feature_step(alpha, value, value_old) * x[t]
        value_old = value_next
    np.testing.assert_allclose(
        w, online_lambda_return_weights(x, reward, gamma, lambda_, alpha, w0), rtol=1e-11
    )


def test_tdc_expected_step_descends_the_projected_bellman_error(rng):
    n, gamma, eps = 400, 0.9, 1e-5
    x, x_next, reward = rng.normal(size=(n, 3)), rng.normal(size=(n, 3)), rng.normal(size=n)
    w = rng.normal(size=3)
    covariance = x.T @ x / n

    def error(w):
        return td.td_error(td.one_step(reward, gamma, x_next @ w), x @ w)

    def projected_error(w):
        expected = x.T @ error(w) / n
        return expected @ np.linalg.solve(covariance, expected)

    h = np.linalg.solve(covariance, x.T @ error(w) / n)
    # The second weights are where their own expected step vanishes.
    second_step = returns.gradient_auxiliary_step(0.3, error(w), x @ h)
    np.testing.assert_allclose(x.T @ second_step / n, 0.0, atol=1e-14)
    step = (x.T @ error(w) + x_next.T @ returns.gradient_correction(1.0, gamma, x @ h)) / n
    slope = [projected_error(w + eps * e) - projected_error(w - eps * e) for e in np.eye(3)]
    np.testing.assert_allclose(step, -0.5 * np.array(slope) / (2 * eps), rtol=1e-6)
