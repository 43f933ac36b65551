"""A learned network as a policy, in plain NumPy: whoever acts needs no JAX."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from qfix.core import policies
from qfix.deep.layers import FORBIDDEN
from qfix.deep.learned_policy import LearnedPolicy
from qfix.deep.network import QNetwork
from qfix.deep.normaliser import Moments
from qfix.errors import option_error
from qfix.explore.options import require_drawing


class NetworkPolicy(LearnedPolicy):
    """Greedy in the action values of a network.

    Args:
        network: the network.
        params: (P,) its weights; a copy is kept, read-only.
        moments: of observations, where they are normalised; of size 0 where not. Frozen.
        observation_space, action_space: of the environment.
    """

    network: QNetwork

    def __init__(
        self,
        network: QNetwork,
        params: np.ndarray,
        moments: Moments,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
    ) -> None:
        super().__init__(network, params, moments, observation_space)
        space: Any = action_space
        self.first_action = int(space.start)

    def action_values(self, obs: Any) -> np.ndarray:
        """(A,) learned value of each action at one observation, (B, A) at a batch.

        A batch has one more leading axis than the observation space; of a Dict or Tuple space it is a list. A recurrent
        network looks at them from its memory, and does not remember them.

        Raises:
            SpaceError: an observation is not of the space.
            OptionError: it remembers another number of episodes.
        """
        return self.look(obs)

    def _said(self, kept: np.ndarray, memory: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, A) action values of observations (B, *shape), and the memory (B, H) behind them."""
        h, memory = self.network.step(np, self._weights, kept, memory)
        return self.network.q(np, self._weights, h), memory

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
            OptionError: the mask has another shape, or allows nothing; or `deterministic` or `rng` is none.
        """
        require_drawing(deterministic, rng)
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
        require_drawing(deterministic, rng)
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
