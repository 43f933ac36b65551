"""Sweeps: one pass over the states, compiled. The operators of dynamic programming and nothing else.

    (T v)(s)   = max_a  r(s, a) + γ Σ_i p_i v(s'_i)        optimality
    (T_π v)(s) =        r(s, π(s)) + γ Σ_i p_i v(s'_i)      expectation

`optimality` is a Jacobi sweep: it reads v and writes `out`. The Gauss-Seidel sweeps write v in place, so that
later states of a sweep see what earlier ones found, and may overshoot by a relaxation factor ω (successive
over-relaxation): v ← v + ω (T v - v). Values are (S+1,) with 0 in the last slot.
"""

from __future__ import annotations

import numpy as np

from qfix.mdp.cached import cached
from qfix.mdp.layout import expected


@cached(nogil=True, error_model="numpy")
def optimality(t, gamma, v, out, policy):
    """out ← T v, policy ← the first greedy action; returns max |T v - v|."""
    residual = 0.0
    for s in range(t.n_states):
        best = -np.inf
        action = 0
        for a in range(t.n_actions):
            row = s * t.n_actions + a
            x = t.reward[row] + gamma * expected(t, row, v)
            # two selects instead of one branch: which action wins is a coin toss to the branch predictor
            action = a if x > best else action
            best = x if x > best else best
        change = abs(best - v[s])
        residual = change if change > residual else residual
        out[s] = best
        policy[s] = action
    return residual


@cached(nogil=True, error_model="numpy")
def action_values(t, gamma, v, q, best, policy):
    """q(s, a) ← r(s, a) + γ Σ p v, best ← max_a q, policy ← the first action to attain it; max |best - v|."""
    residual = 0.0
    for s in range(t.n_states):
        action = 0
        for a in range(t.n_actions):
            row = s * t.n_actions + a
            q[s, a] = t.reward[row] + gamma * expected(t, row, v)
            action = a if q[s, a] > q[s, action] else action
        best[s] = q[s, action]
        policy[s] = action
        residual = max(residual, abs(best[s] - v[s]))
    return residual


@cached(nogil=True, error_model="numpy")
def gauss_seidel_sweep(t, gamma, v, policy, relaxation, forward):
    """In place v(s) ← v(s) + ω ((T v)(s) - v(s)), policy ← greedy; returns the largest |T v - v| met."""
    residual = 0.0
    for i in range(t.n_states):
        s = i if forward else t.n_states - 1 - i
        best = -np.inf
        action = 0
        for a in range(t.n_actions):
            row = s * t.n_actions + a
            x = t.reward[row] + gamma * expected(t, row, v)
            action = a if x > best else action
            best = x if x > best else best
        change = best - v[s]
        v[s] += relaxation * change
        change = abs(change)
        residual = change if change > residual else residual
        policy[s] = action
    return residual


@cached(nogil=True, error_model="numpy")
def policy_sweep(t, gamma, v, policy, relaxation, forward):
    """In place v(s) ← v(s) + ω ((T_π v)(s) - v(s)); returns the largest |T_π v - v| met."""
    residual = 0.0
    for i in range(t.n_states):
        s = i if forward else t.n_states - 1 - i
        row = s * t.n_actions + policy[s]
        change = t.reward[row] + gamma * expected(t, row, v) - v[s]
        v[s] += relaxation * change
        change = abs(change)
        residual = change if change > residual else residual
    return residual


@cached(nogil=True, error_model="numpy")
def soft_optimality(t, gamma, temperature, terminal, v, out):
    """out ← τ log Σ_a exp(q(s, a) / τ), 0 in terminal states; `out` may be v. Returns the largest change."""
    residual = 0.0
    q = np.empty(t.n_actions)
    for s in range(t.n_states):
        if terminal[s]:
            continue
        best = -np.inf
        for a in range(t.n_actions):
            row = s * t.n_actions + a
            q[a] = t.reward[row] + gamma * expected(t, row, v)
            best = q[a] if q[a] > best else best
        total = 0.0
        for a in range(t.n_actions):
            total += np.exp((q[a] - best) / temperature)
        soft = best + temperature * np.log(total)
        change = abs(soft - v[s])
        residual = change if change > residual else residual
        out[s] = soft
    return residual
