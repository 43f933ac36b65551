"""A learned network as a policy, in plain NumPy: whoever acts needs no JAX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from qfix.core import policies
from qfix.deep.layers import FORBIDDEN, Weights
from qfix.deep.network import QNetwork
from qfix.deep.normaliser import Moments, normalised
from qfix.deep.observations import codec_for
from qfix.errors import SpaceError, option_error


class NetworkPolicy:
    """Greedy in the action values of a network.

    The policy of a recurrent network remembers: every `predict` adds what was seen to `memory`, which stands for the
    episode so far. `reset` is called where an episode begins; of a batch, each row is an episode of its own.

    Args:
        network: the network.
        params: (P,) its weights; a copy is kept, read-only.
        moments: of observations, where they are normalised; of size 0 where not. Frozen.
        observation_space, action_space: of the environment.
    """

    takes_masks = True

    def __init__(
        self,
        network: QNetwork,
        params: np.ndarray,
        moments: Moments,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
    ) -> None:
        self.network = network
        vector = np.array(params, np.float32)
        vector.setflags(write=False)
        self._weights = Weights(network.layout.split(vector), network.layout)
        self.moments = Moments(*(np.array(x, np.float32) for x in moments))
        self.observation_space = observation_space
        self._encode = codec_for(observation_space).encode
        space: Any = action_space
        self.first_action = int(space.start)
        self._rng = np.random.default_rng(0)
        self.memory = np.zeros(network.n_state, np.float32)
        """(H,) or (B, H) the network's state; H = 0 of one that is not recurrent."""

    @property
    def remembers(self) -> bool:
        """Whether actions depend on what was seen before."""
        return self.network.n_state > 0

    def reset(self, where: Any = None) -> None:
        """Forget what was seen: an episode begins.

        Args:
            where: (B,) truths: in which rows of a batch; None: in all, and the next may have another size.
        """
        if where is None:
            self.memory = np.zeros(self.network.n_state, np.float32)
        else:
            self.memory = np.where(np.asarray(where, bool)[:, None], np.float32(0), self.memory)

    @property
    def weights(self) -> Mapping[str, np.ndarray]:
        """The network's arrays by name, such as "torso.0.weight" (in, out); read-only views."""
        return self._weights

    def action_values(self, obs: Any) -> np.ndarray:
        """(A,) learned value of each action at one observation, (B, A) at a batch.

        A batch has one more leading axis than the observation space; of a Dict or Tuple space it is a list. A recurrent
        network looks at them from its memory, and does not remember them.

        Raises:
            SpaceError: an observation is not of the space.
            OptionError: it remembers another number of episodes.
        """
        return self._looked(obs)[0]

    def observe(self, obs: Any) -> np.ndarray:
        """`action_values`, and remember what was seen."""
        values, self.memory = self._looked(obs)
        return values

    def _looked(self, obs: Any) -> tuple[np.ndarray, np.ndarray]:
        """Values, and the memory afterwards."""
        if not self.is_batch(obs):
            values, memory = self._values(self._kept(obs)[None], self._memory_of(())[None])
            return values[0], memory[0]
        rows = [self._kept(one) for one in obs]
        given = self.network.given
        kept = np.array(rows, given.dtype).reshape(len(rows), *given.shape)
        return self._values(kept, self._memory_of((len(rows),)))

    def _memory_of(self, batch: tuple[int, ...]) -> np.ndarray:
        """The memory of one episode (), or of some (B,)."""
        if self.memory.ndim == 1 and not self.memory.any():
            return np.zeros((*batch, self.network.n_state), np.float32)
        if self.memory.shape[:-1] != batch and self.remembers:
            rule = f"must be as many as the policy remembers, {self.memory.shape[:-1]}"
            raise option_error(
                "predict", "obs", rule, batch, "Call policy.reset() where other episodes begin."
            )
        return self.memory

    def predict(
        self,
        obs: Any,
        deterministic: bool = True,
        rng: np.random.Generator | None = None,
        action_mask: Any = None,
    ) -> Any:
        """The action to take: an int at one observation, a (B,) array at a batch.

        Args:
            obs: one observation or a batch.
            deterministic: take the first of equally good actions; else draw one of them.
            rng: the stream to draw from where `deterministic` is False; by default the policy's own, of seed 0.
            action_mask: (A,) or (B, A) truths: which actions are allowed; None: all.

        Raises:
            SpaceError: an observation is not of the space.
            OptionError: the mask has another shape, or allows nothing.
        """
        values = self.observe(obs)
        if action_mask is not None:
            values = np.where(_checked_mask(action_mask, values.shape), values, FORBIDDEN)
        if deterministic:
            actions = values.argmax(axis=-1)
        else:
            noise = (self._rng if rng is None else rng).random(values.shape)
            actions = policies.best(values, noise)
        return int(actions) + self.first_action if values.ndim == 1 else actions + self.first_action

    def probabilities(self, obs: Any) -> np.ndarray:
        """(A,) or (B, A) probability of each action: equally good actions share."""
        return policies.greedy(self.action_values(obs))

    def is_batch(self, obs: Any) -> bool:
        """Whether these are several observations."""
        if isinstance(self.observation_space, gymnasium.spaces.Tuple | gymnasium.spaces.Dict):
            return isinstance(obs, list)
        return np.ndim(obs) == len(self.observation_space.shape or ()) + 1

    def _kept(self, obs: Any) -> np.ndarray:
        try:
            return self._encode(obs)
        except (SpaceError, TypeError, ValueError, KeyError, IndexError) as fault:
            raise SpaceError(f"An observation must lie in {self.observation_space}. Got {obs!r}.") from fault

    def _values(self, kept: np.ndarray, memory: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.moments.mean.size:
            kept = normalised(np, self.moments, kept)
        h, memory = self.network.step(np, self._weights, kept, memory)
        return self.network.q(np, self._weights, h), memory

    def __repr__(self) -> str:
        return f"NetworkPolicy({self.observation_space}, {self.network!r})"


class BehaviourPolicy:
    """How a learner acts while it learns: its exploration at one moment, on the values of that moment."""

    takes_masks = True

    def __init__(self, greedy: NetworkPolicy, strategy: Any, steps: int) -> None:
        self.greedy = greedy
        self._strategy = strategy
        self._steps = steps
        self._rng = np.random.default_rng(0)

    def reset(self, where: Any = None) -> None:
        """Forget what was seen, as `NetworkPolicy.reset` does."""
        self.greedy.reset(where)

    def action_values(self, obs: Any) -> np.ndarray:
        """(A,) learned value of each action at one observation, (B, A) at a batch."""
        return self.greedy.action_values(obs)

    def probabilities(self, obs: Any) -> np.ndarray:
        """(A,) or (B, A) probability of each action."""
        found: np.ndarray = self._strategy.probabilities(self.action_values(obs), counter=self._steps)
        return found

    def predict(
        self,
        obs: Any,
        deterministic: bool = True,
        rng: np.random.Generator | None = None,
        action_mask: Any = None,
    ) -> Any:
        """The action to take: an int at one observation, a (B,) array at a batch.

        Args:
            obs: one observation or a batch.
            deterministic: take the likeliest action; else draw one.
            rng: the stream to draw from where `deterministic` is False; by default the policy's own, of seed 0.
            action_mask: (A,) or (B, A) truths: which actions are allowed; None: all.
        """
        values = self.greedy.observe(obs)
        if action_mask is None:
            chances = self._strategy.probabilities(values, counter=self._steps)
        else:
            mask = _checked_mask(action_mask, values.shape)
            allowed = np.where(mask, values, FORBIDDEN)
            chances = self._strategy.probabilities(allowed, counter=self._steps)
            # what forbidden actions have of epsilon is spread over the others, as it is while it learns
            lost = np.where(mask, 0.0, chances).sum(axis=-1, keepdims=True)
            chances = np.where(mask, chances + lost / mask.sum(axis=-1, keepdims=True), 0.0)
        if deterministic:
            actions = chances.argmax(axis=-1)
        else:
            u = np.asarray((self._rng if rng is None else rng).random(chances.shape[:-1]))
            actions = policies.draw(chances, u)
        first = self.greedy.first_action
        return int(actions) + first if chances.ndim == 1 else actions + first

    def __repr__(self) -> str:
        return f"BehaviourPolicy({self.greedy!r})"


def _checked_mask(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    found = np.asarray(mask, bool)
    if found.shape != shape or not found.any(axis=-1).all():
        rule = f"must have shape {shape} and allow an action"
        raise option_error("predict", "action_mask", rule, mask, "Use the info of the environment.")
    return found
