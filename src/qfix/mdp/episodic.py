"""Undiscounted episodes: the optimum over policies that terminate, between two certified bounds.

At γ = 1, T need not contract and its fixed point need not be unique: walking in a circle for nothing supports
any value on the circle. What is well defined is the stochastic shortest path value (Bertsekas and Tsitsiklis
1991)

    v*(s) = max over proper policies π of v_π(s)         proper: terminates from every state with probability
    1

It exists where every state can reach the end and no circle pays. Three steps find and certify it.

Collapse. States that can reach one another at no reward, without ever being forced out, have one value: walk
for free to the best exit. These are the maximal end components of the actions of zero reward (de Alfaro
1997). Each becomes one state, whose actions are the exits of its members. One without any exit is worth 0.

Improve. Policy iteration from a proper policy, found backwards from the end. Changing an action only where
that is
*strictly* better keeps a policy proper: on a circle of changed actions the rewards would have to average
above 0, and then the values are unbounded, which is reported.

Bracket. Let w be any function.
  (U) If T w <= w then v_π <= w for every proper π, because v_π = lim T_π^k w <= w. So v* <= w.
  (L) If T_π w >= w for one proper π then w <= v_π <= v*.
A w for (U) is the optimum of the world in which every exit pays ε more, a w for (L) the value of the best
policy where it pays ε less: both have their inequality with a margin of ε, which is chosen well above the
rounding error δ of T, so that the inequalities are *checked* in floating point and hold in truth. The bracket
is about ε times the expected length of an episode wide.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse import csgraph

from qfix.errors import ModelError
from qfix.mdp.bounds import rounding
from qfix.mdp.krylov import solve_linear
from qfix.mdp.model import FiniteMDP
from qfix.mdp.rows import reachable


class Bracket(NamedTuple):
    """lower <= v* <= upper everywhere; all (S,). `iterations` counts policies."""

    v: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    iterations: int


class _Quotient(NamedTuple):
    """The model with free circles collapsed. n classes; rows are the exits, sorted by class."""

    label: np.ndarray  # (S,) class of each state; n for states worth 0 by definition
    first: np.ndarray  # (n+1,) rows of each class
    indptr: np.ndarray  # (rows+1,)
    target: np.ndarray  # (N,) class entered; n where nothing follows
    probability: np.ndarray  # (N,)
    reward: np.ndarray  # (rows,)
    member: np.ndarray  # (n,) a state of the class, to name it by


def episodic_bracket(mdp: FiniteMDP, tol: float, max_iterations: int) -> Bracket:
    """Certified bounds on the optimum over proper policies, as narrow as `tol` or as float64 allows.

    Raises:
        ModelError: names a state from which no policy terminates, or one on a circle of positive reward.
    """
    world = _collapse(mdp)
    n = len(world.member)
    row = _proper_rows(world)
    row, x, count = _improve(world, world.reward, row, np.zeros(n), 0.0, max_iterations)
    m, _ = _system(world, world.reward, row)
    steps, _ = solve_linear(m, np.ones(n), np.ones(n), 1e-3)
    longest = max(1.0, float(steps.max(initial=1.0)))
    slack = rounding(mdp, np.append(x, np.abs(x).max(initial=0.0) + tol))
    fine = max(tol / (8.0 * longest), 64.0 * slack)
    coarse = max(fine, 20.0 * _finest(world.reward, x))
    # evaluations promise too little for the finer margin, but mostly do better than they promise
    for margin in (fine, coarse):
        raised = world.reward + margin
        _, upper, more = _improve(world, raised, row, x + margin * steps, 0.25 * margin, max_iterations)
        count += more
        aim = max(0.1 * margin, _finest(world.reward, x))
        lower, _ = _evaluate(world, world.reward - margin, row, x - margin * steps, aim)
        bad = _unproven(mdp, world, row, lower, upper)
        if not bad.any():
            break
    else:
        s = int(world.member[int(bad.argmax())])
        raise ModelError(
            f"The values of state {s} at gamma=1 must be certifiable. Got a state whose best policies pass "
            f"through a circle on which gains and losses cancel, or one too long for float64. Use gamma < 1."
        )
    zero = np.zeros(1)
    x, lower, upper = (np.append(w, zero)[world.label] for w in (x, lower, upper))
    return Bracket(x, lower, upper, count)


def _unproven(
    mdp: FiniteMDP, world: _Quotient, row: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> np.ndarray:
    """(n,) whether one of the two inequalities is not beyond doubt, on the world as it is.

    δ is that of the two functions themselves, which are about as large as v*.
    """
    slack = rounding(mdp, np.concatenate([upper, lower]))
    q = _exit_values(world, world.reward, upper)
    above = np.maximum.reduceat(q, world.first[:-1]) if len(upper) else q
    return (above + slack > upper) | (_exit_values(world, world.reward, lower)[row] - slack < lower)


def proper_policy(mdp: FiniteMDP, v: np.ndarray, q: np.ndarray, slack: float) -> np.ndarray:
    """(S,) greedy actions, ties broken towards the end of the episode, so that the policy gets there.

    An argmax over tied actions may walk in a circle for ever. Among the actions within `slack` of the best,
    this one takes those with the best chance of coming nearer to termination.
    """
    near = q >= v[:, None] - slack
    rows = np.flatnonzero(near.ravel())
    first, size = mdp.indptr[rows], mdp.indptr[rows + 1] - mdp.indptr[rows]
    outcome = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size - first, size)
    source = np.repeat(rows // mdp.n_actions, size)
    target = np.where(mdp.terminated[outcome], mdp.n_states, mdp.next_state[outcome])
    level = _levels(source, target, mdp.n_states)
    nearer = mdp.probability[outcome] * (level[target] < level[source])
    chance = np.full(near.size, -1.0)
    chance[rows] = np.bincount(np.repeat(np.arange(len(rows)), size), weights=nearer, minlength=len(rows))
    policy = chance.reshape(near.shape).argmax(axis=1)
    greedy = q.argmax(axis=1)
    return np.where(mdp.terminal | ~np.isfinite(level[:-1]), greedy, policy)


def _levels(source: np.ndarray, target: np.ndarray, n: int) -> np.ndarray:
    """(n+1,) fewest moves from each node to node n; infinite where there is no path."""
    back = sp.csr_matrix((np.ones(len(source), np.int8), (target, source)), shape=(n + 1, n + 1))
    order, parent = csgraph.breadth_first_order(back, n, return_predecessors=True)
    level = np.full(n + 1, np.inf)
    level[n] = 0.0
    # nodes come level by level, so that a node's level is its parent's plus one; pointer doubling in place of
    # a loop
    depth = np.zeros(n + 1)
    depth[order[1:]] = 1.0
    jump = np.where(parent < 0, np.arange(n + 1), parent)
    while True:
        further = depth[jump]
        if not further.any():
            break
        depth = depth + further
        jump = jump[jump]
    level[order] = depth[order]
    return level


def _collapse(mdp: FiniteMDP) -> _Quotient:
    n_states, n_actions = mdp.n_states, mdp.n_actions
    size = np.diff(mdp.indptr)
    outcome_row = np.repeat(np.arange(n_states * n_actions, dtype=np.int32), size)
    source, target = outcome_row // n_actions, mdp.next_state
    free = mdp.reward.ravel() == 0.0
    free[outcome_row[mdp.terminated]] = False
    label = np.arange(n_states, dtype=np.int32)
    while free.any():
        inside = free[outcome_row]
        graph = sp.csr_matrix(
            (np.ones(int(inside.sum()), np.int8), (source[inside], target[inside])),
            shape=(n_states, n_states),
        )
        label = csgraph.connected_components(graph, connection="strong")[1]
        leaving = inside & (label[source] != label[target])
        if not leaving.any():
            break
        free[outcome_row[leaving]] = False
    if not free.any():
        label = np.arange(n_states, dtype=np.int32)
    is_exit = ~free & ~np.repeat(mdp.terminal, n_actions)
    has_exit = np.zeros(int(label.max()) + 1, bool)
    has_exit[label[np.flatnonzero(is_exit) // n_actions]] = True
    n = int(has_exit.sum())
    renamed = np.full(len(has_exit), n, np.int32)
    renamed[has_exit] = np.arange(n, dtype=np.int32)
    label = renamed[label]
    del outcome_row, source
    rows = np.flatnonzero(is_exit)
    rows = rows[np.argsort(label[rows // n_actions], kind="stable")]
    first = np.searchsorted(label[rows // n_actions], np.arange(n + 1))
    length = size[rows]
    outcome = np.arange(length.sum()) + np.repeat(mdp.indptr[rows] - np.cumsum(length) + length, length)
    follows = np.where(mdp.terminated[outcome], np.int32(n), label[mdp.next_state[outcome]])
    return _Quotient(
        label,
        first,
        np.append(0, np.cumsum(length)),
        follows,
        mdp.probability[outcome],
        mdp.reward.ravel()[rows],
        rows[first[:-1]] // n_actions,
    )


def _owner(world: _Quotient) -> np.ndarray:
    """(rows,) class of each exit."""
    return np.repeat(np.arange(len(world.member), dtype=np.int32), np.diff(world.first))


def _proper_rows(world: _Quotient) -> np.ndarray:
    """(n,) one exit for every class, such that the end is reached from everywhere."""
    n = len(world.member)
    source = np.repeat(_owner(world), np.diff(world.indptr))
    level = _levels(source, world.target, n)
    if not np.isfinite(level).all():
        stuck = ~np.isfinite(level)
        raise ModelError(
            f"The episode must be able to end from every state at gamma=1. Got state "
            f"{int(world.member[int(stuck.argmax())])}, from which termination is unreachable under every "
            f"policy ({int(stuck.sum())} such states). Use gamma below 1, or give the world a way out."
        )
    nearer = world.probability * (level[world.target] < level[source])
    chance = np.add.reduceat(nearer, world.indptr[:-1]) if n else nearer
    return _best_row(world, chance)


def _best_row(world: _Quotient, score: np.ndarray) -> np.ndarray:
    """(n,) the first row of each class with the highest score."""
    n = len(world.member)
    if n == 0:
        return np.zeros(0, np.int64)
    top = np.maximum.reduceat(score, world.first[:-1])
    winners = np.flatnonzero(score == np.repeat(top, np.diff(world.first)))
    owner = _owner(world)[winners]
    return winners[np.searchsorted(owner, np.arange(n))]


def _exit_values(world: _Quotient, reward: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(rows,) r + Σ p x(target)."""
    if not len(x):
        return np.zeros(0)
    follows = np.append(x, 0.0)[world.target]
    return reward + np.add.reduceat(world.probability * follows, world.indptr[:-1])


