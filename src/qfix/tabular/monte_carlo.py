"""Monte Carlo control: whole returns, learned from when the episode is over.

    G_t = r_t + γ · G_{t+1};   q(s_t, a_t) ← q(s_t, a_t) + α · (G_t − q(s_t, a_t))

With α = Polynomial(1.0, 1.0, by="visit") values are the means of the returns seen.

Source: Sutton & Barto (2018), section 5.4 (on-policy, ε-soft). Where a time limit truncated the episode the
return goes on from the value of the final observation, as it must: the episode was not over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qfix.core import td
from qfix.errors import option_error
from qfix.explore.options import require_choice
from qfix.mdp.inline import inlined
from qfix.runs.arrays import require_flags, require_indices
from qfix.tabular.behaviour import improve
from qfix.tabular.check import Bounds
from qfix.tabular.config import TABLES, TabularConfig
from qfix.tabular.store import value

_one_step = inlined(td.one_step)


class Memory(NamedTuple):
    """The episode so far."""

    x: np.ndarray  # (capacity,) int64 handles; the driver doubles the memory when it is full
    a: np.ndarray  # (capacity,) int64
    reward: np.ndarray  # (capacity,) float64
    discount: np.ndarray  # (capacity,) float64
    length: np.ndarray  # (1,) int64
    last_seen: np.ndarray  # (rows, A) int64: episode in which a pair was last met; (0, 0) for every-visit
    is_first: np.ndarray  # (capacity,) bool: whether the pair is met there for the first time

    def check(self, name: str, bounds: Bounds) -> None:
        """Handles and actions in range; a full memory grows before the next step."""
        require_indices(f"{name}x", self.x, bounds.n_handles)
        require_indices(f"{name}a", self.a, bounds.n_actions)
        require_indices(f"{name}length", self.length, len(self.x) + 1)
        require_flags(f"{name}is_first", self.is_first)

    def acts_before_learning(self):
        """A truncated return goes on from the action chosen at the final observation."""
        return True

    def start_episode(self, store, x, a):
        """Forget the last episode."""
        self.length[0] = 0

    def lacks_room(self):
        """The episode is longer than any before it."""
        return self.length[0] >= self.x.shape[0]

    def learn(self, store, behaviour, alpha, t, clock, stream):
        """Note the transition; at the end of the episode learn from all of them, last first."""
        i = self.length[0]
        self.x[i] = t.x
        self.a[i] = t.a
        self.reward[i] = t.reward
        self.discount[i] = t.discount
        self.is_first[i] = True
        if self.last_seen.shape[0] > 0:
            self.is_first[i] = self.last_seen[t.x, t.a] != clock.episode + 1
            self.last_seen[t.x, t.a] = clock.episode + 1
        self.length[0] = i + 1
        if t.ended:
            target = value(store, t.x_next, t.a_next)
            for j in range(i, -1, -1):
                target = _one_step(self.reward[j], self.discount[j], target)
                if self.is_first[j]:
                    improve(store, behaviour, alpha, clock, self.x[j], self.a[j], target)
        return stream


@dataclass(frozen=True)
class Config(TabularConfig):
    """Options of Monte Carlo control."""

    first_visit: bool = False
    """Learn from the first visit of a pair in an episode only; without it, from every visit."""

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        require_choice("monte_carlo", "first_visit", self.first_visit, (False, True))

    @property
    def history(self) -> int:
        """Observations that must stay encoded: a whole episode; the driver lets it grow."""
        return 1024

    def memory(self, weights: np.ndarray, history: int) -> Memory:
        """Room for an episode of 1,022 steps at first."""
        n = history - 2
        whole = np.zeros(n, np.int64)
        last_seen = np.zeros(weights.shape if self.first_visit else (0, 0), np.int64)
        return Memory(
            whole, whole.copy(), np.zeros(n), np.zeros(n), np.zeros(1, np.int64), last_seen, np.zeros(n, bool)
        )

    def check_store(self, store: str) -> None:
        """First visits need a table."""
        super().check_store(store)
        if self.first_visit and store not in TABLES:
            rule = f"needs a table; '{store}' values have no visits"
            raise option_error("monte_carlo", "first_visit", rule, True, "Use first_visit=False.")
