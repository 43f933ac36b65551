"""What goes into a memory and what comes out; what `qfix.replay` says of rows, windows and sampling holds here."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from qfix.errors import is_whole, option_error

_MOST = 1 << 30  # transitions: one index and one more lap fit into int32


class Transition(NamedTuple):
    """One step of N environments, or the shapes and dtypes of one."""

    obs: Any  # (N, ...)
    action: Any  # (N,) int, or (N, D) float
    reward: Any  # (N,) float
    terminated: Any  # (N,) bool
    ended: Any  # (N,) bool: terminated or truncated
    next_obs: Any  # (N, ...): the step's own, never the one after a reset
    mask_next: Any = None  # (N, A) bool: actions allowed at next_obs; None where all always are
    state: Any = None  # (N, H) float32: of a recurrent network, before it saw obs; None where there is none


class Past(NamedTuple):
    """What came before the steps of a batch, for a network with a state: B sequences of L steps, T of them learned
    from."""

    state: Any  # (B, H) before the first step
    ended: Any  # (L, B) bool
    last: Any  # (T·B,) int32: the row that the window from each row ends with
    n_steps: int  # T


class Batch(NamedTuple):
    """B windows of at most n steps, ready for a target: reward + discount · value(next_obs)."""

    obs: Any  # (B, ...)
    action: Any  # (B,) int32, or (B, D) float32
    reward: Any  # (B,) float32: Σ γ^i r over the window
    discount: Any  # (B,) float32: γ^k (1 − terminated)
    next_obs: Any  # (B, ...)
    mask_next: Any  # (B, A) bool, or None
    past: Past | None = None  # of sequences: there are T·B rows, obs is (L, B, ...) and next_obs (T, B, ...)


class Sequences(NamedTuple):
    """B sequences of L steps, oldest first. An episode may end within: what follows is the next one's beginning."""

    obs: Any  # (L, B, ...)
    action: Any  # (L, B) int32
    reward: Any  # (L, B) float32
    terminated: Any  # (L, B) bool
    ended: Any  # (L, B) bool: terminated or truncated
    next_obs: Any  # (L, B, ...): of each step its own
    mask_next: Any  # (L, B, A) bool, or None
    state: Any  # (B, H) float32 of the network that acted, before the first step


class Sample(NamedTuple):
    """A batch, and where it came from."""

    batch: Any  # a Batch, or Sequences
    index: Any  # (B,) int32: row·N + environment, for `update_priorities`
    probability: Any  # (B,) float32: of each index at each draw, for `importance_weights`


def check_options(
    owner: str,
    capacity: int,
    n_envs: int,
    n_step: int,
    gamma: float,
    priority_exponent: float | None,
    sequence: int,
) -> None:
    """Raise OptionError unless a memory can be made so."""
    for name, value in (("capacity", capacity), ("n_envs", n_envs), ("n_step", n_step)):
        if not (is_whole(value) and 1 <= value < _MOST):
            rule = f"must be a whole number in 1..{_MOST - 1}"
            raise option_error(owner, name, rule, value, "Count transitions, environments or steps.")
    if rows_for(capacity, n_envs) * n_envs >= _MOST:
        rule = f"must come to less than {_MOST} transitions when whole rows are filled"
        raise option_error(owner, "capacity", rule, capacity, "Keep fewer transitions.")
    if not (is_whole(sequence) and 0 <= sequence <= rows_for(capacity, n_envs)):
        rule = f"must be a whole number in 0..{rows_for(capacity, n_envs)}, the rows of the memory"
        raise option_error(
            owner, "sequence", rule, sequence, "Keep more transitions, or draw shorter sequences."
        )
    if not 0.0 <= gamma <= 1.0:
        raise option_error(owner, "gamma", "must be in [0, 1]", gamma, "Use gamma=0.99 for long horizons.")
    if priority_exponent is not None and not (priority_exponent >= 0.0 and math.isfinite(priority_exponent)):
        rule = "must be a finite number >= 0, or None for uniform sampling"
        raise option_error(owner, "priority_exponent", rule, priority_exponent, "Use 0.6.")


def rows_for(capacity: int, n_envs: int) -> int:
    """R = ⌈capacity / N⌉."""
    return -(-capacity // n_envs)
