"""Prioritized sweeping: planning where values are known to be wrong, backwards from where they changed.

A pair enters a queue with the size of its error |Ê[r + γ max q(s')] − q(s, a)|, if that is above θ. After
each real step up to `planning_steps` pairs are taken from the queue, largest first, and updated; then the
pairs that lead to the updated state are looked at in turn. Ê is the mean over all that followed the pair so
far, see `outcomes`: an expected update, without noise, so a constant α will do.

Source: Sutton & Barto (2018), section 8.4, with the expected updates it names for stochastic worlds; Moore and
Atkeson (1993). What leads to a state is known for tables only.

Deviations:
    1. A predecessor enters with its own error. Moore and Atkeson's priority is the change of the state's
       value times γ and the probability of coming there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qfix.core import td
from qfix.explore.options import require_positive, require_whole
from qfix.mdp.inline import inlined
from qfix.runs.arrays import require, require_indices
from qfix.tabular.behaviour import improve
from qfix.tabular.check import Bounds
from qfix.tabular.config import TabularConfig
from qfix.tabular.outcomes import CAPACITY, Outcomes, expected_target, lacks_node, remember
from qfix.tabular.queue import Queue, pop, push
from qfix.tabular.store import value

_td_error = inlined(td.td_error)


class Predecessors(NamedTuple):
    """For each state the outcomes that are it, as linked lists of the model's nodes."""

    first: np.ndarray  # (rows,) int64: node + 1; 0 for none
    after: np.ndarray  # (capacity,) int64: node + 1
    pair: np.ndarray  # (capacity,) int64: whose outcome a node is

    def check(self, name: str, bounds: Bounds, n_nodes: int) -> None:
        """Lists of nodes that end: each was put in front of the older ones."""
        require_indices(f"{name}first", self.first, n_nodes + 1)
        require_indices(f"{name}after", self.after, n_nodes + 1)
        require_indices(f"{name}pair", self.pair, bounds.n_rows * bounds.n_actions)
        earlier = self.after <= np.arange(len(self.after))
        require(earlier.all(), f"{name}after", "must lead to earlier nodes", int(earlier.argmin()))


class Memory(NamedTuple):
    """What was seen, what led where, and what is to be looked at."""

    model: Outcomes
    queue: Queue
    predecessors: Predecessors
    planning_steps: int
    theta: float

    def check(self, name: str, bounds: Bounds) -> None:
        """Each of the three."""
        self.model.check(f"{name}model.", bounds)
        self.queue.check(f"{name}queue.", bounds)
        self.predecessors.check(f"{name}predecessors.", bounds, int(self.model.n_nodes[0]))

    def lacks_room(self):
        """The model has no node left."""
        return lacks_node(self.model)

    def learn(self, store, behaviour, alpha, t, clock, stream):
        """Note the step, then sweep."""
        n_actions = store.weights.shape[1]
        pair = t.x * n_actions + t.a
        node, is_new = remember(self.model, t)
        if is_new:
            _link(self.predecessors, t.x_next, node, pair)
        _consider(self, store, pair)
        for _ in range(self.planning_steps):
            if self.queue.size[0] == 0:
                break
            pair = pop(self.queue)
            x = pair // n_actions
            a = pair % n_actions
            target = expected_target(self.model, store, x, a)
            improve(store, behaviour, alpha, clock, x, a, target)
            node = self.predecessors.first[x] - 1
            while node >= 0:
                _consider(self, store, self.predecessors.pair[node])
                node = self.predecessors.after[node] - 1
        return stream


@inlined
def _consider(memory, store, pair):
    """Queue a pair if its error is worth it."""
    x = pair // store.weights.shape[1]
    a = pair % store.weights.shape[1]
    priority = abs(_td_error(expected_target(memory.model, store, x, a), value(store, x, a)))
    if priority > memory.theta:
        push(memory.queue, pair, priority)


@inlined
def _link(predecessors, state, node, pair):
    """Note that a node of the pair leads to the state."""
    predecessors.pair[node] = pair
    predecessors.after[node] = predecessors.first[state]
    predecessors.first[state] = node + 1


@dataclass(frozen=True)
class Config(TabularConfig):
    """Options of prioritized sweeping."""

    planning_steps: int = 10
    """Pairs taken from the queue after each real step; at least 1."""
    theta: float = 1e-4
    """Errors up to this are left alone; above 0."""

    stores = ("dense", "sparse")

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        owner = "prioritized_sweeping"
        require_whole(owner, "planning_steps", self.planning_steps, 1, "Use planning_steps=10.")
        require_positive(owner, "theta", self.theta, "Use theta=1e-4.")

    @property
    def history(self) -> int:
        """Outcomes there is room for; the driver lets them grow."""
        return CAPACITY

    def memory(self, weights: np.ndarray, history: int) -> Memory:
        """Nothing seen."""
        rows, pairs = len(weights), weights.size
        nodes = np.zeros(history, np.int64)
        predecessors = Predecessors(np.zeros(rows, np.int64), nodes, nodes.copy())
        model = Outcomes.of(weights, history)
        return Memory(model, Queue.of(pairs), predecessors, self.planning_steps, float(self.theta))
