"""Finite horizons: backward induction.

    v_H = 0,     v_t(s) = max_a  r(s, a) + γ Σ_i p_i (1 - terminated_i) v_{t+1}(s'_i)

Exact in H sweeps, at any γ, with no condition on the model (Bellman 1957). The best action depends on the
time left.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qfix.errors import option_error
from qfix.mdp.layout import layout
from qfix.mdp.model import FiniteMDP
from qfix.mdp.sweeps import optimality


class FiniteHorizon(NamedTuple):
    """Values and actions by time: row t is for the t-th step, H - t steps before the end."""

    v: np.ndarray  # (H+1, S)
    policy: np.ndarray  # (H, S)


def finite_horizon(mdp: FiniteMDP, horizon: int | None = None) -> FiniteHorizon:
    """The best that can be had in `horizon` steps, and how.

        v_H = 0,     v_t = T v_{t+1},     policy_t greedy with respect to v_{t+1}

    As the horizon grows, v_0 tends to v* of `solve`, within γ^H ‖v*‖ if γ < 1.

    Args:
        mdp: the model.
        horizon: H, at least 0; by default the model's time limit.

    Returns:
        FiniteHorizon (v (H+1, S), policy (H, S)), both indexed by the time t that has passed.

    Raises:
        OptionError: no horizon, or a negative one.

    Source: Puterman (1994), Section 4.5.
    """
    steps = mdp.max_episode_steps if horizon is None else horizon
    if steps is None or steps < 0:
        raise option_error("finite_horizon", "horizon", "must be at least 0", steps, "Use horizon=100.")
    t = layout(mdp)
    v = np.zeros((steps + 1, mdp.n_states + 1))
    policy = np.zeros((steps, mdp.n_states), np.int32)
    for time in range(steps - 1, -1, -1):
        optimality(t, mdp.gamma, v[time + 1], v[time], policy[time])
    return FiniteHorizon(v[:, :-1], policy)
