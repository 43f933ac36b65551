"""Pendulum: a rod on a motor too weak to lift it at once, to be swung up and held upright.

With angle θ from upright, torque u clipped to ±2 N m, mass m = 1 kg, length l = 1 m, gravity g and 0.05 s a step:

    reward = -(wrap(θ)² + 0.1 θ'² + 0.001 u²)           from the state before the step, wrap into [-π, π)
    θ' ← clip(θ' + (3g / 2l sin θ + 3 / (m l²) u) 0.05,  -8, 8)
    θ  ← θ + 0.05 θ'                                    with the new velocity

It never terminates. θ is not wrapped, only observed through cosine and sine.

Source: the rod's equation of motion about its end, I = m l² / 3, by semi-implicit Euler. Agrees with Gymnasium's
Pendulum-v1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from qfix.envs.jax.protocol import Step

SPEED = 8.0  # rad/s, the most
TORQUE = 2.0  # N m, the most
SECONDS = 0.05  # a step
MASS = 1.0  # kg
LENGTH = 1.0  # m


class PendulumState(NamedTuple):
    """Where the rod is, each () in the dtype of computation."""

    theta: Any  # rad, 0 is upright
    speed: Any  # rad/s


@dataclass(frozen=True)
class Pendulum:
    """Pendulum as a `JaxEnv`. Observation (3,) float32: cos θ, sin θ, θ'. Action (1,): the torque in N m."""

    max_episode_steps: int | None = 200
    """Time limit in steps."""
    g: float = 10.0
    """Gravity in m/s²."""

    @cached_property
    def observation_space(self) -> gymnasium.spaces.Box:
        """Cosine, sine and clipped velocity."""
        high = np.array([1, 1, SPEED], np.float32)
        return gymnasium.spaces.Box(-high, high)

    @cached_property
    def action_space(self) -> gymnasium.spaces.Box:
        """One torque."""
        return gymnasium.spaces.Box(-TORQUE, TORQUE, (1,))

    def reset(self, key: Any) -> tuple[PendulumState, Any]:
        """Angle uniform in [-π, π), velocity in [-1, 1)."""
        drawn = jax.random.uniform(key, (2,), jnp.float32, -1.0, 1.0)
        state = PendulumState(math.pi * drawn[0], drawn[1])
        return state, _observe(state)

    def step(self, state: PendulumState, action: Any, key: Any) -> Step:
        """Apply the torque for 0.05 seconds. Nothing is left to chance: `key` is not used."""
        theta, speed = state
        u = jnp.clip(action, -TORQUE, TORQUE)[0].astype(theta.dtype)
        wrapped = (theta + math.pi) % (2 * math.pi) - math.pi
        cost = wrapped**2 + 0.1 * speed**2 + 0.001 * u**2
        pull = 3 * self.g / (2 * LENGTH) * jnp.sin(theta)
        push = 3 / (MASS * LENGTH**2) * u
        speed = jnp.clip(speed + (pull + push) * SECONDS, -SPEED, SPEED)
        following = PendulumState(theta + speed * SECONDS, speed)
        never = jnp.zeros((), bool)
        return Step(following, _observe(following), -cost, never, never)


def _observe(state: PendulumState) -> Any:
    parts = (jnp.cos(state.theta), jnp.sin(state.theta), state.speed)
    return jnp.stack(parts).astype(jnp.float32)
