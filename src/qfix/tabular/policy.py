"""What a table learner has learned, ready to act."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from qfix.core import policies
from qfix.errors import SpaceError
from qfix.tabular._compile import kernel
from qfix.tabular.agent import Blueprint
from qfix.tabular.store import Dense, Linear, Sparse, encode, value


class TablePolicy:
    """The greedy policy of learned action values.

    Attributes:
        weights: the values of a table, (S, A) or (rows, A); the weights of tiles or features.
    """

    def __init__(
        self,
        weights: np.ndarray,
        values_of: Callable[[Any], np.ndarray],
        space: gymnasium.Space[Any],
        first_action: int = 0,
        table: np.ndarray | None = None,
    ) -> None:
        self._table = table  # (S, A) where a state is its own row
        self.weights = weights
        self._values_of = values_of
        self._space = space
        self._first_action = first_action
        self._rng = np.random.default_rng(0)

    @classmethod
    def of(cls, blueprint: Blueprint, store: Dense | Sparse | Linear) -> TablePolicy:
        """The policy of a store as it is now."""
        weights = store.weights.copy()
        weights.setflags(write=False)
        space = blueprint.observation_space
        if isinstance(store, Dense):
            assert blueprint.codec is not None
            key = blueprint.codec.encode

            def dense(observation: Any) -> np.ndarray:
                return weights[key(observation)]

            numbered = isinstance(space, gymnasium.spaces.Discrete)
            return cls(weights, dense, space, blueprint.first_action, weights if numbered else None)
        if isinstance(store, Sparse):
            rows = {int(k): i for i, k in enumerate(store.keys[: store.used[0]])}
            unseen = blueprint.unseen

            def sparse(observation: Any) -> np.ndarray:
                row = rows.get(blueprint.encode(observation))
                return unseen if row is None else weights[row]

            return cls(weights[: store.used[0]], sparse, space, blueprint.first_action)
        linear = _evaluator(blueprint, _own(store))
        return cls(weights, linear, space, blueprint.first_action)

    def action_values(self, obs: Any) -> np.ndarray:
        """(A,) learned value of each action at one observation, (B, A) at a batch.

        A batch has one more leading axis than the observation space (for Discrete: any array of states).

        Raises:
            SpaceError: an observation is not in the space.
        """
        if self._is_batch(obs):
            if self._table is not None:
                return self._table[self._rows(obs)]
            return np.array([self._values_at(one) for one in obs]).reshape(len(obs), -1)
        return np.array(self._values_at(obs))

    def predict(self, obs: Any, deterministic: bool = True, rng: np.random.Generator | None = None) -> Any:
        """The action to take: an int at one observation, a (B,) array at a batch.

        Args:
            obs: one observation or a batch.
            deterministic: take the first of equally good actions; else draw one of them.
            rng: the stream to draw from where `deterministic` is False; by default the policy's own, of seed 0.

        Raises:
            SpaceError: an observation is not in the space.
        """
        values = self.action_values(obs)
        if deterministic:
            actions = values.argmax(axis=-1)
        else:
            rng = self._rng if rng is None else rng
            noise = rng.random(values.shape)
            actions = np.where(values == values.max(axis=-1, keepdims=True), noise, -1.0).argmax(axis=-1)
        return int(actions) + self._first_action if values.ndim == 1 else actions + self._first_action

    def probabilities(self, obs: Any) -> np.ndarray:
        """(A,) or (B, A) probability of each action: equally good actions share."""
        return policies.greedy(self.action_values(obs))

    def __repr__(self) -> str:
        return f"TablePolicy({self._space}, {self.weights.shape[1]} actions)"

    def _values_at(self, observation: Any) -> np.ndarray:
        try:
            return self._values_of(observation)
        except SpaceError as fault:
            raise SpaceError(f"An observation must lie in {self._space}. Got {observation!r}.") from fault

    def _rows(self, states: Any) -> np.ndarray:
        assert isinstance(self._space, gymnasium.spaces.Discrete)
        given = np.asarray(states)
        rows = given - int(self._space.start)
        if not np.issubdtype(rows.dtype, np.integer) or np.any((rows < 0) | (rows >= len(self.weights))):
            raise SpaceError(f"Observations must lie in {self._space}. Got {given}.")
        return rows

    def _is_batch(self, obs: Any) -> bool:
        if isinstance(self._space, gymnasium.spaces.Tuple | gymnasium.spaces.Dict):
            return isinstance(obs, list)
        return np.ndim(obs) == len(self._space.shape or ()) + 1


def _own(store: Linear) -> Linear:
    """A copy with a ring of its own: encoding an observation must not move the learner's."""
    weights, rows, activities = store.weights.copy(), store.rows.copy(), store.activities.copy()
    return store._replace(weights=weights, rows=rows, activities=activities, place=store.place.copy())


def evaluate_linear(store, observation, out):
    """Write the action values of an observation; False if it is outside."""
    x = encode(store, observation)
    if x < 0:
        return False
    for a in range(store.weights.shape[1]):
        out[a] = value(store, x, a)
    return True


def _evaluator(blueprint: Blueprint, store: Linear) -> Callable[[Any], np.ndarray]:
    run = kernel(evaluate_linear, f"policy_{blueprint.store}")

    def values_of(observation: Any) -> np.ndarray:
        out = np.empty(store.weights.shape[1])
        if not run(store, blueprint.encode(observation), out):
            raise SpaceError(
                f"An observation must lie in {blueprint.observation_space}. Got {observation!r}."
            )
        return out

    return values_of
