"""Entropy-regularised values: the best trade of reward against keeping one's options open.

    v(s) = τ log Σ_a exp(q(s, a) / τ) = max_π  Σ_a π(a|s) q(s, a) + τ H(π(·|s))
    q(s, a) = r(s, a) + γ Σ_i p_i (1 - terminated_i) v(s'_i)

The soft operator contracts with the same modulus β as the hard one, so the certificate is that of
`qfix.mdp.bounds`. As τ → 0 it becomes value iteration: v* <= v_τ <= v* + τ log A / (1 - γ).
"""

from __future__ import annotations

import numpy as np

from qfix.errors import option_error
from qfix.mdp.bounds import contraction_modulus, discounted_bound, residual_target, rounding
from qfix.mdp.layout import layout
from qfix.mdp.model import FiniteMDP
from qfix.mdp.solution import SoftSolution
from qfix.mdp.sweeps import action_values, soft_optimality


def soft_value_iteration(
    mdp: FiniteMDP, temperature: float, tol: float = 1e-8, max_iterations: int = 1_000_000
) -> SoftSolution:
    """Soft values by Gauss-Seidel sweeps, certified like `solve`.

        v(s) = τ log Σ_a exp(q(s, a) / τ),     π(a|s) = exp((q(s, a) - v(s)) / τ),     ‖v - v_τ‖∞ <= bound

    Reduces to value iteration as temperature → 0.

    Args:
        mdp: the model; γ < 1 (at γ = 1 the entropy of long episodes can be worth more than their end).
        temperature: τ > 0, in units of reward.
        tol: sup-norm error of v to be certified.
        max_iterations: most sweeps.

    Returns:
        SoftSolution; `bound` may exceed tol if sweeps or the precision of float64 run out.

    Raises:
        OptionError: an option out of range, or γ = 1.

    Source: Haarnoja et al. (2017), Theorem 2; Geist, Scherrer and Pietquin (2019).
    """
    owner = "soft_value_iteration"
    if not 0.0 < temperature < np.inf:
        raise option_error(
            owner, "temperature", "must be above 0 and finite", temperature, "Use solve() for 0."
        )
    if not tol > 0.0:
        raise option_error(owner, "tol", "must be above 0", tol, "Use tol=1e-8.")
    if mdp.gamma >= 1.0:
        raise option_error(
            owner, "gamma", "of the model must be below 1", mdp.gamma, "Use mdp.with_gamma(0.99)."
        )
    beta = contraction_modulus(mdp)
    t = layout(mdp)
    v = np.zeros(mdp.n_states + 1)
    size = (float(np.abs(mdp.reward).max()) + temperature * np.log(mdp.n_actions)) / (1.0 - beta)
    slack = _rounding(mdp, np.array([size]), temperature)
    target = residual_target(tol, beta, slack)
    iterations = 0
    while iterations < max_iterations:
        iterations += 1
        if soft_optimality(t, mdp.gamma, temperature, mdp.terminal, v, v) <= target:
            break
    out = np.zeros_like(v)
    while True:
        residual = soft_optimality(t, mdp.gamma, temperature, mdp.terminal, v, out)
        iterations += 1
        if residual <= target or iterations >= max_iterations:
            break
        v, out = out, v
    q = np.empty((mdp.n_states, mdp.n_actions))
    action_values(t, mdp.gamma, v, q, np.empty(mdp.n_states), np.empty(mdp.n_states, np.int64))
    weight = np.exp((q - q.max(axis=1, keepdims=True)) / temperature)
    bound = discounted_bound(residual, beta, _rounding(mdp, v, temperature))
    return SoftSolution(
        out[:-1].copy(),
        q,
        weight / weight.sum(axis=1, keepdims=True),
        bound,
        residual,
        iterations,
        temperature,
    )


def _rounding(mdp: FiniteMDP, v: np.ndarray, temperature: float) -> float:
    """δ of the soft operator: that of the hard one, and of a logarithm of A exponentials."""
    actions = mdp.n_actions
    return 2.0 * rounding(mdp, v) + (2 * actions + 16) * 2.0**-53 * temperature * (1.0 + np.log(actions))
