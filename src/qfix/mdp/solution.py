"""What solving a model gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False, repr=False)
class Solution:
    """Optimal values with a certificate: every entry of `v` is within `bound` of the truth."""

    v: np.ndarray
    """(S,) optimal state values; 0 in terminal states."""
    q: np.ndarray
    """(S, A) action values; `v` is their maximum, and they are as close to q* as `v` is to v*."""
    policy: np.ndarray
    """(S,) int64 greedy actions; 0 in terminal states."""
    bound: float
    """Certified sup-norm error of `v`, rounding included."""
    residual: float
    """max |T v - v| at the last application of the optimality operator."""
    iterations: int
    """Sweeps, policy improvements or simplex iterations, as the method counts."""
    method: str
    """The method that gave the answer."""
    tol: float
    """The bound that was asked for."""

    @property
    def converged(self) -> bool:
        """Whether the bound is as small as asked. Not if iterations or float64 ran out."""
        return self.bound <= self.tol

    def __repr__(self) -> str:
        verdict = "" if self.converged else f" (asked: {self.tol:.1e})"
        n_states, n_actions = self.q.shape
        return (
            f"Solution({n_states} states, {n_actions} actions: v in [{self.v.min():.6g}, "
            f"{self.v.max():.6g}], |v - v*| <= {self.bound:.1e}{verdict}, {self.method}, "
            f"{self.iterations} iterations)"
        )


@dataclass(frozen=True, eq=False, repr=False)
class SoftSolution:
    """Entropy-regularised values with a certificate."""

    v: np.ndarray
    """(S,) soft values; 0 in terminal states."""
    q: np.ndarray
    """(S, A) soft action values."""
    policy: np.ndarray
    """(S, A) probabilities exp((q - v) / temperature); uniform in terminal states."""
    bound: float
    """Certified sup-norm error of `v`."""
    residual: float
    """Largest change of the last sweep."""
    iterations: int
    """Sweeps."""
    temperature: float
    """Weight of the entropy."""

    def __repr__(self) -> str:
        return (
            f"SoftSolution({len(self.v)} states, temperature={self.temperature}: v in [{self.v.min():.6g}, "
            f"{self.v.max():.6g}], |v - v*| <= {self.bound:.1e}, {self.iterations} iterations)"
        )