def _system(world: _Quotient, reward: np.ndarray, row: np.ndarray) -> tuple[sp.csr_matrix, np.ndarray]:
    n = len(row)
    size = world.indptr[row + 1] - world.indptr[row]
    outcome = np.arange(size.sum()) + np.repeat(world.indptr[row] - np.cumsum(size) + size, size)
    state = np.repeat(np.arange(n), size)
    goes_on = world.target[outcome] < n
    m = sp.csr_matrix(
        (world.probability[outcome][goes_on], (state[goes_on], world.target[outcome][goes_on])), shape=(n, n)
    )
    return m, reward[row]


def _evaluate(
    world: _Quotient, reward: np.ndarray, row: np.ndarray, guess: np.ndarray, aim: float
) -> tuple[np.ndarray, float]:
    m, r = _system(world, reward, row)
    return solve_linear(m, r, guess, aim, np.argsort(-guess, kind="stable"))


def _finest(reward: np.ndarray, x: np.ndarray) -> float:
    """The residual below which an evaluation does not go."""
    return 1e-14 * (float(np.abs(reward).max(initial=0.0)) + float(np.abs(x).max(initial=0.0)))


def _improve(
    world: _Quotient, reward: np.ndarray, row: np.ndarray, x: np.ndarray, aim: float, max_iterations: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Policy iteration by strict improvement from a proper choice: (exits, values, policies seen)."""
    n = len(row)
    if n == 0:
        return row, x, 0
    count = 0
    while count < max_iterations:
        count += 1
        floor = _finest(reward, x)
        x, residual = _evaluate(world, reward, row, x, max(aim / 4, floor))
        q = _exit_values(world, reward, x)
        best = _best_row(world, q)
        # a gain within the error of the evaluation is no gain: following it could close a circle
        better = q[best] > q[row] + max(aim / 4, 8 * floor, 4 * residual)
        if not better.any():
            break
        row = np.where(better, best, row)
        m, _ = _system(world, reward, row)
        coo = m.tocoo()
        ends = np.add.reduceat(
            (world.target == n).astype(np.int64), world.indptr[:-1]
        )[row] > 0  # fmt: skip
        lost = ~reachable(coo.col, coo.row, ends)
        if lost.any():
            s = int(world.member[int(lost.argmax())])
            raise ModelError(
                f"The rewards must not add up without end at gamma=1. Got a circle of states through state "
                f"{s} on which the total reward does not fall below 0. Use gamma < 1, or charge for steps."
            )
    return row, x, count
