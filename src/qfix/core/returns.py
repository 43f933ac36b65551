"""Multi-step targets: what a stretch of experience says the values along it should be.

The first functions are the steps of the recursions. They are made of operators alone, take scalars or arrays alike, and
compile unchanged under `numba.njit`. The array functions below run these very steps over the leading time axis.
"""

from __future__ import annotations

from typing import Any

Array = Any  # any array of the Python array API standard, or a number


def lambda_step(
    reward: Array, discount: Array, lambda_: Array, value_next: Array, return_next: Array
) -> Array:
    """One step back of the λ-return.

        G_t = r_t + γ_t·((1 − λ)·v'_t + λ·G_{t+1})

    Reduces to `one_step` at λ = 0 and to the discounted return at λ = 1.

    Args:
        reward: reward of step t; any shape.
        discount: gamma * (1 - terminated) of step t, in [0, 1].
        lambda_: weight of the longer return, in [0, 1]; 0 where the episode ends with step t, however it ends.
        value_next: value of step t's own next observation.
        return_next: G_{t+1}.

    Returns:
        G_t; shape of `reward`.

    Source: Sutton & Barto (2018), eq. 12.18 (λ-return with a varying λ; its λ_{t+1} is `lambda_` here).
    """
    return reward + discount * ((1.0 - lambda_) * value_next + lambda_ * return_next)


def tree_backup_step(
    reward: Array,
    discount: Array,
    expected_q_next: Array,
    prob_next: Array,
    q_next: Array,
    return_next: Array,
) -> Array:
    """One step back of the tree backup: the taken branch's value is replaced by its return.

        G_t = r_t + γ_t·(E_π[q'] + π(a'|s')·(G_{t+1} − q'(a')))

    Reduces to expected SARSA where `prob_next` is 0. With another branch weight in the place of `prob_next` it is the
    step of every return-based off-policy target: λ for Q^π(λ), λ·min(1, ρ') for Retrace(λ).

    Args:
        reward: reward of step t; any shape.
        discount: gamma * (1 - terminated) of step t, in [0, 1].
        expected_q_next: Σ_a π(a|s')·q'(a).
        prob_next: π(a'|s'), in [0, 1]; 0 where the episode ends with step t, however it ends.
        q_next: q'(a'), value of the action taken next.
        return_next: G_{t+1}.

    Returns:
        G_t; shape of `reward`.

    Source: Sutton & Barto (2018), eq. 7.16, with its sum over a ≠ a' written as E_π[q'] − π(a')·q'(a').
    """
    return reward + discount * (expected_q_next + prob_next * (return_next - q_next))


# Retrace(λ) is this same recursion with the branch weight c' = λ·min(1, ρ') (Munos et al. 2016, eq. 3).
retrace_step = tree_backup_step


def gae_step(td_error: Array, discount: Array, lambda_: Array, advantage_next: Array) -> Array:
    """One step back of the generalised advantage: this step's TD error and the decayed rest.

        A_t = δ_t + γ_t·λ·A_{t+1}

    Reduces to the TD error at λ = 0. With c_t in the place of λ it is the step of V-trace.

    Args:
        td_error: δ_t = r_t + γ_t·v'_t − v_t; any shape.
        discount: gamma * (1 - terminated) of step t, in [0, 1].
        lambda_: in [0, 1]; 0 where the episode ends with step t, however it ends.
        advantage_next: A_{t+1}.

    Returns:
        A_t; shape of `td_error`.

    Source: Schulman et al. (2016), High-dimensional continuous control using generalized advantage estimation, eq. 16.
    """
    return td_error + discount * lambda_ * advantage_next


# V-trace's v_t − V(x_t) = ρ_t·δ_t + γ_t·c_t·(v_{t+1} − V(x_{t+1})) is this same recursion (Espeholt et al. 2018, remark 1).
v_trace_step = gae_step


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

    This is the factor of x. Reduces to 1, the accumulating trace, where the decayed trace is orthogonal to the features;
    in a table at α = 1 to 1 − γλ·e(s), the replacing trace.

    Args:
        alpha: step size, in [0, 1].
        decayed_dot: (γλ·e)ᵀx, of the trace after its decay.

    Returns:
        The factor of x.

    Source: van Seijen et al. (2016), True online temporal-difference learning, eq. 13.
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
        value_old: V_old, value of the same state with the weights of one step ago; V' of the last step, 0 at a start.

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

    Source: Sutton et al. (2009), Fast gradient-descent methods for temporal-difference learning with linear function
    approximation, eq. 10; Sutton & Barto (2018), section 11.7 (whose importance ratio ρ multiplies α).
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
