"""MountainCar: an underpowered car in a valley, which has to swing back to get up the hill.

With action a in {0, 1, 2} for left, none and right:

    v ← clip(v + 0.001 (a - 1) - 0.0025 cos 3x,  -0.07, 0.07)
    x ← clip(x + v,  -1.2, 0.6),   and v ← 0 at the left wall

Every step pays -1. The episode terminates at x ≥ 0.5 with v at least the goal velocity.

Source: Moore (1990), Efficient memory-based learning for robot control; in this form Sutton and Barto (2018), Example
10.1. Agrees with Gymnasium's MountainCar-v0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from qfix.envs.jax.protocol import Step

X_LOW, X_HIGH = -1.2, 0.6
SPEED = 0.07  # the most
GOAL = 0.5
FORCE = 0.001
GRAVITY = 0.0025


class MountainCarState(NamedTuple):
    """Where the car is, each () in the dtype of computation."""

    x: Any
    v: Any  # a step


@dataclass(frozen=True)
class MountainCar:
    """MountainCar as a `JaxEnv`. Observation (2,) float32: x, v. Actions: 0 left, 1 none, 2 right."""

    max_episode_steps: int | None = 200
    """Time limit in steps."""
    goal_velocity: float = 0.0
    """Least velocity at the goal."""

    @cached_property
    def observation_space(self) -> gymnasium.spaces.Box:
        """Position and velocity between their bounds."""
        low, high = np.array([[X_LOW, -SPEED], [X_HIGH, SPEED]], np.float32)
        return gymnasium.spaces.Box(low, high)

    @cached_property
    def action_space(self) -> gymnasium.spaces.Discrete:
        """Left, none and right."""
        return gymnasium.spaces.Discrete(3)

    def reset(self, key: Any) -> tuple[MountainCarState, Any]:
        """At rest, position uniform in [-0.6, -0.4)."""
        x = jax.random.uniform(key, (), jnp.float32, -0.6, -0.4)
        state = MountainCarState(x, jnp.zeros_like(x))
        return state, jnp.stack(state)

    def step(self, state: MountainCarState, action: Any, key: Any) -> Step:
        """Drive a step. Nothing is left to chance: `key` is not used."""
        v = state.v + ((action - 1) * FORCE - GRAVITY * jnp.cos(3 * state.x))
        v = jnp.clip(v, -SPEED, SPEED)
        x = jnp.clip(state.x + v, X_LOW, X_HIGH)
        v = jnp.where((x == X_LOW) & (v < 0), 0, v)
        arrived = (x >= GOAL) & (v >= self.goal_velocity)
        following = MountainCarState(x, v)
        observation = jnp.stack(following).astype(jnp.float32)
        return Step(following, observation, -jnp.ones_like(x), arrived, jnp.zeros_like(arrived))
