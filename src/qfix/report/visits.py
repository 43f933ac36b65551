"""How often states and actions were updated: where a learner has been, and where not."""

from __future__ import annotations

from typing import NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from qfix.run import Run
from qfix.tabular.store import Linear, Sparse

MOST_STATES = 1 << 20
"""Rows of a table that a sparse one is unfolded to."""


class Visits(NamedTuple):
    """Updates of state-action pairs, by seed."""

    counts: list[NDArray[np.int64]]
    """For each seed (rows, A); the rows are states where `numbered`."""
    numbered: bool
    """Whether row s is state s; in a sparse table rows are in the order in which states turned up."""
    active: NDArray[np.bool_] | None = None
    """(rows,) rows in which something is decided, which terminal states are not; None: all."""

    @property
    def by_state(self) -> NDArray[np.float64]:
        """(S,) updates of a state by any action, mean over the seeds; only where numbered."""
        return np.asarray(np.mean([each.sum(axis=1) for each in self.counts], axis=0), np.float64)

    @property
    def by_decade(self) -> list[tuple[str, int]]:
        """How many pairs were updated so often, all seeds together: never, 1 to 9, 10 to 99, ..."""
        rows = slice(None) if self.active is None else self.active
        every = np.concatenate([each[rows].ravel() for each in self.counts])
        found = [("never", int((every == 0).sum()))]
        low = 1
        while len(every) and low <= every.max():
            high = 10 * low
            text = f"{low:,} to {high - 1:,}" if low > 1 else "1 to 9"
            found.append((text, int(((every >= low) & (every < high)).sum())))
            low = high
        return found


def visits_of(run: Run) -> Visits | None:
    """The visits of every seed; None where values are a function, of features or by a network, which counts none.

    Args:
        run: as far as it has gone.
    """
    if not run.trainer.counts_visits:
        return None
    stores = [agent.store for agent in run.state.agents]
    if isinstance(stores[0], Linear):
        return None
    space = run.env.observation_space
    n_states = int(space.n) if isinstance(space, gymnasium.spaces.Discrete) else 0  # 0: states have no number
    numbered = n_states > 0
    terminal = None if run.model is None else run.model.terminal
    if not isinstance(stores[0], Sparse):
        return Visits(
            [store.counts.copy() for store in stores], numbered, _active(terminal, stores[0].counts)
        )
    used = [int(store.used[0]) for store in stores]
    if not 0 < n_states <= MOST_STATES:
        return Visits([store.counts[:n].copy() for store, n in zip(stores, used)], False)
    counts = [np.zeros((n_states, store.counts.shape[1]), np.int64) for store in stores]
    for each, store, n in zip(counts, stores, used):
        each[store.keys[:n]] = store.counts[:n]
    return Visits(counts, True, _active(terminal, counts[0]))


def _active(terminal: NDArray[np.bool_] | None, counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.ones(len(counts), bool) if terminal is None or len(terminal) != len(counts) else ~terminal
