"""What a finite model must satisfy, and the sentences that say which state and action does not."""

from __future__ import annotations

from typing import Any

import numpy as np

from qfix.errors import ModelError, option_error
from qfix.mdp.rows import Rows, row_sums

ROW_SUM_TOLERANCE = 1e-6


def check_gamma(gamma: float, owner: str = "FiniteMDP") -> float:
    """`gamma` as a float in [0, 1], or OptionError."""
    try:
        value = float(gamma)
    except (TypeError, ValueError):
        value = float("nan")
    if not 0.0 <= value <= 1.0:
        raise option_error(owner, "gamma", "must be in [0, 1]", gamma, "Use gamma=0.99 for long horizons.")
    return value


def check_rows(rows: Rows, n_states: int, n_actions: int) -> np.ndarray:
    """(S*A,) sums of the rows; ModelError for the first that is no distribution over outcomes that exist."""
    if n_states < 1 or n_actions < 1:
        raise ModelError(
            f"The 'n_states' and 'n_actions' of FiniteMDP must be at least 1. Got {n_states} and "
            f"{n_actions}. Give a model at least one state and one action."
        )
    size = len(rows.next_state)
    lengths = [len(rows.probability), len(rows.terminated)]
    if rows.outcome_reward is not None:
        lengths.append(len(rows.outcome_reward))
    if (
        any(n != size for n in lengths)
        or len(rows.indptr) != n_states * n_actions + 1
        or rows.indptr[-1] != size
    ):
        raise ModelError(
            f"The outcome arrays of FiniteMDP must be equally long and indptr must have S*A+1 entries that "
            f"end there. Got {size} next states, other arrays of {lengths}, indptr of {len(rows.indptr)}. "
            f"Build models with FiniteMDP.from_arrays, from_function or from_env."
        )
    if rows.reward.shape != (n_states, n_actions):
        raise ModelError(
            f"The 'reward' of FiniteMDP must have shape (n_states, n_actions) = {(n_states, n_actions)}. "
            f"Got {rows.reward.shape}. Give one expected reward for every state and action."
        )

    def where(outcome: int) -> str:
        row = int(np.searchsorted(rows.indptr, outcome, side="right")) - 1
        return f"state {row // n_actions}, action {row % n_actions}"

    bad = _first(~((rows.probability >= 0.0) & (rows.probability < np.inf)))
    if bad is not None:
        raise ModelError(
            f"The probabilities of {where(bad)} must be finite and not negative. "
            f"Got {float(rows.probability[bad])!r} of moving to state {int(rows.next_state[bad])}. "
            f"Correct that entry of the model."
        )
    bad = _first((rows.next_state < 0) | (rows.next_state >= n_states))
    if bad is not None:
        raise ModelError(
            f"The next states of {where(bad)} must be in 0..{n_states - 1}. Got one outside. "
            f"Number states from 0, or raise n_states."
        )
    total = row_sums(rows.indptr, rows.probability)
    bad = _first(~(np.abs(total - 1.0) <= ROW_SUM_TOLERANCE))
    if bad is not None:
        s, a = divmod(bad, n_actions)
        raise ModelError(
            f"The probabilities of state {s}, action {a} must sum to 1. Got {float(total[bad])!r}. "
            f"Correct that row; if nothing is decided in state {s}, name it in terminal=."
        )
    if rows.outcome_reward is not None:
        bad = _first(~np.isfinite(rows.outcome_reward))
        if bad is not None:
            raise ModelError(
                f"The rewards of {where(bad)} must be finite. Got {float(rows.outcome_reward[bad])!r} on "
                f"moving to state {int(rows.next_state[bad])}. Give an action that must not be taken a "
                f"large negative reward instead."
            )
    bad = _first(~np.isfinite(rows.reward))
    if bad is not None:
        s, a = divmod(bad, n_actions)
        raise ModelError(
            f"The reward of state {s}, action {a} must be finite. Got {float(rows.reward[s, a])!r}. "
            f"Give an action that must not be taken a large negative reward instead."
        )
    return total


def is_off(total: np.ndarray | float, size: np.ndarray | int) -> Any:
    """Whether sums of `size` probabilities differ from 1 by more than their own rounding."""
    return np.abs(total - 1.0) > 4.0 * 2.0**-53 * size


def check_start(start: np.ndarray, terminal: np.ndarray) -> float:
    """The sum of `start`; ModelError unless it is a distribution over states in which a decision is taken."""
    n_states = len(terminal)
    if start.shape != (n_states,):
        raise ModelError(
            f"The 'start' of FiniteMDP must have shape (n_states,) = {(n_states,)}. Got {start.shape}. "
            f"Give one probability for every state, or the number of the one start state."
        )
    bad = _first(~((start >= 0.0) & (start < np.inf)))
    if bad is not None:
        raise ModelError(
            f"The 'start' of FiniteMDP must hold probabilities. Got {float(start[bad])!r} at state {bad}. "
            f"Correct that entry."
        )
    total = float(start.sum())
    if not abs(total - 1.0) <= ROW_SUM_TOLERANCE:
        raise ModelError(f"The 'start' of FiniteMDP must sum to 1. Got {total!r}. Divide it by its sum.")
    bad = _first((start > 0.0) & terminal)
    if bad is not None:
        raise ModelError(
            f"The 'start' of FiniteMDP must be 0 in terminal states. Got {float(start[bad])!r} at state "
            f"{bad}. Start episodes where there is something to decide."
        )
    return total


def as_terminal(terminal: object, n_states: int) -> np.ndarray:
    """(S,) bool from None (no state), a mask, or a list of state numbers."""
    mask = np.zeros(n_states, bool)
    if terminal is None:
        return mask
    given = np.asarray(terminal)
    if given.dtype == bool:
        if given.shape != (n_states,):
            raise ModelError(
                f"The 'terminal' of FiniteMDP must be a mask of shape (n_states,) = {(n_states,)} or a list "
                f"of state numbers. Got a mask of shape {given.shape}. Give one flag for every state."
            )
        return given.copy()
    given = np.atleast_1d(given)
    if given.size == 0:
        return mask
    if given.dtype.kind not in "iu" or given.ndim != 1 or given.min() < 0 or given.max() >= n_states:
        raise ModelError(
            f"The 'terminal' of FiniteMDP must list states in 0..{n_states - 1}, or be a boolean mask. "
            f"Got {terminal!r}. Number states from 0."
        )
    mask[given] = True
    return mask


def as_start(start: object, terminal: np.ndarray) -> np.ndarray:
    """(S,) float64 from None (uniform over states that are not terminal), one state, or a distribution."""
    n_states = len(terminal)
    if start is None:
        if terminal.all():
            raise ModelError(
                f"The 'terminal' of FiniteMDP must leave a state in which to decide. Got all {n_states} "
                f"states. Leave at least one state out."
            )
        return np.where(terminal, 0.0, 1.0 / int((~terminal).sum()))
    if isinstance(start, (int, np.integer)):
        if not 0 <= start < n_states:
            raise ModelError(
                f"The 'start' of FiniteMDP must be a state in 0..{n_states - 1}. Got {start!r}. "
                f"Number states from 0."
            )
        one = np.zeros(n_states)
        one[int(start)] = 1.0
        return one
    return np.array(start, np.float64)


def _first(bad: np.ndarray) -> int | None:
    """Flat index of the first True."""
    flat = bad.ravel()
    index = int(flat.argmax()) if len(flat) else 0
    return index if len(flat) and flat[index] else None
