"""The last n transitions, for algorithms whose targets reach over several steps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qfix.mdp.inline import inlined
from qfix.runs.arrays import require_indices
from qfix.tabular.check import Bounds


class Window(NamedTuple):
    """A ring of transitions; place 0 steps back is the newest."""

    x: np.ndarray  # (n,) int64 handles
    a: np.ndarray  # (n,) int64
    reward: np.ndarray  # (n,) float64
    discount: np.ndarray  # (n,) float64
    newest: np.ndarray  # (1,) int64
    size: np.ndarray  # (1,) int64: transitions held

    @classmethod
    def of(cls, n: int) -> Window:
        """An empty window of n transitions."""
        whole = np.zeros(n, np.int64)
        return cls(
            whole, whole.copy(), np.zeros(n), np.zeros(n), np.zeros(1, np.int64), np.zeros(1, np.int64)
        )

    def check(self, name: str, bounds: Bounds) -> None:
        """Handles and actions in range, and room for one more transition."""
        require_indices(f"{name}x", self.x, bounds.n_handles)
        require_indices(f"{name}a", self.a, bounds.n_actions)
        require_indices(f"{name}newest", self.newest, len(self.x))
        # a full window is served before the step is over
        require_indices(f"{name}size", self.size, len(self.x))


@inlined
def reset(window):
    """Forget all transitions."""
    window.size[0] = 0


@inlined
def push(window, t):
    """Take in a transition. A full window must have been served before."""
    i = window.newest[0] + 1
    i = 0 if i == window.x.shape[0] else i
    window.x[i] = t.x
    window.a[i] = t.a
    window.reward[i] = t.reward
    window.discount[i] = t.discount
    window.newest[0] = i
    window.size[0] += 1


@inlined
def place(window, back):
    """Index of the transition `back` steps before the newest."""
    i = window.newest[0] - back
    return i if i >= 0 else i + window.x.shape[0]


@inlined
def oldest(window):
    """Index of the oldest transition held."""
    return place(window, window.size[0] - 1)


@inlined
def ended_or_full(window, ended):
    """Whether the oldest pair is due: the window is full, or the episode is over and it is not yet empty."""
    return window.size[0] == window.x.shape[0] or (ended and window.size[0] > 0)
