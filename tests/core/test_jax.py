"""On JAX: compiled with traced numbers, one scan instead of T steps, and gradients that nobody stopped."""

from __future__ import annotations

import numpy as np
import pytest

from qfix.core import losses, policies, returns, surrogates, td
from qfix.errors import OptionError

jax = pytest.importorskip("jax", reason="jax is a test-only dependency of core and is not installed")
jnp = jax.numpy


def rows(T):
    ones = jnp.ones((T, 2))
    q_next, action_next = jnp.ones((T, 2, 3)), jnp.zeros((T, 2), int)
    return {
        "lambda_returns": (returns.lambda_returns, (ones, ones, ones, ones, 0.8)),
        "discounted": (returns.discounted, (ones, ones, ones, ones)),
        "n_step": (lambda *a: returns.n_step(*a, n=T), (ones, ones, ones, ones)),
        "watkins": (returns.watkins, (ones, ones, q_next, action_next, ones, 0.8)),
        "tree_backup": (returns.tree_backup, (ones, ones, q_next, q_next, action_next, ones, 0.8)),
        "retrace": (returns.retrace, (ones, ones, q_next, q_next, action_next, ones, ones, 0.8)),
        "gae": (returns.gae, (ones, ones, ones, ones, ones, 0.8)),
        "v_trace": (
            lambda *a: returns.v_trace(*a, clip_rho=1.0, clip_c=1.0),
            (ones, ones, ones, ones, ones, ones, 0.8),
        ),
    }


def primitives(jaxpr):
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for parameter in equation.params.values():
            inner = getattr(parameter, "jaxpr", None)
            if inner is not None:
                yield from primitives(inner)


@pytest.mark.parametrize("name", rows(2))
def test_recursion_is_one_scan_whatever_the_length(name):
    short, long = (
        list(primitives(jax.make_jaxpr(function)(*arguments).jaxpr))
        for function, arguments in (rows(4)[name], rows(128)[name])
    )
    assert long.count("scan") == 1
    assert len(long) == len(short) < 80


def test_scalars_may_be_traced(rng):
    reward, value_next = rng.normal(size=(2, 5))
    q = rng.normal(size=(5, 3))

    def lambda_returns(gamma, lambda_):
        return returns.lambda_returns(jnp.asarray(reward), gamma, jnp.asarray(value_next), 1, lambda_)

    expected = returns.lambda_returns(reward, 0.9, value_next, 1, 0.7)
    np.testing.assert_allclose(jax.jit(lambda_returns)(0.9, 0.7), expected, rtol=1e-5)
    for function in (policies.boltzmann, policies.epsilon_greedy, td.soft_value):
        np.testing.assert_allclose(jax.jit(function)(jnp.asarray(q), 0.3), function(q, 0.3), rtol=1e-5)


def test_shapes_are_still_checked_under_jit():
    with pytest.raises(OptionError, match="'discount' parameter of q_learning"):
        jax.jit(td.q_learning)(jnp.ones(3), jnp.ones((3, 1)), jnp.ones((3, 2)))


def test_gradients_of_the_first_target_reach_every_row():
    reward, value_next = jnp.ones(3), jnp.ones(3)

    def first(reward, value_next):
        return returns.lambda_returns(reward, 0.9, value_next, 1, 0.8)[0]

    by_reward, by_value = jax.grad(first, argnums=(0, 1))(reward, value_next)
    np.testing.assert_allclose(by_reward, [1.0, 0.72, 0.72**2], rtol=1e-6)
    # γ(1 − λ), γλ·γ(1 − λ) and, at the last row, (γλ)²·γ.
    np.testing.assert_allclose(by_value, [0.18, 0.72 * 0.18, 0.72**2 * 0.9], rtol=1e-6)


def test_gradient_of_soft_value_is_the_boltzmann_policy(rng):
    q = jnp.asarray(rng.normal(size=4))
    np.testing.assert_allclose(jax.grad(td.soft_value)(q, 0.3), policies.boltzmann(q, 0.3), rtol=1e-5)


def test_gradient_of_the_clipped_surrogate_is_the_policy_gradient_where_policies_agree(rng):
    log_prob, advantage = jnp.asarray(rng.normal(size=(2, 5)))

    def clipped(x):
        return surrogates.clipped_surrogate(x, log_prob, advantage, 0.2, 0.3).sum()

    plain = jax.grad(lambda x: surrogates.policy_gradient(x, advantage).sum())(log_prob)
    np.testing.assert_allclose(jax.grad(clipped)(log_prob), plain, rtol=1e-6)
    # Out of bounds on the side the advantage points to, nothing pulls any more.
    np.testing.assert_array_equal(jax.grad(clipped)(log_prob + jnp.sign(advantage)), jnp.zeros(5))


def test_gradient_of_the_huber_loss_is_the_clipped_error():
    error = jnp.asarray([-3.0, -0.5, 0.3, 2.0])
    gradient = jax.grad(lambda x: losses.huber(x, 0.8).sum())(error)
    np.testing.assert_allclose(gradient, [-0.8, -0.5, 0.3, 0.8], rtol=1e-6)


def test_gradient_of_entropy_survives_a_forbidden_action():
    gradient = jax.grad(surrogates.entropy)(jnp.asarray([0.3, -jnp.inf, -0.2]))
    free = jax.grad(surrogates.entropy)(jnp.asarray([0.3, -0.2]))
    np.testing.assert_allclose(gradient, [free[0], 0.0, free[1]], rtol=1e-5)
