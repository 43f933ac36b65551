"""Where action values are kept: dense and sparse tables, and linear functions of features.

An observation is encoded into a *handle*, one whole number that names the features active in it:

    q(x, a) = Σ_k activity(x, k) · w[row(x, k), a]

In a table one feature is active, with activity 1, and its row is the handle. Algorithms are written against
the operations below and never ask which store they work on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qfix.core import td, traces
from qfix.mdp.inline import inlined, outlined
from qfix.tabular._compile import by_class

OUTSIDE = -1  # handle of an observation that is not in the space

_step_towards = inlined(td.step_towards)
_td_error = inlined(td.td_error)
_gradient_correction = inlined(traces.gradient_correction)
_gradient_auxiliary_step = inlined(traces.gradient_auxiliary_step)

_LOW32 = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


# What a store is made of. The bodies are those of a table.


@by_class
def encode(self, observation):
    """The handle of an observation; OUTSIDE if it is not in the space."""
    return OUTSIDE


@by_class
def encode_state(self, state):
    """As `encode`, of a model's state, which is known to be in the space."""
    return encode(self, state)


@by_class
def is_full(self):
    """Whether the next two observations may find no room."""
    return False


@by_class
def n_active(self):
    """How many features are active in a handle."""
    return 1


@by_class
def row(self, x, k):
    """Row of the weights that belongs to the k-th active feature of handle x."""
    return x


@by_class
def activity(self, x, k):
    """The value of the k-th active feature of handle x."""
    return 1.0


@by_class
def step_scale(self):
    """What step sizes are multiplied by: 1 over the sum of squared features where that is a constant."""
    return 1.0


@by_class
def write(self, row, a, weight):
    """Set one weight."""
    self.weights[row, a] = weight


@by_class
def best_value(self, x):
    """max_a q(x, a)."""
    best = value(self, x, 0)
    for a in range(1, self.weights.shape[1]):
        best = max(best, value(self, x, a))
    return best


@by_class
def greedy_action(self, x, bits):
    """An action of the highest value; ties are broken by the lower 32 of the random bits."""
    best = best_value(self, x)
    ties = 0
    for a in range(self.weights.shape[1]):
        ties += value(self, x, a) == best
    return tied_action(self, x, best, ties, bits)


@by_class
def visit(self, x, a):
    """Count a visit of (x, a); returns how many there were before."""
    return 0


@by_class
def visits(self, x, a):
    """How often (x, a) was updated."""
    return 0


@by_class
def auxiliary_value(self, x, a):
    """hᵀx of gradient-TD: what the second weights expect the TD error to be."""
    return 0.0


@by_class
def settle_auxiliary(self, x, a, error):
    """Move TDC's second weights towards the TD error at (x, a), after every `correct` of this step."""
    return


@by_class
def has_auxiliary(self):
    """Whether updates are gradient-TD (TDC) and not semi-gradient."""
    return False


# What follows from these, for every store


@inlined
def value(store, x, a):
    """q(x, a)."""
    total = activity(store, x, 0) * store.weights[np.uint64(row(store, x, 0)), a]
    for k in range(1, n_active(store)):
        total += activity(store, x, k) * store.weights[np.uint64(row(store, x, k)), a]
    return total


@outlined
def tied_action(store, x, best, ties, bits):
    """One of the `ties` actions of value `best`, each with the same probability."""
    nth = pick(ties, bits)
    for a in range(store.weights.shape[1]):
        if value(store, x, a) == best:
            if nth == 0:
                return a
            nth -= 1
    return 0  # every value is NaN


@inlined
def pick(n, bits):
    """A whole number in 0..n-1 from the lower 32 random bits."""
    return np.int64(((bits & _LOW32) * np.uint64(n)) >> _32)


@inlined
def mean_value(store, x):
    """mean_a q(x, a)."""
    total = 0.0
    for a in range(store.weights.shape[1]):
        total += value(store, x, a)
    return total / store.weights.shape[1]


@inlined
def add(store, x, a, step):
    """w[·, a] ← w[·, a] + step · features(x)."""
    for k in range(n_active(store)):
        i = row(store, x, k)
        write(store, i, a, store.weights[np.uint64(i), a] + step * activity(store, x, k))


