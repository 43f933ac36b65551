"""Bellman operators on a dense model, and what makes them converge.

The sparse solvers of `qfix.mdp` answer for large models; these are the definitions they are held against.
"""

from __future__ import annotations

from collections.abc import Callable

from qfix.core._array import Array, namespace, require_scalar_or_shape, require_shape, shape_of
from qfix.core.td import one_step

Operator = Callable[[Array], Array]


def backup(transition: Array, reward: Array, discount: Array, value: Array) -> Array:
    """Action values one step ahead of a value function.

        q(s, a) = R(s, a) + γ·Σ_s' P(s'|s, a)·v(s')

    Args:
        transition: P, (S, A, S), rows sum to 1.
        reward: R, (S, A), expected reward.
        discount: scalar or (S, A), gamma, 0 where the action ends the episode; in [0, 1].
        value: v, (S,).

    Returns:
        (S, A), action values.

    Raises:
        OptionError: shapes do not match.

    Source: Sutton & Barto (2018), eq. 4.6.
    """
    states, actions = shape_of(reward)
    require_shape("backup", "transition", transition, (states, actions, states), "(states, actions, states)")
    require_scalar_or_shape("backup", "discount", discount, (states, actions), "reward")
    require_shape("backup", "value", value, (states,), "the states")
    return one_step(reward, discount, namespace(transition, reward, value).matmul(transition, value))


def expectation(transition: Array, reward: Array, discount: Array, policy: Array, value: Array) -> Array:
    """Bellman's expectation operator: its only fixed point is the value of the policy.

        (T_π v)(s) = Σ_a π(a|s)·(R(s, a) + γ·Σ_s' P(s'|s, a)·v(s'))

    A γ-contraction in the max-norm, and monotone.

    Args:
        transition: P, (S, A, S), rows sum to 1.
        reward: R, (S, A), expected reward.
        discount: scalar or (S, A), gamma, 0 where the action ends the episode; in [0, 1].
        policy: π, (S, A), probabilities.
        value: v, (S,).

    Returns:
        (S,), T_π v.

    Raises:
        OptionError: shapes do not match.

    Source: Sutton & Barto (2018), eq. 4.5; Puterman (1994), Markov decision processes, section 6.1.
    """
    require_shape("expectation", "policy", policy, shape_of(reward), "reward")
    return namespace(policy, reward).sum(policy * backup(transition, reward, discount, value), axis=-1)


def optimality(transition: Array, reward: Array, discount: Array, value: Array) -> Array:
    """Bellman's optimality operator: its only fixed point is the optimal value.

        (T v)(s) = max_a (R(s, a) + γ·Σ_s' P(s'|s, a)·v(s'))

    A γ-contraction in the max-norm, and monotone. Never below `expectation` for any policy, and equal to it
    for the policy that is greedy in `backup`.

    Args:
        transition: P, (S, A, S), rows sum to 1.
        reward: R, (S, A), expected reward.
        discount: scalar or (S, A), gamma, 0 where the action ends the episode; in [0, 1].
        value: v, (S,).

    Returns:
        (S,), T v.

    Raises:
        OptionError: shapes do not match.

    Source: Sutton & Barto (2018), eq. 4.10; Puterman (1994), section 6.2.
    """
    action_values = backup(transition, reward, discount, value)
    return namespace(action_values).max(action_values, axis=-1)


def residual(operator: Operator, value: Array) -> Array:
    """How far a value function is from being a fixed point.

        ‖T v − v‖_∞

    Then ‖v − v*‖_∞ <= residual / (1 − γ), if γ < 1.

    Args:
        operator: T, from (S,) to (S,).
        value: v, (S,).

    Returns:
        Scalar, in units of reward.

    Source: Puterman (1994), theorem 6.2.3 (the fixed point) and the triangle inequality.
    """
    return _max_norm(operator(value) - value)


def contraction(operator: Operator, value: Array, other: Array) -> Array:
    """By which factor an operator brings two value functions closer: a measurement of its modulus from below.

        ‖T v − T w‖_∞ / ‖v − w‖_∞

    At most γ for `expectation` and `optimality`, and γ for v = w + constant where every row has the discount
    γ.

    Args:
        operator: T, from (S,) to (S,).
        value: v, (S,).
        other: w, (S,), different from v.

    Returns:
        Scalar, the factor; not a number if v = w.

    Raises:
        OptionError: shapes do not match.

    Source: Puterman (1994), proposition 6.2.4.
    """
    require_shape("contraction", "other", other, shape_of(value), "value")
    return _max_norm(operator(value) - operator(other)) / _max_norm(value - other)


def _max_norm(x: Array) -> Array:
    xp = namespace(x)
    return xp.max(xp.abs(x))
