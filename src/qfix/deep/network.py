"""The network of action values: torso, head, and what of the return it predicts.

    scalar   q(s, a) = E G
    c51      P(G = z_k), k = 1..K, on a fixed grid of atoms z
    qr       quantiles of G at the levels (k - 1/2)/K
    iqn      quantiles of G at any levels it is asked for

and, dueling, output(s, a) = v(s) + advantage(s, a) - mean_b advantage(s, b). A recurrent network has a gated layer
between torso and head, whose state h_t = gru(torso(s_t), h_{t-1}) stands for all that was seen in the episode.

Sources: Bellemare et al. (2017), A distributional perspective on reinforcement learning; Dabney et al. (2018),
Distributional reinforcement learning with quantile regression; Dabney et al. (2018), Implicit quantile networks for
distributional reinforcement learning; Wang et al. (2016), Dueling network architectures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import gymnasium
import numpy as np

from qfix.core import policies
from qfix.deep.distributions import Numbers
from qfix.deep.layers import GRU, Array, Layout, Weights, gru, linear, relu
from qfix.deep.observations import Input
from qfix.deep.torsos import build_torso, choose_torso

Distribution = Literal["none", "c51", "qr", "iqn"]

COSINES = 64  # features of a quantile's level (Dabney et al. 2018, eq. 4)


class QNetwork:
    """Action values of observations, as pure functions of a vector of weights.

    Args:
        given: what observations are.
        n_actions: A.
        network: one of `qfix.deep.torsos.TORSOS`.
        hidden: widths of the fully connected layers.
        normalised: whether layers are normalised.
        dueling: whether value and advantage are predicted apart.
        noisy: whether fully connected layers have learned noise.
        distribution: what of the return is predicted.
        atoms: K, how many atoms or quantiles.
        support: lowest and highest atom of "c51".
        gru: H, width of the recurrent layer; 0: none.

    Attributes:
        layout: of the weights; `layout.size` is the number of parameters.
    """

    def __init__(
        self,
        given: Input,
        n_actions: int,
        network: str = "auto",
        hidden: Sequence[int] = (64, 64),
        normalised: bool = False,
        dueling: bool = False,
        noisy: bool = False,
        distribution: Distribution = "none",
        atoms: int = 51,
        support: tuple[float, float] = (-10.0, 10.0),
        gru: int = 0,
    ) -> None:
        self.given = given
        self.n_actions = n_actions
        self.actions = Numbers((n_actions,), gymnasium.spaces.Discrete(n_actions))
        self.torso = choose_torso(network, given)
        self.distribution = distribution
        self.dueling = dueling
        self.atoms = 1 if distribution in ("none", "iqn") else atoms
        self.quantiles = atoms
        self.support = np.linspace(*support, atoms, dtype=np.float32)
        self.layout = Layout()
        self._torso, self.n_features = build_torso(
            self.layout, self.torso, given, tuple(hidden), normalised, noisy
        )
        self.n_state = gru
        if gru:
            self.layout.gru(GRU, self.n_features, gru)
            self.n_features = gru
        if distribution == "iqn":
            self.layout.linear("level", COSINES, self.n_features, noisy)
        self.layout.linear("head", self.n_features, n_actions * self.atoms, noisy)
        if dueling:
            self.layout.linear("value", self.n_features, self.atoms, noisy)

    @property
    def levels(self) -> np.ndarray:
        """(K,) levels of the quantiles: (k - 1/2)/K."""
        return ((np.arange(self.quantiles) + 0.5) / self.quantiles).astype(np.float32)

    def features(self, xp: Any, w: Weights, observation: Array) -> Array:
        """(..., F) features of observations (..., *shape) as they are kept; of a recurrent network (..., 3 H), what
        they give its gates."""
        features = self._torso(xp, w, self.given.prepared(xp, observation))
        return linear(xp, w, f"{GRU}.input", features) if self.n_state else features

    def step(self, xp: Any, w: Weights, observation: Array, state: Array) -> tuple[Array, Array]:
        """(..., F) features of observations, and the state (..., H) behind them.

        Args:
            xp: numpy or jax.numpy.
            w: the weights.
            observation: (..., *shape) as they are kept.
            state: (..., H) before; zeros where an episode begins. Of a network that is not recurrent H is 0.
        """
        features = self.features(xp, w, observation)
        if not self.n_state:
            return features, state
        state = self.after(xp, w, features, state)
        return state, state

    def after(self, xp: Any, w: Weights, features: Array, state: Array) -> Array:
        """(..., H) state of a recurrent network after one more step, from its features and the state before."""
        return gru(xp, w, GRU, features, state)

    def outputs(self, xp: Any, w: Weights, h: Array, levels: Array = None) -> Array:
        """What the network says of every action.

        Args:
            xp: numpy or jax.numpy.
            w: the weights.
            h: (..., F) features.
            levels: iqn: (..., K) levels of the quantiles asked for; by default those of `levels`.

        Returns:
            (..., A) values, or (..., A, K) logits of the atoms (c51) or quantiles (qr, iqn).
        """
        if self.distribution == "iqn":
            tau = xp.asarray(self.levels) if levels is None else levels
            tau = xp.broadcast_to(tau, (*h.shape[:-1], tau.shape[-1]))
            phi = xp.cos(xp.arange(COSINES, dtype=np.float32) * np.float32(np.pi) * tau[..., None])
            h = h[..., None, :] * relu(xp, linear(xp, w, "level", phi))  # (..., K, F)
            return xp.moveaxis(self._head(xp, w, h)[..., 0], -1, -2)
        out = self._head(xp, w, h)
        return out[..., 0] if self.distribution == "none" else out

    def _head(self, xp: Any, w: Weights, h: Array) -> Array:
        """(..., A, atoms) of features (..., F)."""
        advantage = linear(xp, w, "head", h).reshape((*h.shape[:-1], self.n_actions, self.atoms))
        if not self.dueling:
            return advantage
        value = linear(xp, w, "value", h)[..., None, :]
        return value + advantage - xp.mean(advantage, axis=-2, keepdims=True)

    def q_values(self, xp: Any, outputs: Array) -> Array:
        """(..., A) expected returns from what `outputs` gave."""
        if self.distribution == "none":
            return outputs
        if self.distribution == "c51":
            return xp.sum(xp.exp(policies.log_softmax(outputs)) * xp.asarray(self.support), axis=-1)
        return xp.mean(outputs, axis=-1)

    def q(self, xp: Any, w: Weights, h: Array) -> Array:
        """(..., A) expected returns, of features (..., F)."""
        return self.q_values(xp, self.outputs(xp, w, h))

    def __repr__(self) -> str:
        kind = "" if self.distribution == "none" else f", {self.distribution}"
        return (
            f"QNetwork({self.torso}{kind}, {self.n_actions} actions, {self.layout.size:,} parameters, "
            f"{self.operations:,} FLOP a decision)"
        )

    @property
    def operations(self) -> int:
        """Floating-point operations of one decision."""
        level = self.quantiles if self.distribution == "iqn" else 1
        return self.layout.operations * level if level > 1 else self.layout.operations
