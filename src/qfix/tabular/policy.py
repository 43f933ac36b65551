"""What a table learner has learned, ready to act."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from qfix.core import policies
from qfix.errors import SpaceError
from qfix.explore.options import require_drawing
from qfix.tabular._compile import kernel
from qfix.tabular.agent import EPISODE, STEP, STEP_IN_EPISODE, Blueprint
from qfix.tabular.behaviour import Clock, probabilities
from qfix.tabular.kernel import Agent
from qfix.tabular.store import Dense, Linear, Sparse, encode, value


class TablePolicy:
    """The greedy policy of learned action values.

    Attributes:
        weights: the values of a table, (S, A) or (rows, A); the weights of tiles or features.
        observation_space: what it acts on.
    """

    takes_masks = False

    def __init__(
        self,
        weights: np.ndarray,
        values_of: Callable[[Any], np.ndarray],
        observation_space: gymnasium.Space[Any],
        first_action: int = 0,
        table: np.ndarray | None = None,
    ) -> None:
        self._table = table  # (S, A) where a state is its own row
        self.weights = weights
        self._values_of = values_of
        self.observation_space = observation_space
        self.first_action = first_action
        self._rng = np.random.default_rng(0)

    def reset(self) -> None:
        """Nothing is remembered."""

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
        if self.is_batch(obs):
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
            OptionError: `deterministic` is no truth, or `rng` no stream.
        """
        require_drawing(deterministic, rng)
        values = self.action_values(obs)
        if deterministic:
            actions = values.argmax(axis=-1)
        else:
            noise = (self._rng if rng is None else rng).random(values.shape)
            actions = policies.best(values, noise)
        return int(actions) + self.first_action if values.ndim == 1 else actions + self.first_action

    def probabilities(self, obs: Any) -> np.ndarray:
        """(A,) or (B, A) probability of each action: equally good actions share."""
        return policies.greedy(self.action_values(obs))

    def __repr__(self) -> str:
        return f"TablePolicy({self.observation_space}, {self.weights.shape[1]} actions)"

    def _values_at(self, observation: Any) -> np.ndarray:
        try:
            return self._values_of(observation)
        except SpaceError as fault:
            raise SpaceError(
                f"An observation must lie in {self.observation_space}. Got {observation!r}."
            ) from fault

    def _rows(self, states: Any) -> np.ndarray:
        assert isinstance(self.observation_space, gymnasium.spaces.Discrete)
        given = np.asarray(states)
        rows = given - int(self.observation_space.start)
        if not np.issubdtype(rows.dtype, np.integer) or np.any((rows < 0) | (rows >= len(self.weights))):
            raise SpaceError(f"Observations must lie in {self.observation_space}. Got {given}.")
        return rows

    def is_batch(self, obs: Any) -> bool:
        """Whether these are several observations."""
        if isinstance(self.observation_space, gymnasium.spaces.Tuple | gymnasium.spaces.Dict):
            return isinstance(obs, list)
        return np.ndim(obs) == len(self.observation_space.shape or ()) + 1


class BehaviourPolicy:
    """How a learner acts while it learns: its exploration strategy at one moment, on the values of that moment."""

    takes_masks = False

    def __init__(self, greedy: TablePolicy, chances_of: Callable[[Any], np.ndarray]) -> None:
        self.greedy = greedy
        self._chances_of = chances_of
        self._rng = np.random.default_rng(0)

    def reset(self) -> None:
        """Nothing is remembered."""

    @classmethod
    def of(cls, blueprint: Blueprint, agent: Agent) -> BehaviourPolicy:
        """The behaviour of an agent as it is now."""
        greedy = TablePolicy.of(blueprint, agent.store)
        store, behaviour = _own(agent.store), agent.behaviour
        behaviour = behaviour._replace(rate=behaviour.rate.copy(), scratch=behaviour.scratch.copy())
        counts = agent.registers.counts
        clock = Clock(int(counts[STEP]), int(counts[EPISODE]), int(counts[STEP_IN_EPISODE]))
        loop = kernel(describe, f"behaviour_{blueprint.store}")
        handle = _handles(blueprint, store)

        def chances_of(observation: Any) -> np.ndarray:
            out = np.full(blueprint.n_actions, 1.0 / blueprint.n_actions)
            x = handle(observation)
            if (
                x is not None
            ):  # of a state that was never visited nothing is known: its values are all the same
                loop(behaviour, store, x, clock, out)
            return out

        return cls(greedy, chances_of)

    def action_values(self, obs: Any) -> np.ndarray:
        """(A,) learned value of each action at one observation, (B, A) at a batch."""
        return self.greedy.action_values(obs)

    def probabilities(self, obs: Any) -> np.ndarray:
        """(A,) or (B, A) probability of each action.

        Raises:
            SpaceError: an observation is not in the space.
        """
        if self.greedy.is_batch(obs):
            return np.array([self._chances_of(one) for one in obs]).reshape(len(obs), -1)
        return self._chances_of(obs)

    def predict(self, obs: Any, deterministic: bool = True, rng: np.random.Generator | None = None) -> Any:
        """The action to take: an int at one observation, a (B,) array at a batch.

        Args:
            obs: one observation or a batch.
            deterministic: take the likeliest action; else draw one.
            rng: the stream to draw from where `deterministic` is False; by default the policy's own, of seed 0.
        """
        require_drawing(deterministic, rng)
        chances = self.probabilities(obs)
        if deterministic:
            actions = chances.argmax(axis=-1)
        else:
            u = np.asarray((self._rng if rng is None else rng).random(chances.shape[:-1]))
            actions = policies.draw(chances, u)
        first = self.greedy.first_action
        return int(actions) + first if chances.ndim == 1 else actions + first

    def __repr__(self) -> str:
        return f"BehaviourPolicy({self.greedy!r})"


def describe(behaviour, store, x, clock, out):
    """Write the probability of each action at handle x."""
    probabilities(behaviour, store, x, clock, out)


def _handles(blueprint: Blueprint, store: Dense | Sparse | Linear) -> Callable[[Any], int | None]:
    """From an observation to its handle, or None where the table has no row for it."""
    if isinstance(store, Sparse):
        rows = {int(k): i for i, k in enumerate(store.keys[: store.used[0]])}
        return lambda observation: rows.get(blueprint.encode(observation))
    code = kernel(encode_observation, f"behaviour_{blueprint.store}")

    def handle(observation: Any) -> int:
        x = int(code(store, blueprint.encode(observation)))
        if x < 0:
            raise SpaceError(
                f"An observation must lie in {blueprint.observation_space}. Got {observation!r}."
            )
        return x

    return handle


def encode_observation(store, observation):
    """The handle of an observation."""
    return encode(store, observation)


def _own(store: Any) -> Any:
    """A copy: learning goes on, and encoding an observation must not move the learner's ring."""
    arrays = {
        name: value.copy() for name, value in zip(store._fields, store) if isinstance(value, np.ndarray)
    }
    return store._replace(**arrays)


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
