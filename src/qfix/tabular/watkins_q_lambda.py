"""Watkins's Q(λ): Q-learning with eligibility traces that are cut where the behaviour explored.

    δ = r + γ · max_a q(s', a) − q(s, a);   e(s, a) ← 1 for the pair at hand;   q ← q + α δ e
    e ← γ λ e if the next action is greedy, else 0

λ = 0 is Q-learning. Source: Watkins (1989); Sutton & Barto (1998), section 7.6; (2018), section 12.10.

Deviations:
1. Traces replace (e ← the feature) and do not accumulate, which is the stabler choice in a table with loops
   (Singh and Sutton 1996).
2. A trace below 1e-12 is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qfix.core import td, traces
from qfix.explore.options import require_fraction
from qfix.mdp.inline import inlined
from qfix.runs.arrays import require
from qfix.tabular.behaviour import settle_behaviour, step_size
from qfix.tabular.check import Bounds
from qfix.tabular.config import TabularConfig
from qfix.tabular.eligibility import Traces, clear, decay, follow, lay
from qfix.tabular.store import activity, best_value, n_active, row, value

_one_step = inlined(td.one_step)
_td_error = inlined(td.td_error)
_trace_decay = inlined(traces.trace_decay)


class Memory(NamedTuple):
    """Traces."""

    traces: Traces
    lambda_: float

    def check(self, name: str, bounds: Bounds) -> None:
        """The traces; unlike SARSA(λ)'s they have decayed when a step is over, so none that is listed is 0."""
        self.traces.check(f"{name}traces.", bounds)
        listed = self.traces.size.ravel()[self.traces.pair[: self.traces.listed[0]]]
        require(np.all(listed != 0.0), f"{name}traces.pair", "must list no trace of 0", len(listed))

    def acts_before_learning(self):
        """Whether the next action is greedy decides over the traces."""
        return True

    def start_episode(self, store, x, a):
        """No trace reaches into another episode."""
        clear(self.traces)

    def learn(self, store, behaviour, alpha, t, clock, stream):
        """Move every pair with a trace."""
        best = best_value(store, t.x_next)
        is_greedy = value(store, t.x_next, t.a_next) == best
        q = value(store, t.x, t.a)
        error = _td_error(_one_step(t.reward, t.discount, best), q)
        for k in range(n_active(store)):
            lay(self.traces, row(store, t.x, k), t.a, activity(store, t.x, k))
        rate = step_size(alpha, store, t.x, t.a, clock)
        follow(self.traces, store, rate * error)
        settle_behaviour(behaviour, clock, t.x, q, rate, error)
        if is_greedy:
            decay(self.traces, _trace_decay(t.discount, self.lambda_))
        else:
            clear(self.traces)
        return stream


@dataclass(frozen=True)
class Config(TabularConfig):
    """Options of Watkins's Q(λ)."""

    lambda_: float = 0.9
    """Decay of the traces beside gamma, in [0, 1]; 0 is Q-learning."""

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        require_fraction("watkins_q_lambda", "lambda_", self.lambda_, "Use lambda_=0.9.")

    def memory(self, weights: np.ndarray, history: int) -> Memory:
        """No traces."""
        return Memory(Traces.of(*weights.shape), float(self.lambda_))
