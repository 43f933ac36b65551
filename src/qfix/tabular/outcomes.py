"""A learned model of a world: what followed each pair, and how often.

    p̂(x', d | x, a) = n(x, a, x', d) / n(x, a)        r̂(x, a, x', d) = mean of the rewards seen there

d is the discount: γ, or 0 where the episode terminated. The distinct (x', d) of a pair are nodes of a linked
list, in the order they were first seen. Where the world is deterministic each pair has one node, and the model
is the last outcome.

Source: Moore & Atkeson (1993), the maximum-likelihood model; Sutton & Barto (2018), section 8.1,
from which the words: a *sample model* draws an outcome, a *distribution model* gives all of them.

Deviations:
    1. Rewards are kept as their mean. Targets are linear in the reward, so their expectation is the same, and
       a noisy reward does not make the model grow.
    2. Nothing is forgotten: where the world changes, what used to follow fades as 1 / n(x, a).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qfix.core import td
from qfix.mdp.inline import inlined
from qfix.runs.arrays import require, require_counts, require_each_once, require_indices
from qfix.tabular.check import Bounds
from qfix.tabular.store import best_value, pick

CAPACITY = 1024  # nodes at first

_one_step = inlined(td.one_step)

_32 = np.uint64(32)


class Outcomes(NamedTuple):
    """The outcomes of each pair, and a list of the pairs seen. Nodes are given out in order."""

    first: np.ndarray  # (rows, A) int64: node + 1; 0 where the pair was never seen
    total: np.ndarray  # (rows, A) int64: how often the pair was seen
    seen: np.ndarray  # (rows*A,) int64: row·A + a, in the order they were first seen
    n_seen: np.ndarray  # (1,) int64
    x_next: np.ndarray  # (capacity,) int64
    discount: np.ndarray  # (capacity,) float64
    reward: np.ndarray  # (capacity,) float64: mean
    times: np.ndarray  # (capacity,) int64: how often it was seen
    after: np.ndarray  # (capacity,) int64: node + 1 of the pair's next outcome; 0 for none
    n_nodes: np.ndarray  # (1,) int64

    @classmethod
    def of(cls, weights: np.ndarray, capacity: int) -> Outcomes:
        """Nothing seen of the pairs of a table, and room for so many outcomes."""
        return cls(
            np.zeros(weights.shape, np.int64),
            np.zeros(weights.shape, np.int64),
            np.zeros(weights.size, np.int64),
            np.zeros(1, np.int64),
            np.zeros(capacity, np.int64),
            np.zeros(capacity),
            np.zeros(capacity),
            np.zeros(capacity, np.int64),
            np.zeros(capacity, np.int64),
            np.zeros(1, np.int64),
        )

    def check(self, name: str, bounds: Bounds) -> None:
        """Every node stands in one list, lists end, and a pair was seen as often as its outcomes were."""
        require_indices(f"{name}n_nodes", self.n_nodes, len(self.times) + 1)
        require_indices(f"{name}n_seen", self.n_seen, self.seen.size + 1)
        n = int(self.n_nodes[0])
        first, after, times = self.first.ravel(), self.after[:n], self.times[:n]
        require_indices(f"{name}x_next", self.x_next[:n], bounds.n_handles)
        require_indices(f"{name}first", first, n + 1)
        require_indices(f"{name}after", after, n + 1)
        require(not self.after[n:].any(), f"{name}after", "must be 0 where there is no node yet", n)
        require_indices(f"{name}times", times, 1 << 53, low=1)
        require_counts(f"{name}total", self.total)
        pairs = np.flatnonzero(first)
        seen = self.seen[: self.n_seen[0]]
        require_each_once(f"{name}seen", seen, first.size)
        rule = "must list the pairs that have outcomes"
        require(len(seen) == len(pairs) and first[seen].all(), f"{name}seen", rule, len(seen))
        # a later outcome of a pair is a later node, so no list returns to where it was
        links = np.flatnonzero(after)
        require((after[links] - 1 > links).all(), f"{name}after", "must lead to later nodes", len(links))
        entered = np.concatenate([first[pairs], after[links]]) - 1
        require(len(entered) == n, f"{name}after", "must have every node in a list", len(entered))
        require_each_once(f"{name}after", entered, n)
        owner = np.arange(n)  # of each node the first of its list, found by leaps of twice the length
        owner[after[links] - 1] = links
        while not np.array_equal(further := owner[owner], owner):
            owner = further
        seen_in_all = np.bincount(owner, times, n)[first[pairs] - 1]
        rule = "must be the sum of the times of each pair's outcomes"
        total = self.total.ravel()
        fits = np.count_nonzero(total) == len(pairs) and (total[pairs] == seen_in_all).all()
        require(fits, f"{name}total", rule, int(total.sum()))


@inlined
def lacks_node(model):
    """Whether the next transition may find no node."""
    return model.n_nodes[0] >= model.times.shape[0]


@inlined
def remember(model, t):
    """Count the outcome of a transition: (its node, whether that is new)."""
    model.total[t.x, t.a] += 1
    last = -1
    node = model.first[t.x, t.a] - 1
    while node >= 0:
        if model.x_next[node] == t.x_next and model.discount[node] == t.discount:
            model.times[node] += 1
            mean = model.reward[node]
            if t.reward != mean:
                model.reward[node] = mean + (t.reward - mean) / model.times[node]
            return node, False
        last = node
        node = model.after[node] - 1
    node = model.n_nodes[0]
    model.n_nodes[0] = node + 1
    if last < 0:
        model.first[t.x, t.a] = node + 1
        model.seen[model.n_seen[0]] = t.x * model.first.shape[1] + t.a
        model.n_seen[0] += 1
    else:
        model.after[last] = node + 1
    model.x_next[node] = t.x_next
    model.discount[node] = t.discount
    model.reward[node] = t.reward
    model.times[node] = 1
    return node, True


@inlined
def target_of(model, store, node):
    """r̂ + d max q(x') of one outcome."""
    return _one_step(model.reward[node], model.discount[node], best_value(store, model.x_next[node]))


@inlined
def drawn_outcome(model, x, a, bits):
    """A node of a pair that was seen, in proportion to the counts, by the upper 32 random bits."""
    nth = pick(model.total[x, a], bits >> _32)
    node = model.first[x, a] - 1
    while nth >= model.times[node]:
        nth -= model.times[node]
        node = model.after[node] - 1
    return node


@inlined
def expected_target(model, store, x, a):
    """Σ p̂ (r̂ + d max q(x')) of a pair that was seen. The share of a single outcome is 1, so it is exact."""
    expected = 0.0
    node = model.first[x, a] - 1
    while node >= 0:
        expected += model.times[node] / model.total[x, a] * target_of(model, store, node)
        node = model.after[node] - 1
    return expected
