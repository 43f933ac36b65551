"""The network of an actor and its critic: what to do, and what a state is worth.

    outputs(s)   what `qfix.deep.distributions` makes a distribution over actions of
    value(s)     E G, under that distribution

The two have a torso each, or share one. Arrays of the critic's own are called `critic.*`, its head is `value`, the
policy's `head`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from qfix.deep.distributions import Actions, Gaussian
from qfix.deep.layers import Array, Layout, Weights, linear
from qfix.deep.observations import Input
from qfix.deep.torsos import build_torso, choose_torso

Deviation = Literal["free", "state"]

_CRITIC = "critic."


class PolicyNetwork:
    """Policy and value of observations, as pure functions of a vector of weights.

    Args:
        given: what observations are.
        actions: the distribution over actions.
        network: one of `qfix.deep.torsos.TORSOS`.
        hidden: widths of the fully connected layers.
        normalised: whether layers are normalised.
        activation: behind fully connected layers, "relu" or "tanh".
        shared: whether policy and value share the torso.
        deviation: whether the standard deviation of a Gaussian is free or depends on the state.
        log_std: logarithm of the standard deviation before learning.

    Attributes:
        layout: of the weights; `layout.size` is the number of parameters.
        policy_part, value_part: stretches of the vector that only the policy, only the value depends on.
    """

    def __init__(
        self,
        given: Input,
        actions: Actions,
        network: str = "auto",
        hidden: Sequence[int] = (64, 64),
        normalised: bool = False,
        activation: str = "tanh",
        shared: bool = False,
        deviation: Deviation = "free",
        log_std: float = 0.0,
    ) -> None:
        self.given = given
        self.actions = actions
        self.torso = choose_torso(network, given)
        self.shared = shared
        self.activation = activation
        self.log_std = log_std
        gaussian = isinstance(actions, Gaussian)
        self._free = gaussian and deviation == "free"
        build = (self.torso, given, tuple(hidden), normalised, False, activation)
        self.layout = Layout()
        self._torso, self.n_features = build_torso(self.layout, *build)
        first = self.layout.size if shared else 0
        n_head = actions.n_outputs // 2 if self._free else actions.n_outputs
        self.layout.linear("head", self.n_features, n_head)
        if self._free:
            self.layout.add("log_std", actions.shape, 0.0, log_std)
        between = self.layout.size
        self._add_critic(tuple(hidden), normalised)
        self.policy_part, self.value_part = slice(first, between), slice(between, self.layout.size)

    def _add_critic(self, hidden: tuple[int, ...], normalised: bool) -> None:
        """Lay out what tells values."""
        if not self.shared:
            own = Layout()
            build = (self.torso, self.given, hidden, normalised, False, self.activation)
            self._critic, _ = build_torso(own, *build)
            self.layout.absorb(_CRITIC, own)
        self.layout.linear("value", self.n_features, 1)

    n_state = 0
    """Nothing is remembered from step to step."""
    log_std_range = -20.0, 2.0
    """Of a deviation that depends on the state."""

    @property
    def n_actions(self) -> int:
        """Truths in a mask of actions; 0 where they are not numbered."""
        return self.actions.n_choices

    @property
    def distribution(self) -> str:
        """Of actions, in a word; "none" for numbers."""
        if not isinstance(self.actions, Gaussian):
            return "none"
        return "squashed gaussian" if self.actions.squashed else "gaussian"

    def outputs(self, xp: Any, w: Weights, observation: Array) -> Array:
        """(..., `actions.n_outputs`) of observations (..., *shape) as they are kept."""
        return self._outputs(xp, w, self._torso(xp, w, self.given.prepared(xp, observation)))

    def value(self, xp: Any, w: Weights, observation: Array) -> Array:
        """(...) values of observations (..., *shape) as they are kept."""
        x = self.given.prepared(xp, observation)
        h = self._torso(xp, w, x) if self.shared else self._critic(xp, part_of(w, _CRITIC), x)
        return linear(xp, w, "value", h)[..., 0]

    def both(self, xp: Any, w: Weights, observation: Array) -> tuple[Array, Array]:
        """Outputs and values."""
        x = self.given.prepared(xp, observation)
        h = self._torso(xp, w, x)
        mine = h if self.shared else self._critic(xp, part_of(w, _CRITIC), x)
        return self._outputs(xp, w, h), linear(xp, w, "value", mine)[..., 0]

    def _outputs(self, xp: Any, w: Weights, h: Array) -> Array:
        out = linear(xp, w, "head", h)
        if self._free:
            log_std = xp.broadcast_to(w["log_std"], out.shape)
            return xp.concatenate([out, log_std], axis=-1)
        if isinstance(self.actions, Gaussian):
            d = self.actions.shape[0]
            log_std = xp.clip(out[..., d:] + np.float32(self.log_std), *map(np.float32, self.log_std_range))
            return xp.concatenate([out[..., :d], log_std], axis=-1)
        return out

    def __repr__(self) -> str:
        kind = "" if self.distribution == "none" else f", {self.distribution}"
        return (
            f"PolicyNetwork({self.torso}{kind}, {self.layout.size:,} parameters, "
            f"{self.operations:,} FLOP a decision and its value)"
        )

    @property
    def operations(self) -> int:
        """Floating-point operations of one decision and its value."""
        return self.layout.operations


def part_of(w: Weights, prefix: str) -> Weights:
    """The arrays of a part, under the names that it knows them by."""
    mine = {name.removeprefix(prefix): w[name] for name in w if name.startswith(prefix)}
    return Weights(mine, w.layout)
