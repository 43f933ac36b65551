"""Making the agent of a seed from the options and the spaces, and making it larger when it is full."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator
from functools import cached_property
from operator import index
from typing import Any

import gymnasium
import numpy as np

from qfix.envs.spaces import discrete_codec
from qfix.errors import EnvironmentFault, SpaceError, option_error
from qfix.explore import as_initial, as_schedule
from qfix.explore.strategies import VALUE_DIFFERENCE
from qfix.mdp import FiniteMDP
from qfix.mdp.simulate import episode_seed
from qfix.tabular.behaviour import WINDOW, Behaviour, Watch
from qfix.tabular.config import TabularConfig
from qfix.tabular.kernel import Agent, Log, Registers
from qfix.tabular.store import Dense, Features, Linear, Sparse, Tiles, find_slot

LEARNER = 1 << 32  # index of the learner's own stream, beyond any environment's
LOG_CAPACITY = 1 << 16  # episodes; emptying the log costs as much as a few hundred steps
SPARSE_CAPACITY = 1024
DENSE_LIMIT = 1 << 24  # entries; above it "auto" takes a sparse table
TILE_LIMIT = 1 << 24  # rows
LONGEST_HISTORY = 1 << 25  # observations that a memory may hold

STEP, STEP_IN_EPISODE, EPISODE, LOGGED, MARK, STATUS = 3, 4, 5, 6, 7, 8  # places in Registers.counts


class Blueprint:
    """What the agents of a run have in common.

    Args:
        config: of one of the algorithms in this folder.
        observation_space, action_space: of the environment.
        model: its model, if it has one: values of terminal states start at 0.
        features: (S, K) linear features of states, in place of a table.
        total_steps: the budget of a seed, over which default schedules are laid.

    Raises:
        SpaceError: the spaces do not fit a table learner.
        OptionError: the options do not fit the spaces.
    """

    def __init__(
        self,
        config: TabularConfig,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
        model: FiniteMDP | None = None,
        features: np.ndarray | None = None,
        total_steps: int = 1_000_000,
    ) -> None:
        if not isinstance(action_space, gymnasium.spaces.Discrete):
            raise SpaceError(
                f"The action space of {config.owner} must be Discrete. Got {action_space}. Table learners choose "
                f"among numbered actions: use an environment with discrete actions, or discretise them in a wrapper."
            )
        self.config = config  # with the store's defaults once the store is known
        self.n_actions = int(action_space.n)
        self.first_action = int(action_space.start)
        self.observation_space = observation_space
        self.model = model
        self._features = features
        self.store = self._choose_store()
        self.config = config.settled(self.store, total_steps)
        self.codec = None if self.store == "tiled" else discrete_codec(observation_space)
        self._tiles = self._tile_coding() if self.store == "tiled" else None
        self.encode = self._choose_encoder()
        self._check_model(model)

    def _check_model(self, model: FiniteMDP | None) -> None:
        """Kernels index by the model's numbers and check no bounds: the spaces must have the same."""
        if model is None:
            return
        n_states = self.codec.n_states if self.codec is not None else None
        if (model.n_states, model.n_actions) != (n_states, self.n_actions):
            raise SpaceError(
                f"The model of {self.config.owner} must have as many states and actions as the spaces. Got "
                f"{model.n_states} states and {model.n_actions} actions beside {self.observation_space} and "
                f"{self.n_actions} actions. Correct the environment's table or its spaces, or use driver='live'."
            )

    def _choose_store(self) -> str:
        wanted = self.config.store
        if self._features is not None:
            self._check_features(self._features)
            return "features"
        if isinstance(self.observation_space, gymnasium.spaces.Box):
            if wanted in ("dense", "sparse"):
                rule = "must be 'tiled' for observations in a Box"
                raise option_error(self.config.owner, "store", rule, wanted, "Use store='auto'.")
            return "tiled"
        if wanted == "tiled":
            rule = f"can be 'tiled' only for observations in a Box, not {self.observation_space}"
            raise option_error(self.config.owner, "store", rule, wanted, "Use store='auto'.")
        size = discrete_codec(self.observation_space).n_states * self.n_actions
        if wanted == "dense" and size > 64 * DENSE_LIMIT:
            rule = f"cannot be 'dense': {size:.3g} entries would not fit in memory"
            raise option_error(self.config.owner, "store", rule, wanted, "Use store='sparse'.")
        return ("dense" if size <= DENSE_LIMIT else "sparse") if wanted == "auto" else wanted

    def _check_features(self, features: np.ndarray) -> None:
        n_states = discrete_codec(self.observation_space).n_states
        shape = np.shape(features)
        if len(shape) != 2 or shape[0] != n_states or shape[1] < 1:
            rule = f"must have shape ({n_states}, K): a row for each observation of {self.observation_space}"
            raise option_error(self.config.owner, "features", rule, shape, "Give each state its own row.")
        if not np.isfinite(features).all():
            state = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
            rule = f"must be finite, also in state {state}"
            raise option_error(self.config.owner, "features", rule, features[state], "Scale them to about 1.")
        if self.config.store != "auto":
            rule = "must be 'auto' where features are given"
            raise option_error(self.config.owner, "store", rule, self.config.store, "Use store='auto'.")

    @property
    def example(self) -> Any:
        """An encoded observation, for its type."""
        if self.codec is None:
            return np.zeros(int(np.prod(self.observation_space.shape or (1,))))
        return 0

    def _choose_encoder(self) -> Callable[[Any], Any]:
        """From an observation to what kernels take: a key, or a vector."""
        space = self.observation_space
        if self.codec is None:
            shape = space.shape

            def vector(observation: Any) -> np.ndarray:
                x = np.asarray(observation, dtype=np.float64, order="C")
                if x.shape != shape:
                    raise SpaceError(f"its observation must lie in {space}. Got {observation!r}")
                return x.ravel()

            return vector
        if isinstance(space, gymnasium.spaces.Discrete) and space.start == 0 and self.store == "dense":
            return _whole(self.codec.encode)  # kernels check the range
        encode = self.codec.encode
        return encode if self.codec.n_states <= 1 << 63 else lambda observation: folded(encode(observation))

    @property
    def unseen(self) -> np.ndarray:
        """(A,) values of a state that was never visited; random starting values count as their middle."""
        low, width = as_initial(self.config.initial).encode()
        return np.full(self.n_actions, low + 0.5 * width)

    @cached_property
    def active_share(self) -> float:
        """Share of the states that are not terminal; 1 where no model is known."""
        return 1.0 if self.model is None else float(1.0 - self.model.terminal.mean()) or 1.0

    @cached_property
    def largest_reward(self) -> float:
        """max |r| of the model; 0 where none is known."""
        if self.model is None:
            return 0.0
        rewards = self.model.reward if self.model.outcome_reward is None else self.model.outcome_reward
        return float(np.abs(rewards).max())

    @cached_property
    def largest_start(self) -> float:
        """max |q| before learning."""
        low, width = as_initial(self.config.initial).encode()
        return float(max(abs(low), abs(low + width)))

    def agent(
        self, seed: int, n_rows: int | None = None, history: int | None = None, blank: bool = False
    ) -> Agent:
        """A seed before its first step.

        Args:
            seed: of the run.
            n_rows: rows of a sparse table that has grown; by default where it starts.
            history: observations its memory holds, if that has grown.
            blank: leave the values at 0: only types, shapes and constants are wanted, and memory that is never
                written to costs nothing.
        """
        config, n_actions = self.config, self.n_actions
        history = config.history if history is None else history
        n_rows = self._n_rows() if n_rows is None else n_rows
        weights = np.zeros((n_rows, n_actions)) if blank else self._initial(n_rows, seed)
        encoded = config.strategy.encode(n_actions)
        rows = len(weights) if encoded.kind == VALUE_DIFFERENCE else 0
        behaviour = Behaviour(
            encoded.kind,
            encoded.params,
            encoded.schedule,
            np.full(rows, encoded.schedule[2]),
            np.zeros(n_actions),
            Watch(np.full((WINDOW, 3), np.nan), np.zeros(2, np.int64), np.array([np.inf, -np.inf])),
        )
        counts = np.zeros(9, np.int64)
        counts[MARK] = -1
        streams = np.array([episode_seed(seed, LEARNER, 0), 0, seed], np.uint64)
        registers = Registers(counts, np.zeros(1), streams)
        log = Log(np.zeros(LOG_CAPACITY), np.zeros(LOG_CAPACITY, np.int64))
        return Agent(
            config.memory(weights, history),
            self._new_store(weights, history, blank),
            behaviour,
            as_schedule(config.alpha or 0.1).encode(),
            float(config.gamma),
            registers,
            log,
        )

    def _n_rows(self) -> int:
        if self._features is not None:
            return int(self._features.shape[1])
        if self._tiles is not None:
            return int(self.config.tilings * np.prod(self._tiles.tiles + 1))
        assert self.codec is not None
        return SPARSE_CAPACITY if self.store == "sparse" else self.codec.n_states

    def _initial(self, n_rows: int, seed: int, first: int = 0) -> np.ndarray:
        """Starting values of rows first..n_rows-1. Tiles share a value out among the tilings."""
        rng = np.random.default_rng([seed, first])
        weights = as_initial(self.config.initial).fill((n_rows - first, self.n_actions), rng)
        if self.store == "tiled":
            weights /= self.config.tilings
        if self.store == "dense" and self.model is not None:
            weights[self.model.terminal] = 0.0
        return weights

    def _new_store(self, weights: np.ndarray, history: int, blank: bool = False) -> Dense | Sparse | Linear:
        if self.store in ("tiled", "features"):
            return self._new_linear(weights, history)
        n_rows = len(weights)
        best, greedy = (np.zeros(n_rows), np.zeros(n_rows, np.int64)) if blank else summary(weights)
        counts = np.zeros(weights.shape, np.int64)
        if self.store == "dense":
            return Dense(weights, best, greedy, counts)
        keys = np.zeros(len(weights), np.int64)
        slots = np.zeros(2 * len(weights), np.int64)
        return Sparse._make((weights, best, greedy, counts, keys, slots, np.zeros(1, np.int64)))

    def _new_linear(self, weights: np.ndarray, history: int) -> Linear:
        config = self.config
        auxiliary = np.zeros((len(weights) if config.gradient == "tdc" else 0, weights.shape[1]))
        if self._features is not None:
            encoder: Features | Tiles = Features(np.ascontiguousarray(self._features, dtype=np.float64))
            width, scale = self._features.shape[1], 1.0
        else:
            assert self._tiles is not None
            encoder, width, scale = self._tiles, config.tilings, 1.0 / config.tilings
        rows, activities = np.zeros((history, width), np.int64), np.zeros((history, width))
        place = np.zeros(1, np.int64)
        return Linear(encoder, weights, auxiliary, float(config.beta), scale, rows, activities, place)

    def _tile_coding(self) -> Tiles:
        space, config = self.observation_space, self.config
        assert isinstance(space, gymnasium.spaces.Box)
        dimensions = int(np.prod(space.shape))
        if config.tile_range:
            if len(config.tile_range) != 2 * dimensions:
                rule = f"must list a low and a high for each of {dimensions} dimensions"
                raise option_error(
                    config.owner, "tile_range", rule, config.tile_range, "Count the observation's entries."
                )
            low = np.array(config.tile_range[::2], np.float64)
            high = np.array(config.tile_range[1::2], np.float64)
        else:
            low = np.asarray(space.low, np.float64).ravel()
            high = np.asarray(space.high, np.float64).ravel()
        wide = [d for d in range(dimensions) if not high[d] - low[d] < 1e6]
        if wide:
            raise SpaceError(
                f"Dimensions {wide} of {space} are unbounded, so tiles cannot span them. Give the range that "
                f"matters: tile_range=(low, high, low, high, ...), {dimensions} pairs; what lies outside counts as "
                f"on the border."
            )
        rows = config.tilings * (config.tiles + 1) ** dimensions
        if rows > TILE_LIMIT:
            rule = f"gives more than {TILE_LIMIT} tiles over {dimensions} dimensions"
            raise option_error(config.owner, "tiles", rule, config.tiles, "Use fewer tiles a dimension.")
        # a dimension of no width has one tile, and no 0 / 0
        high = np.maximum(high, np.nextafter(low, np.inf))
        odd = (n for n in itertools.count(1, 2) if math.gcd(n, config.tilings) == 1)
        displacement = np.array(list(itertools.islice(odd, dimensions)), np.int64)
        tiles = np.full(dimensions, config.tiles, np.int64)
        return Tiles(low, high, tiles, displacement, bool(config.tile_range))

    def action_values(self, store: Dense | Sparse | Linear) -> np.ndarray:
        """(S, A) values where states are numbered and fit in a table, else the weights, (rows, A); a copy."""
        if not isinstance(store, Sparse):
            return np.array(store.weights)
        used = int(store.used[0])
        assert self.codec is not None
        if self.codec.n_states * self.n_actions > DENSE_LIMIT:
            return store.weights[:used].copy()
        values = np.tile(self.unseen, (self.codec.n_states, 1))
        values[store.keys[:used]] = store.weights[:used]
        if self.model is not None:
            values[self.model.terminal] = 0.0
        return values

    def grown(self, agent: Agent, seed: int, history: int) -> tuple[Agent, int]:
        """The agent with room for more, and its history: twice the rows of a full sparse table, else of the memory.

        Raises:
            EnvironmentFault: the memory would hold an episode of more than LONGEST_HISTORY steps.
        """
        store = agent.store
        if isinstance(store, Sparse) and store.is_full():
            rows = len(store.keys)
            weights = np.concatenate([store.weights, self._initial(2 * rows, seed, rows)])
            larger = enlarged(store, self._new_store(weights, history))
            larger.slots[:] = 0
            for i, key in enumerate(larger.keys[: store.used[0]]):
                larger.slots[find_slot(larger.slots, larger.keys, key)] = i + 1
            best, greedy = summary(weights)
            larger.best[:] = best
            larger.greedy[:] = greedy
            store = larger
        else:
            history *= 2
            if history > LONGEST_HISTORY:
                raise EnvironmentFault(
                    f"its episode has not ended after {history // 2:,} steps, and {self.config.owner} learns when "
                    f"one does; give the environment a time limit (max_episode_steps)"
                )
        if isinstance(store, Linear):
            # the ring goes on behind the old one, so that handles of the running episode stay good
            store = enlarged(store, self._new_linear(store.weights, history))
            store.place[0] = len(agent.store.rows)
        memory = enlarged(agent.memory, self.config.memory(store.weights, history))
        behaviour = agent.behaviour
        if len(behaviour.rate) > 0:
            fresh = np.full(len(store.weights), behaviour.schedule[2])
            behaviour = enlarged(behaviour, behaviour._replace(rate=fresh))
        return agent._replace(memory=memory, store=store, behaviour=behaviour), history


