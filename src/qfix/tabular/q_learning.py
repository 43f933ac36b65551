"""Q-learning: off-policy control by the best next action.

    q(s, a) ← q(s, a) + α · (r + γ · max_a' q(s', a') − q(s, a))

In a table it converges to q* with probability 1 if every pair is visited for ever and α satisfies the
Robbins-Monro conditions (Watkins and Dayan 1992).

Source: Watkins (1989); Sutton & Barto (2018), eq. 6.8. With gradient="tdc" it is Greedy-GQ, Maei et al. (2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qfix.core import td
from qfix.mdp.inline import inlined
from qfix.mdp.simulate import next_bits
from qfix.tabular.behaviour import improve
from qfix.tabular.config import TabularConfig
from qfix.tabular.store import best_value, correct, greedy_action, has_auxiliary, settle_auxiliary

_one_step = inlined(td.one_step)


class Memory(NamedTuple):
    """Nothing but the values is remembered."""

    def learn(self, store, behaviour, alpha, t, clock, stream):
        """Move q(x, a) towards r + γ max q(x')."""
        best = best_value(store, t.x_next)
        greedy = 0
        if has_auxiliary(store):
            stream, bits = next_bits(stream)
            greedy = greedy_action(store, t.x_next, bits)
        rate, error = improve(store, behaviour, alpha, clock, t.x, t.a, _one_step(t.reward, t.discount, best))
        correct(store, t.x, t.a, t.x_next, greedy, rate, t.discount, 1.0)
        settle_auxiliary(store, t.x, t.a, error)
        return stream


@dataclass(frozen=True)
class Config(TabularConfig):
    """Options of Q-learning."""

    gradients = ("semi", "tdc")

    def memory(self, weights: np.ndarray, history: int) -> Memory:
        """Empty."""
        return Memory()
