"""A small deterministic world whose actions are arrays, in JAX and for Gymnasium.

    x' = clip(0.8 x + 0.3 f(a), -3, 3),    r = 1 - |x' - (0.5, -0.5)|²,    the end where x'_0 > 1.4

f is the action itself in a Box with bounds of its own for each number; of three and of four numbers, a_k - 1.
"""

from dataclasses import dataclass

import gymnasium
import jax.numpy as jnp
import numpy as np

from qfix.envs.jax.protocol import Step

LIMIT = 5
GOAL = np.array([0.5, -0.5], np.float32)
OBSERVED = gymnasium.spaces.Box(-3, 3, (2,), np.float32)
SPACES = {
    "box": gymnasium.spaces.Box(np.float32([[-2.0], [-1.0]]), np.float32([[2.0], [3.0]])),
    "numbers": gymnasium.spaces.MultiDiscrete([3, 4], start=[5, -1]),
}


def following(xp, x, f):
    after = xp.clip(np.float32(0.8) * x + np.float32(0.3) * f, np.float32(-3), np.float32(3))
    return after, 1 - xp.sum((after - GOAL) ** 2), after[0] > 1.4


@dataclass(frozen=True)
class SteeredJax:
    kind: str
    max_episode_steps: int | None = LIMIT
    observation_space = OBSERVED

    @property
    def action_space(self):
        return SPACES[self.kind]

    def reset(self, key):
        return jnp.zeros(2), jnp.zeros(2)

    def step(self, state, action, key):
        f = action.reshape(2) if self.kind == "box" else action.astype(jnp.float32) - 1
        after, reward, over = following(jnp, state, f)
        return Step(after, after, reward, over, jnp.bool_(False))


class Steered(gymnasium.Env):
    observation_space = OBSERVED

    def __init__(self, kind):
        self.kind = kind
        self.action_space = SPACES[kind]
        self.jax_env = SteeredJax(kind)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = np.zeros(2, np.float32)
        return self.x.copy(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        first = 0 if self.kind == "box" else self.action_space.start + 1
        f = (action - first).astype(np.float32).reshape(2)
        self.x, reward, over = following(np, self.x, f)
        return self.x.copy(), float(reward), bool(over), False, {}


def steered(kind):
    return gymnasium.wrappers.TimeLimit(Steered(kind), LIMIT)
