"""Solving a finite model: optimal values with a certificate.

The problem is Bellman's optimality equation v = T v,

    (T v)(s) = max_a  Σ_i p_i (r_i + γ (1 - terminated_i) v(s'_i)),     v = 0 in terminal states.

The guarantee of every method is the same, because it does not come from the method: the values returned are
one last application of T to what the method found, and

    ‖v - v*‖∞ <= bound

by the theorem of `qfix.mdp.bounds` (γ < 1; rounding included) or by the bracket of `qfix.mdp.episodic` (γ =
1). `bound <= tol` unless the method ran out of iterations or `tol` is finer than float64 can certify;
`converged` says which, and the bound printed is true in any case.

For γ < 1 the policy returned, which is greedy in q, falls short of the optimum by at most 2 bound/(1 - γ) in any state,
because q is within `bound` of q* (Singh and Yee 1994).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qfix.errors import option_error, unknown_name
from qfix.mdp.bounds import contraction_modulus, discounted_bound, residual_target, rounding
from qfix.mdp.episodic import episodic_bracket, proper_policy
from qfix.mdp.iteration import (
    Progress,
    gauss_seidel,
    modified_policy_iteration,
    policy_iteration,
    value_iteration,
)
from qfix.mdp.layout import layout
from qfix.mdp.linear_program import linear_program
from qfix.mdp.model import FiniteMDP
from qfix.mdp.solution import Solution
from qfix.mdp.sweeps import action_values

Method = Callable[[FiniteMDP, np.ndarray, float, int], Progress]

_METHODS: dict[str, Method] = {
    "value_iteration": value_iteration,
    "gauss_seidel": gauss_seidel,
    "modified_policy_iteration": modified_policy_iteration,
    "policy_iteration": policy_iteration,
    "linear_program": linear_program,
}
METHODS = ("auto", *_METHODS)

_PATIENCE = 400
_EFFORT = 60
_MAX_ITERATIONS = {"policy_iteration": 1_000, "linear_program": 1_000_000}
# a modulus this near to 1 makes the discounted theorem useless; only γ = 1 has the other one
_LARGEST_MODULUS = 0.9999


def solve(
    mdp: FiniteMDP, method: str = "auto", tol: float = 1e-8, max_iterations: int | None = None
) -> Solution:
    """Optimal values, action values and a policy, certified.

        v*(s) = max_a  Σ_i p_i (r_i + γ (1 - terminated_i) v*(s'_i)),     ‖v - v*‖∞ <= bound

    At γ = 1 v* is the optimum over policies that terminate. States that no policy brings to an end have value 0 where
    all they can do is to go round among themselves for nothing; if they are paid or charged there is no v*. The time
    limit of the model is not looked at: it is a truncation.

    Args:
        mdp: the model.
        method: "auto" (modified policy iteration, then policy iteration where sweeps are too slow; at γ = 1
            policy iteration), "value_iteration", "gauss_seidel", "modified_policy_iteration",
            "policy_iteration" or "linear_program".
        tol: sup-norm error of v to be certified, above 0. Not relative to the size of the values.
        max_iterations: most sweeps (policies, simplex steps); by default a large number.

    Returns:
        Solution. Check `converged` if tol is ambitious: the smallest bound float64 allows is about
        1e-15 |v| / (1 - γ).

    Raises:
        ModelError: γ = 1 and some state can neither terminate nor come to rest for nothing, or a circle of states pays.
        OptionError: an option out of range.
        UnknownNameError: no method of that name.

    Source: Puterman (1994), Chapter 6; Bertsekas and Tsitsiklis (1991) for γ = 1.
    """
    if not isinstance(mdp, FiniteMDP):
        remedy = "Use FiniteMDP.from_env('FrozenLake-v1', gamma=0.99), from_arrays or from_function."
        raise option_error("solve", "mdp", "must be a FiniteMDP", mdp, remedy)
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    if not tol > 0.0:
        raise option_error("solve", "tol", "must be above 0", tol, "Use tol=1e-8.")
    if max_iterations is not None and max_iterations < 1:
        raise option_error(
            "solve", "max_iterations", "must be at least 1 or None", max_iterations, "Use None."
        )
    beta = contraction_modulus(mdp)
    if mdp.gamma == 1.0 and beta > _LARGEST_MODULUS:
        return _solve_episodic(mdp, method, tol, max_iterations)
    return _solve_discounted(mdp, method, tol, max_iterations, beta)


def _solve_discounted(
    mdp: FiniteMDP, method: str, tol: float, max_iterations: int | None, beta: float
) -> Solution:
    v = np.zeros(mdp.n_states + 1)
    size = float(np.abs(mdp.reward).max()) / (1.0 - beta)
    target = residual_target(tol, beta, rounding(mdp, np.array([size])))
    limit = max_iterations or _MAX_ITERATIONS.get(method, 1_000_000)
    name = method
    if method == "auto":
        name = "modified_policy_iteration"
        swept = modified_policy_iteration(mdp, v, target, limit, _PATIENCE)
        # slow sweeps: where values mix, BiCGSTAB needs few steps; where it does not either, sweeps go on
        for other, run in (("policy_iteration", _brief), (name, modified_policy_iteration)):
            if swept.finished or swept.iterations >= limit:
                break
            more = run(mdp, swept.v, target, limit - swept.iterations)
            swept = Progress(more.v, swept.iterations + more.iterations, more.finished)
            name = other
    else:
        swept = _METHODS[method](mdp, v, target, limit)
    return _certified(mdp, swept.v, beta, swept.iterations, name, tol)


def _brief(mdp: FiniteMDP, v: np.ndarray, target: float, max_iterations: int) -> Progress:
    return policy_iteration(mdp, v, target, max_iterations, _EFFORT)


def _certified(
    mdp: FiniteMDP, v: np.ndarray, beta: float, iterations: int, name: str, tol: float
) -> Solution:
    """One application of T, and what it proves."""
    q, best, policy, residual = _apply(mdp, v)
    bound = discounted_bound(residual, beta, rounding(mdp, v))
    return Solution(best, q, policy, bound, residual, iterations, name, tol)


def _solve_episodic(mdp: FiniteMDP, method: str, tol: float, max_iterations: int | None) -> Solution:
    limit = max_iterations or _MAX_ITERATIONS.get(method, 100_000)
    bracket = episodic_bracket(mdp, tol, max(limit, 1_000))
    if method in ("auto", "policy_iteration"):
        v, iterations, name = np.append(bracket.v, 0.0), bracket.iterations, "policy_iteration"
    else:
        v, iterations, name = np.zeros(mdp.n_states + 1), 0, method
        target = tol
        while iterations < limit:
            swept = _METHODS[method](mdp, v, target, limit - iterations)
            v, iterations = swept.v, iterations + swept.iterations
            off = float(np.maximum(bracket.upper - v[:-1], v[:-1] - bracket.lower).max())
            if off <= 0.9 * tol or target < 1e-15:
                break
            # a small residual promises nothing at γ = 1: go on until the bracket says it is enough
            target *= 0.1
    q, best, _, residual = _apply(mdp, v)
    slack = rounding(mdp, v)
    bound = float(np.maximum(bracket.upper - best, best - bracket.lower).max()) + slack
    policy = proper_policy(mdp, best, q, max(1e-9 * float(np.abs(best).max()), 4 * bound))
    return Solution(best, q, policy, bound, residual, iterations, name, tol)


def _apply(mdp: FiniteMDP, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """(q, T v, greedy policy, max |T v - v|) for v (S+1,)."""
    q = np.empty((mdp.n_states, mdp.n_actions))
    best = np.empty(mdp.n_states)
    policy = np.empty(mdp.n_states, np.int64)
    residual = action_values(layout(mdp), mdp.gamma, v, q, best, policy)
    return q, best, policy, residual
