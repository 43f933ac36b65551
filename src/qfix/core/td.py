"""One-step targets: what a single transition says the value of its state and action should be.

Every function takes `discount = gamma * (1 - terminated)` and the values of the step's *own* next observation
(the final one where the episode was truncated), and returns a target. No gradient is stopped here: callers
do that.

The first functions are made of operators alone. They take scalars or arrays alike, compile unchanged under
`numba.njit`, and everything below is built on them.
"""

from __future__ import annotations

from qfix.core._array import (
    Array,
    namespace,
    require_actions_axis,
    require_range,
    require_scalar_or_shape,
    require_shape,
    shape_of,
    take_last,
)


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

    Reduces to the greedy value at ε = 0 and to the uniform policy's at ε = 1. Ties do not matter: tied
    actions are worth the same.

    Args:
        max_q: largest action value; any shape.
        mean_q: mean action value; shape of `max_q`.
        epsilon: probability of a uniformly random action, in [0, 1]; scalar or shape of `max_q`.

    Returns:
        The expected action value; shape of `max_q`.

    Source: Sutton & Barto (2018), section 5.4 (the sum before the policy improvement inequality).
    """
    return (1.0 - epsilon) * max_q + epsilon * mean_q


def q_learning(reward: Array, discount: Array, q_next: Array) -> Array:
    """Target of Q-learning: reward, then the best that can be done next.

        G = r + γ·max_a q'(a)

    Reduces to expected SARSA under the greedy policy.

    Args:
        reward: (...), the step's reward.
        discount: (...) or scalar, gamma * (1 - terminated), in [0, 1].
        q_next: (..., A), action values at the step's own next observation.

    Returns:
        (...), the target.

    Raises:
        OptionError: shapes do not match.

    Source: Watkins (1989), Learning from delayed rewards; Sutton & Barto (2018), eq. 6.8.
    """
    _require_step("q_learning", reward, discount, q_next=q_next)
    return one_step(reward, discount, namespace(q_next).max(q_next, axis=-1))


def sarsa(reward: Array, discount: Array, q_next: Array, action_next: Array) -> Array:
    """Target of SARSA: reward, then the value of the action taken next.

        G = r + γ·q'(a')

    Reduces to Q-learning where the next action is greedy.

    Args:
        reward: (...), the step's reward.
        discount: (...) or scalar, gamma * (1 - terminated), in [0, 1].
        q_next: (..., A), action values at the step's own next observation.
        action_next: (...) integer, the action chosen there, in [0, A).

    Returns:
        (...), the target.

    Raises:
        OptionError: shapes do not match.

    Source: Sutton & Barto (2018), eq. 6.7.
    """
    _require_step("sarsa", reward, discount, q_next=q_next)
    require_shape("sarsa", "action_next", action_next, shape_of(reward), "reward")
    xp = namespace(q_next, action_next)
    return one_step(reward, discount, take_last(xp, q_next, action_next))


def expected_sarsa(reward: Array, discount: Array, q_next: Array, policy_next: Array) -> Array:
    """Target of expected SARSA: reward, then what a policy earns next on average.

        G = r + γ·Σ_a π(a|s')·q'(a)

    Reduces to Q-learning for a greedy policy, and is SARSA's target averaged over the next action.

    Args:
        reward: (...), the step's reward.
        discount: (...) or scalar, gamma * (1 - terminated), in [0, 1].
        q_next: (..., A), action values at the step's own next observation.
        policy_next: (..., A), action probabilities there.

    Returns:
        (...), the target.

    Raises:
        OptionError: shapes do not match.

    Source: van Seijen et al. (2009), A theoretical and empirical analysis of expected Sarsa;
    Sutton & Barto (2018), eq. 6.9.
    """
    _require_step("expected_sarsa", reward, discount, q_next=q_next, policy_next=policy_next)
    require_shape("expected_sarsa", "policy_next", policy_next, shape_of(q_next), "q_next")
    xp = namespace(q_next, policy_next)
    return one_step(reward, discount, xp.sum(policy_next * q_next, axis=-1))


def double_q(reward: Array, discount: Array, q_next: Array, q_select: Array) -> Array:
    """Target of double Q-learning: one estimate chooses the next action, the other says what it is worth.

        G = r + γ·q'(argmax_a q_select(a))

    Reduces to Q-learning when both estimates are the same. Choosing and valuing with one estimate
    overestimates; with two independent ones it does not.

    Args:
        reward: (...), the step's reward.
        discount: (...) or scalar, gamma * (1 - terminated), in [0, 1].
        q_next: (..., A), the values paid out, at the step's own next observation (a target network's, say).
        q_select: (..., A), the values that choose (the online network's, say); the first of tied actions
            wins.

    Returns:
        (...), the target.

    Raises:
        OptionError: shapes do not match.

    Source: van Hasselt (2010), Double Q-learning, algorithm 1; van Hasselt et al. (2016), Deep reinforcement
    learning with double Q-learning, eq. 4.
    """
    _require_step("double_q", reward, discount, q_next=q_next, q_select=q_select)
    require_shape("double_q", "q_select", q_select, shape_of(q_next), "q_next")
    xp = namespace(q_next, q_select)
    return one_step(reward, discount, take_last(xp, q_next, xp.argmax(q_select, axis=-1)))


def soft_value(q: Array, temperature: Array) -> Array:
    """Value of a state to an agent that is paid for entropy, at its best.

        v = τ·log Σ_a exp(q(a)/τ) = max_π (Σ_a π(a)·q(a) + τ·H(π))

    Tends to max_a q(a) as τ → 0; within [max q, max q + τ·log A].

    Args:
        q: (..., A), action values; −inf for an action that is not allowed.
        temperature: τ > 0, scalar, in units of reward.

    Returns:
        (...), the value.

    Raises:
        OptionError: the temperature is not positive.

    Source: Haarnoja et al. (2017), Reinforcement learning with deep energy-based policies, theorem 1.
    """
    _require_temperature("soft_value", temperature)
    xp = namespace(q)
    top = xp.max(q, axis=-1, keepdims=True)
    return top[..., 0] + temperature * xp.log(xp.sum(xp.exp((q - top) / temperature), axis=-1))


def soft(reward: Array, discount: Array, q_next: Array, temperature: Array) -> Array:
    """Target of soft Q-learning: reward, then the entropy-regularised value of what comes next.

        G = r + γ·τ·log Σ_a exp(q'(a)/τ)

    Tends to Q-learning as τ → 0.

    Args:
        reward: (...), the step's reward.
        discount: (...) or scalar, gamma * (1 - terminated), in [0, 1].
        q_next: (..., A), action values at the step's own next observation.
        temperature: τ > 0, scalar, in units of reward.

    Returns:
        (...), the target.

    Raises:
        OptionError: shapes do not match, or the temperature is not positive.

    Source: Haarnoja et al. (2017), theorem 1.
    """
    _require_step("soft", reward, discount, q_next=q_next)
    _require_temperature("soft", temperature)
    return one_step(reward, discount, soft_value(q_next, temperature))


def munchausen(
    reward: Array,
    discount: Array,
    q: Array,
    action: Array,
    q_next: Array,
    temperature: Array,
    bonus_weight: Array,
    bonus_floor: Array,
) -> Array:
    """Target of Munchausen Q-learning: soft Q-learning that is also paid for being sure of its action.

        G = r + α·clip(τ·log π(a|s), l₀, 0) + γ·Σ_a π(a|s')·(q'(a) − τ·log π(a|s')),   π = softmax(q/τ)

    Reduces to soft Q-learning at α = 0: the last sum is the soft value of q'.

    Args:
        reward: (...), the step's reward.
        discount: (...) or scalar, gamma * (1 - terminated), in [0, 1].
        q: (..., A), action values at the step's observation, from the network that also gives `q_next`.
        action: (...) integer, the action taken, in [0, A).
        q_next: (..., A), action values at the step's own next observation.
        temperature: τ > 0, scalar, in units of reward (the paper: 0.03).
        bonus_weight: α in [0, 1], scalar (the paper: 0.9).
        bonus_floor: l₀ <= 0, scalar, in units of reward (the paper: −1).

    Returns:
        (...), the target.

    Raises:
        OptionError: shapes do not match, the temperature is not positive, or weight or floor is out of range.

    Source: Vieillard et al. (2020), Munchausen reinforcement learning, section 3.
    """
    owner = "munchausen"
    _require_step(owner, reward, discount, q=q, q_next=q_next)
    require_shape(owner, "q", q, shape_of(q_next), "q_next")
    require_shape(owner, "action", action, shape_of(reward), "reward")
    _require_temperature(owner, temperature)
    require_range(owner, "bonus_weight", bonus_weight, 0.0, 1.0, "Use bonus_weight=0.9 as in the paper.")
    require_range(
        owner, "bonus_floor", bonus_floor, -float("inf"), 0.0, "Use bonus_floor=-1.0 as in the paper."
    )
    xp = namespace(q, q_next, action)
    scaled_log_prob = take_last(xp, q, action) - soft_value(q, temperature)
    bonus = bonus_weight * xp.clip(scaled_log_prob, bonus_floor, 0.0)
    return soft(reward + bonus, discount, q_next, temperature)


def _require_step(owner: str, reward: Array, discount: Array, **values: Array) -> None:
    shape = shape_of(reward)
    require_scalar_or_shape(owner, "discount", discount, shape, "reward")
    for name, value in values.items():
        require_actions_axis(owner, name, value, shape, "reward")


def _require_temperature(owner: str, temperature: Array) -> None:
    remedy = "Use q_learning for the limit at 0."
    require_range(owner, "temperature", temperature, 0.0, float("inf"), remedy, open_low=True)
