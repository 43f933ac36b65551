"""Surrogates: by hand, and as expectations over every action."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qfix.core import policies, surrogates
from qfix.errors import OptionError

logits = hnp.arrays(float, 4, elements=st.floats(-8, 8))


def test_policy_gradient_by_hand():
    loss = surrogates.policy_gradient(np.array([-0.5, -2.0]), np.array([3.0, -1.0]))
    np.testing.assert_array_equal(loss, [1.5, -2.0])


def test_clipped_surrogate_by_hand():
    # Ratios 0.5, 0.9, 1.2, 1.5 with bounds 0.7 and 1.3: good actions stop paying above, bad ones below.
    ratio = np.array([0.5, 0.9, 1.2, 1.5])
    old = np.log(np.array([0.4, 0.1, 0.2, 0.3]))
    good = surrogates.clipped_surrogate(old + np.log(ratio), old, np.full(4, 2.0), 0.3, 0.3)
    np.testing.assert_allclose(good, [-1.0, -1.8, -2.4, -2.6], rtol=1e-13)
    bad = surrogates.clipped_surrogate(old + np.log(ratio), old, np.full(4, -2.0), 0.3, 0.3)
    np.testing.assert_allclose(bad, [1.4, 1.8, 2.4, 3.0], rtol=1e-13)


def test_clipped_surrogate_has_two_bounds():
    log_ratio, old = np.log(np.array([0.5, 1.5])), np.zeros(2)
    loss = surrogates.clipped_surrogate(log_ratio, old, np.array([-2.0, 2.0]), 0.2, 0.4)
    np.testing.assert_allclose(loss, [1.6, -2.8], rtol=1e-13)


@given(logits, logits)
def test_clipped_surrogate_bounds_the_unclipped_from_above(log_prob, advantage):
    old = np.zeros(4)
    unclipped = -np.exp(log_prob) * advantage
    assert np.all(surrogates.clipped_surrogate(log_prob, old, advantage, 0.2, 0.3) >= unclipped)
    np.testing.assert_allclose(surrogates.clipped_surrogate(log_prob, old, advantage, 1.0, 1e9), unclipped)
    np.testing.assert_array_equal(surrogates.clipped_surrogate(old, old, advantage, 0.2, 0.3), -advantage)


def test_entropy_by_hand():
    x = np.log(np.array([[1.0, 3.0, 4.0], [2.0, 2.0, 2.0]]))
    p = np.array([1 / 8, 3 / 8, 4 / 8])
    np.testing.assert_allclose(surrogates.entropy(x), [-(p @ np.log(p)), np.log(3.0)], rtol=1e-14)


def test_entropy_leaves_out_forbidden_actions():
    assert surrogates.entropy(np.array([0.0, -np.inf, 0.0])) == pytest.approx(np.log(2.0), rel=1e-15)
    assert surrogates.entropy(np.array([5.0, -np.inf])) == 0.0


@given(logits, st.floats(-50, 50))
def test_entropy_lies_between_none_and_uniform_and_ignores_a_constant(x, constant):
    entropy = surrogates.entropy(x)
    assert -1e-12 <= entropy <= np.log(4) + 1e-12
    assert surrogates.entropy(x + constant) == pytest.approx(entropy, abs=1e-9)


def test_kl_estimates_by_hand():
    # r = π_ref/π = 1/2 and 3.
    log_prob = np.log(np.array([0.4, 0.2]))
    log_prob_ref = np.log(np.array([0.2, 0.6]))
    k1, k2, k3 = (k(log_prob, log_prob_ref) for k in (surrogates.kl_k1, surrogates.kl_k2, surrogates.kl_k3))
    np.testing.assert_allclose(k1, [np.log(2.0), -np.log(3.0)], rtol=1e-14)
    np.testing.assert_allclose(k2, [np.log(2.0) ** 2 / 2, np.log(3.0) ** 2 / 2], rtol=1e-14)
    np.testing.assert_allclose(k3, [-0.5 + np.log(2.0), 2.0 - np.log(3.0)], rtol=1e-14)


@given(logits, logits)
def test_k1_and_k3_are_unbiased_and_k2_and_k3_are_never_negative(x, x_ref):
    log_prob, log_prob_ref = policies.log_softmax(x), policies.log_softmax(x_ref)
    prob = np.exp(log_prob)
    exact = np.sum(prob * (log_prob - log_prob_ref))
    assert prob @ surrogates.kl_k1(log_prob, log_prob_ref) == pytest.approx(exact, abs=1e-12)
    assert prob @ surrogates.kl_k3(log_prob, log_prob_ref) == pytest.approx(exact, abs=1e-10)
    assert np.all(surrogates.kl_k2(log_prob, log_prob_ref) >= 0)
    assert np.all(surrogates.kl_k3(log_prob, log_prob_ref) >= 0)


def test_k2_is_right_to_second_order(rng):
    x, move = rng.normal(size=(2, 5))
    log_prob, log_prob_ref = policies.log_softmax(x), policies.log_softmax(x + 1e-3 * move)
    k2, k3 = (np.exp(log_prob) @ k(log_prob, log_prob_ref) for k in (surrogates.kl_k2, surrogates.kl_k3))
    assert k2 == pytest.approx(k3, rel=1e-2)


def test_group_advantage_by_hand():
    reward = np.array([[0.0, 0.0, 0.0, 1.0], [2.0, 2.0, 2.0, 2.0]])
    unscaled = surrogates.group_advantage(reward, False, 0.0)
    np.testing.assert_allclose(unscaled, [[-0.25, -0.25, -0.25, 0.75], [0, 0, 0, 0]], rtol=1e-15)
    # Population deviation √(3/16) = 0.4330.
    scaled = surrogates.group_advantage(reward, True, 0.1)
    np.testing.assert_allclose(scaled, unscaled / (np.sqrt([[3.0], [0.0]]) / 4 + 0.1), rtol=1e-14)


def test_scaled_group_advantage_ignores_scale_and_shift(rng):
    reward = rng.normal(size=(3, 5))
    np.testing.assert_allclose(
        surrogates.group_advantage(3.0 + 7.0 * reward, True, 0.0),
        surrogates.group_advantage(reward, True, 0.0),
        rtol=1e-12,
    )


REFUSED = {
    "advantage": lambda: surrogates.policy_gradient(np.ones(3), np.ones((3, 1))),
    "log_prob_old": lambda: surrogates.clipped_surrogate(np.ones(3), np.ones(1), np.ones(3), 0.2, 0.2),
    "eps_low": lambda: surrogates.clipped_surrogate(np.ones(3), np.ones(3), np.ones(3), 1.2, 0.2),
    "eps_high": lambda: surrogates.clipped_surrogate(np.ones(3), np.ones(3), np.ones(3), 0.2, -0.2),
    "log_prob_ref": lambda: surrogates.kl_k3(np.ones(3), np.ones((3, 1))),
    "reward": lambda: surrogates.group_advantage(np.ones((3, 1)), True, 0.1),
    "eps": lambda: surrogates.group_advantage(np.ones((3, 2)), True, -0.1),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_argument_is_named(name):
    with pytest.raises(OptionError, match=f"The '{name}' parameter of "):
        REFUSED[name]()
