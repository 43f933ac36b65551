"""Drawing from a finite model: one sampler for the compiled learners and for the Gymnasium view of a world.

A row of K outcomes is cut into K columns of equal width, each shared by at most two outcomes: its own up to
a threshold and an alias above it (Walker 1977, Vose 1991). One uniform number then picks the column by its
integer part and the outcome by its fraction, in constant time whatever K is:

    x = u K,   k = ⌊x⌋,   outcome = own(k) if x - k < threshold(k) else alias(k)

Random numbers come from splitmix64 (Steele, Lea and Flood 2014): 64 bits of state, period 2^64, the same bits
on every machine. The stream of an episode starts from `episode_seed`, a pure function of run seed,
environment index and episode index, so that any episode can be drawn again by itself.

The functions under the table are made of operators alone and compile into any kernel that calls them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qfix.mdp.cached import cached
from qfix.mdp.inline import inlined
from qfix.mdp.model import FiniteMDP

# Index of a stream of random numbers that is no environment's; see `episode_seed`
LEARNER = 1 << 32  # what a learner draws
EVALUATION = 1 << 33  # the episodes of evaluations

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31)
_ONE = np.uint64(1)
_TO_UNIT = 2.0**-53


# One column of an alias table: 32 bytes, so that a draw reads one cache line. The sign bit of a next state says
# that the outcome is terminated.
COLUMN = np.dtype(
    [
        ("threshold", np.float64),
        ("reward_own", np.float64),
        ("reward_alias", np.float64),
        ("next_own", np.int32),
        ("next_alias", np.int32),
    ]
)


_ENDS = np.int32(-(2**31))
_STATE = np.int32(2**31 - 1)  # the bits of a next state that name the state


class TransitionTable(NamedTuple):
    """Alias tables of a model, padded to K columns a row. Row s*A + a owns columns row*K to row*K + K - 1."""

    columns: np.ndarray  # (S*A*K,) COLUMN
    start_threshold: np.ndarray  # (n_start,) float64, over the support of the start distribution
    start_state: np.ndarray  # (n_start, 2) int32
    n_outcomes: int  # K, the most outcomes any (s, a) has
    n_actions: int  # A


def transition_table(mdp: FiniteMDP) -> TransitionTable:
    """Alias tables that reproduce the model's probabilities up to rounding.

    Args:
        mdp: any FiniteMDP. Memory is 32 bytes for each of the S*A*K columns, K the most outcomes a row has.

    Returns:
        A TransitionTable. Rewards are those of the outcome where the model knows them, else of (s, a).

    Source: Vose (1991), A linear algorithm for generating random numbers with a given distribution.
    """
    columns = int(np.diff(mdp.indptr).max())
    rows = mdp.n_states * mdp.n_actions
    threshold = np.empty(rows * columns)
    outcome = np.empty((rows * columns, 2), np.int64)
    _fill_alias(mdp.indptr, mdp.probability, columns, threshold, outcome)
    table = np.empty(rows * columns, COLUMN)
    table["threshold"] = threshold
    for side, name in enumerate(("own", "alias")):
        drawn = outcome[:, side]
        following = mdp.next_state[drawn]
        table[f"next_{name}"] = np.where(mdp.terminated[drawn], following | _ENDS, following)
        known = mdp.outcome_reward
        table[f"reward_{name}"] = np.repeat(mdp.reward.ravel(), columns) if known is None else known[drawn]
    support = np.flatnonzero(mdp.start).astype(np.int32)
    start_threshold = np.empty(len(support))
    start = np.empty((len(support), 2), np.int64)
    whole = np.array([0, len(support)])
    _fill_alias(whole, mdp.start[support], len(support), start_threshold, start)
    return TransitionTable(table, start_threshold, support[start], columns, mdp.n_actions)


@inlined
def next_bits(state):
    """One step of splitmix64: (next state, 64 fresh bits), both uint64.

    Called from plain Python, both come back as int: wrap the state in np.uint64 before it goes in again.
    """
    state = np.uint64(state) + _GOLDEN
    return state, mix(state)


@inlined
def mix(z):
    """Splitmix64's finaliser: a bijection of 64 bits; every bit of input moves about half of the output."""
    z = np.uint64(z)
    z = (z ^ (z >> _S30)) * _MIX1
    z = (z ^ (z >> _S27)) * _MIX2
    return z ^ (z >> _S31)


