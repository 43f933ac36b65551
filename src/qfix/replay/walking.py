"""The n-step windows of `qfix.replay` in array operations, for compiled programs; `windows` has them for Numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Array = Any


def n_step_window(
    xp: Any,
    n_step: int,
    gamma: float,
    following: Array,
    reward_at: Callable[[int], Array],
    ended_at: Callable[[int], Array],
) -> tuple[Array, Array, Array]:
    """The window of at most n steps from each of many starts.

    Args:
        xp: array namespace.
        n_step: n >= 1.
        gamma: discount of a step.
        following: int32, steps there are behind each start.
        reward_at, ended_at: of the k-th step behind each start; asked for up to n - 1, whether there is one or not.

    Returns:
        steps from the start to the last of the window, Σ_{i<k} γ^i r_i and γ^k, where k steps are in the window.
    """
    reward = reward_at(0)
    last = xp.zeros_like(following)
    discount = xp.full(reward.shape, gamma, reward.dtype)
    if n_step == 1:
        return last, reward, discount
    walks = ~ended_at(0)
    for k in range(1, n_step):
        walks = walks & (k <= following)
        last = xp.where(walks, k, last)
        reward = xp.where(walks, reward + gamma**k * reward_at(k), reward)
        discount = xp.where(walks, gamma ** (k + 1), discount)
        walks = walks & ~ended_at(k)
    return last, reward, discount
