"""The network of soft actor-critic: a squashed Gaussian policy, two action values of arrays, and a temperature.

    outputs(s)     mean and logarithm of the standard deviation of u, a = tanh u
    q_k(s, a)      k = 1, 2: values that know nothing of each other
    temperature    what a nat of entropy is worth, e^x with x learned

Arrays of the values are called `q1.*` and `q2.*`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qfix.deep.distributions import Gaussian
from qfix.deep.layers import Array, Layout, Weights, linear
from qfix.deep.observations import Input
from qfix.deep.policy_network import PolicyNetwork, part_of
from qfix.deep.torsos import build_torso
from qfix.errors import OptionError

LOG_TEMPERATURE = "log_temperature"
"""Name of its weight."""

_VALUES = ("q1.", "q2.")


class SoftNetwork(PolicyNetwork):
    """Policy, values and temperature, as pure functions of a vector of weights.

    Args:
        given: what observations are: numbers or vectors.
        actions: squashed, with bounds.
        hidden: widths of the fully connected layers of each part.
        normalised: whether layers are normalised.
        temperature: before learning.

    Raises:
        OptionError: observations are images.
    """

    def __init__(
        self,
        given: Input,
        actions: Gaussian,
        hidden: Sequence[int] = (256, 256),
        normalised: bool = False,
        temperature: float = 1.0,
    ) -> None:
        if given.kind == "image" or given.images:
            raise OptionError(
                f"Observations of sac must be numbers or vectors: its values look at observation and action together. "
                f"Got images of shape {given.shape}. Use ppo, or flatten them in a wrapper."
            )
        self._pair = Input("vector", (given.size + actions.shape[0],), np.dtype(np.float32))
        super().__init__(given, actions, "mlp", hidden, normalised, "relu", deviation="state")
        self.layout.add(LOG_TEMPERATURE, (1,), 0.0, float(np.log(temperature)))

    def _add_critic(self, hidden: tuple[int, ...], normalised: bool) -> None:
        for prefix in _VALUES:
            own = Layout()
            self._critic, size = build_torso(own, "mlp", self._pair, hidden, normalised, False)
            own.linear("value", size, 1)
            self.layout.absorb(prefix, own)

    def q(self, xp: Any, w: Weights, observation: Array, action: Array) -> Array:
        """(2, ...) values of actions u (..., D), before they are squashed, at observations (..., *shape)."""
        x = xp.concatenate([self.given.prepared(xp, observation), xp.tanh(action)], axis=-1)
        parts = [part_of(w, prefix) for prefix in _VALUES]
        return xp.stack([linear(xp, part, "value", self._critic(xp, part, x))[..., 0] for part in parts])

    def value(self, xp: Any, w: Weights, observation: Array, state: Array = None) -> Array:
        """(...) the lower value of the likeliest action at observations (..., *shape)."""
        action = self.actions.mode(xp, self.outputs(xp, w, observation))
        return xp.min(self.q(xp, w, observation, action), axis=0)

    def __repr__(self) -> str:
        return f"SoftNetwork({self.layout.size:,} parameters, {self.operations:,} FLOP a decision and its values)"
