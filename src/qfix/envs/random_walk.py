"""RandomWalk: prediction with a known answer at any length."""

from __future__ import annotations

from qfix.envs.layout import strip
from qfix.envs.world import Outcome, World, start_at
from qfix.errors import option_error


def random_walk(n: int = 5, left_reward: float | None = None, gamma: float = 1.0) -> World:
    """n states in a row, left or right with probability 1/2 each; the right end pays +1, the left end
    `left_reward`.

        v(k) = left_reward + (1 - left_reward) k / (n + 1)        k = 1..n, at γ = 1

    State k is the k-th from the left; 0 and n + 1 are the ends. There is one action, which does nothing:
    only the values are to be learned. Episodes begin in the middle.

    Args:
        n: states that are not an end; odd, at least 1. The book has 5 (Example 6.2) and 19 (Example 7.1).
        left_reward: reward of the left end; None for the book's: 0 at n = 5, else -1.
        gamma: discount in [0, 1].

    Source: Sutton & Barto, 2nd ed., Examples 6.2 and 7.1.
    """
    if not (isinstance(n, int) and n >= 1 and n % 2 == 1):
        raise option_error(
            "RandomWalk", "n", "must be an odd whole number", n, "Use n=5 or n=19, as in the book."
        )
    left = left_reward if left_reward is not None else (0.0 if n == 5 else -1.0)

    def outcomes(state: int, action: int) -> list[Outcome]:
        down, up = state - 1, state + 1
        return [
            (0.5, down, left if down == 0 else 0.0, down == 0),
            (0.5, up, float(up == n + 1), up == n + 1),
        ]

    names = ("", *(chr(64 + k) if n <= 26 else str(k) for k in range(1, n + 1)), "")
    middle = (n + 1) // 2
    return World(
        name="RandomWalk",
        outcomes=outcomes,
        start=start_at(n + 2, middle),
        terminal=frozenset({0, n + 1}),
        n_actions=1,
        gamma=gamma,
        cells=tuple(range(n + 2)),
        layout=strip(names, "P" + "." * (middle - 1) + "S" + "." * (n - middle) + "G", ("walk",)),
        known_values={f"V({k})": left + (1.0 - left) * k / (n + 1) for k in range(1, n + 1)}
        if gamma == 1.0
        else {},
    )
