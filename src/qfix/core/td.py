"""One-step targets: what a single transition says the value of its state and action should be.

Every function takes `discount = gamma * (1 - terminated)` and the values of the step's *own* next observation (the
final one where the episode was truncated), and returns a target. No gradient is stopped here: callers do that.

The first functions are made of operators alone. They take scalars or arrays alike, compile unchanged under `numba.njit`,
and everything below is built on them.
"""

from __future__ import annotations

from typing import Any

Array = Any  # any array of the Python array API standard, or a number


def one_step(reward: Array, discount: Array, value_next: Array) -> Array:
    """One step of reward, then the value of where it led.

        G = r + γ·v'

    Reduces to the reward where the step terminated (discount 0).

    Args:
        reward: reward of the step; any shape.
        discount: gamma * (1 - terminated), in [0, 1]; shape of `reward`.
        value_next: value of the step's own next observation; shape of `reward`.

    Returns:
        The target; shape of `reward`.

    Source: Sutton & Barto (2018), Reinforcement Learning, 2nd ed., eq. 6.2 (the bracket's first two terms).
    """
    return reward + discount * value_next


def td_error(target: Array, q: Array) -> Array:
    """How far an estimate is below its target.

        δ = G − q

    Args:
        target: what the estimate should be; any shape.
        q: the estimate, a value of a state or of a state and action; shape of `target`.

    Returns:
        The error, positive where the estimate is too low; shape of `target`.

    Source: Sutton & Barto (2018), eq. 6.5.
    """
    return target - q


def step_towards(q: Array, alpha: Array, target: Array) -> Array:
    """Move an estimate a fraction of the way to its target.

        q ← q + α·(G − q)

    Reduces to `q` at α = 0; at α = 1/n, with n the number of targets so far, to their running mean.

    Args:
        q: the estimate; any shape.
        alpha: step size, in [0, 1]; scalar or shape of `q`.
        target: shape of `q`.

    Returns:
        The new estimate; shape of `q`.

    Source: Sutton & Barto (2018), eq. 2.5.
    """
    return q + alpha * (target - q)


def epsilon_greedy_value(max_q: Array, mean_q: Array, epsilon: Array) -> Array:
    """Value of a state under the epsilon-greedy policy, from the largest and the mean action value.

        v = (1 − ε)·max_a q(a) + ε·mean_a q(a)

    Reduces to the greedy value at ε = 0 and to the uniform policy's at ε = 1. Ties do not matter: tied actions are
    worth the same.

    Args:
        max_q: largest action value; any shape.
        mean_q: mean action value; shape of `max_q`.
        epsilon: probability of a uniformly random action, in [0, 1]; scalar or shape of `max_q`.

    Returns:
        The expected action value; shape of `max_q`.

    Source: Sutton & Barto (2018), section 5.4 (the sum before the policy improvement inequality).
    """
    return (1.0 - epsilon) * max_q + epsilon * mean_q
