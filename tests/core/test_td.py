"""One-step targets: by hand, what they reduce to, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qfix.core import policies, td
from qfix.errors import OptionError

REWARD = np.array([1.0, 2.0, 3.0])
DISCOUNT = np.array([0.9, 0.9, 0.0])  # the last step terminated
Q_NEXT = np.array([[1.0, 5.0, 2.0], [4.0, 3.0, -1.0], [7.0, 8.0, 9.0]])
values = hnp.arrays(float, (4, 3), elements=st.floats(-50, 50))


def test_q_learning_by_hand():
    np.testing.assert_allclose(td.q_learning(REWARD, DISCOUNT, Q_NEXT), [5.5, 5.6, 3.0], rtol=1e-15)


def test_sarsa_by_hand():
    target = td.sarsa(REWARD, DISCOUNT, Q_NEXT, np.array([2, 1, 0]))
    np.testing.assert_allclose(target, [2.8, 4.7, 3.0], rtol=1e-15)


def test_expected_sarsa_by_hand():
    policy = np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [1.0, 0.0, 0.0]])
    # Expectations: 0.5 + 1.25 + 0.5 = 2.25 and 0.4 + 0.6 − 0.7 = 0.3.
    target = td.expected_sarsa(REWARD, DISCOUNT, Q_NEXT, policy)
    np.testing.assert_allclose(target, [3.025, 2.27, 3.0], rtol=1e-14)


def test_double_q_by_hand():
    select = np.array([[0.0, 1.0, 9.0], [-3.0, -2.0, -5.0], [1.0, 1.0, 1.0]])
    np.testing.assert_allclose(td.double_q(REWARD, DISCOUNT, Q_NEXT, select), [2.8, 4.7, 3.0], rtol=1e-15)


def test_soft_by_hand():
    # exp(q/τ) are 1, 3 and 4 at τ = 2, so the value is 2·log 8.
    q_next = 2.0 * np.log(np.array([1.0, 3.0, 4.0]))
    assert td.soft_value(q_next, 2.0) == pytest.approx(2.0 * np.log(8.0), rel=1e-15)
    assert td.soft(1.0, 0.9, q_next, 2.0) == pytest.approx(1.0 + 1.8 * np.log(8.0), rel=1e-15)


def test_munchausen_by_hand():
    # π(·|s) = (1, 3, 4)/8 at τ = 2; action 1 pays 0.9·2·log(3/8), action 0 is cut off at 0.9·(−2.5).
    q = 2.0 * np.log(np.array([[1.0, 3.0, 4.0]] * 2))
    action, reward, discount = np.array([1, 0]), np.array([1.0, 1.0]), np.array([0.7, 0.7])
    q_next = 2.0 * np.log(np.array([[2.0, 3.0, 5.0]] * 2))
    target = td.munchausen(reward, discount, q, action, q_next, 2.0, 0.9, -2.5)
    soft = 1.0 + 0.7 * 2.0 * np.log(10.0)
    np.testing.assert_allclose(target, [soft + 1.8 * np.log(3 / 8), soft - 2.25], rtol=1e-14)


def test_munchausen_without_bonus_is_soft_q_learning(rng):
    q, q_next = rng.normal(size=(2, 5, 3))
    reward, action = rng.normal(size=5), rng.integers(3, size=5)
    target = td.munchausen(reward, 0.9, q, action, q_next, 0.3, 0.0, -1.0)
    np.testing.assert_allclose(target, td.soft(reward, 0.9, q_next, 0.3), rtol=1e-15)


def test_soft_value_is_expected_value_plus_entropy_under_boltzmann(rng):
    q, tau = rng.normal(size=(5, 3)), 0.7
    policy = policies.boltzmann(q, tau)
    expected = np.sum(policy * (q - tau * np.log(policy)), axis=-1)
    np.testing.assert_allclose(td.soft_value(q, tau), expected, rtol=1e-13)


@given(values)
def test_soft_value_lies_between_max_and_max_plus_log_actions(q):
    gap = td.soft_value(q, 0.4) - q.max(-1)
    assert np.all(gap >= 0)
    assert np.all(gap <= 0.4 * np.log(3) + 1e-12)


@given(values, hnp.arrays(float, 4, elements=st.floats(-50, 50)))
def test_targets_meet_where_the_policies_do(q_next, reward):
    best = td.q_learning(reward, 0.9, q_next)
    greedy = policies.greedy(q_next)
    np.testing.assert_allclose(td.sarsa(reward, 0.9, q_next, q_next.argmax(-1)), best)
    np.testing.assert_allclose(td.expected_sarsa(reward, 0.9, q_next, greedy), best, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(td.double_q(reward, 0.9, q_next, q_next), best)
    np.testing.assert_allclose(td.soft(reward, 0.9, q_next, 1e-6), best, rtol=1e-6, atol=1e-5)


@given(values, st.floats(0, 1))
def test_epsilon_greedy_value_is_the_expectation_under_epsilon_greedy(q, epsilon):
    expected = np.sum(policies.epsilon_greedy(q, epsilon) * q, axis=-1)
    value = td.epsilon_greedy_value(q.max(-1), q.mean(-1), epsilon)
    np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-10)


def test_forbidden_action_does_not_count():
    q = np.array([0.3, -np.inf, 0.5])
    assert td.soft_value(q, 0.2) == pytest.approx(td.soft_value(q[[0, 2]], 0.2), rel=1e-15)


def test_plain_numbers_serve_as_reward_and_discount():
    assert td.q_learning(1.0, 0.9, np.array([2.0, 3.0])) == pytest.approx(3.7, rel=1e-15)


REFUSED = {
    "discount": lambda: td.q_learning(REWARD, DISCOUNT[:, None], Q_NEXT),
    "q_next": lambda: td.q_learning(REWARD[:, None], DISCOUNT[:, None], Q_NEXT),
    "action_next": lambda: td.sarsa(REWARD, DISCOUNT, Q_NEXT, np.array([[0], [1], [2]])),
    "policy_next": lambda: td.expected_sarsa(REWARD, DISCOUNT, Q_NEXT, np.ones((3, 1))),
    "q_select": lambda: td.double_q(REWARD, DISCOUNT, Q_NEXT, np.ones((3, 2))),
    "temperature": lambda: td.soft(REWARD, DISCOUNT, Q_NEXT, 0.0),
    "q": lambda: td.munchausen(REWARD, DISCOUNT, Q_NEXT[:, :2], np.zeros(3, int), Q_NEXT, 0.03, 0.9, -1.0),
    "action": lambda: td.munchausen(REWARD, DISCOUNT, Q_NEXT, np.zeros((3, 1), int), Q_NEXT, 0.03, 0.9, -1.0),
    "bonus_weight": lambda: td.munchausen(
        REWARD, DISCOUNT, Q_NEXT, np.zeros(3, int), Q_NEXT, 0.03, 1.001, -1.0
    ),
    "bonus_floor": lambda: td.munchausen(
        REWARD, DISCOUNT, Q_NEXT, np.zeros(3, int), Q_NEXT, 0.03, 0.9, 0.001
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_argument_is_named(name):
    with pytest.raises(OptionError, match=f"The '{name}' parameter of .* must be|The '{name}' .* must have"):
        REFUSED[name]()


def test_message_names_parameter_owner_rule_value_and_remedy():
    with pytest.raises(OptionError) as caught:
        td.soft(REWARD, DISCOUNT, Q_NEXT, -0.5)
    assert str(caught.value) == (
        "The 'temperature' parameter of soft must be in (0.0, inf). Got -0.5. "
        "Use q_learning for the limit at 0."
    )
    with pytest.raises(OptionError) as caught:
        td.q_learning(REWARD, DISCOUNT[:, None], Q_NEXT)
    assert str(caught.value) == (
        "The 'discount' parameter of q_learning must have the shape of reward, (3,). Got shape (3, 1). "
        "Index or reshape it to that shape: to broadcast it would mix rows."
    )
