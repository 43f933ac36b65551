"""Exact evaluation of a policy: its value function, and its expected return under the time limit.

The value of a stationary policy π is the solution of a linear system,

    v_π = r_π + M v_π,     M[s, s'] = γ Σ_a π(a|s) Σ_{i: s'_i = s', not terminated} p_i

solved by a Krylov method and accepted by its residual: if |r_π + M x - x| <= ρ everywhere then

    ‖x - v_π‖ <= ρ max_s m(s),     m = (I - M)⁻¹ 1     (expected discounted steps)

because (I - M)⁻¹ has no negative entry (it is Σ M^k). For γ < 1, m <= 1/(1 - γ). For γ = 1, m is computed
too, and certified the same way: m̂ - M m̂ >= θ > 0 everywhere gives m <= m̂/θ (Berman and Plemmons 1994, Ch.
6).
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from qfix.errors import ModelError, option_error
from qfix.mdp.bounds import contraction_modulus
from qfix.mdp.krylov import solve_linear
from qfix.mdp.model import FiniteMDP
from qfix.mdp.rows import reachable


def evaluate_policy(mdp: FiniteMDP, policy: np.ndarray, tol: float = 1e-10) -> np.ndarray:
    """Value of a policy over an infinite horizon.

        v_π(s) = Σ_a π(a|s) Σ_i p_i (r_i + γ (1 - terminated_i) v_π(s'_i))

    At γ = 1 this is the expected total reward. States from which the policy earns nothing ever again have
    value 0, even if it never terminates there.

    Args:
        mdp: the model; its time limit is not looked at (see `expected_return`).
        policy: (S,) actions, or (S, A) probabilities whose rows sum to 1. Not read in terminal states.
        tol: sup-norm error asked for; float64 may allow less accuracy at discounts very near 1.

    Returns:
        (S,) values, 0 in terminal states.

    Raises:
        ModelError: γ = 1 and a state from which the policy neither terminates nor comes to earn nothing.
        OptionError: no policy of this model.

    Source: Puterman (1994), Section 6.1; van der Vorst (1992), Bi-CGSTAB.
    """
    if not tol > 0.0:
        raise option_error("evaluate_policy", "tol", "must be above 0", tol, "Use tol=1e-10.")
    weights = policy_weights(mdp, policy, "evaluate_policy")
    return _values(mdp, weights, np.ones(mdp.n_states, bool), tol)


def policy_value(mdp: FiniteMDP, policy: np.ndarray, tol: float = 1e-10) -> float:
    """What an episode under a policy is worth before it begins, over an infinite horizon.

        J(π) = Σ_s start(s) v_π(s)

    Only states that an episode under the policy can be in are looked at. So at γ = 1 the policy may be one that
    never terminates from elsewhere; with every state within reach it is `start_value` of `evaluate_policy`.

    Args:
        mdp: the model; its time limit is not looked at (see `expected_return`).
        policy: (S,) actions, or (S, A) probabilities whose rows sum to 1.
        tol: error asked for; float64 may allow less accuracy at discounts very near 1.

    Raises:
        ModelError: γ = 1 and an episode may come to a state from which the policy neither terminates nor comes to
            earn nothing.
        OptionError: no policy of this model.
    """
    if not tol > 0.0:
        raise option_error("policy_value", "tol", "must be above 0", tol, "Use tol=1e-10.")
    weights = policy_weights(mdp, policy, "policy_value")
    moves = policy_system(mdp, weights)[0].tocoo()
    return start_value(mdp, _values(mdp, weights, reachable(moves.row, moves.col, mdp.start > 0.0), tol))


def _values(mdp: FiniteMDP, weights: np.ndarray, among: np.ndarray, tol: float) -> np.ndarray:
    """(S,) values in the states of the mask `among` (S,), which no move leaves; 0 elsewhere."""
    m, r = policy_system(mdp, weights)
    m, r = sp.diags_array(among * mdp.gamma) @ m, np.where(among, r, 0.0)
    m.eliminate_zeros()
    if mdp.gamma == 1.0:
        m = _settled(mdp, m, r, weights, among)
    order = np.argsort(-np.abs(r), kind="stable")
    beta = contraction_modulus(mdp)
    longest = 1.0 / (1.0 - beta) if beta < 1.0 else expected_steps_bound(m)
    v, _ = solve_linear(m, r, np.zeros(mdp.n_states), tol / longest, order)
    v[mdp.terminal] = 0.0
    return v


def expected_return(
    mdp: FiniteMDP, policy: np.ndarray, steps: int | None = None, gamma: float = 1.0
) -> float:
    """Expected return of an episode under a policy, from the start distribution, exactly.

        J = E[ Σ_{t < steps} γ^t r_t ],    by propagating the state distribution   d_{t+1} = d_t P_π

    Without a limit it reduces to `policy_value`.

    Args:
        mdp: the model; its own `gamma` is not used.
        policy: (S,) actions, or (S, A) probabilities.
        steps: length at which episodes are cut; by default the model's time limit. No limit anywhere:
        infinite.
        gamma: discount of the return; 1 for the sum of rewards that Gymnasium reports.

    Raises:
        ModelError: no limit, γ = 1, and an episode may neither terminate nor come to earn nothing.
        OptionError: no policy of this model.
    """
    limit = mdp.max_episode_steps if steps is None else steps
    if limit is None:
        return policy_value(mdp.with_gamma(gamma), policy)
    weights = policy_weights(mdp, policy, "expected_return")
    m, r = policy_system(mdp, weights)
    forward = (m * gamma).T.tocsr()
    alive = mdp.start.copy()
    total = 0.0
    for _ in range(limit):
        total += float(alive @ r)
        alive = forward @ alive
        if not alive.any():
            break
    return total


def start_value(mdp: FiniteMDP, v: np.ndarray) -> float:
    """Σ_s start(s) v(s): what an episode is worth before it begins.

    Args:
        mdp: the model.
        v: (S,) values.
    """
    return float(mdp.start @ v)


def policy_weights(mdp: FiniteMDP, policy: np.ndarray, owner: str) -> np.ndarray:
    """(S, A) probabilities of a policy given as (S,) actions or (S, A) probabilities; checks it."""
    n_states, n_actions = mdp.n_states, mdp.n_actions
    given = np.asarray(policy)
    if given.shape == (n_states,) and given.dtype.kind in "iu":
        bad = np.flatnonzero(((given < 0) | (given >= n_actions)) & ~mdp.terminal)
        if len(bad):
            raise option_error(
                owner, "policy", f"must hold actions in 0..{n_actions - 1}", int(given[bad[0]]),
                f"Correct it at state {bad[0]}.",
            )  # fmt: skip
        weights = np.zeros((n_states, n_actions))
        weights[np.arange(n_states), np.where(mdp.terminal, 0, given)] = 1.0
        return weights
    if given.shape == (n_states, n_actions) and given.dtype.kind in "fiub":
        weights = np.array(given, np.float64)
        weights[mdp.terminal] = 1.0 / n_actions
        off = (weights < 0.0).any(1) | ~(np.abs(weights.sum(1) - 1.0) <= 1e-6)
        if off.any():
            s = int(off.argmax())
            raise option_error(
                owner, "policy", "must hold a distribution over actions in every state", weights[s].tolist(),
                f"Correct it at state {s}.",
            )  # fmt: skip
        return weights
    raise option_error(
        owner,
        "policy",
        f"must be {(n_states,)} whole-numbered actions or {(n_states, n_actions)} probabilities",
        f"{given.dtype} {given.shape}",
        "Give one action, or one distribution over actions, for every state.",
    )


def policy_system(mdp: FiniteMDP, weights: np.ndarray) -> tuple[sp.csr_matrix, np.ndarray]:
    """(P_π, r_π) of (S, A) action probabilities; outcomes that terminate are left out of P_π."""
    used = np.flatnonzero(weights.ravel() > 0.0)
    first, size = mdp.indptr[used], (mdp.indptr[1:] - mdp.indptr[:-1])[used]
    outcome = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size - first, size)
    state = np.repeat(used // mdp.n_actions, size)
    data = mdp.probability[outcome] * np.repeat(weights.ravel()[used], size)
    goes_on = ~mdp.terminated[outcome]
    shape = (mdp.n_states, mdp.n_states)
    p = sp.csr_matrix((data[goes_on], (state[goes_on], mdp.next_state[outcome][goes_on])), shape=shape)
    return p, (weights * mdp.reward).sum(1)


def expected_steps_bound(m: sp.csr_matrix) -> float:
    """An upper bound on max (I - M)⁻¹ 1, certified by m̂ - M m̂ >= θ."""
    one = np.ones(m.shape[0])
    steps, _ = solve_linear(m, one, one, 1e-3)
    theta = float((steps - m @ steps).min())
    if not theta > 0.0 or not steps.min() > 0.0:
        raise ModelError(
            "The policy of evaluate_policy must terminate within a number of steps that float64 can tell "
            f"from infinity. Got an estimate of {float(np.abs(steps).max()):.3g} steps. Use gamma below 1."
        )
    return float(steps.max()) / theta


def _settled(
    mdp: FiniteMDP, m: sp.csr_matrix, r: np.ndarray, weights: np.ndarray, among: np.ndarray
) -> sp.csr_matrix:
    """At γ = 1: cut the moves within states that earn nothing for ever; fail where one of `among` never settles."""
    coo = m.tocoo()
    ends = ~among
    outcome_row = np.repeat(np.arange(weights.size), np.diff(mdp.indptr))
    ending = mdp.terminated & (weights.ravel()[outcome_row] > 0.0)
    ends[outcome_row[ending] // mdp.n_actions] = True
    never_ends = ~reachable(coo.col, coo.row, ends)
    idle = never_ends & ~reachable(coo.col, coo.row, never_ends & (r != 0.0))
    lost = ~reachable(coo.col, coo.row, ends | idle)
    if lost.any():
        s = int(lost.argmax())
        raise ModelError(
            f"The 'policy' of evaluate_policy must terminate at gamma=1. Got one that never does from state "
            f"{s} ({int(lost.sum())} states in all), while it goes on being rewarded. Use gamma below 1, or "
            f"a policy that terminates."
        )
    keep = ~idle[coo.row]
    return sp.csr_matrix((coo.data[keep], (coo.row[keep], coo.col[keep])), shape=m.shape)
