"""Policies on action values, as probabilities of the actions along the last axis.

Whoever acts draws from them with randomness of their own, which is an argument; whoever learns takes expectations under
them.
"""

from __future__ import annotations

from qfix.core._array import Array, like, namespace, require_range, require_shape, shape_of
from qfix.core.td import epsilon_greedy_value


def greedy(q: Array) -> Array:
    """The best action; actions that tie for it share its probability.

        π(a) = 1{q(a) = max q} / |{b : q(b) = max q}|

    Args:
        q: (..., A), action values; −inf for an action that is not allowed.

    Returns:
        (..., A), probabilities.

    Source: Sutton & Barto (2018), section 4.2, with the ties shared evenly.
    """
    xp = namespace(q)
    best = xp.astype(q == xp.max(q, axis=-1, keepdims=True), q.dtype)
    return best / xp.sum(best, axis=-1, keepdims=True)


def best(q: Array, u: Array) -> Array:
    """One of the best actions: of those that tie, the one with the largest u.

    Args:
        q: (..., A), action values; −inf for an action that is not allowed.
        u: (..., A), uniform in [0, 1), so that each of them is as likely as `greedy` says.

    Returns:
        (...), numbers of actions.

    Raises:
        OptionError: u has another shape than q.
    """
    require_shape("best", "u", u, shape_of(q), "q")
    xp = namespace(q, u)
    return xp.argmax(xp.where(q == xp.max(q, axis=-1, keepdims=True), u, -1.0), axis=-1)


def draw(probabilities: Array, u: Array) -> Array:
    """An action from each row of probabilities, by one uniform number: the inverse of their distribution function.

        a = |{k : π(0) + ... + π(k) ≤ u·Σ_b π(b)}|

    Never an action of probability 0, whatever is rounded: the last that is possible is as far as it goes.

    Args:
        probabilities: (..., A), of which each row has a sum above 0, by rounding perhaps not 1.
        u: (...), uniform in [0, 1).

    Returns:
        (...), numbers of actions.

    Raises:
        OptionError: u has another shape than the rows.

    Source: Devroye (1986), Non-uniform random variate generation, section III.2 (sequential search).
    """
    require_shape("draw", "u", u, shape_of(probabilities)[:-1], "probabilities without its last axis")
    xp = namespace(probabilities, u)
    below = xp.cumulative_sum(probabilities, axis=-1)
    passed = xp.astype(below <= u[..., None] * below[..., -1:], xp.int32)
    possible = xp.astype(xp.flip(probabilities, axis=-1) > 0, xp.int32)
    return xp.minimum(xp.sum(passed, axis=-1), probabilities.shape[-1] - 1 - xp.argmax(possible, axis=-1))


def epsilon_greedy(q: Array, epsilon: Array) -> Array:
    """The best action mostly, and any action, the best included, with probability epsilon.

        π(a) = (1 − ε)·greedy(a) + ε/A

    Reduces to `greedy` at ε = 0 and to the uniform policy at ε = 1.

    Args:
        q: (..., A), action values.
        epsilon: scalar or (...), in [0, 1].

    Returns:
        (..., A), probabilities.

    Raises:
        OptionError: epsilon is out of range, or of another shape.

    Source: Sutton & Barto (2018), section 2.2.
    """
    require_range("epsilon_greedy", "epsilon", epsilon, 0.0, 1.0, "Use epsilon=0.1 to explore a little.")
    if shape_of(epsilon):
        require_shape("epsilon_greedy", "epsilon", epsilon, shape_of(q)[:-1], "q without its last axis")
        epsilon = epsilon[..., None]
    return epsilon_greedy_value(greedy(q), 1.0 / q.shape[-1], epsilon)


def log_softmax(logits: Array) -> Array:
    """Logarithms of the probabilities that are proportional to exp(logits).

        log π(a) = x(a) − log Σ_b exp(x(b))

    Unchanged when a constant is added to all logits.

    Args:
        logits: (..., A); −inf for an action that is not allowed.

    Returns:
        (..., A), log-probabilities.

    Source: Sutton & Barto (2018), eq. 13.2.
    """
    xp = namespace(logits)
    below_top = logits - xp.max(logits, axis=-1, keepdims=True)
    return below_top - xp.log(xp.sum(xp.exp(below_top), axis=-1, keepdims=True))


def boltzmann(q: Array, temperature: Array) -> Array:
    """Better actions more often, by the exponential of their value.

        π(a) = exp(q(a)/τ) / Σ_b exp(q(b)/τ)

    Tends to `greedy` as τ → 0 and to the uniform policy as τ → ∞; it is the policy that attains `soft_value`.

    Args:
        q: (..., A), action values; −inf for an action that is not allowed.
        temperature: τ > 0, scalar, in units of reward.

    Returns:
        (..., A), probabilities.

    Raises:
        OptionError: the temperature is not positive.

    Source: Sutton & Barto (2018), eq. 2.11, with preferences q/τ.
    """
    remedy = "Use greedy for the limit at 0."
    require_range("boltzmann", "temperature", temperature, 0.0, float("inf"), remedy, open_low=True)
    return namespace(q).exp(log_softmax(q / temperature))


def ucb(q: Array, counts: Array, exploration: Array) -> Array:
    """The action that may be best for all we know: value plus a bonus for having been tried little.

        π = greedy(q(a) + c·√(log Σ_b n(b) / n(a))),   an untried action first

    Reduces to `greedy` at c = 0 once every action has been tried.

    Args:
        q: (..., A), mean reward or value of each action so far.
        counts: (..., A), how often each was taken, >= 0.
        exploration: c >= 0, scalar, in units of reward (√2 for rewards in [0, 1]).

    Returns:
        (..., A), probabilities: ties, untried actions among them, share.

    Raises:
        OptionError: counts has another shape than q, or exploration is negative.

    Source: Auer, Cesa-Bianchi & Fischer (2002), Finite-time analysis of the multiarmed bandit problem, UCB1;
    Sutton & Barto (2018), eq. 2.10.
    """
    require_shape("ucb", "counts", counts, shape_of(q), "q")
    remedy = "Use exploration=2**0.5 for rewards in [0, 1]."
    require_range("ucb", "exploration", exploration, 0.0, float("inf"), remedy)
    xp = namespace(q, counts)
    counts = like(xp, counts, q)
    total = xp.sum(counts, axis=-1, keepdims=True)
    # Both clips only keep log and division finite where the score is replaced by infinity anyway.
    bonus = exploration * xp.sqrt(xp.log(xp.clip(total, 1.0, None)) / xp.clip(counts, 1.0, None))
    return greedy(xp.where(counts > 0, q + bonus, float("inf")))
