"""Eligibility traces and gradient corrections: the factors by which a linear learner's vectors are added up.

A table is the linear learner whose features x are one-hot. Every function here is made of operators alone,
takes scalars or arrays alike, and compiles unchanged under `numba.njit`.
"""

from __future__ import annotations

from typing import Any

Array = Any  # any array of the Python array API standard, or a number


def trace_decay(discount: Array, lambda_: Array) -> Array:
    """What is left of an eligibility trace after a step.

        γ·λ

    Args:
        discount: gamma * (1 - terminated), in [0, 1].
        lambda_: in [0, 1].

    Returns:
        The factor of the trace, in [0, 1].

    Source: Sutton & Barto (2018), eq. 12.5.
    """
    return discount * lambda_


def dutch_trace_increment(alpha: Array, decayed_dot: Array) -> Array:
    """How much of the features enters a dutch trace, the trace of true online TD(λ).

        e ← γλ·e + (1 − α·(γλ·e)ᵀx)·x

    This is the factor of x. Reduces to 1, the accumulating trace, where the decayed trace is orthogonal to
    the features; in a table at α = 1 to 1 − γλ·e(s), the replacing trace.

    Args:
        alpha: step size, in [0, 1].
        decayed_dot: (γλ·e)ᵀx, of the trace after its decay.

    Returns:
        The factor of x.

    Source: van Seijen et al. (2016), True online temporal-difference learning, algorithm 2.
    """
    return 1.0 - alpha * decayed_dot


def true_online_trace_step(alpha: Array, td_error: Array, value: Array, value_old: Array) -> Array:
    """Step along the trace in true online TD(λ).

        w ← w + α·(δ + V − V_old)·e − α·(V − V_old)·x

    This is the factor of e. Reduces to α·δ, conventional TD(λ), where V = V_old.

    Args:
        alpha: step size, in [0, 1].
        td_error: δ = r + γ·V' − V, all with the present weights.
        value: V, value of the state with the present weights.
        value_old: V_old, value of the same state with the weights of one step ago: V' of the last step, and
            0 at the start of an episode.

    Returns:
        The factor of the trace e.

    Source: van Seijen et al. (2016), algorithm 2; Sutton & Barto (2018), section 12.5.
    """
    return alpha * (td_error + (value - value_old))


def true_online_feature_step(alpha: Array, value: Array, value_old: Array) -> Array:
    """Step along the features in true online TD(λ), to be added to the weights.

        w ← w + α·(δ + V − V_old)·e − α·(V − V_old)·x

    This is the factor of x, its sign included. Reduces to 0 where V = V_old.

    Args:
        alpha: step size, in [0, 1].
        value: V, value of the state with the present weights.
        value_old: V_old, value of the same state with the weights of one step ago.

    Returns:
        The factor of the features x.

    Source: van Seijen et al. (2016), algorithm 2; Sutton & Barto (2018), section 12.5.
    """
    return -alpha * (value - value_old)


def gradient_correction(alpha: Array, discount: Array, h_dot_x: Array) -> Array:
    """Step along the next features in TDC, to be added to the weights.

        w ← w + α·δ·x − α·γ·(hᵀx)·x'

    This is the factor of x', its sign included. Reduces to 0, semi-gradient TD, while h = 0.

    Args:
        alpha: step size of the weights, in [0, 1].
        discount: gamma * (1 - terminated), in [0, 1].
        h_dot_x: hᵀx, the second weights' estimate of the TD error at x.

    Returns:
        The factor of the next features x'.

    Source: Sutton et al. (2009), Fast gradient-descent methods for temporal-difference learning with linear
    function approximation, eq. 10; Sutton & Barto (2018), section 11.7 (whose importance ratio ρ multiplies
    α).
    """
    return -(alpha * discount * h_dot_x)


def gradient_auxiliary_step(beta: Array, td_error: Array, h_dot_x: Array) -> Array:
    """Step of TDC's second weights, which learn the TD error expected at the features.

        h ← h + β·(δ − hᵀx)·x

    This is the factor of x.

    Args:
        beta: step size of the second weights, in [0, 1].
        td_error: δ = r + γ·wᵀx' − wᵀx.
        h_dot_x: hᵀx.

    Returns:
        The factor of x.

    Source: Sutton et al. (2009), eq. 9; Sutton & Barto (2018), section 11.7.
    """
    return beta * (td_error - h_dot_x)