@inlined
def uniform(bits):
    """A float64 in [0, 1) from the upper 53 of 64 bits."""
    return float(np.int64(np.uint64(bits) >> _S11)) * _TO_UNIT


@inlined
def episode_seed(run_seed, env_index, episode):
    """Seed of one episode, a pure function of (run seed, environment index, episode index).

        h = mix(run_seed + φ);  h = mix(h ^ mix(env_index + 2φ));  h = mix(h ^ mix(episode + 3φ))

    Args:
        run_seed, env_index, episode: whole numbers, not negative; environments have indices below `LEARNER`.

    Returns:
        A whole number in [0, 2^63): a state for `next_bits`, and a seed that `Env.reset` accepts.
    """
    h = mix(np.uint64(run_seed) + _GOLDEN)
    h = mix(h ^ mix(np.uint64(env_index) + _GOLDEN + _GOLDEN))
    h = mix(h ^ mix(np.uint64(episode) + _GOLDEN + _GOLDEN + _GOLDEN))
    return h >> _ONE


def evaluation_seed(seed: int, episode: int) -> int:
    """Seed of an episode of an evaluation, in [2^63, 2^64): training episodes have theirs below, so none is shared.

    Args:
        seed: of the evaluation, in [0, 2^63).
        episode: index, not negative.
    """
    return (1 << 63) | int(episode_seed(seed, EVALUATION, episode))


@inlined
def draw_transition(table, s, a, u):
    """What follows (s, a): (next state, reward, terminated), by one uniform `u` in [0, 1)."""
    x = u * table.n_outcomes
    k = int(x)
    column = table.columns[np.uint64(s * (table.n_actions * table.n_outcomes) + a * table.n_outcomes + k)]
    own = x - k < column.threshold
    code = column.next_own if own else column.next_alias
    return np.int64(code & _STATE), column.reward_own if own else column.reward_alias, code < 0


@inlined
def step_model(table, s, a, stream):
    """A step of the model: (stream, next state, reward, terminated).

    It takes one draw from the stream, or none in a deterministic model: there the next state would have to wait for
    a choice between outcomes that are the same.
    """
    if table.n_outcomes == 1:
        column = table.columns[np.uint64(s * table.n_actions + a)]
        code = column.next_own
        return stream, np.int64(code & _STATE), column.reward_own, code < 0
    stream, bits = next_bits(stream)
    s_next, reward, terminated = draw_transition(table, s, a, uniform(bits))
    return stream, s_next, reward, terminated


@inlined
def draw_start(table, u):
    """Where an episode starts, by one uniform `u` in [0, 1)."""
    x = u * len(table.start_threshold)
    k = int(x)
    return np.int64(table.start_state[k, 0 if x - k < table.start_threshold[k] else 1])


@cached
def _fill_alias(indptr, probability, columns, threshold, outcome):
    """Vose's two stacks, row by row. Padding columns have probability 0 and give all their width away."""
    scaled = np.empty(columns)
    small = np.empty(columns, np.int64)
    large = np.empty(columns, np.int64)
    for row in range(len(indptr) - 1):
        first = indptr[row]
        size = indptr[row + 1] - first
        base = row * columns
        total = 0.0
        for i in range(size):
            total += probability[first + i]
        n_small = 0
        n_large = 0
        for k in range(columns):
            scaled[k] = probability[first + k] * columns / total if k < size else 0.0
            threshold[base + k] = 1.0
            outcome[base + k, 0] = first + min(k, size - 1)
            outcome[base + k, 1] = outcome[base + k, 0]
            if scaled[k] < 1.0:
                small[n_small] = k
                n_small += 1
            else:
                large[n_large] = k
                n_large += 1
        # padding was pushed last, so it is served first, while there is width to give
        while n_small > 0 and n_large > 0:
            n_small -= 1
            k = small[n_small]
            giver = large[n_large - 1]
            threshold[base + k] = scaled[k]
            outcome[base + k, 1] = first + giver
            scaled[giver] -= 1.0 - scaled[k]
            if scaled[giver] < 1.0:
                n_large -= 1
                small[n_small] = giver
                n_small += 1
