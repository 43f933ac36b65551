"""Lane on the device: the rules of `qfix.envs.lane`, which are one for both views, as pure functions of JAX."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp

from qfix.envs.jax.protocol import Step
from qfix.envs.lane import N_DRAWS, LaneRules, LaneState


@dataclass(frozen=True)
class Lane:
    """Lane as a `JaxEnv`. Observation (8,) float32, see `LaneRules.observe`. Action (1,): the steering angle as a share
    of the most there is."""

    max_episode_steps: int | None = 600
    """Time limit in steps: 30 seconds."""
    rules: LaneRules = field(default_factory=LaneRules)
    """Speed, width and bends."""

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        """Offset, heading, speed, steering and four curvatures."""
        return self.rules.observation_space

    @property
    def action_space(self) -> gymnasium.spaces.Box:
        """One steering angle."""
        return self.rules.action_space

    def reset(self, key: Any) -> tuple[LaneState, Any]:
        """Another road, near its middle."""
        state = self.rules.start(jax.random.uniform(key, (N_DRAWS,), jnp.float32, -1.0, 1.0))
        return state, self.rules.observe(state)

    def step(self, state: LaneState, action: Any, key: Any) -> Step:
        """Steer for 0.05 seconds. Nothing is left to chance: `key` is not used."""
        steering = jnp.clip(action, -1.0, 1.0)[0].astype(state.offset.dtype)
        following, reward, left = self.rules.advance(state, steering)
        observation = self.rules.observe(following).astype(jnp.float32)
        return Step(following, observation, reward, left, jnp.zeros_like(left))
