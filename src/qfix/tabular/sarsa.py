"""SARSA: on-policy control by the action taken next.

    q(s, a) ← q(s, a) + α · (r + γ · q(s', a') − q(s, a))

In a table it converges to q* with probability 1 under the conditions of Q-learning if the behaviour becomes
greedy in the limit (Singh et al. 2000); with a fixed ε, to the value of that ε-greedy policy.

Source: Rummery and Niranjan (1994); Sutton & Barto (2018), eq. 6.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qfix.core import td
from qfix.mdp.inline import inlined
from qfix.tabular.behaviour import improve
from qfix.tabular.config import TabularConfig
from qfix.tabular.store import correct, settle_auxiliary, value

_one_step = inlined(td.one_step)


class Memory(NamedTuple):
    """Nothing but the values is remembered."""

    def acts_before_learning(self):
        """The next action is part of the target."""
        return True

    def learn(self, store, behaviour, alpha, t, clock, stream):
        """Move q(x, a) towards r + γ q(x', a')."""
        target = _one_step(t.reward, t.discount, value(store, t.x_next, t.a_next))
        rate, error = improve(store, behaviour, alpha, clock, t.x, t.a, target)
        correct(store, t.x, t.a, t.x_next, t.a_next, rate, t.discount, 1.0)
        settle_auxiliary(store, t.x, t.a, error)
        return stream


@dataclass(frozen=True)
class Config(TabularConfig):
    """Options of SARSA."""

    gradients = ("semi", "tdc")

    def memory(self, weights: np.ndarray, history: int) -> Memory:
        """Empty."""
        return Memory()
