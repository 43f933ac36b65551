"""Expected SARSA: SARSA without the variance of the next action.

    q(s, a) ← q(s, a) + α · (r + γ · Σ_a' π(a' | s') q(s', a') − q(s, a))

π is the behaviour, whatever its kind. With a greedy π it is Q-learning.

Source: van Seijen et al. (2009); Sutton & Barto (2018), eq. 6.9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qfix.core import td
from qfix.mdp.inline import inlined
from qfix.tabular.behaviour import expected_value, improve, next_tick, probabilities
from qfix.tabular.config import TabularConfig
from qfix.tabular.store import correct, has_auxiliary, settle_auxiliary

_one_step = inlined(td.one_step)


class Memory(NamedTuple):
    """Nothing but the values is remembered."""

    def learn(self, store, behaviour, alpha, t, clock, stream):
        """Move q(x, a) towards r + γ E_π q(x')."""
        later = next_tick(clock)
        expected = expected_value(behaviour, store, t.x_next, later)
        if has_auxiliary(store):
            probabilities(behaviour, store, t.x_next, later, behaviour.scratch)
        rate, error = improve(
            store, behaviour, alpha, clock, t.x, t.a, _one_step(t.reward, t.discount, expected)
        )
        if has_auxiliary(store):
            for a in range(store.weights.shape[1]):
                correct(store, t.x, t.a, t.x_next, a, rate, t.discount, behaviour.scratch[a])
            settle_auxiliary(store, t.x, t.a, error)
        return stream


@dataclass(frozen=True)
class Config(TabularConfig):
    """Options of expected SARSA."""

    gradients = ("semi", "tdc")

    def memory(self, weights: np.ndarray, history: int) -> Memory:
        """Empty."""
        return Memory()
