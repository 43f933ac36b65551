"""Small worlds written by hand, and slow twins in plain NumPy."""

import numpy as np

from qfix.mdp import FiniteMDP

MOVES = [(0, 1), (1, 0), (0, -1), (-1, 0)]  # up, right, down, left as (column, row) steps
CELLS = [(c, r) for r in (1, 2, 3) for c in (1, 2, 3, 4) if (c, r) != (2, 2)]
INDEX = {cell: i for i, cell in enumerate(CELLS)}


def grid_step(slip=0.0, step_reward=0.0):
    """The 4 x 3 grid: diamond (4,3) +1, pit (4,2) -1, wall (2,2)."""

    def step(s, a):
        outcomes = []
        for p, turn in ((1 - slip, 0), (slip / 2, 1), (slip / 2, -1)):
            dc, dr = MOVES[(a + turn) % 4]
            cell = (CELLS[s][0] + dc, CELLS[s][1] + dr)
            s2 = INDEX.get(cell, s)
            end = {(4, 3): 1.0, (4, 2): -1.0}.get(CELLS[s2])
            outcomes.append((p, s2, step_reward + (end or 0.0), end is not None))
        return outcomes

    return step


def grid4x3(gamma, slip=0.0, step_reward=0.0):
    return FiniteMDP.from_function(
        grid_step(slip, step_reward), 11, 4, gamma, start=INDEX[1, 1], terminal=[INDEX[4, 3], INDEX[4, 2]]
    )


def walled_grid(n, gamma, slip=1 / 3, goal=None, seed=0):
    """n x n slippery grid as A sparse matrices."""
    import scipy.sparse as sp

    goal = n * n - 1 if goal is None else goal
    row, column = np.divmod(np.arange(n * n), n)
    to = [
        np.clip(row + dr, 0, n - 1) * n + np.clip(column + dc, 0, n - 1)
        for dr, dc in ((-1, 0), (0, 1), (1, 0), (0, -1))
    ]
    p, r = [], np.zeros((n * n, 4))
    here = np.arange(n * n)
    for a in range(4):
        share = np.repeat([slip, 1 - 2 * slip, slip], n * n)
        target = np.concatenate([to[(a - 1) % 4], to[a], to[(a + 1) % 4]])
        p.append(sp.csr_matrix((share, (np.tile(here, 3), target)), shape=(n * n, n * n)))
        r[:, a] = p[a][:, [goal]].toarray().ravel()
    return FiniteMDP.from_arrays(p, r, gamma, terminal=[goal])


def dense(mdp):
    """(P (S, A, S) without terminated outcomes, R (S, A)) of a model."""
    p = np.zeros((mdp.n_states * mdp.n_actions, mdp.n_states))
    row = np.repeat(np.arange(len(p)), np.diff(mdp.indptr))
    np.add.at(p, (row, mdp.next_state), np.where(mdp.terminated, 0.0, mdp.probability))
    return p.reshape(mdp.n_states, mdp.n_actions, mdp.n_states), mdp.reward


def exact(mdp):
    """v* by Howard's policy iteration with dense linear algebra, from a policy that is proper where one must be."""
    p, r = dense(mdp)
    policy = r.argmax(1)
    for _ in range(1000):
        rows = np.arange(mdp.n_states)
        v = np.linalg.solve(np.eye(mdp.n_states) - mdp.gamma * p[rows, policy], r[rows, policy])
        q = r + mdp.gamma * p @ v
        better = q.max(1) > q[rows, policy] + 1e-12 * (1 + np.abs(v).max())
        if not better.any():
            return v
        policy = np.where(better, q.argmax(1), policy)
    raise AssertionError


def table_values(table, gamma, sweeps=20_000):
    """Naive value iteration over Gymnasium's table."""
    v = np.zeros(len(table))
    width = max(len(o) for s in range(len(v)) for o in table[s].values())
    shape = (len(v), len(table[0]), width)
    p, to, r, on = np.zeros(shape), np.zeros(shape, int), np.zeros(shape), np.zeros(shape)
    for s in range(len(v)):
        for a, outcomes in table[s].items():
            for k, (prob, s2, reward, terminated) in enumerate(outcomes):
                p[s, a, k], to[s, a, k], r[s, a, k], on[s, a, k] = prob, s2, reward, 1 - terminated
    for _ in range(sweeps):
        new = (p * (r + gamma * on * v[to])).sum(-1).max(1)
        if np.array_equal(new, v):
            break
        v = new
    return v
