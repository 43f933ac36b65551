"""What an algorithm wants to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

Array = Any


@dataclass(frozen=True)
class Replay:
    """Remembered steps, drawn at random."""

    batch_size: int
    capacity: int
    """Steps remembered."""
    starts: int
    """Steps before the first gradient step."""
    train_every: int
    """Steps of each environment between two rounds of learning."""
    gradient_steps: int
    """Gradient steps in a round."""
    n_step: int
    priority_exponent: float | None
    """None: drawn uniformly."""

    @property
    def steps(self) -> int:
        """Steps of each environment in a unit of work: a round of learning and what comes before it."""
        return self.train_every


@dataclass(frozen=True)
class Rollout:
    """The latest steps of all environments, in order."""

    steps: int
    """Of each environment, in a unit of work."""
    batch_size: int
    """Steps of a minibatch."""


class Steps(NamedTuple):
    """A rollout: T steps of N environments."""

    obs: Array  # (T, N, *shape) as they are kept
    action: Array  # (T, N) int32
    reward: Array  # (T, N) as it is learned from
    discount: Array  # (T, N) gamma * (1 - terminated)
    ended: Array  # (T, N) bool: the episode ended with the step
    value: Array  # (T, N, A) what the actions were chosen by
    value_final: Array  # (T, N) value of the final observation of an episode that was truncated; else 0
    value_last: Array  # (N,) value of what follows the last step
    mask: Array | None  # (T, N, A) actions that were allowed; None: all
