"""Losses of a prediction against a target: none is reduced over the batch, and none stops a gradient.

An `error` is target − prediction throughout, as `td_error` gives it.
"""

from __future__ import annotations

from qfix.core._array import (
    Array,
    namespace,
    require_actions_axis,
    require_range,
    require_shape,
    shape_of,
)


def squared(error: Array) -> Array:
    """Half the squared error; its minimiser is the mean of the targets.

        L(u) = u²/2

    Args:
        error: u = target − prediction; any shape.

    Returns:
        The loss; shape of `error`.

    Source: Sutton & Barto (2018), section 9.3, whose step follows the gradient of this half.
    """
    return 0.5 * error * error


def huber(error: Array, delta: Array) -> Array:
    """Squared near zero, linear beyond, so that an outlier pulls no harder than `delta`.

        L(u) = u²/2 if |u| <= δ, else δ·(|u| − δ/2)

    Reduces to `squared` as δ → ∞; L/δ tends to |u| as δ → 0.

    Args:
        error: u = target − prediction; any shape.
        delta: δ > 0, scalar, in units of the error: the largest slope.

    Returns:
        The loss; shape of `error`.

    Raises:
        OptionError: delta is not positive.

    Source: Huber (1964), Robust estimation of a location parameter.
    """
    remedy = "Use delta=1.0 for clipped rewards."
    require_range("huber", "delta", delta, 0.0, float("inf"), remedy, open_low=True)
    xp = namespace(error)
    size = xp.abs(error)
    return xp.where(size <= delta, squared(error), delta * (size - 0.5 * delta))


def clipped_prediction(prediction: Array, prediction_old: Array, clip: Array) -> Array:
    """A prediction kept near what it was, so that its loss has no gradient once it has moved far enough.

        v = v_old + clip(v_θ − v_old, −ε, ε)

    Reduces to the prediction for a wide range.

    Args:
        prediction: v_θ; any shape.
        prediction_old: v_old, before learning began; shape of `prediction`; stop its gradient.
        clip: ε >= 0, scalar, in units of the prediction.

    Returns:
        The prediction to be held against the target; shape of `prediction`.

    Raises:
        OptionError: shapes do not match, or clip is negative.

    Source: Schulman et al. (2017), in the code beside the paper (OpenAI baselines, ppo2).
    1. That code takes the larger of the losses with and without it; this is the one with it alone, as in
       Stable-Baselines3.
    """
    owner = "clipped_prediction"
    require_shape(owner, "prediction_old", prediction_old, shape_of(prediction), "prediction")
    require_range(owner, "clip", clip, 0.0, float("inf"), "Use clip=0.2 where returns are of size 1.")
    xp = namespace(prediction, prediction_old)
    return prediction_old + xp.clip(prediction - prediction_old, -clip, clip)


def explained_variance(prediction: Array, target: Array) -> Array:
    """How much of the variance of the targets the predictions account for, over all elements.

        1 − var(y − v)/var(y)

    1 for predictions that are right up to a constant, 0 for constant ones, below 0 for such that are worse than that.

    Args:
        prediction: v; any shape.
        target: y; shape of `prediction`. Not all the same: the result is then infinite or not a number.

    Returns:
        (), at most 1.

    Raises:
        OptionError: shapes do not match.

    Source: Draper & Smith (1998), Applied regression analysis, section 1.3 (R² about the mean).
    """
    require_shape("explained_variance", "target", target, shape_of(prediction), "prediction")
    xp = namespace(prediction, target)
    return 1.0 - xp.var(target - prediction) / xp.var(target)


