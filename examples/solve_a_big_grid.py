"""A slippery grid of 200 x 200 cells, solved to a certified 1e-6.

The world is four sparse matrices, one an action: 40,000 states, 4 actions, 3 outcomes each.

Promise: no state's value is off by more than 1e-6, and the start is worth what the shortest way is worth, slips apart.
"""

import numpy as np
import scipy.sparse

import qfix

SIDE, SLIP, GAMMA = 200, 0.2, 0.99


def moves() -> list[scipy.sparse.csr_array]:
    """Up, right, down, left, each a sure move to the neighbour or against the border."""
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    steps = []
    for down, right in ((-1, 0), (0, 1), (1, 0), (0, -1)):
        target = np.clip(row + down, 0, SIDE - 1) * SIDE + np.clip(column + right, 0, SIDE - 1)
        shape = (SIDE * SIDE, SIDE * SIDE)
        steps.append(scipy.sparse.csr_array((np.ones(len(target)), (np.arange(len(target)), target)), shape))
    return steps


def main() -> float:
    sure = moves()
    slippery = [(1 - SLIP) * sure[a] + SLIP / 2 * (sure[(a + 1) % 4] + sure[(a + 3) % 4]) for a in range(4)]
    goal = SIDE * SIDE - 1
    arrival = np.stack([p[:, [goal]].toarray().ravel() for p in slippery], axis=1)
    mdp = qfix.FiniteMDP.from_arrays(slippery, arrival, GAMMA, terminal=[goal])
    solution = qfix.solve(mdp, tol=1e-6)
    print(f"{solution.method}: {solution.iterations} iterations, every value within {solution.bound:.1e}")
    shortest = GAMMA ** (2 * (SIDE - 1) - 1)
    print(f"value of the far corner {solution.v[0]:.3e}; a sure walk would be worth {shortest:.3e}")
    assert solution.bound <= 1e-6
    assert 0 < solution.v[0] < shortest
    return solution.bound


if __name__ == "__main__":
    main()