@inlined
def approach(store, x, a, alpha, target):
    """Move q(x, a) towards its target by the semi-gradient; returns the TD error before."""
    q = value(store, x, a)
    error = _td_error(target, q)
    if n_active(store) == 1 and activity(store, x, 0) == 1.0:
        write(store, row(store, x, 0), a, _step_towards(q, alpha, target))
    else:
        add(store, x, a, alpha * error)
    return error


@inlined
def correct(store, x, a, x_next, a_next, alpha, discount, share):
    """The gradient correction of TDC along (x_next, a_next); nothing for a semi-gradient store.

    Args:
        share: the weight that the target gave (x_next, a_next), such as the policy's probability.
    """
    if has_auxiliary(store):
        expected = auxiliary_value(store, x, a)
        add(store, x_next, a_next, share * _gradient_correction(alpha, discount, expected))


class Dense(NamedTuple):
    """A table with one row a state; the observation is the row.

    The best value and a greedy action of each row are kept beside it: reading them is one load, where
    scanning the row would be on the path from one state to the next.
    """

    weights: np.ndarray  # (S, A) float64: q
    best: np.ndarray  # (S,) float64: max_a q
    greedy: (
        np.ndarray
    )  # (S,) int64: first greedy action, and above it (shifted by 32) how many more tie with it
    counts: np.ndarray  # (S, A) int64: updates of each pair

    def encode(self, observation):
        """The observation, if it is a row."""
        if 0 <= observation < self.weights.shape[0]:
            return np.int64(observation)
        return OUTSIDE

    def encode_state(self, state):
        """The state itself."""
        return state

    def write(self, row, a, weight):
        """Set a value and keep the summary of its row."""
        i = np.uint64(row)
        # At the fixed point nothing changes: then the row need not be read again.
        if self.weights[i, a] == weight:
            return
        self.weights[i, a] = weight
        best = self.weights[i, 0]
        first = 0
        ties = 0
        for j in range(1, self.weights.shape[1]):
            q = self.weights[i, j]
            above = q > best
            ties = 0 if above else ties + (q == best)
            first = j if above else first
            best = q if above else best
        self.best[i] = best
        self.greedy[i] = first | (ties << 32)

    def best_value(self, x):
        """max_a q(x, a), kept."""
        return self.best[np.uint64(x)]

    def greedy_action(self, x, bits):
        """The kept action, or one of those tied with it."""
        kept = self.greedy[np.uint64(x)]
        ties = kept >> 32
        if ties > 0:
            return tied_action(self, x, self.best[np.uint64(x)], ties + 1, bits)
        return kept

    def visit(self, x, a):
        """Count the visit."""
        n = self.counts[np.uint64(x), a]
        self.counts[np.uint64(x), a] = n + 1
        return n

    def visits(self, x, a):
        """The count."""
        return self.counts[x, a]


class Sparse(NamedTuple):
    """A table that grows with the states visited: rows are given out in the order states turn up.

    Keys are found by open addressing with linear probing; the driver doubles the table when it is full.
    """

    weights: np.ndarray  # (capacity, A) float64
    best: np.ndarray  # (capacity,) float64
    greedy: np.ndarray  # (capacity,) int64
    counts: np.ndarray  # (capacity, A) int64
    keys: np.ndarray  # (capacity,) int64: which state a row belongs to
    slots: np.ndarray  # (power of two ≥ 2·capacity,) int64: row + 1 of the key that hashes there, 0 if free
    used: np.ndarray  # (1,) int64: rows given out

    write = Dense.write  # type: ignore[misc]
    best_value = Dense.best_value  # type: ignore[misc]
    greedy_action = Dense.greedy_action  # type: ignore[misc]
    visit = Dense.visit  # type: ignore[misc]
    visits = Dense.visits  # type: ignore[misc]

    def encode(self, observation):
        """The row of a key, a new one if the key is new."""
        key = np.int64(observation)
        slot = find_slot(self.slots, self.keys, key)
        if self.slots[slot] == 0:
            self.keys[self.used[0]] = key
            self.used[0] += 1
            self.slots[slot] = self.used[0]
        return self.slots[slot] - 1

    def is_full(self):
        """Fewer than two rows are left: a step may end in a new state and the next episode start in another."""
        return self.used[0] + 2 > self.keys.shape[0]


_HASH = np.uint64(0x9E3779B97F4A7C15)


@inlined
def find_slot(slots, keys, key):
    """Where a key stands in the hash table, or the free slot where it would."""
    mask = np.uint64(slots.shape[0] - 1)
    h = np.uint64(key) * _HASH
    slot = (h ^ (h >> _32)) & mask
    while slots[slot] != 0 and keys[slots[slot] - 1] != key:
        slot = (slot + np.uint64(1)) & mask
    return slot


