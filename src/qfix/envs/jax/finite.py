"""Any finite model as pure functions: states and actions are numbers, and chance is one uniform through an alias table.

    x = u K,   k = ⌊x⌋,   outcome = own(k) if x - k < threshold(k) else alias(k)

A step costs the same whatever the model's size. The tables are those of `qfix.mdp.simulate`, so that what is drawn here
has the distribution of the compiled learners and of `TableEnv`, to the precision of a float32 uniform (2⁻²³).

Source: Walker (1977), Vose (1991).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from qfix.envs.jax.protocol import Step
from qfix.mdp import FiniteMDP
from qfix.mdp.simulate import TransitionTable, transition_table

_STATE = np.int32(2**31 - 1)  # the bits of a next state that name the state; the sign says terminated


class FiniteState(NamedTuple):
    """Which state it is."""

    number: Any  # () int32


class FiniteMDPEnv:
    """A `FiniteMDP` as a `JaxEnv`. Observation () int32: the number of the state. The time limit is the model's.

    The tables lie on the device and take 20 bytes for each of the S*A*K columns, K the most outcomes a row has. A
    terminal state leads to itself, pays nothing and is terminated, as in the model.

    Args:
        model: any FiniteMDP.
    """

    def __init__(self, model: FiniteMDP) -> None:
        self.model = model
        self.observation_space = gymnasium.spaces.Discrete(model.n_states)
        self.action_space = gymnasium.spaces.Discrete(model.n_actions)
        self.max_episode_steps = model.max_episode_steps
        table = transition_table(model)
        self._n_outcomes = table.n_outcomes
        self._threshold, self._reward, self._next = _on_device(table)
        self._start_threshold = jnp.asarray(table.start_threshold, jnp.float32)
        self._start = jnp.asarray(table.start_state)

    def reset(self, key: Any) -> tuple[FiniteState, Any]:
        """A state of the start distribution, by one uniform."""
        number = self._start[_choice(key, self._start_threshold, 0, len(self._start_threshold))]
        return FiniteState(number), number

    def step(self, state: FiniteState, action: Any, key: Any) -> Step:
        """An outcome of (state, action), by one uniform; by none in a deterministic model."""
        row = (state.number * self.model.n_actions + action) * self._n_outcomes
        at = (row, 0) if self._n_outcomes == 1 else _choice(key, self._threshold, row, self._n_outcomes)
        code = self._next[at]
        number = code & _STATE
        terminated = code < 0
        return Step(FiniteState(number), number, self._reward[at], terminated, jnp.zeros_like(terminated))


def _on_device(table: TransitionTable) -> tuple[Any, Any, Any]:
    """Thresholds (columns,), rewards and next states (columns, 2), own before alias."""
    columns = table.columns
    rewards = np.stack((columns["reward_own"], columns["reward_alias"]), 1)
    following = np.stack((columns["next_own"], columns["next_alias"]), 1)
    return (
        jnp.asarray(columns["threshold"], jnp.float32),
        jnp.asarray(rewards, jnp.float32),
        jnp.asarray(following, jnp.int32),
    )


def _choice(key: Any, threshold: Any, first: Any, n_columns: int) -> tuple[Any, Any]:
    """A column from `first` on and its side, 0 for its own outcome and 1 for the alias."""
    x = jax.random.uniform(key, (), jnp.float32) * n_columns
    k = jnp.minimum(x.astype(jnp.int32), n_columns - 1)
    column = first + k
    return column, (x - k >= threshold[column]).astype(jnp.int32)
