"""Certified bounds: how far a computed value function can be from the optimal one, rounding included.

Discounted. The optimality operator T contracts the sup-norm with modulus

    β = γ max_{s,a} Σ_{i not terminated} p_i  <= γ

so for any v (Banach; Puterman 1994, Theorem 6.3.1):

    ‖T v - v*‖ <= β/(1 - β) ‖T v - v‖

T is computed in floating point. A sum of K products carries an error of at most (K+3) u (max|r| + max|v|)
with u = 2^-53 (Higham 2002, Section 3.1). Call that δ. For the computed v' = fl(T v) and the computed
residual,

    ‖v' - v*‖ <= δ + β/(1 - β) (residual + δ)

The right-hand side is the `bound` of a Solution. The smallest bound float64 can certify is δ/(1 - β): about
1e-12 for |v| = 10 at γ = 0.99.

Undiscounted. Where β = 1 the bracket of `qfix.mdp.episodic` takes over.
"""

from __future__ import annotations

import numpy as np

from qfix.errors import ModelError
from qfix.mdp.cached import cached
from qfix.mdp.model import FiniteMDP

_UNIT = 2.0**-53


def contraction_modulus(mdp: FiniteMDP) -> float:
    """β = γ max over (s, a) of the probability that the episode goes on, rounded up."""
    top, row = _likeliest_to_go_on(mdp.indptr, mdp.probability, mdp.terminated)
    widest = int(np.diff(mdp.indptr).max())
    # rows that sum to 1 up to the rounding of their entries are read as distributions
    if abs(top - 1.0) <= widest * _UNIT * 4:
        top = 1.0
    beta = mdp.gamma * top
    if mdp.gamma < 1.0 <= beta:
        s, a = divmod(row, mdp.n_actions)
        raise ModelError(
            f"The probabilities of state {s}, action {a} must sum to less than 1/gamma. Got {top!r} with "
            f"gamma={mdp.gamma!r}. Normalise that row."
        )
    return beta


def rounding(mdp: FiniteMDP, v: np.ndarray) -> float:
    """δ: the largest error of one application of T to `v` in floating point."""
    widest = int(np.diff(mdp.indptr).max())
    size = float(np.abs(mdp.reward).max()) + float(np.abs(v).max(initial=0.0))
    return (widest + 3) * _UNIT * size * (1.0 + 1e-6)


def discounted_bound(residual: float, beta: float, slack: float) -> float:
    """Bound on ‖T v - v*‖ given max |T v - v|, the modulus β < 1 and the rounding error δ of T."""
    return slack + beta / (1.0 - beta) * (residual + slack)


def residual_target(tol: float, beta: float, slack: float) -> float:
    """The residual at which `discounted_bound` reaches `tol`, but not below what rounding permits."""
    if beta == 0.0:
        return np.inf
    return max((tol - slack) * (1.0 - beta) / beta - slack, 2.0 * slack)


@cached(nogil=True)
def _likeliest_to_go_on(indptr, probability, terminated):
    """The largest probability of not terminating, and its row."""
    top = -1.0
    at = 0
    for row in range(len(indptr) - 1):
        total = 0.0
        for j in range(indptr[row], indptr[row + 1]):
            total += 0.0 if terminated[j] else probability[j]
        at = row if total > top else at
        top = total if total > top else top
    return top, at
