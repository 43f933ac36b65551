"""The optimal values as a linear program.

    minimise  Σ_s v(s)     subject to     v(s) - γ Σ_i p_i (1 - terminated_i) v(s'_i) >= r(s, a)   for all (s,
    a)

v* is the smallest function above its own image under T (Puterman 1994, Theorem 6.2.2), so it is the solution,
and the constraints that are tight there mark the optimal actions. HiGHS promises feasibility only up to a
tolerance; therefore its policy is taken, and that policy's values are computed to the accuracy asked for.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from qfix.errors import ModelError
from qfix.mdp.iteration import Progress, greedy_system
from qfix.mdp.krylov import solve_linear
from qfix.mdp.model import FiniteMDP


def linear_program(mdp: FiniteMDP, v: np.ndarray, target: float, max_iterations: int) -> Progress:
    """Values of the basis HiGHS ends with. `iterations` counts its simplex steps."""
    # lazily: nobody who sweeps should wait for the optimisers to be imported
    from scipy.optimize import linprog

    n_states, n_actions = mdp.n_states, mdp.n_actions
    row = np.repeat(np.arange(n_states * n_actions), np.diff(mdp.indptr))
    goes_on = ~mdp.terminated
    moves = sp.csr_matrix(
        (mdp.gamma * mdp.probability[goes_on], (row[goes_on], mdp.next_state[goes_on])),
        shape=(n_states * n_actions, n_states),
    )
    stays = sp.csr_matrix(
        (np.ones(n_states * n_actions), np.arange(n_states * n_actions) // n_actions,
         np.arange(n_states * n_actions + 1)),
        shape=moves.shape,
    )  # fmt: skip
    found = linprog(
        np.ones(n_states),
        A_ub=moves - stays,
        b_ub=-mdp.reward.ravel(),
        bounds=(None, None),
        method="highs",
        options={
            "maxiter": max_iterations,
            "primal_feasibility_tolerance": 1e-9,
            "dual_feasibility_tolerance": 1e-9,
        },
    )
    if found.x is None:
        if found.status == 1:
            return Progress(v, int(found.nit), False)
        raise ModelError(
            f"The linear program of solve must have a solution. Got '{found.message}'. Use method='auto'."
        )
    # the dual variables are the discounted visits of (s, a): an optimal policy is where they are positive
    visits = -found.ineqlin.marginals.reshape(n_states, n_actions)
    policy = np.where(visits.max(axis=1) > 1e-12, visits.argmax(axis=1), _greedy(mdp, moves, found.x))
    m, r = greedy_system(mdp, policy)
    v[:-1], _ = solve_linear(m, r, found.x, 0.3 * target)
    return Progress(v, int(found.nit), True)


def _greedy(mdp: FiniteMDP, moves: sp.csr_matrix, x: np.ndarray) -> np.ndarray:
    return (mdp.reward + (moves @ x).reshape(mdp.reward.shape)).argmax(axis=1)
