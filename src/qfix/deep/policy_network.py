"""The network of an actor and its critic: what to do, and what a state is worth.

    outputs(s)   what `qfix.deep.distributions` makes a distribution over actions of
    value(s)     E G, under that distribution

The two have a torso each, or share one. Arrays of the critic's own are called `critic.*`, its head is `value`, the
policy's `head`.

A recurrent network has a gated layer behind each torso, h_t = gru(torso(s_t), h_{t-1}), and the heads see h_t. So a
critic with a torso of its own has a memory of its own, too: what the value makes of the past pulls at nothing that the
policy remembers, as without a state. The state that is carried is then twice as wide, the policy's first; behind a
shared torso there is one layer and one state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from qfix.deep.distributions import Actions, Gaussian
from qfix.deep.layers import GRU, Array, Layout, Torso, Weights, gru, linear
from qfix.deep.observations import Input
from qfix.deep.torsos import build_torso, choose_torso

Deviation = Literal["free", "state"]

LOG_STD_RANGE = -20.0, 2.0
"""Where the logarithm of a standard deviation begins, and where one that depends on the state stays."""

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
        gru: H, width of a recurrent layer; 0: none.

    Attributes:
        n_state: width of the state that is carried: H behind a shared torso, else 2 H, the policy's first.
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
        gru: int = 0,
    ) -> None:
        self.given = given
        self.actions = actions
        self.torso = choose_torso(network, given)
        self.shared = shared
        self.activation = activation
        self.log_std = log_std
        self.gru = gru
        self.n_state = gru if shared else 2 * gru
        gaussian = isinstance(actions, Gaussian)
        self._free = gaussian and deviation == "free"
        build = (self.torso, given, tuple(hidden), normalised, False, activation)
        self.layout = Layout()
        self._torso, self.n_features = _built(self.layout, build, gru)
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
            self._critic, _ = _built(own, build, self.gru)
            self.layout.absorb(_CRITIC, own)
        self.layout.linear("value", self.n_features, 1)

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

    def observe(self, xp: Any, w: Weights, observation: Array, state: Array) -> tuple[Array, Array]:
        """(..., `actions.n_outputs`) of observations (..., *shape), and the state (..., n_state) behind them.

        Args:
            xp: numpy or jax.numpy.
            w: the weights.
            observation: as they are kept.
            state: (..., n_state) before; zeros where an episode begins.
        """
        if not self.n_state:
            return self.outputs(xp, w, observation), state
        state = self.after(xp, w, self.features(xp, w, observation), state)
        return self._outputs(xp, w, state[..., : self.gru]), state

    def outputs(self, xp: Any, w: Weights, observation: Array) -> Array:
        """(..., `actions.n_outputs`) of observations (..., *shape) as they are kept, of a network without a state."""
        return self._outputs(xp, w, self._torso(xp, w, self.given.prepared(xp, observation)))

    def value(self, xp: Any, w: Weights, observation: Array, state: Array = None) -> Array:
        """(...) values of observations (..., *shape) as they are kept, of a recurrent network seen from states."""
        if self.n_state:
            state = self.after(xp, w, self.features(xp, w, observation), state)
            return self.heads(xp, w, state)[1]
        x = self.given.prepared(xp, observation)
        h = self._torso(xp, w, x) if self.shared else self._critic(xp, part_of(w, _CRITIC), x)
        return linear(xp, w, "value", h)[..., 0]

    def features(self, xp: Any, w: Weights, observation: Array) -> Array:
        """(..., 3 n_state) what observations (..., *shape) give a recurrent network's gates, the policy's first."""
        x = self.given.prepared(xp, observation)
        mine = linear(xp, w, f"{GRU}.input", self._torso(xp, w, x))
        if self.shared:
            return mine
        own = part_of(w, _CRITIC)
        return xp.concatenate([mine, linear(xp, own, f"{GRU}.input", self._critic(xp, own, x))], axis=-1)

    def after(self, xp: Any, w: Weights, features: Array, state: Array) -> Array:
        """(..., n_state) state of a recurrent network after one more step, from its features and the state before."""
        if self.shared:
            return gru(xp, w, GRU, features, state)
        h = self.gru
        mine = gru(xp, w, GRU, features[..., : 3 * h], state[..., :h])
        return xp.concatenate(
            [mine, gru(xp, part_of(w, _CRITIC), GRU, features[..., 3 * h :], state[..., h:])], axis=-1
        )

    def heads(self, xp: Any, w: Weights, state: Array) -> tuple[Array, Array]:
        """Outputs and values by states (..., n_state) behind observations, of a recurrent network."""
        value = linear(xp, w, "value", state[..., self.n_state - self.gru :])[..., 0]
        return self._outputs(xp, w, state[..., : self.gru]), value

    def both(self, xp: Any, w: Weights, observation: Array) -> tuple[Array, Array]:
        """Outputs and values, of a network without a state."""
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
            log_std = xp.clip(out[..., d:] + np.float32(self.log_std), *map(np.float32, LOG_STD_RANGE))
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


def _built(layout: Layout, build: Any, gru: int) -> tuple[Torso, int]:
    """Lay out the weights of a torso, and of the recurrent layer behind it if it has a width."""
    torso, n_features = build_torso(layout, *build)
    if gru:
        layout.gru(GRU, n_features, gru)
    return torso, gru or n_features


def part_of(w: Weights, prefix: str) -> Weights:
    """The arrays of a part, under the names that it knows them by."""
    mine = {name.removeprefix(prefix): w[name] for name in w if name.startswith(prefix)}
    return Weights(mine, w.layout)
