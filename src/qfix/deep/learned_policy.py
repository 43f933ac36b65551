"""What the policies of all networks have in common: weights, observations as the network takes them, and a memory.

Plain NumPy: whoever acts needs no JAX.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from qfix.deep.layers import Weights
from qfix.deep.normaliser import Moments, normalised
from qfix.deep.observations import codec_for
from qfix.errors import SpaceError, option_error


class LearnedPolicy(ABC):
    """A network that looks at observations.

    The policy of a recurrent network remembers: every `predict` adds what was seen to `memory`, which stands for the
    episode so far. `reset` is called where an episode begins; of a batch, each row is an episode of its own.

    Args:
        network: the network.
        params: (P,) its weights; a copy is kept, read-only.
        moments: of observations, where they are normalised; of size 0 where not. Frozen.
        observation_space: of the environment.
    """

    takes_masks = True

    def __init__(
        self, network: Any, params: np.ndarray, moments: Moments, observation_space: gymnasium.Space[Any]
    ) -> None:
        self.network = network
        vector = np.array(params, np.float32)
        vector.setflags(write=False)
        self._weights = Weights(network.layout.split(vector), network.layout)
        self.moments = Moments(*(np.array(x, np.float32) for x in moments))
        self.observation_space = observation_space
        self._encode = codec_for(observation_space).encode
        self._rng = np.random.default_rng(0)
        self.memory = np.zeros(network.n_state, np.float32)
        """(H,) or (B, H) the network's state; H = 0 of one that is not recurrent."""

    @property
    def remembers(self) -> bool:
        """Whether actions depend on what was seen before."""
        return bool(self.network.n_state > 0)

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

    def look(self, obs: Any) -> np.ndarray:
        """What the network says at one observation, (n,), or at a batch, (B, n), as seen from its memory.

        A batch has one more leading axis than the observation space; of a Dict or Tuple space it is a list.

        Raises:
            SpaceError: an observation is not of the space.
            OptionError: it remembers another number of episodes.
        """
        found, _ = self._said(*self._seen(obs))
        return found if self.is_batch(obs) else found[0]

    def observe(self, obs: Any) -> np.ndarray:
        """`look`, and remember what was seen."""
        found, memory = self._said(*self._seen(obs))
        batch = self.is_batch(obs)
        self.memory = memory if batch else memory[0]
        return found if batch else found[0]

    @abstractmethod
    def _said(self, kept: np.ndarray, memory: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, n) what the network says of observations (B, *shape), and the memory (B, H) behind them."""

    def is_batch(self, obs: Any) -> bool:
        """Whether these are several observations."""
        if isinstance(self.observation_space, gymnasium.spaces.Tuple | gymnasium.spaces.Dict):
            return isinstance(obs, list)
        return np.ndim(obs) == len(self.observation_space.shape or ()) + 1

    def _seen(self, obs: Any) -> tuple[np.ndarray, np.ndarray]:
        """(B, *shape) observations as the network takes them, and the memory (B, H) from which they are seen."""
        given, batch = self.network.given, self.is_batch(obs)
        rows = [self._kept(one) for one in obs] if batch else [self._kept(obs)]
        kept = np.array(rows, given.dtype).reshape(len(rows), *given.shape)
        if self.moments.mean.size:
            kept = normalised(np, self.moments, kept)
        memory = self._memory_of((len(rows),) if batch else ())
        return kept, memory if batch else memory[None]

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

    def _kept(self, obs: Any) -> np.ndarray:
        try:
            return self._encode(obs)
        except (SpaceError, TypeError, ValueError, KeyError, IndexError) as fault:
            raise SpaceError(f"An observation must lie in {self.observation_space}. Got {obs!r}.") from fault

    def __repr__(self) -> str:
        space = " ".join(str(self.observation_space).split())  # bounds that are arrays break lines
        return f"{type(self).__name__}({space}, {self.network!r})"
