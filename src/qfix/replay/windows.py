"""The n-step windows of `qfix.replay` on the host: where one ends and what it returns."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from qfix.mdp.inline import inlined

# What a kernel reads of a step beside its observations: one cache line
STEP = np.dtype(
    [("reward", np.float32), ("action", np.int32), ("terminated", np.bool_), ("ended", np.bool_)], align=True
)


class Ring(NamedTuple):
    """What a kernel needs to know of a memory of R rows of N environments."""

    steps: np.ndarray  # (R·N,) STEP
    gammas: np.ndarray  # (n + 1,) float64: γ^0 .. γ^n
    n_envs: int
    newest: int  # row


class Drawn(NamedTuple):
    """What a kernel fills of a batch beside its observations."""

    index: Any  # (B,) int32, given
    last: np.ndarray  # (B,) int64: index of the last step of the window
    action: np.ndarray  # (B,) int32
    reward: np.ndarray  # (B,) float32
    discount: np.ndarray  # (B,) float32


@inlined
def walk(ring, drawn, b):
    """Walk the window of draw b and fill in all about it but the observations."""
    steps, n_envs = ring.steps, ring.n_envs
    at = np.int64(drawn.index[b])
    drawn.action[b] = steps[at].action
    reward = float(steps[at].reward)
    following = ring.newest - at // n_envs
    if following < 0:
        following += len(steps) // n_envs
    k = 1
    while k < len(ring.gammas) - 1 and k <= following and not steps[at].ended:
        at += n_envs
        if at >= len(steps):
            at -= len(steps)
        reward += ring.gammas[k] * steps[at].reward
        k += 1
    drawn.last[b] = at
    drawn.reward[b] = reward
    drawn.discount[b] = 0.0 if steps[at].terminated else ring.gammas[k]
