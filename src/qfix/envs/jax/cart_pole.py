"""CartPole: a pole on a cart that is pushed left or right, to be kept upright.

With force F = ±10 N, pole angle θ from upright, cart position x, masses m_c = 1 and m_p = 0.1 kg, half length
l = 0.5 m, m = m_c + m_p, g = 9.8 m/s² and no friction:

    h  = (F + m_p l θ'² sin θ) / m
    θ'' = (g sin θ - h cos θ) / (l (4/3 - m_p cos² θ / m))
    x'' = h - m_p l θ'' cos θ / m

Explicit Euler, 0.02 s a step: positions move by the velocities before the step. Every step pays 1, the last too. The
episode terminates when |x| > 2.4 m or |θ| > 12°.

Source: Barto, Sutton and Anderson (1983), Neuronlike adaptive elements that can solve difficult learning control
problems; the equations without friction of Florian (2007), Correct equations for the dynamics of the cart-pole
system. Agrees with Gymnasium's CartPole-v1, and with CartPole-v0 but for its limit of 200 steps.
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

GRAVITY = 9.8  # m/s²
POLE_MASS = 0.1  # kg
TOTAL_MASS = 1.1  # kg
HALF_LENGTH = 0.5  # m
FORCE = 10.0  # N
SECONDS = 0.02  # a step
X_LIMIT = 2.4  # m
THETA_LIMIT = math.radians(12)


class CartPoleState(NamedTuple):
    """Where the cart and the pole are, each () in the dtype of computation."""

    x: Any  # m
    x_dot: Any  # m/s
    theta: Any  # rad, 0 is upright
    theta_dot: Any  # rad/s


@dataclass(frozen=True)
class CartPole:
    """CartPole as a `JaxEnv`. Observation (4,) float32: x, x', θ, θ'. Actions: 0 pushes left, 1 right."""

    max_episode_steps: int | None = 500
    """Time limit in steps; 200 is CartPole-v0."""

    @cached_property
    def observation_space(self) -> gymnasium.spaces.Box:
        """Twice the limits, so that the last observation lies inside too."""
        high = np.array([2 * X_LIMIT, np.inf, 2 * THETA_LIMIT, np.inf], np.float32)
        return gymnasium.spaces.Box(-high, high)

    @cached_property
    def action_space(self) -> gymnasium.spaces.Discrete:
        """Left and right."""
        return gymnasium.spaces.Discrete(2)

    def reset(self, key: Any) -> tuple[CartPoleState, Any]:
        """Each of the four numbers uniform in [-0.05, 0.05)."""
        start = jax.random.uniform(key, (4,), jnp.float32, -0.05, 0.05)
        return CartPoleState(*start), start

    def step(self, state: CartPoleState, action: Any, key: Any) -> Step:
        """Push for 0.02 seconds. Nothing is left to chance: `key` is not used."""
        x, x_dot, theta, theta_dot = state
        force = jnp.where(action == 1, FORCE, -FORCE)
        cos, sin = jnp.cos(theta), jnp.sin(theta)
        push = (force + POLE_MASS * HALF_LENGTH * theta_dot**2 * sin) / TOTAL_MASS
        turn = (GRAVITY * sin - cos * push) / (HALF_LENGTH * (4 / 3 - POLE_MASS * cos**2 / TOTAL_MASS))
        drive = push - POLE_MASS * HALF_LENGTH * turn * cos / TOTAL_MASS
        following = CartPoleState(
            x + SECONDS * x_dot,
            x_dot + SECONDS * drive,
            theta + SECONDS * theta_dot,
            theta_dot + SECONDS * turn,
        )
        fallen = (jnp.abs(following.x) > X_LIMIT) | (jnp.abs(following.theta) > THETA_LIMIT)
        observation = jnp.stack(following).astype(jnp.float32)
        return Step(following, observation, jnp.ones_like(x), fallen, jnp.zeros_like(fallen))
