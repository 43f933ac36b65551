"""A policy that was learned directly, in plain NumPy: whoever acts needs no JAX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from qfix.core import policies
from qfix.deep.distributions import Gaussian
from qfix.deep.layers import Weights
from qfix.deep.normaliser import Moments, normalised
from qfix.deep.observations import codec_for
from qfix.deep.policy_network import PolicyNetwork
from qfix.errors import OptionError, SpaceError, option_error


class ActorPolicy:
    """A distribution over actions, and the value that its learner gave to states.

    Args:
        network: the network.
        params: (P,) its weights; a copy is kept, read-only.
        moments: of observations, where they are normalised; of size 0 where not. Frozen.
        observation_space: of the environment.
    """

    takes_masks = True
    remembers = False

    def __init__(
        self,
        network: PolicyNetwork,
        params: np.ndarray,
        moments: Moments,
        observation_space: gymnasium.Space[Any],
    ) -> None:
        self.network = network
        self.actions = network.actions
        vector = np.array(params, np.float32)
        vector.setflags(write=False)
        self._weights = Weights(network.layout.split(vector), network.layout)
        self.moments = Moments(*(np.array(x, np.float32) for x in moments))
        self.observation_space = observation_space
        self._encode = codec_for(observation_space).encode
        space: Any = self.actions.space
        self.first_action = int(space.start) if self.actions.single else 0
        self._rng = np.random.default_rng(0)

    def reset(self, where: Any = None) -> None:
        """Nothing is remembered."""

    @property
    def weights(self) -> Mapping[str, np.ndarray]:
        """The network's arrays by name, such as "torso.0.weight" (in, out); read-only views."""
        return self._weights

    def outputs(self, obs: Any) -> np.ndarray:
        """(n,) what the distribution at one observation is made of, (B, n) at a batch.

        Logits of numbered actions; means and logarithms of standard deviations of a Gaussian.

        Raises:
            SpaceError: an observation is not of the space.
        """
        kept = self._seen(obs)
        found = self.network.outputs(np, self._weights, kept)
        return found if self.is_batch(obs) else found[0]

    def value(self, obs: Any) -> Any:
        """The value of one observation, (B,) of a batch, in the units that were learned in.

        Raises:
            SpaceError: an observation is not of the space.
        """
        found = self.network.value(np, self._weights, self._seen(obs))
        return found if self.is_batch(obs) else float(found[0])

    def ranked_values(self, obs: Any) -> np.ndarray:
        """(B, A) for a picture of a batch: the state's value at its likeliest action, less at others.

        v(s) + log π(a|s) - max_b log π(b|s); v(s) alone, (B, 1), where an action is no single number.
        """
        value = self.value(obs)[:, None]
        if not self.actions.single:
            return value
        log_prob = policies.log_softmax(self.outputs(obs))
        return value + log_prob - log_prob.max(axis=-1, keepdims=True)

    def action_values(self, obs: Any) -> np.ndarray:
        """There are none.

        Raises:
            OptionError: always; says what there is.
        """
        raise OptionError(
            "A policy that is learned directly has values of states, and none of actions. Use policy.value(obs), or "
            "policy.probabilities(obs)."
        )

    def predict(
        self,
        obs: Any,
        deterministic: bool = True,
        rng: np.random.Generator | None = None,
        action_mask: Any = None,
    ) -> Any:
        """The action to take, as the environment takes it: an int or an array at one observation, an array at a batch.

        Args:
            obs: one observation or a batch.
            deterministic: take the likeliest action (of a Gaussian, its mean); else draw one.
            rng: the stream to draw from where `deterministic` is False; by default the policy's own, of seed 0.
            action_mask: (A,) or (B, A) truths: which actions are allowed; None: all.

        Raises:
            SpaceError: an observation is not of the space.
            OptionError: the mask has another shape, or allows nothing.
        """
        outputs = self._masked(self.outputs(obs), action_mask)
        if deterministic:
            action = self.actions.mode(np, outputs)
        else:
            action = self._drawn(outputs, self._rng if rng is None else rng)
        given = self.actions.given(self.actions.applied(np, action))
        return int(given) if self.actions.single and np.ndim(given) == 0 else given

    def probabilities(self, obs: Any, action_mask: Any = None) -> np.ndarray:
        """(A,) or (B, A) probability of each action; of several components, one after the other.

        Raises:
            SpaceError: an observation is not of the space.
            OptionError: actions are not numbered.
        """
        if isinstance(self.actions, Gaussian):
            raise OptionError(
                f"Actions in {self.actions.space} have densities, and no probabilities. Use policy.outputs(obs): the "
                f"means and the logarithms of the standard deviations."
            )
        outputs = self._masked(self.outputs(obs), action_mask)
        return np.concatenate(self.actions.probabilities(np, outputs), axis=-1)

    def is_batch(self, obs: Any) -> bool:
        """Whether these are several observations."""
        if isinstance(self.observation_space, gymnasium.spaces.Tuple | gymnasium.spaces.Dict):
            return isinstance(obs, list)
        return np.ndim(obs) == len(self.observation_space.shape or ()) + 1

    def _masked(self, outputs: np.ndarray, mask: Any) -> np.ndarray:
        if mask is None:
            return outputs
        found = np.asarray(mask, bool)
        parts = [] if isinstance(self.actions, Gaussian) else self.actions.parts(found)
        if found.shape != outputs.shape or not all(part.any(axis=-1).all() for part in parts) or not parts:
            rule = f"must have shape {outputs.shape} and allow an action"
            raise option_error("predict", "action_mask", rule, mask, "Use the info of the environment.")
        return self.actions.masked(np, outputs, found)

    def _drawn(self, outputs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if isinstance(self.actions, Gaussian):
            shape = (*outputs.shape[:-1], *self.actions.shape)
            return self.actions.drawn(np, outputs, rng.standard_normal(shape).astype(np.float32))
        found = [
            policies.draw(chances, np.asarray(rng.random(chances.shape[:-1])))
            for chances in self.actions.probabilities(np, outputs)
        ]
        return found[0] if self.actions.single else np.stack(found, axis=-1)

    def _seen(self, obs: Any) -> np.ndarray:
        """(B, *shape) observations as the network takes them."""
        given = self.network.given
        rows = [self._kept(one) for one in obs] if self.is_batch(obs) else [self._kept(obs)]
        kept = np.array(rows, given.dtype).reshape(len(rows), *given.shape)
        return normalised(np, self.moments, kept) if self.moments.mean.size else kept

    def _kept(self, obs: Any) -> np.ndarray:
        try:
            return self._encode(obs)
        except (SpaceError, TypeError, ValueError, KeyError, IndexError) as fault:
            raise SpaceError(f"An observation must lie in {self.observation_space}. Got {obs!r}.") from fault

    def __repr__(self) -> str:
        return f"ActorPolicy({self.observation_space}, {self.network!r})"
