"""What every learner on networks has, and the step of gradient descent that they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from qfix.deep.config import NetworkConfig
from qfix.deep.layers import FORBIDDEN, Weights
from qfix.deep.normaliser import Moments, no_moments, normalised, updated_moments
from qfix.deep.policy_network import PolicyNetwork

Array = Any


class Learner(NamedTuple):
    """All that learning changes, memories and environments aside."""

    params: Array  # (P,) float32 weights of the network
    target: Array  # (P,) those of the target network; (0,) without one
    optimiser: Any  # the optimiser's state
    moments: Moments  # of observations; of size 0 where they are not normalised
    updates: Array  # () int32 gradient steps so far
    tally: Any = ()  # what a learner of a policy counts of its rewards and returns


class Rates(NamedTuple):
    """What follows a schedule, at one moment."""

    exploration: Array  # () epsilon or temperature
    learning_rate: Array  # ()
    beta: Array  # () exponent of importance weights


@dataclass(frozen=True, eq=False)
class Setup:
    """What does not change: the options and the network."""

    config: NetworkConfig
    network: Any  # a QNetwork or a PolicyNetwork

    @cached_property
    def optimiser(self) -> optax.GradientTransformation:
        """Of gradients that are clipped by their norm: Adam, or what `optimizer` says; the caller multiplies its step
        by the learning rate.

        Adam, RAdam     m̂/(√v̂ + ε), m̂ and v̂ without the bias of their start at 0
        RMSprop         g/√(v + ε), v starting at 1: first steps are short, as in TensorFlow

        Source: Kingma & Ba (2015), Adam: a method for stochastic optimization; Liu et al. (2020), On the variance of
        the adaptive learning rate and beyond (RAdam); Hinton (2012), Neural networks for machine learning, lecture 6e
        (RMSprop).
        """
        kind = getattr(self.config, "optimizer", "adam")
        epsilon = self.config.adam_epsilon
        scale = {
            "adam": lambda: optax.scale_by_adam(eps=epsilon),
            "radam": lambda: optax.scale_by_radam(eps=epsilon),
            "rmsprop": lambda: optax.scale_by_rms(decay=0.99, eps=epsilon, initial_scale=1.0),
        }[kind]()
        longest = self.config.max_grad_norm
        clip = optax.identity() if longest is None else optax.clip_by_global_norm(longest)
        return optax.chain(clip, scale)

    def start(self, key: Array, with_target: bool, params: Array | None = None) -> Learner:
        """A learner that has learned nothing, by default from random weights."""
        layout = self.network.layout
        if params is None:
            params = layout.start(jax.random.uniform(key, (layout.size,), minval=-1.0))
        given = self.network.given
        moments = no_moments(given.size if self.config.normalize_observations else 0)
        return Learner(
            params,
            params if with_target else jnp.zeros(0),
            self.optimiser.init(params),
            Moments(*map(jnp.asarray, moments)),
            jnp.int32(0),
        )

    @property
    def n_extras(self) -> int:
        """Numbers that acting gives beside an action: its log-probability, or the values of all."""
        return 1 if isinstance(self.network, PolicyNetwork) else self.network.n_actions

    def with_observations(self, learner: Learner, observation: Array) -> Learner:
        """A learner that has seen a batch of observations (N, *shape)."""
        if not self.config.normalize_observations or self.config.moments_by_rollout:
            return learner
        return learner._replace(moments=updated_moments(jnp, learner.moments, observation))

    def view(self, learner: Learner, observation: Array) -> Array:
        """Observations as the network is given them."""
        if not self.config.normalize_observations:
            return observation
        return normalised(jnp, learner.moments, observation)

    def weights(self, params: Array, key: Array = None) -> Weights:
        """Named weights; with noise where the network is noisy and a key is given."""
        layout = self.network.layout
        return Weights(layout.split(params), layout, self._noise(key))

    def _noise(self, key: Array) -> Array:
        size = self.network.layout.noise_size
        return None if key is None or size == 0 else jax.random.normal(key, (size,))

    def gradient(
        self, loss: Callable[[Weights], tuple[Array, Any]], params: Array, key: Array = None
    ) -> tuple[Array, Any, Array]:
        """The value of a loss, what it gives besides, and its gradient (P,).

        Gradients are taken by the named arrays and laid end to end once: through slices of one vector each of them
        would be padded to its whole length.

        Args:
            loss: of the weights; gives its value and anything besides.
            params: (P,) where.
            key: for the noise of noisy layers.
        """
        layout, noise = self.network.layout, self._noise(key)
        with_rest = jax.value_and_grad(lambda arrays: loss(Weights(arrays, layout, noise)), has_aux=True)
        (value, rest), gradient = with_rest(layout.split(params))
        return value, rest, layout.joined(jnp, gradient)

    def descend(self, learner: Learner, gradient: Array, learning_rate: Array) -> tuple[Learner, Array]:
        """One step of the optimiser; also the norm of the gradient, before it was clipped."""
        step, optimiser = self.optimiser.update(gradient, learner.optimiser)
        params = learner.params - learning_rate * step
        moved = learner._replace(params=params, optimiser=optimiser, updates=learner.updates + 1)
        return moved, jnp.linalg.norm(gradient)


def learned_reward(config: NetworkConfig, reward: Array) -> Array:
    """A reward as it is learned from: scaled, then clipped."""
    scaled = reward * np.float32(config.reward_scale)
    if config.reward_clip is None:
        return scaled
    return scaled.clip(-np.float32(config.reward_clip), np.float32(config.reward_clip))


def allowed_q(q: Array, mask: Array | None) -> Array:
    """Values with those of forbidden actions far below all others."""
    return q if mask is None else jnp.where(mask, q, FORBIDDEN)
