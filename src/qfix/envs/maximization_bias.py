"""MaximizationBias: the maximum over noisy estimates is too high, and leads astray."""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from qfix.envs.layout import GridLayout
from qfix.envs.world import Outcome, World, start_at
from qfix.errors import option_error

_B, _A, _LEFT_END, _RIGHT_END = 1, 0, 2, 3


def maximization_bias(n_actions: int = 10, mean: float = -0.1, gamma: float = 1.0) -> World:
    """From A right ends the episode for 0; left leads for 0 to B, where every action ends it for a reward
    N(-0.1, 1).

        q(A, left) = γ mean        q(A, right) = 0        v(A) = max(0, γ mean)

    Going left is a mistake, yet the maximum over noisy estimates of B's actions looks positive for long:
    Q-learning goes left far more often than the ε/2 that exploration asks for, Double Q-learning does not.

    Args:
        n_actions: actions of B and, to have one action space, of A; even, at least 2.
        mean: mean reward in B.
        gamma: discount in [0, 1].

    Source: Sutton & Barto, 2nd ed., Example 6.7 and Figure 6.5.

    Deviations:
        1. The reward in B takes 64 equally likely values, the mid-quantiles of a Gaussian rescaled to mean
           `mean` and variance 1 exactly, so that the world is finite and solvable. Its largest is 2.4 above
           the mean.
        2. A has `n_actions` actions too: even numbers go left, odd ones right. A random action goes left with
           probability 1/2, as in the book.
    """
    if not (isinstance(n_actions, int) and n_actions >= 2 and n_actions % 2 == 0):
        raise option_error(
            "MaximizationBias", "n_actions", "must be even, at least 2", n_actions, "Use n_actions=10."
        )
    rewards = mean + standard_normal_points(64)

    def outcomes(state: int, action: int) -> list[Outcome]:
        if state == _A:
            return [(1.0, _B, 0.0, False)] if action % 2 == 0 else [(1.0, _RIGHT_END, 0.0, True)]
        return [(1.0 / len(rewards), _LEFT_END, float(reward), True) for reward in rewards]

    return World(
        name="MaximizationBias",
        outcomes=outcomes,
        start=start_at(4, _A),
        terminal=frozenset({_LEFT_END, _RIGHT_END}),
        n_actions=n_actions,
        gamma=gamma,
        cells=("A", "B", "left end", "right end"),
        layout=GridLayout(
            glyphs=("P.S.",),
            cell_of_state=np.array([(0, 2), (0, 1), (0, 0), (0, 3)]),
            action_arrows=np.array([(0, -1) if a % 2 == 0 else (0, 1) for a in range(n_actions)]),
            action_names=tuple(f"{'left' if a % 2 == 0 else 'right'} {a // 2}" for a in range(n_actions)),
            labels=("A", "B", "", ""),
        ),
        known_values={
            "V(A)": max(0.0, gamma * mean),
            "V(B)": mean,
            "Q(A,left)": gamma * mean,
            "Q(A,right)": 0.0,
        },
    )


@cache
def standard_normal_points(n: int) -> NDArray[np.float64]:
    """n equally likely values that stand for N(0, 1), (n,): the quantiles (i + 1/2) / n, rescaled to
    variance 1.

    Mean 0 and variance 1 are exact up to rounding.
    """
    points = np.array([NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)])
    points -= points.mean()
    points /= points.std()
    points.setflags(write=False)
    return points
