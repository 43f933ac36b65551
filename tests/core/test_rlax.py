"""Agreement with rlax on random inputs, where it is installed."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from qfix.core import losses, policies, returns, surrogates, td

from .conftest import random_rollout

with warnings.catch_warnings():
    # Its dependency TensorFlow Probability reads names that JAX has since deprecated.
    warnings.filterwarnings("ignore", message="jax.core", category=DeprecationWarning)
    rlax = pytest.importorskip("rlax", reason="rlax is an optional oracle and is not installed")

import jax
import jax.numpy as jnp

T, A, GAMMA, LAMBDA = 6, 4, 0.9, 0.7


@pytest.fixture(params=range(3))
def r(request):
    """One environment whose episodes only terminate: rlax has no flag for truncation."""
    rollout = random_rollout(np.random.default_rng(request.param), T=T, B=1, A=A)
    rollout.continues[...] = True
    rollout.value_next[:-1] = rollout.value[1:]
    fields = {name: getattr(rollout, name)[:, 0] for name in type(rollout).__dataclass_fields__}
    return type(rollout)(**fields)


def single(*arrays):
    return [jnp.asarray(x) for x in arrays]


def assert_close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)


def test_one_step_targets(r):
    rng = np.random.default_rng(1)
    q, select = rng.normal(size=(2, T, A))
    action = rng.integers(A, size=T)
    taken = q[np.arange(T), action]
    reward, discount, q_next, policy_next, action_next = single(
        r.reward, r.discount, r.q_next, r.policy_next, r.action_next
    )
    head = (*single(q, action), reward, discount, q_next)
    ours = (r.reward, r.discount, r.q_next)
    assert_close(td.td_error(td.q_learning(*ours), taken), jax.vmap(rlax.q_learning)(*head))
    assert_close(td.td_error(td.sarsa(*ours, r.action_next), taken), jax.vmap(rlax.sarsa)(*head, action_next))
    assert_close(
        td.td_error(td.expected_sarsa(*ours, r.policy_next), taken),
        jax.vmap(rlax.expected_sarsa)(*head, policy_next),
    )
    assert_close(
        td.td_error(td.double_q(*ours, select), taken),
        jax.vmap(rlax.double_q_learning)(*head, jnp.asarray(select)),
    )


def test_lambda_returns_and_what_they_reduce_to(r):
    reward, discount, value_next = single(r.reward, r.discount, r.value_next)
    ours = (r.reward, r.discount, r.value_next, r.continues)
    assert_close(
        returns.lambda_returns(*ours, LAMBDA), rlax.lambda_returns(reward, discount, value_next, LAMBDA)
    )
    assert_close(returns.discounted(*ours), rlax.discounted_returns(reward, discount, value_next))
    for n in (1, 2, 4):
        theirs = rlax.n_step_bootstrapped_returns(reward, discount, value_next, n)
        assert_close(returns.n_step(*ours, n), theirs)


def test_peng_q_lambda(r):
    zeros = jnp.zeros((T, A))
    reward, discount, q_next, action = single(r.reward, r.discount, r.q_next, r.action_next)
    ours = returns.lambda_returns(r.reward, r.discount, r.q_next.max(-1), r.continues, LAMBDA)
    assert_close(ours, rlax.q_lambda(zeros, action, reward, discount, q_next, LAMBDA))


def test_generalised_advantage(r):
    values = jnp.asarray(np.append(r.value, r.value_next[-1]))
    ours = returns.gae(r.reward, r.discount, r.value, r.value_next, r.continues, LAMBDA)
    theirs = rlax.truncated_generalized_advantage_estimation(*single(r.reward, r.discount), LAMBDA, values)
    assert_close(ours, theirs)


def test_tree_backup_and_retrace(r):
    prob = np.take_along_axis(r.policy_next, r.action_next[:, None], -1)[:, 0]
    q_taken = np.take_along_axis(r.q_next, r.action_next[:, None], -1)[:, 0]
    expected = np.sum(r.policy_next * r.q_next, -1)
    common = (r.reward, r.discount, r.q_next, r.policy_next, r.action_next)
    for ours, c in (
        (returns.tree_backup(*common, r.continues, LAMBDA), LAMBDA * prob),
        (returns.retrace(*common, r.ratio, r.continues, LAMBDA), LAMBDA * np.minimum(1, r.ratio)),
    ):
        theirs = rlax.general_off_policy_returns_from_q_and_v(
            *single(q_taken[:-1], expected, r.reward, r.discount, c[:-1])
        )
        assert_close(ours, theirs)


def test_v_trace(r):
    arguments = (r.reward, r.discount, r.value, r.value_next, r.ratio, r.continues)
    theirs = single(r.value, r.value_next, r.reward, r.discount, r.ratio)
    target, _ = returns.v_trace(*arguments, LAMBDA, 1.5, 1.0)
    assert_close(target - r.value, rlax.vtrace(*theirs, LAMBDA, 1.5))
    _, advantage = returns.v_trace(*arguments, 1.0, 1.0, 1.0)
    assert_close(advantage, rlax.vtrace_td_error_and_advantage(*theirs).pg_advantage)


@pytest.mark.filterwarnings("ignore:Rlax .* will be deprecated:PendingDeprecationWarning")
def test_policies_and_entropy(r):
    q = jnp.asarray(r.q_next)
    assert_close(policies.epsilon_greedy(r.q_next, 0.2), rlax.epsilon_greedy(0.2).probs(q))
    assert_close(policies.boltzmann(r.q_next, 0.3), rlax.softmax(0.3).probs(q))
    assert_close(surrogates.entropy(r.q_next / 0.3), rlax.softmax(0.3).entropy(q))


def test_losses(r):
    rng = np.random.default_rng(2)
    error = 2 * rng.normal(size=9)
    assert_close(losses.huber(error, 0.8), rlax.huber_loss(jnp.asarray(error), 0.8))
    assert_close(losses.expectile(error, 0.7), rlax.expectile_loss(jnp.zeros(9), jnp.asarray(error), 0.7))
    probs, atoms_next, atoms = rng.dirichlet(np.ones(6)), np.sort(rng.normal(size=6)), np.linspace(-1, 1, 6)
    theirs = rlax.categorical_l2_project(*single(atoms_next, probs, atoms))
    assert_close(losses.categorical_projection(probs, atoms_next, atoms), theirs)


def test_clipped_surrogate(r):
    log_prob, advantage = np.log(r.ratio), r.value
    ours = surrogates.clipped_surrogate(log_prob, np.zeros(T), advantage, 0.2, 0.2)
    assert_close(ours.mean(), rlax.clipped_surrogate_pg_loss(*single(r.ratio, advantage), 0.2))
