"""Targets of a batch against the equations of `qfix.core`, by hand, and with actions that are forbidden."""

import jax.numpy as jnp
import numpy as np
import pytest

from qfix.core import td
from qfix.deep.learner import FORBIDDEN, allowed_q
from qfix.deep.network import QNetwork
from qfix.deep.observations import Input
from qfix.deep.targets import (
    Next,
    categorical_target,
    distributional_loss,
    greedy_next,
    mean_of,
    munchausen_next,
    quantile_target,
    scalar_target,
)

B, A = 7, 4
RNG = np.random.default_rng(0)
REWARD = jnp.asarray(RNG.normal(size=B), jnp.float32)
DISCOUNT = jnp.asarray(np.where(np.arange(B) % 3, 0.93, 0.0), jnp.float32)
Q, Q_NEXT, Q_SELECT = (jnp.asarray(RNG.normal(size=(B, A)), jnp.float32) for _ in range(3))
ACTION = jnp.asarray(RNG.integers(A, size=B))
ATOMS = np.linspace(-10.0, 10.0, 41, dtype=np.float32)


def network(distribution, atoms, support=(-10.0, 10.0)):
    given = Input("vector", (3,), np.dtype(np.float32))
    return QNetwork(given, A, hidden=(4,), distribution=distribution, atoms=atoms, support=support)


def policy_of(rng=RNG):
    return jnp.asarray(rng.dirichlet(np.ones(A), B), jnp.float32)


def near(one, other, **options):
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5, **options)


def test_scalar_targets_are_core_s():
    near(
        scalar_target(greedy_next(REWARD, DISCOUNT, Q_NEXT), Q_NEXT), td.q_learning(REWARD, DISCOUNT, Q_NEXT)
    )
    double = scalar_target(greedy_next(REWARD, DISCOUNT, Q_SELECT), Q_NEXT)
    near(double, td.double_q(REWARD, DISCOUNT, Q_NEXT, Q_SELECT))
    assert not np.allclose(double, td.q_learning(REWARD, DISCOUNT, Q_NEXT), atol=0.1)
    policy = policy_of()
    expected = scalar_target(Next(REWARD, DISCOUNT, policy, None), Q_NEXT)
    near(expected, td.expected_sarsa(REWARD, DISCOUNT, Q_NEXT, policy))


def test_a_scalar_target_by_hand():
    """2 + 0.9 (0.25·1 + 0.75·(-2)) = 0.875; with a bonus of 0.5 and 1: 2 + 0.9 (0.25·1.5 + 0.75·(-1)) = 1.6625."""
    one = [jnp.array([2.0]), jnp.array([0.9]), jnp.array([[0.25, 0.75]])]
    q_next = jnp.array([[1.0, -2.0]])
    near(scalar_target(Next(*one, None), q_next), [0.875])
    near(scalar_target(Next(*one, jnp.array([[0.5, 1.0]])), q_next), [1.6625])


@pytest.mark.parametrize(("temperature", "floor"), [(0.4, -1.0), (0.03, -0.6)])
def test_munchausen_is_core_s(temperature, floor):
    step = munchausen_next(REWARD, DISCOUNT, Q, ACTION, Q_NEXT, temperature, 0.9, floor)
    expected = td.munchausen(REWARD, DISCOUNT, Q, ACTION, Q_NEXT, temperature, 0.9, floor)
    near(scalar_target(step, Q_NEXT), expected)
    near(jnp.sum(step.policy, axis=-1), np.ones(B))


def test_munchausen_by_hand():
    """q = (ln 3, 0) at τ = 1 has π = (3/4, 1/4). With α = 0.9 and floor -1 the second action's bonus is -0.9, for
    ln 1/4 = -1.39 is below the floor. What comes next, the same values: Σ π (q - ln π) = ln 4."""
    q = jnp.log(jnp.array([[3.0, 1.0], [3.0, 1.0]]))
    step = munchausen_next(jnp.zeros(2), jnp.full(2, 0.5), q, jnp.array([0, 1]), q, 1.0, 0.9, -1.0)
    near(step.reward, [0.9 * np.log(0.75), -0.9])
    near(step.policy, [[0.75, 0.25]] * 2)
    near(step.bonus, -np.log([[0.75, 0.25]] * 2))
    near(scalar_target(step, q), step.reward + 0.5 * np.log(4.0))


# Distributions


def test_one_atom_shifts_by_hand():
    """All mass at 0 on atoms -2..2, reward 0.25, discount 0.9: at 0.25, a quarter on 1 and three on 0. From an atom
    at 2: 0.25 + 1.8 = 2.05, beyond the last."""
    atoms = np.arange(-2.0, 3.0, dtype=np.float32)
    logits = np.full((2, 2, 5), -1e4, np.float32)
    logits[0, 0, 2] = logits[0, 1, 4] = logits[1, 0, 4] = logits[1, 1, 0] = 0.0
    step = Next(jnp.full(2, 0.25), jnp.full(2, 0.9), jnp.array([[1.0, 0.0], [1.0, 0.0]]), None)
    near(categorical_target(step, jnp.asarray(logits), atoms), [[0, 0, 0.75, 0.25, 0], [0, 0, 0, 0, 1]])
    # a mixture of both actions: half of each; that at -2 goes to 0.25 - 1.8 = -1.55
    half = step._replace(policy=jnp.full((2, 2), 0.5))
    expected = [[0, 0, 0.375, 0.125, 0.5], [0.275, 0.225, 0, 0, 0.5]]
    near(categorical_target(half, jnp.asarray(logits), atoms), expected)
    # a bonus of 0.5 goes to what comes next and is discounted: 0.25 + 0.9·0.5 = 0.7
    paid = step._replace(bonus=jnp.full((2, 2), 0.5))
    near(categorical_target(paid, jnp.asarray(logits), atoms)[0], [0, 0, 0.3, 0.7, 0])


