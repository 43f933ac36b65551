"""Acrobot: two hanging links, driven at the joint between them, to swing the tip above the bar.

Angles θ₁ of the first link from hanging down, θ₂ of the second relative to the first; both links have mass m = 1 kg,
length l = 1 m, centre at c = 0.5 m and inertia I = 1 kg m²; g = 9.8 m/s², torque τ = a - 1 N m for a in {0, 1, 2}:

    d₁ = m c² + m (l² + c² + 2 l c cos θ₂) + 2 I           d₂ = m (c² + l c cos θ₂) + I
    φ₂ = m c g cos(θ₁ + θ₂ - π/2)
    φ₁ = -m l c θ₂'² sin θ₂ - 2 m l c θ₂' θ₁' sin θ₂ + (m c + m l) g cos(θ₁ - π/2) + φ₂
    θ₂'' = (τ + φ₁ d₂ / d₁ - m l c θ₁'² sin θ₂ - φ₂) / (m c² + I - d₂² / d₁)
    θ₁'' = -(d₂ θ₂'' + φ₁) / d₁

One step is one step of the classical Runge-Kutta method over 0.2 s, after which angles are wrapped into [-π, π] and
velocities clipped to 4π and 9π rad/s. The episode terminates when the tip is above the bar by the length of a link,
-cos θ₁ - cos(θ₁ + θ₂) > 1, and that step pays 0; every other pays -1.

Source: Sutton (1996), Generalization in reinforcement learning: successful examples using sparse coarse coding; the
equations of Sutton and Barto, Reinforcement Learning, with the term in θ₁'² that the paper lacks. Agrees with
Gymnasium's Acrobot-v1.
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

MASS = 1.0  # kg, of either link
LENGTH = 1.0  # m
CENTRE = 0.5  # m
INERTIA = 1.0  # kg m²
GRAVITY = 9.8  # m/s²
SECONDS = 0.2  # a step
SPEED_1, SPEED_2 = 4 * math.pi, 9 * math.pi  # rad/s, the most
COUPLING = MASS * LENGTH * CENTRE  # kg m²


class AcrobotState(NamedTuple):
    """Where the links are, each () in the dtype of computation."""

    theta_1: Any  # rad, 0 hangs down
    theta_2: Any  # rad, relative to the first link
    speed_1: Any  # rad/s
    speed_2: Any  # rad/s


@dataclass(frozen=True)
class Acrobot:
    """Acrobot as a `JaxEnv`.

    Observation (6,) float32: cos θ₁, sin θ₁, cos θ₂, sin θ₂, θ₁', θ₂'. Actions: 0, 1, 2 for torques -1, 0, 1 N m.
    """

    max_episode_steps: int | None = 500
    """Time limit in steps."""

    @cached_property
    def observation_space(self) -> gymnasium.spaces.Box:
        """Cosines, sines and clipped velocities."""
        high = np.array([1, 1, 1, 1, SPEED_1, SPEED_2], np.float32)
        return gymnasium.spaces.Box(-high, high)

    @cached_property
    def action_space(self) -> gymnasium.spaces.Discrete:
        """Three torques."""
        return gymnasium.spaces.Discrete(3)

    def reset(self, key: Any) -> tuple[AcrobotState, Any]:
        """Each of the four numbers uniform in [-0.1, 0.1)."""
        state = AcrobotState(*jax.random.uniform(key, (4,), jnp.float32, -0.1, 0.1))
        return state, _observe(state)

    def step(self, state: AcrobotState, action: Any, key: Any) -> Step:
        """Apply the torque for 0.2 seconds. Nothing is left to chance: `key` is not used."""
        moved = _runge_kutta(jnp.stack(state), action - 1)
        following = AcrobotState(
            _wrapped(moved[0]),
            _wrapped(moved[1]),
            jnp.clip(moved[2], -SPEED_1, SPEED_1),
            jnp.clip(moved[3], -SPEED_2, SPEED_2),
        )
        height = -jnp.cos(following.theta_1) - jnp.cos(following.theta_1 + following.theta_2)
        above = height > 1.0
        reward = jnp.where(above, 0.0, -1.0).astype(height.dtype)
        return Step(following, _observe(following), reward, above, jnp.zeros_like(above))


def _observe(state: AcrobotState) -> Any:
    one, two = state.theta_1, state.theta_2
    parts = (jnp.cos(one), jnp.sin(one), jnp.cos(two), jnp.sin(two), state.speed_1, state.speed_2)
    return jnp.stack(parts).astype(jnp.float32)


def _runge_kutta(y: Any, torque: Any) -> Any:
    """The classical fourth-order step from `y`, (4,)."""
    k1 = _slope(y, torque)
    k2 = _slope(y + SECONDS / 2 * k1, torque)
    k3 = _slope(y + SECONDS / 2 * k2, torque)
    k4 = _slope(y + SECONDS * k3, torque)
    return y + SECONDS / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def _slope(y: Any, torque: Any) -> Any:
    """The derivative of θ₁, θ₂, θ₁', θ₂', (4,)."""
    one, two, speed_1, speed_2 = y
    cos, sin = jnp.cos(two), jnp.sin(two)
    d1 = MASS * CENTRE**2 + MASS * (LENGTH**2 + CENTRE**2) + 2 * COUPLING * cos + 2 * INERTIA
    d2 = MASS * CENTRE**2 + COUPLING * cos + INERTIA
    phi2 = MASS * CENTRE * GRAVITY * jnp.cos(one + two - math.pi / 2)
    swing = COUPLING * sin * (speed_2**2 + 2 * speed_2 * speed_1)
    phi1 = MASS * (CENTRE + LENGTH) * GRAVITY * jnp.cos(one - math.pi / 2) + phi2 - swing
    drive = torque + d2 / d1 * phi1 - COUPLING * speed_1**2 * sin - phi2
    turn_2 = drive / (MASS * CENTRE**2 + INERTIA - d2**2 / d1)
    turn_1 = -(d2 * turn_2 + phi1) / d1
    return jnp.stack((speed_1, speed_2, turn_1, turn_2))


def _wrapped(angle: Any) -> Any:
    """The angle in [-π, π]; one that is there already is not touched."""
    whole = 2 * math.pi
    over = jnp.maximum(jnp.ceil((angle - math.pi) / whole), 0)
    under = jnp.maximum(jnp.ceil((-math.pi - angle) / whole), 0)
    return angle - whole * over + whole * under
