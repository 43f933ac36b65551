"""Methods that sweep: value iteration, Gauss-Seidel, modified policy iteration, and policy iteration.

All of them look for the fixed point of T and differ only in how they move towards it. None of them decides
when it is done: they run until the residual max |T v - v| is at most `target`, and `qfix.mdp.solve` turns the
last application of T into a certificate. So no shortcut taken here can make a wrong answer look right.

`modified_policy_iteration` is what is fast, for three reasons.

1. Sweeps run in the order in which value flows. After ten sweeps to and fro the states are renumbered by
descending
   value, once. From then on a sweep carries news from the goal across the whole world instead of one step.
2. Between two optimality sweeps the greedy policy is evaluated by four sweeps that look at one action of A
   (Puterman and Shin 1978).
3. Sweeps overshoot by ω = 1.3 (successive over-relaxation; Young 1971). It is not safe for every model, so it
is
   watched: whenever 25 rounds bring no progress ω - 1 is halved, and in the end the method is Gauss-Seidel
   value iteration, which contracts whatever the model (Puterman 1994, Theorem 6.3.4).

Where the horizon is long and values do not flow but mix, sweeps are hopeless and a Krylov method is not:
`policy_iteration` evaluates by BiCGSTAB. It is inexact: a policy is evaluated until the residual has fallen
to a hundredth. Howard's argument (strictly better policies, hence finitely many) holds for exact evaluation,
to which it turns where the residual stalls.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from qfix.mdp.krylov import solve_linear
from qfix.mdp.layout import Layout, layout
from qfix.mdp.model import FiniteMDP
from qfix.mdp.sweeps import gauss_seidel_sweep, optimality, policy_sweep

_RELAXATION = 1.3
_EVALUATION_SWEEPS = 4
_WARM_UP_SWEEPS = 10
_WINDOW = 25
_SETTLED = 100


class Progress(NamedTuple):
    """A candidate: values to be certified, and what it cost."""

    v: np.ndarray  # (S+1,) in the model's own numbering
    iterations: int
    finished: bool  # False: gave up (iterations ran out, or better methods exist)


def value_iteration(mdp: FiniteMDP, v: np.ndarray, target: float, max_iterations: int) -> Progress:
    """v ← T v (Jacobi). The error shrinks by γ a sweep."""
    t = layout(mdp)
    out = np.zeros_like(v)
    policy = np.zeros(mdp.n_states, np.int32)
    for iteration in range(1, max_iterations + 1):
        residual = optimality(t, mdp.gamma, v, out, policy)
        v, out = out, v
        # T shrinks a residual, so that of the new v is at most this one
        if residual <= target:
            return Progress(v, iteration, True)
    return Progress(v, max_iterations, False)


def gauss_seidel(mdp: FiniteMDP, v: np.ndarray, target: float, max_iterations: int) -> Progress:
    """Value iteration in place, sweeping to and fro. Never slower per sweep than Jacobi in the worst case."""
    t = layout(mdp)
    policy = np.zeros(mdp.n_states, np.int32)
    for iteration in range(1, max_iterations + 1):
        change = gauss_seidel_sweep(t, mdp.gamma, v, policy, 1.0, iteration % 2 == 1)
        if change <= target and _residual(t, mdp.gamma, v) <= target:
            return Progress(v, iteration, True)
    return Progress(v, max_iterations, False)


def modified_policy_iteration(
    mdp: FiniteMDP, v: np.ndarray, target: float, max_iterations: int, patience: int | None = None
) -> Progress:
    """Over-relaxed modified policy iteration in the order of value; see the module's text.

    With `patience`, gives up as soon as that many more rounds would not be enough at the present rate.
    """
    t = layout(mdp)
    policy = np.zeros(mdp.n_states, np.int32)
    gamma = mdp.gamma
    warm_up = min(_WARM_UP_SWEEPS, max_iterations)
    for sweep in range(warm_up):
        if gauss_seidel_sweep(t, gamma, v, policy, 1.0, sweep % 2 == 0) <= target:
            break
    order = descending(v[:-1])
    del t
    t = layout(mdp, order)
    x = np.zeros_like(v)
    x[:-1] = v[order]
    relaxation, sweeps = _RELAXATION, _EVALUATION_SWEEPS
    last_best = best = np.inf
    finished = False
    iteration = warm_up
    while iteration < max_iterations and not finished:
        iteration += 1
        change = gauss_seidel_sweep(t, gamma, x, policy, relaxation, True)
        if change <= target and _residual(t, gamma, x) <= target:
            finished = True
            break
        for _ in range(sweeps):
            if policy_sweep(t, gamma, x, policy, relaxation, True) <= 0.5 * target:
                break
        best = min(best, change)
        if iteration % _WINDOW == 0:
            if not best < 0.99 * last_best:
                relaxation, sweeps = (1.0 + (relaxation - 1.0) / 2, sweeps) if relaxation > 1.05 else (1.0, 0)
                if not np.isfinite(x).all():
                    x[:] = 0.0
            # early rounds say little: news of a distant reward may still be on its way
            elif patience is not None and iteration > _SETTLED:
                rate = np.log(best / last_best) / _WINDOW
                if np.log(target / best) / rate > patience:
                    break
            last_best, best = min(last_best, best), np.inf
    v[order] = x[:-1]
    return Progress(v, iteration, finished)


def policy_iteration(
    mdp: FiniteMDP, v: np.ndarray, target: float, max_iterations: int, effort: int | None = None
) -> Progress:
    """Greedy policy, its values by BiCGSTAB, again. `iterations` counts policies.

    With `effort`, gives up at the first policy that so many steps of BiCGSTAB do not evaluate.
    """
    t = layout(mdp)
    out = np.zeros_like(v)
    policy = np.zeros(mdp.n_states, np.int32)
    if not v.any():
        # news of distant rewards travels far in a sweep and one step in a policy improvement
        for sweep in range(_WARM_UP_SWEEPS):
            gauss_seidel_sweep(t, mdp.gamma, v, policy, 1.0, sweep % 2 == 0)
    exact = False
    last = np.inf
    for iteration in range(1, max_iterations + 1):
        residual = optimality(t, mdp.gamma, v, out, policy)
        if residual <= target:
            return Progress(v, iteration, True)
        exact = exact or residual > 0.9 * last
        last = residual
        m, r = greedy_system(mdp, policy)
        aim = 0.3 * target if exact else max(0.01 * residual, 0.3 * target)
        v[:-1], left = solve_linear(m, r, out[:-1], aim, descending(out[:-1]), effort)
        if effort is not None and left > aim:
            return Progress(v, iteration, False)
    return Progress(v, max_iterations, False)


def greedy_system(mdp: FiniteMDP, policy: np.ndarray) -> tuple[sp.csr_matrix, np.ndarray]:
    """(γ P_π, r_π) of one action for every state."""
    row = np.arange(mdp.n_states, dtype=np.int64) * mdp.n_actions + policy
    size = mdp.indptr[row + 1] - mdp.indptr[row]
    outcome = np.arange(size.sum()) + np.repeat(mdp.indptr[row] - np.cumsum(size) + size, size)
    data = np.where(mdp.terminated[outcome], 0.0, mdp.gamma * mdp.probability[outcome])
    indptr = np.zeros(mdp.n_states + 1, np.int64)
    np.cumsum(size, out=indptr[1:])
    m = sp.csr_matrix((data, mdp.next_state[outcome], indptr), shape=(mdp.n_states, mdp.n_states))
    m.eliminate_zeros()
    return m, mdp.reward.ravel()[row]


def descending(v: np.ndarray) -> np.ndarray:
    """(S,) int32, states by descending value to six digits, ties by number; the same on every machine.

    Two radix passes over the upper half of a float64 (whose exponent matters: far from a goal values are tiny
    and still in order), since a comparison sort would take as long as a dozen sweeps.
    """
    bits = ((-v).view(np.int64) >> 32).astype(np.int32)
    # unsigned integers in the order of the floats: the bits of a negative one count downwards
    key = np.where(bits < 0, ~bits, bits | np.int32(-(2**31))).view(np.uint32)
    order = np.argsort(key.astype(np.uint16), kind="stable").astype(np.int32)
    return order[np.argsort((key >> 16).astype(np.uint16)[order], kind="stable")]


def _residual(t: Layout, gamma: float, v: np.ndarray) -> float:
    return optimality(t, gamma, v, np.zeros_like(v), np.zeros(t.n_states, np.int32))
