"""What an algorithm wants to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from qfix.errors import option_error
from qfix.explore.options import require_whole

Array = Any


@dataclass(frozen=True)
class Sequence:
    """How many steps are drawn together, for a network with a state."""

    length: int
    """Steps that are learned from."""
    burn_in: int
    """Steps before them."""
    n_state: int
    """H."""

    @property
    def rows(self) -> int:
        """All of its steps."""
        return self.burn_in + self.length

    @classmethod
    def of(cls, config: Any) -> Sequence | None:
        """What options ask for; None where the network has no state.

        Raises:
            OptionError: they do not go together.
        """
        owner, length = config.owner, config.sequence_length
        require_whole(owner, "sequence_length", length, 1, "Use sequence_length=16.")
        require_whole(owner, "burn_in", config.burn_in, 0, "Use burn_in=8.")
        if not config.gru:
            return None
        found = cls(length, config.burn_in, config.gru)
        if config.batch_size % length:
            rule = f"must be a multiple of sequence_length={length}, as whole sequences are drawn"
            below = config.batch_size // length * length
            remedy = f"Use batch_size={f'{below} or ' if below else ''}{below + length}."
            raise option_error(owner, "batch_size", rule, config.batch_size, remedy)
        if config.buffer_size < found.rows * config.num_envs:
            rule = f"must have room for a sequence of {found.rows} steps of every environment"
            raise option_error(owner, "buffer_size", rule, config.buffer_size, "Use buffer_size=100_000.")
        return found


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
    sequence: Sequence | None = None
    """None: steps are drawn one by one."""

    @classmethod
    def of(cls, config: Any) -> Replay:
        """What options ask for."""
        return cls(
            config.batch_size,
            config.buffer_size,
            config.learning_starts,
            config.train_every,
            config.gradient_steps,
            config.n_step,
            config.priority_exponent if config.prioritized else None,
            Sequence.of(config),
        )

    @property
    def steps(self) -> int:
        """Steps of each environment in a unit of work: a round of learning and what comes before it."""
        return self.train_every

    @property
    def rows(self) -> int:
        """Steps of each environment that are drawn together; 0: they are drawn one by one."""
        return 0 if self.sequence is None else self.sequence.rows

    @property
    def draws(self) -> int:
        """What is drawn for a gradient step: steps, or sequences of them."""
        return self.batch_size if self.sequence is None else self.batch_size // self.sequence.length

    def first_learning(self, n_envs: int) -> int:
        """Units before the first that ends with learning: the first after which so many steps have been made."""
        starts = max(self.starts, self.rows * n_envs)
        return max(0, -(-starts // (self.steps * n_envs)) - 1)


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
    action: Array  # (T, N, ...) int32 numbers or float32 arrays
    reward: Array  # (T, N) as it is learned from
    discount: Array  # (T, N) gamma * (1 - terminated)
    ended: Array  # (T, N) bool: the episode ended with the step
    extras: Array  # (T, N, A) values that the actions were chosen by; of a policy (T, N, 1) their log-probabilities
    value_final: Array  # (T, N) value of the final observation of an episode that was truncated; else 0
    value_last: Array  # (N,) value of what follows the last step
    mask: Array | None  # (T, N, A) actions that were allowed; None: all
    state: Array  # (N, H) of the network, before the first step; H = 0 where it has none