def _whole(encode: Callable[[Any], int]) -> Callable[[Any], int]:
    """An observation that is a whole number as it is, fast; anything else by `encode`, which knows what to say."""

    def whole(observation: Any) -> int:
        try:
            return index(observation)
        except TypeError:
            return encode(observation)

    return whole


def folded(key: int) -> int:
    """A key of any size as one of 63 bits. Two of a million keys meet with a probability of 1 in 10 million."""
    raw = key.to_bytes((key.bit_length() + 7) // 8, "little")
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little") >> 1


def summary(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best value and greedy action of each row, as `Dense.write` keeps them."""
    best = weights.max(axis=1)
    # NaN is equal to nothing, not even to itself
    ties = np.maximum((weights == best[:, None]).sum(axis=1) - 1, 0)
    return best, weights.argmax(axis=1) | (ties << 32)


def leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Every array in a tree of NamedTuples, with its dotted name."""
    for name, value in zip(tree._fields, tree, strict=True):
        if isinstance(value, tuple):
            yield from leaves(value, f"{prefix}{name}.")
        elif isinstance(value, np.ndarray):
            yield f"{prefix}{name}", value


def with_leaves(tree: Any, arrays: dict[str, np.ndarray], prefix: str, given_away: bool = False) -> Any:
    """The tree with its arrays replaced by those of the same names; copies, unless they are given away.

    Raises:
        OptionError: an array is missing, or has another type or shape than the one it replaces.
    """
    changed: dict[str, Any] = {}
    for name, value in zip(tree._fields, tree, strict=True):
        if isinstance(value, tuple):
            changed[name] = with_leaves(value, arrays, f"{prefix}{name}.", given_away)
        elif isinstance(value, np.ndarray):
            given = arrays.get(f"{prefix}{name}")
            if not isinstance(given, np.ndarray) or given.dtype != value.dtype or given.shape != value.shape:
                found = f"{given.dtype} {given.shape}" if isinstance(given, np.ndarray) else "none"
                rule = f"must be {value.dtype} {value.shape} as this run has it"
                raise option_error(
                    "unpack", f"{prefix}{name}", rule, found, "Use the state of a run like this one."
                )
            changed[name] = (
                np.require(given, None, ["C", "A", "W"]) if given_away else np.array(given, order="C")
            )
    return tree._replace(**changed)


def enlarged(old: Any, larger: Any) -> Any:
    """`larger` with the arrays of `old` laid into its corners."""
    for (_, source), (_, target) in zip(leaves(old), leaves(larger), strict=True):
        if source.shape == target.shape:
            target[...] = source
        else:
            target[tuple(slice(n) for n in source.shape)] = source
    return larger
