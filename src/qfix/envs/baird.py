"""Baird's star: semi-gradient learning off policy diverges on seven states, although all values are zero."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qfix.envs.layout import GridLayout
from qfix.envs.world import Outcome, World, start_at

N_STATES = 7
CENTRE = 6
DASHED, SOLID = 0, 1


def baird(gamma: float = 0.99) -> World:
    """Seven states without reward or end: `dashed` leads to one of the six outer states, `solid` to the
    seventh.

        v(s) = q(s, a) = 0 everywhere

    The outer states are 0 to 5, the centre is 6; episodes begin anywhere, uniformly. The behaviour policy
    takes `dashed` with probability 6/7, so that the next state is uniform; the target policy always takes
    `solid`.

    Args:
        gamma: discount in [0, 1].

    Source: Sutton & Barto, 2nd ed., Section 11.2, Figure 11.1; Baird (1995).
    """

    def outcomes(state: int, action: int) -> list[Outcome]:
        if action == SOLID:
            return [(1.0, CENTRE, 0.0, False)]
        return [(1.0 / 6.0, outer, 0.0, False) for outer in range(CENTRE)]

    return World(
        name="Baird",
        outcomes=outcomes,
        start=start_at(N_STATES, *range(N_STATES)),
        terminal=frozenset(),
        n_actions=2,
        gamma=gamma,
        cells=tuple(range(1, N_STATES + 1)),
        layout=GridLayout(
            glyphs=("......", "  .   "),
            cell_of_state=np.array([(0, c) for c in range(6)] + [(1, 2)]),
            action_arrows=np.array([(-1, 0), (1, 0)]),
            action_names=("dashed", "solid"),
            labels=tuple(str(s + 1) for s in range(N_STATES)),
        ),
        known_values={f"V({s})": 0.0 for s in range(1, N_STATES + 1)},
    )


def features() -> NDArray[np.float64]:
    """The book's features, (7, 8): v(s) = 2 w_s + w_8 on the outer states, w_7 + 2 w_8 at the centre.

    There are more weights than states and the rows are independent, so every value function, the true one
    included, can be represented.
    """
    x = np.zeros((N_STATES, 8))
    x[np.arange(CENTRE), np.arange(CENTRE)] = 2.0
    x[:CENTRE, 7] = 1.0
    x[CENTRE, 6] = 1.0
    x[CENTRE, 7] = 2.0
    return x


def initial_weights() -> NDArray[np.float64]:
    """The book's initial weights, (8,): 1, 1, 1, 1, 1, 1, 10, 1."""
    return np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 10.0, 1.0])


def behaviour_policy() -> NDArray[np.float64]:
    """Probability of each action in each state when acting, (7, 2): dashed 6/7, solid 1/7."""
    return np.tile([6.0 / 7.0, 1.0 / 7.0], (N_STATES, 1))


def target_policy() -> NDArray[np.float64]:
    """Probability of each action in each state under the policy to evaluate, (7, 2): always solid."""
    return np.tile([0.0, 1.0], (N_STATES, 1))
