"""Scalar equations of exploration, for compiled kernels and for NumPy alike.

Each is made of operators and `math` alone, so `numba.njit` compiles it unchanged.
"""

from __future__ import annotations

import math


def ucb_bonus(c, t, n):
    """How much better than its estimate an action may be: c · √(ln t / n).

    Args:
        c: ≥ 0; 0 is greedy among the actions tried.
        t: visits of the state so far, ≥ n.
        n: times the action was taken there; 0 gives infinity, so untried actions come first.

    Source: Sutton & Barto (2018), equation 2.10; Auer, Cesa-Bianchi & Fischer (2002), UCB1.
    """
    if n == 0:
        return math.inf
    return c * math.sqrt(math.log(t) / n)


def count_bonus(beta, n):
    """A bonus for what was seldom tried: β / √n.

    Args:
        beta: ≥ 0; 0 is greedy among the actions tried.
        n: times the action was taken in the state; 0 gives infinity, so untried actions come first.

    Source: Strehl & Littman (2008), "An analysis of model-based Interval Estimation", MBIE-EB.
    Deviation: the bonus steers the choice of the action and is not learned as a reward.
    """
    if n == 0:
        return math.inf
    return beta / math.sqrt(n)


def vdbe_update(epsilon, alpha_td_abs, sigma, delta):
    """The exploration rate of a state after one of its values moved by |α · δ_td|.

        f  = (1 − exp(−|α δ_td| / σ)) / (1 + exp(−|α δ_td| / σ))
        ε' = δ · f + (1 − δ) · ε

    More exploration while values change: with no change f = 0 and ε falls by the factor 1 − δ; a change far
    above σ gives f → 1.

    Args:
        epsilon: exploration rate of the state, in [0, 1].
        alpha_td_abs: |α · td error|, the size of the update just made, ≥ 0.
        sigma: change of value that counts as large, > 0 (the inverse sensitivity).
        delta: weight of this action's update, in (0, 1]; 1 / A weighs all actions of the state alike.

    Returns:
        ε', in [0, 1].

    Source: Tokic (2010), "Adaptive ε-greedy Exploration in Reinforcement Learning Based on Value
    Differences", section 3.
    """
    decay = math.exp(-alpha_td_abs / sigma)
    return delta * ((1.0 - decay) / (1.0 + decay)) + (1.0 - delta) * epsilon
