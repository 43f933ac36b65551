"""A policy that was learned directly, in plain NumPy: whoever acts needs no JAX."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from qfix.core import policies
from qfix.deep.distributions import Gaussian
from qfix.deep.learned_policy import LearnedPolicy
from qfix.deep.normaliser import Moments
from qfix.deep.policy_network import PolicyNetwork
from qfix.errors import OptionError, option_error
from qfix.explore.options import require_drawing


class ActorPolicy(LearnedPolicy):
    """A distribution over actions, and the value that its learner gave to states.

    Args:
        network: the network.
        params: (P,) its weights; a copy is kept, read-only.
        moments: of observations, where they are normalised; of size 0 where not. Frozen.
        observation_space: of the environment.
    """

    network: PolicyNetwork

    def __init__(
        self,
        network: PolicyNetwork,
        params: np.ndarray,
        moments: Moments,
        observation_space: gymnasium.Space[Any],
    ) -> None:
        super().__init__(network, params, moments, observation_space)
        self.actions = network.actions
        space: Any = self.actions.space
        self.first_action = int(space.start) if self.actions.single else 0

    def outputs(self, obs: Any) -> np.ndarray:
        """(n,) what the distribution at one observation is made of, (B, n) at a batch.

        Logits of numbered actions; means and logarithms of standard deviations of a Gaussian. A recurrent network looks
        at observations from its memory, and does not remember them.

        Raises:
            SpaceError: an observation is not of the space.
            OptionError: it remembers another number of episodes.
        """
        return self.look(obs)

    def _said(self, kept: np.ndarray, memory: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, n) outputs at observations (B, *shape), and the memory (B, H) behind them."""
        return self.network.observe(np, self._weights, kept, memory)

    def value(self, obs: Any) -> Any:
        """The value of one observation, (B,) of a batch, in the units that were learned in; seen from its memory.

        Raises:
            SpaceError: an observation is not of the space.
            OptionError: it remembers another number of episodes.
        """
        found = self.network.value(np, self._weights, *self._seen(obs))
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
            OptionError: the mask has another shape, or allows nothing; or `deterministic` or `rng` is none.
        """
        require_drawing(deterministic, rng)
        outputs = self._masked(self.observe(obs), action_mask)
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

    def _masked(self, outputs: np.ndarray, mask: Any) -> np.ndarray:
        if mask is None:
            return outputs
        found = np.asarray(mask, bool)
        fits = found.shape == outputs.shape
        parts = [] if isinstance(self.actions, Gaussian) or not fits else self.actions.parts(found)
        if not all(part.any(axis=-1).all() for part in parts) or not parts:
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