def quantile_huber(quantile: Array, target: Array, tau: Array, kappa: float) -> Array:
    """Quantile regression: every predicted quantile against every sample of the target.

        L = Σ_i mean_j |τ_i − 1{u_ij < 0}|·huber(u_ij, κ)/κ,   u_ij = target_j − quantile_i

    Reduces at κ = 0 to Σ_i mean_j |τ_i − 1{u_ij < 0}|·|u_ij|, minimised by the τ_i-quantiles of the target.

    Args:
        quantile: (..., N), predicted quantiles.
        target: (..., M), samples of the target.
        tau: (N,) or (..., N), the level of each prediction, in [0, 1].
        kappa: κ >= 0, width of the squared middle, in units of the error (a Python number).

    Returns:
        (...), the loss.

    Raises:
        OptionError: shapes do not match, or kappa is negative.

    Source: Dabney et al. (2018), Distributional reinforcement learning with quantile regression, eqs. 8 to
    10.
    1. The Huber loss is divided by κ, as in Dabney et al. (2018), Implicit quantile networks, so that κ → 0
       tends to quantile regression.
    """
    owner = "quantile_huber"
    require_actions_axis(owner, "target", target, shape_of(quantile)[:-1], "quantile without its last axis")
    if shape_of(tau) != shape_of(quantile)[-1:]:
        require_shape(owner, "tau", tau, shape_of(quantile), "quantile (or of its last axis)")
    require_range(owner, "kappa", kappa, 0.0, float("inf"), "Use kappa=1.0 as in the paper.")
    xp = namespace(quantile, target, tau)
    error = target[..., None, :] - quantile[..., :, None]
    weight = xp.abs(tau[..., None] - xp.astype(error < 0, error.dtype))
    size = xp.abs(error) if kappa == 0 else huber(error, kappa) / kappa
    return xp.sum(xp.mean(weight * size, axis=-1), axis=-1)


def expectile(error: Array, tau: Array) -> Array:
    """Squared error that weighs the two signs differently; its minimiser is the τ-expectile of the targets.

        L(u) = |τ − 1{u < 0}|·u²

    Reduces to `squared` at τ = 1/2; as τ → 1 the minimiser tends to the largest target.

    Args:
        error: u = target − prediction; any shape.
        tau: in [0, 1], scalar: above 1/2 leans to the large targets.

    Returns:
        The loss; shape of `error`.

    Raises:
        OptionError: tau is out of range.

    Source: Kostrikov et al. (2022), Offline reinforcement learning with implicit Q-learning, section 4.1.
    """
    require_range("expectile", "tau", tau, 0.0, 1.0, "Use tau=0.7 to lean to the better actions.")
    xp = namespace(error)
    return xp.abs(tau - xp.astype(error < 0, error.dtype)) * error * error


def categorical_projection(probs_next: Array, atoms_next: Array, atoms: Array) -> Array:
    """Move a distribution's mass from its atoms onto the two nearest atoms of a fixed, evenly spaced grid.

        m_i = Σ_j p_j·max(0, 1 − |clip(y_j, z_1, z_K) − z_i|/Δz)

    Reduces to the identity where `atoms_next` is the grid. Mass is kept; so is the mean, if no atom lies
    outside.

    Args:
        probs_next: (..., J), the mass at each atom.
        atoms_next: (..., J), where it lies: `one_step(reward, discount, atoms)` for a return.
        atoms: (K,), the grid z, ascending and evenly spaced, K >= 2.

    Returns:
        (..., K), the mass on the grid.

    Raises:
        OptionError: shapes do not match.

    Source: Bellemare, Dabney & Munos (2017), A distributional perspective on reinforcement learning, eq. 7.
    """
    owner = "categorical_projection"
    require_shape(owner, "atoms_next", atoms_next, shape_of(probs_next), "probs_next")
    count = atoms.shape[0]
    require_shape(owner, "atoms", atoms, (max(count, 2),), "a one-dimensional grid of two or more atoms")
    xp = namespace(probs_next, atoms_next, atoms)
    spacing = (atoms[-1] - atoms[0]) / (count - 1)
    inside = xp.clip(atoms_next, atoms[0], atoms[-1])
    share = xp.clip(1.0 - xp.abs(inside[..., :, None] - atoms) / spacing, 0.0, None)
    return xp.sum(probs_next[..., :, None] * share, axis=-2)
