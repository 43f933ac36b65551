"""True online SARSA(λ): SARSA with dutch traces, equal at every step to the online λ-return it stands for.

    δ = r + γ q' − q
    e ← γ λ e + (1 − α γ λ eᵀx) x
    w ← w + α (δ + q − q_old) e − α (q − q_old) x;   q_old ← q'

with x the features of (s, a) (in a table, one-hot), q = wᵀx, q' = wᵀx'. λ = 0 is SARSA.

Source: van Seijen et al. (2016), algorithm 2; Sutton & Barto (2018), section 12.7.

Deviations:
1. A trace below 1e-12 is dropped.
2. With a step size that changes between steps the equivalence holds for the method's own definition only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qfix.core import td, traces
from qfix.explore.options import require_fraction
from qfix.mdp.inline import inlined
from qfix.tabular.behaviour import settle_behaviour, step_size
from qfix.tabular.check import Bounds
from qfix.tabular.config import TabularConfig
from qfix.tabular.eligibility import Traces, clear, decay, dot, follow, lay
from qfix.tabular.store import activity, add, n_active, row, value

_one_step = inlined(td.one_step)
_td_error = inlined(td.td_error)
_trace_decay = inlined(traces.trace_decay)
_dutch_trace_increment = inlined(traces.dutch_trace_increment)
_true_online_trace_step = inlined(traces.true_online_trace_step)
_true_online_feature_step = inlined(traces.true_online_feature_step)


class Memory(NamedTuple):
    """Traces, and the value of the present pair as it was one step ago."""

    traces: Traces
    q_old: np.ndarray  # (1,) float64
    decay: np.ndarray  # (1,) float64: γλ of the step before
    lambda_: float

    def check(self, name: str, bounds: Bounds) -> None:
        """Of the arrays only the traces have indices."""
        self.traces.check(f"{name}traces.", bounds)

    def acts_before_learning(self):
        """The next action is part of the target."""
        return True

    def start_episode(self, store, x, a):
        """No trace reaches into another episode."""
        clear(self.traces)
        self.q_old[0] = 0.0

    def learn(self, store, behaviour, alpha, t, clock, stream):
        """Move every pair with a trace."""
        rate = step_size(alpha, store, t.x, t.a, clock)
        q = value(store, t.x, t.a)
        q_next = value(store, t.x_next, t.a_next)
        error = _td_error(_one_step(t.reward, t.discount, q_next), q)
        decay(self.traces, self.decay[0])
        increment = _dutch_trace_increment(rate, dot(self.traces, store, t.x, t.a))
        for k in range(n_active(store)):
            r = row(store, t.x, k)
            lay(self.traces, r, t.a, self.traces.size[r, t.a] + increment * activity(store, t.x, k))
        follow(self.traces, store, _true_online_trace_step(rate, error, q, self.q_old[0]))
        add(store, t.x, t.a, _true_online_feature_step(rate, q, self.q_old[0]))
        settle_behaviour(behaviour, clock, t.x, q, rate, error)
        self.q_old[0] = q_next
        self.decay[0] = _trace_decay(t.discount, self.lambda_)
        return stream


@dataclass(frozen=True)
class Config(TabularConfig):
    """Options of true online SARSA(λ)."""

    lambda_: float = 0.9
    """Decay of the traces beside gamma, in [0, 1]; 0 is SARSA."""

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        require_fraction("sarsa_lambda", "lambda_", self.lambda_, "Use lambda_=0.9.")

    def memory(self, weights: np.ndarray, history: int) -> Memory:
        """No traces."""
        return Memory(Traces.of(*weights.shape), np.zeros(1), np.zeros(1), float(self.lambda_))
