"""n-step tree backup: off-policy over n steps, without importance sampling.

    G_k = r_k + γ · (Σ_{a ≠ a_{k+1}} π(a | s_{k+1}) q(s_{k+1}, a) + π(a_{k+1} | s_{k+1}) G_{k+1}),
    at the last step                   G = r + γ · Σ_a π(a | s') q(s', a)

π, the policy learned about, is greedy, or ε-greedy with `target_epsilon`. With a greedy π the target is cut
where the behaviour explored, as in Watkins's Q(λ); n = 1 is then Q-learning.

Source: Precup, Sutton and Singh (2000); Sutton & Barto (2018), section 7.5, eq. 7.16.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qfix.core import returns, td
from qfix.explore.options import require_fraction, require_whole
from qfix.mdp.inline import inlined
from qfix.tabular.behaviour import improve
from qfix.tabular.check import Bounds
from qfix.tabular.config import TabularConfig
from qfix.tabular.store import best_value, mean_value, value
from qfix.tabular.window import Window, ended_or_full, oldest, place, push, reset

_one_step = inlined(td.one_step)
_epsilon_greedy_value = inlined(td.epsilon_greedy_value)
_tree_backup_step = inlined(returns.tree_backup_step)


class Memory(NamedTuple):
    """The last n transitions."""

    window: Window
    target_epsilon: float

    def check(self, name: str, bounds: Bounds) -> None:
        """The window."""
        self.window.check(f"{name}window.", bounds)

    def start_episode(self, store, x, a):
        """Empty the window."""
        reset(self.window)

    def learn(self, store, behaviour, alpha, t, clock, stream):
        """Update the oldest pair of a full window; at the end of an episode, every pair in it."""
        window = self.window
        push(window, t)
        while ended_or_full(window, t.ended):
            i = place(window, 0)
            expected = _expected(self.target_epsilon, store, t.x_next)
            target = _one_step(window.reward[i], window.discount[i], expected)
            for back in range(1, window.size[0]):
                x = window.x[i]
                a = window.a[i]
                expected = _expected(self.target_epsilon, store, x)
                share = _probability(self.target_epsilon, store, x, a)
                i = place(window, back)
                target = _tree_backup_step(
                    window.reward[i], window.discount[i], expected, share, value(store, x, a), target
                )
            i = oldest(window)
            improve(store, behaviour, alpha, clock, window.x[i], window.a[i], target)
            window.size[0] -= 1
        return stream


@inlined
def _expected(epsilon, store, x):
    return _epsilon_greedy_value(best_value(store, x), mean_value(store, x), epsilon)


@inlined
def _probability(epsilon, store, x, a):
    n_actions = store.weights.shape[1]
    best = best_value(store, x)
    share = epsilon / n_actions
    if value(store, x, a) == best:
        ties = 0
        for b in range(n_actions):
            ties += value(store, x, b) == best
        share += (1.0 - epsilon) / ties
    return share


@dataclass(frozen=True)
class Config(TabularConfig):
    """Options of n-step tree backup."""

    n: int = 4
    """Rewards in a target; at least 1."""
    target_epsilon: float = 0.0
    """Epsilon of the policy learned about, in [0, 1]; 0 learns the optimal values."""

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        require_whole("n_step_tree_backup", "n", self.n, 1, "Use n=4.")
        require_fraction("n_step_tree_backup", "target_epsilon", self.target_epsilon, "Use target_epsilon=0.")

    @property
    def history(self) -> int:
        """Observations that must stay encoded."""
        return self.n + 2

    def memory(self, weights: np.ndarray, history: int) -> Memory:
        """An empty window."""
        return Memory(Window.of(self.n), float(self.target_epsilon))
