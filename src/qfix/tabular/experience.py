"""A learned model of a world: what followed each pair the last time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qfix.mdp.inline import inlined


class LastOutcomes(NamedTuple):
    """The last outcome of each pair, and a list of the pairs seen."""

    reward: np.ndarray  # (rows, A) float64
    discount: np.ndarray  # (rows, A) float64; below 0 where the pair was never seen
    x_next: np.ndarray  # (rows, A) int64
    seen: np.ndarray  # (rows*A,) int64: row·A + a, in the order they were first seen
    n_seen: np.ndarray  # (1,) int64

    @classmethod
    def of(cls, n_rows: int, n_actions: int) -> LastOutcomes:
        """Nothing seen."""
        shape = (n_rows, n_actions)
        return cls(
            np.zeros(shape),
            np.full(shape, -1.0),
            np.zeros(shape, np.int64),
            np.zeros(n_rows * n_actions, np.int64),
            np.zeros(1, np.int64),
        )


@inlined
def remember(model, t):
    """Put a transition in the place of the last one of its pair."""
    if model.discount[t.x, t.a] < 0.0:
        model.seen[model.n_seen[0]] = t.x * model.reward.shape[1] + t.a
        model.n_seen[0] += 1
    model.reward[t.x, t.a] = t.reward
    model.discount[t.x, t.a] = t.discount
    model.x_next[t.x, t.a] = t.x_next
