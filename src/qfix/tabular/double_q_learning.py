"""Double Q-learning: one estimate chooses the best next action, the other says what it is worth.

    A or B by a fair coin; for A:  A(s, a) ← A(s, a) + α · (r + γ · B(s', argmax_a' A(s', a')) − A(s, a))

The maximum over noisy estimates is too high on average; here the noise of the choice and of the value are
independent. The behaviour follows (A + B) / 2, which is what the store holds.

Source: van Hasselt (2010); Sutton & Barto (2018), section 6.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qfix.core import td
from qfix.mdp.inline import inlined
from qfix.mdp.simulate import next_bits
from qfix.runs.arrays import require_counts
from qfix.tabular.behaviour import scheduled_step, settle_behaviour
from qfix.tabular.check import Bounds
from qfix.tabular.config import TabularConfig
from qfix.tabular.store import activity, n_active, pick, row, visit, write

_one_step = inlined(td.one_step)
_td_error = inlined(td.td_error)


class Memory(NamedTuple):
    """The two estimates."""

    estimates: np.ndarray  # (2, rows, A) float64: weights of A and B
    counts: np.ndarray  # (2, rows, A) int64: updates of each pair in each, which step sizes by visit count

    def check(self, name: str, bounds: Bounds) -> None:
        """Visits are counted from 0."""
        require_counts(f"{name}counts", self.counts)

    def learn(self, store, behaviour, alpha, t, clock, stream):
        """Move one estimate towards r + γ times the other's value of its best action."""
        stream, bits = next_bits(stream)
        chosen = np.int64(bits >> np.uint64(63))
        first = row(store, t.x, 0)
        rate = scheduled_step(alpha, store, self.counts[chosen, first, t.a], clock)
        self.counts[chosen, first, t.a] += 1
        visit(store, t.x, t.a)
        best = _best_action(self.estimates, chosen, store, t.x_next, bits)
        target = _one_step(t.reward, t.discount, _estimate(self.estimates, 1 - chosen, store, t.x_next, best))
        error = _td_error(target, _estimate(self.estimates, chosen, store, t.x, t.a))
        for k in range(n_active(store)):
            i = row(store, t.x, k)
            self.estimates[chosen, i, t.a] += rate * error * activity(store, t.x, k)
            write(store, i, t.a, 0.5 * (self.estimates[0, i, t.a] + self.estimates[1, i, t.a]))
        settle_behaviour(behaviour, clock, t.x, target - error, 0.5 * rate, error)
        return stream


@inlined
def _estimate(estimates, which, store, x, a):
    total = 0.0
    for k in range(n_active(store)):
        total += activity(store, x, k) * estimates[which, row(store, x, k), a]
    return total


@inlined
def _best_action(estimates, which, store, x, bits):
    """Ties are broken at random: always taking the first would lean on its noise."""
    best = _estimate(estimates, which, store, x, 0)
    ties = 1
    for a in range(1, store.weights.shape[1]):
        q = _estimate(estimates, which, store, x, a)
        ties = 1 if q > best else ties + (q == best)
        best = max(best, q)
    nth = pick(ties, bits)
    for a in range(store.weights.shape[1]):
        if _estimate(estimates, which, store, x, a) == best:
            if nth == 0:
                return a
            nth -= 1
    return 0


@dataclass(frozen=True)
class Config(TabularConfig):
    """Options of double Q-learning."""

    def memory(self, weights: np.ndarray, history: int) -> Memory:
        """Both estimates where the store starts."""
        return Memory(np.stack([weights, weights]), np.zeros((2, *weights.shape), np.int64))
