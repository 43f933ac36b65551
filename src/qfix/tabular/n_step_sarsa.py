"""n-step SARSA: n rewards, then the value of the action taken after them.

    G = r_1 + γ r_2 + ... + γ^(n−1) r_n + γ^n q(s_n, a_n);   q(s_0, a_0) ← q(s_0, a_0) + α · (G − q(s_0, a_0))

n = 1 is SARSA; n at least the length of the episode is every-visit Monte Carlo.

Source: Sutton & Barto (2018), section 7.2, eq. 7.4 and 7.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qfix.core import td
from qfix.explore.options import require_whole
from qfix.mdp.inline import inlined
from qfix.tabular.behaviour import improve
from qfix.tabular.check import Bounds
from qfix.tabular.config import TabularConfig
from qfix.tabular.store import value
from qfix.tabular.window import Window, ended_or_full, oldest, place, push, reset

_one_step = inlined(td.one_step)


class Memory(NamedTuple):
    """The last n transitions."""

    window: Window

    def check(self, name: str, bounds: Bounds) -> None:
        """The window."""
        self.window.check(f"{name}window.", bounds)

    def acts_before_learning(self):
        """The action after the n-th reward is part of the target."""
        return True

    def start_episode(self, store, x, a):
        """Empty the window."""
        reset(self.window)

    def learn(self, store, behaviour, alpha, t, clock, stream):
        """Update the oldest pair of a full window; at the end of an episode, every pair in it."""
        window = self.window
        push(window, t)
        while ended_or_full(window, t.ended):
            target = value(store, t.x_next, t.a_next)
            for back in range(window.size[0]):
                i = place(window, back)
                target = _one_step(window.reward[i], window.discount[i], target)
            i = oldest(window)
            improve(store, behaviour, alpha, clock, window.x[i], window.a[i], target)
            window.size[0] -= 1
        return stream


@dataclass(frozen=True)
class Config(TabularConfig):
    """Options of n-step SARSA."""

    n: int = 4
    """Rewards in a target; at least 1."""

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        require_whole("n_step_sarsa", "n", self.n, 1, "Use n=4.")

    @property
    def history(self) -> int:
        """Observations that must stay encoded."""
        return self.n + 2

    def memory(self, weights: np.ndarray, history: int) -> Memory:
        """An empty window."""
        return Memory(Window.of(self.n))