@pytest.mark.parametrize("kind", ["greedy", "expected", "munchausen"])
@pytest.mark.parametrize("distribution", ["c51", "qr"])
def test_the_mean_of_a_distribution_s_target_is_the_scalar_target(distribution, kind):
    """As long as no atom is beyond the grid: the values are near 0, and the grid goes to 10."""
    K = len(ATOMS) if distribution == "c51" else 9
    net = network(distribution, K)
    raw = jnp.asarray(RNG.normal(size=(B, A, K)), jnp.float32)
    out = raw - 0.5 * jnp.abs(jnp.asarray(ATOMS)) if distribution == "c51" else raw
    q_next = net.q_values(jnp, out)
    step = {
        "greedy": greedy_next(REWARD, DISCOUNT, q_next),
        "expected": Next(REWARD, DISCOUNT, policy_of(), None),
        "munchausen": munchausen_next(REWARD, DISCOUNT, Q, ACTION, q_next, 0.3, 0.9, -1.0),
    }[kind]
    target = (
        categorical_target(step, out, net.support) if distribution == "c51" else quantile_target(step, out)
    )
    assert target.shape == (B, K)
    np.testing.assert_allclose(mean_of(net, target), scalar_target(step, q_next), atol=3e-3)
    if distribution == "c51":
        near(target.sum(axis=-1), np.ones(B))


def test_quantile_targets_by_hand():
    """Greedy: those of the action, shifted; else level by level: 1 + 0.5 (0.25·(0, 4) + 0.75·(2, 8))."""
    quantiles = jnp.array([[[0.0, 4.0], [2.0, 8.0]]])
    one = (jnp.array([1.0]), jnp.array([0.5]))
    near(quantile_target(greedy_next(*one, jnp.array([[0.0, 1.0]])), quantiles), [[2.0, 5.0]])
    mixed = Next(*one, jnp.array([[0.25, 0.75]]), None)
    near(quantile_target(mixed, quantiles), [[1.75, 4.5]])
    near(quantile_target(mixed._replace(bonus=jnp.array([[4.0, 0.0]])), quantiles), [[2.25, 5.0]])


def test_losses_of_distributions_by_hand():
    """Cross-entropy of (1/4, 3/4) against a fair guess is ln 2. Quantiles 0 and 1 at levels 1/4 and 3/4, one target at
    3: errors 3 and 2, Huber 2.5 and 1.5, weights 1/4 and 3/4: 1.75; at -3: errors -3, -4: 0.75·2.5 + 0.25·3.5."""
    net = network("c51", 2, (0.0, 1.0))
    target = jnp.array([[0.25, 0.75]])
    near(distributional_loss(net, jnp.zeros((1, 2)), target, None, 1.0), [np.log(2)])
    near(mean_of(net, target), [0.75])
    net = network("qr", 2)
    np.testing.assert_array_equal(net.levels, [0.25, 0.75])
    output, targets = jnp.array([[0.0, 1.0]] * 2), jnp.array([[3.0], [-3.0]])
    near(distributional_loss(net, output, targets, None, 1.0), [1.75, 2.75])
    drawn = jnp.array([[0.75, 0.25]] * 2)
    near(
        distributional_loss(net, output, targets, drawn, 1.0),
        [0.75 * 2.5 + 0.25 * 1.5, 0.25 * 2.5 + 0.75 * 3.5],
    )


# Forbidden actions


@pytest.mark.parametrize("kind", ["greedy", "double", "munchausen"])
@pytest.mark.parametrize("distribution", ["none", "c51", "qr"])
def test_forbidden_actions_are_worth_nothing_to_a_target(distribution, kind):
    """Whatever a network says of forbidden actions, the target is the same, and that of the allowed ones alone."""
    rng = np.random.default_rng(4)
    mask = rng.random((B, A)) < 0.5
    mask[:, 1] = True
    mask = jnp.asarray(mask)
    net = network(distribution, 9)
    shape = (B, A) if distribution == "none" else (B, A, 9)
    out, wild = (jnp.asarray(rng.normal(size=shape) * scale, jnp.float32) for scale in (1, 50))
    here = mask if distribution == "none" else mask[..., None]
    found = []
    for outputs in (out, jnp.where(here, out, wild)):
        q_next = net.q_values(jnp, outputs)
        select = jnp.where(mask, Q_SELECT, Q_SELECT + 100) if kind == "double" else q_next
        if kind == "munchausen":
            step = munchausen_next(REWARD, DISCOUNT, Q, ACTION, allowed_q(q_next, mask), 0.3, 0.9, -1.0)
        else:
            step = greedy_next(REWARD, DISCOUNT, allowed_q(select, mask))
        assert (np.asarray(step.policy)[~np.asarray(mask)] == 0).all()
        if distribution == "none":
            found.append(scalar_target(step, outputs))
        elif distribution == "c51":
            found.append(categorical_target(step, outputs, net.support))
        else:
            found.append(quantile_target(step, outputs))
    assert np.isfinite(found[0]).all()
    near(found[0], found[1])
    if (distribution, kind) == ("none", "greedy"):
        best = np.where(mask, out, -np.inf).max(axis=-1)
        near(found[0], REWARD + DISCOUNT * best)


def test_a_value_of_nothing_allowed_is_finite():
    assert np.isfinite(0.0 * FORBIDDEN)
    near(allowed_q(Q, None), Q)