class Linear(NamedTuple):
    """A linear function of the features that an encoder finds active in an observation.

    Handles name the places of a ring in which the features of the latest observations are kept.
    """

    encoder: NamedTuple
    weights: np.ndarray  # (rows, A) float64
    auxiliary: np.ndarray  # (rows, A) float64: TDC's second weights; (0, A) with semi-gradient updates
    beta: float  # step size of the second weights
    scale: float  # what step sizes are multiplied by
    rows: np.ndarray  # (ring, K) int64
    activities: np.ndarray  # (ring, K) float64
    place: np.ndarray  # (1,) int64: place of the ring to be filled next

    def encode(self, observation):
        """Fill the next place of the ring."""
        x = self.place[0]
        if not encode_into(self.encoder, observation, self.rows, self.activities, x):
            return OUTSIDE
        self.place[0] = x + 1 if x + 1 < self.rows.shape[0] else 0
        return x

    def n_active(self):
        """The width of the ring."""
        return self.rows.shape[1]

    def row(self, x, k):
        """From the ring."""
        return self.rows[np.uint64(x), k]

    def activity(self, x, k):
        """From the ring."""
        return self.activities[np.uint64(x), k]

    def step_scale(self):
        """Given with the features."""
        return self.scale

    def has_auxiliary(self):
        """Whether there are second weights."""
        return self.auxiliary.shape[0] > 0

    def auxiliary_value(self, x, a):
        """hᵀx for action a."""
        total = 0.0
        for k in range(self.rows.shape[1]):
            total += self.activities[x, k] * self.auxiliary[self.rows[x, k], a]
        return total

    def settle_auxiliary(self, x, a, error):
        """h ← h + β (δ − hᵀx) x."""
        if self.auxiliary.shape[0] > 0:
            expected = auxiliary_value(self, x, a)
            step = _gradient_auxiliary_step(self.beta * self.scale, error, expected)
            for k in range(self.rows.shape[1]):
                self.auxiliary[self.rows[x, k], a] += step * self.activities[x, k]


@by_class
def encode_into(self, observation, rows, activities, place):
    """Write the features of an observation to a place of the ring; False if it is not in the space."""
    return False


class Features(NamedTuple):
    """Given features of each of finitely many states."""

    table: np.ndarray  # (S, K) float64

    def encode_into(self, observation, rows, activities, place):
        """Copy the state's row."""
        if observation < 0 or observation >= self.table.shape[0]:
            return False
        for k in range(self.table.shape[1]):
            rows[place, k] = k
            activities[place, k] = self.table[observation, k]
        return True


class Tiles(NamedTuple):
    """Tile coding of a box: one tile active in each of several shifted grids.

    Grid g is shifted against the first by g·(1, 3, 5, ...) n-ths of a tile, so that the n grids do not line up
    on diagonals. Of the odd numbers only those are taken that share no factor with n: each dimension then has
    n different shifts.

    Source: Sutton & Barto (2018), section 9.5.4; Miller and Glanz (1996) for the odd displacements.
    """

    low: np.ndarray  # (D,) float64
    high: np.ndarray  # (D,) float64
    tiles: np.ndarray  # (D,) int64: tiles that span each dimension
    displacement: np.ndarray  # (D,) int64: shift of a grid against the one before, in n-ths of a tile
    clips: bool  # whether what lies outside counts as on the border; else it is not in the space

    def encode_into(self, observation, rows, activities, place):
        """One tile of each grid."""
        n_grids = rows.shape[1]
        for d in range(self.low.shape[0]):
            if not (self.low[d] <= observation[d] <= self.high[d]) and (
                not self.clips or np.isnan(observation[d])
            ):
                return False
        first = 0
        for g in range(n_grids):
            tile = np.int64(0)
            size = 1
            for d in range(self.low.shape[0]):
                inside = min(max(observation[d], self.low[d]), self.high[d])
                position = (inside - self.low[d]) / (self.high[d] - self.low[d]) * self.tiles[d]
                shift = ((g * self.displacement[d]) % n_grids) / n_grids
                tile += np.int64(position + shift) * size
                size *= self.tiles[d] + 1
            rows[place, g] = first + tile
            activities[place, g] = 1.0
            first += size
        return True
