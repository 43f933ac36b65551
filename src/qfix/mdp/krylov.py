"""Solving (I - M) x = b for a sparse substochastic M: BiCGSTAB preconditioned by a Gauss-Seidel sweep.

A discount near 1 makes a sweep contract by almost nothing, while a Krylov method needs iterations of the
order of the square root of what sweeps need. BiCGSTAB (van der Vorst 1992) keeps eight vectors whatever the
number of iterations. The preconditioner is the lower triangle of I - M: with states numbered in descending
value, that triangle holds most of the chance of moving on, and inverting it is one sweep.

An answer is accepted by its *true* residual b - (I - M) x, recomputed at the end, never by the recursion's.
Where BiCGSTAB breaks down or stalls, SuperLU solves the system directly and is refined by its own residual.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from qfix.mdp.cached import cached

MAX_ITERATIONS = 2_000


def solve_linear(
    m: sp.csr_matrix,
    b: np.ndarray,
    x0: np.ndarray,
    tol: float,
    order: np.ndarray | None = None,
    effort: int | None = None,
) -> tuple[np.ndarray, float]:
    """x with ‖b - (I - M) x‖∞ <= tol, or as near to that as float64 comes.

    Args:
        m: (n, n) CSR, entries not negative, rows summing to at most 1, I - M invertible.
        b: (n,).
        x0: (n,) first guess.
        tol: residual in sup-norm.
        order: (n,) permutation in which the preconditioner sweeps.
        effort: most iterations of BiCGSTAB, with no direct solver after them; None for all it takes.

    Returns:
        x (n,) and the sup-norm of its residual.
    """
    if order is not None:
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        x, residual = solve_linear(m[order][:, order].tocsr(), b[order], x0[order], tol, None, effort)
        return x[place], residual
    x = np.array(x0, np.float64)
    indptr, indices = m.indptr.astype(np.int32), m.indices.astype(np.int32)
    if effort is not None:
        bicgstab(indptr, indices, m.data, b, x, tol, effort)
        return x, _residual(m, b, x)
    best, residual = x, np.inf
    for _ in range(3):
        bicgstab(indptr, indices, m.data, b, x, tol, MAX_ITERATIONS)
        now = _residual(m, b, x)
        if not now < 0.5 * residual:
            break
        best, residual = x.copy(), now
        if residual <= tol:
            return best, residual
    return _direct(m, b, best, residual, tol)


def _residual(m: sp.csr_matrix, b: np.ndarray, x: np.ndarray) -> float:
    r = float(np.abs(b - x + m @ x).max(initial=0.0))
    return r if np.isfinite(r) else np.inf


def _direct(
    m: sp.csr_matrix, b: np.ndarray, x: np.ndarray, residual: float, tol: float
) -> tuple[np.ndarray, float]:
    """Sparse LU with iterative refinement; keeps the better of its answer and `x`."""
    # no finer residual than the rounding of one product with M can be seen, so none is fought for
    floor = 8 * 2.0**-53 * (float(np.abs(b).max(initial=0.0)) + 2.0 * float(np.abs(x).max(initial=0.0)))
    if residual <= floor:
        return x, residual
    from scipy.sparse.linalg import splu

    lu = splu((sp.identity(len(b), format="csc") - m).tocsc())
    y = lu.solve(b)
    for _ in range(4):
        now = _residual(m, b, y)
        if now < residual:
            x, residual = y, now
        if now <= tol:
            break
        y = y + lu.solve(b - y + m @ y)
    return x, residual


@cached(nogil=True)
def _apply(indptr, indices, data, x, y):
    """y ← (I - M) x."""
    for i in range(len(y)):
        total = 0.0
        for j in range(indptr[i], indptr[i + 1]):
            total += data[j] * x[indices[j]]
        y[i] = x[i] - total


@cached(nogil=True)
def _sweep(indptr, indices, data, b, z):
    """z ← (lower triangle of I - M)⁻¹ b."""
    for i in range(len(b)):
        total = b[i]
        diagonal = 1.0
        for j in range(indptr[i], indptr[i + 1]):
            c = indices[j]
            if c < i:
                total += data[j] * z[c]
            elif c == i:
                diagonal -= data[j]
        z[i] = total / diagonal if diagonal > 0.0 else total


@cached(nogil=True)
def _dot(x, y):
    total = 0.0
    for i in range(len(x)):
        total += x[i] * y[i]
    return total


@cached(nogil=True)
def bicgstab(indptr, indices, data, b, x, tol, max_iterations):
    """Improve `x` in place until the recursive residual is below `tol`; returns the iterations used.

    Stops early on breakdown, or where 200 iterations in a row have not improved the residual.
    """
    n = len(b)
    r = np.empty(n)
    _apply(indptr, indices, data, x, r)
    size = 0.0
    for i in range(n):
        r[i] = b[i] - r[i]
        size = max(size, abs(r[i]))
    # rewards often sit in a few states. A shadow residual that is zero elsewhere meets residuals orthogonal to it
    # and breaks the method down at once; one that is nowhere zero does not
    shadow = np.empty(n)
    for i in range(n):
        shadow[i] = r[i] + size * 0.01 * ((i * 0.6180339887498949) % 1.0 - 0.5)
    p = np.zeros(n)
    v = np.zeros(n)
    t = np.zeros(n)
    p_hat = np.zeros(n)
    s_hat = np.zeros(n)
    best_x = x.copy()
    best = size
    since = 0
    rho = 1.0
    alpha = 1.0
    omega = 1.0
    iterations = 0
    while iterations < max_iterations:
        if size <= tol or not np.isfinite(size) or since > 200:
            break
        rho_next = _dot(shadow, r)
        if rho_next == 0.0 or omega == 0.0:
            break
        beta = rho_next / rho * alpha / omega
        for i in range(n):
            p[i] = r[i] + beta * (p[i] - omega * v[i])
        _sweep(indptr, indices, data, p, p_hat)
        _apply(indptr, indices, data, p_hat, v)
        alignment = _dot(shadow, v)
        if alignment == 0.0:
            break
        alpha = rho_next / alignment
        for i in range(n):
            r[i] -= alpha * v[i]
        _sweep(indptr, indices, data, r, s_hat)
        _apply(indptr, indices, data, s_hat, t)
        length = _dot(t, t)
        omega = _dot(t, r) / length if length > 0.0 else 0.0
        size = 0.0
        for i in range(n):
            x[i] += alpha * p_hat[i] + omega * s_hat[i]
            r[i] -= omega * t[i]
            size = max(size, abs(r[i]))
        rho = rho_next
        iterations += 1
        since += 1
        if size < best:
            best = size
            since = 0
            best_x[:] = x
    x[:] = best_x
    return iterations
