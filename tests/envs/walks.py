"""Environments that are determined by their seed, and wrappers that are not: they have generators of their own."""

import random

import gymnasium
import numpy as np


class Walk(gymnasium.Env):
    """A walk over ten states that is determined by its seed; episodes have seven steps."""

    observation_space = gymnasium.spaces.Discrete(10)

    def __init__(self, n_actions=3):
        self.action_space = gymnasium.spaces.Discrete(n_actions)
        self.seeds = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.at, self.steps = int(self.np_random.integers(10)), 0
        return self.at, {}

    def step(self, action):
        self.steps += 1
        self.at = int(self.at + self.np_random.integers(3) + action) % 10
        return self.at, float(self.at), False, self.steps == 7, {}


class Noise(gymnasium.Wrapper):
    """Adds noise to rewards, from a generator that reset does not seed."""

    def __init__(self, env, source):
        super().__init__(env)
        self.source = source

    def step(self, action):
        observation, reward, *rest = self.env.step(action)
        draw = self.source.gauss if isinstance(self.source, random.Random) else self.source.normal
        return observation, reward + draw(0.0, 1.0), *rest


SOURCES = {
    "PCG64": lambda: np.random.Generator(np.random.PCG64()),
    "PCG64DXSM": lambda: np.random.Generator(np.random.PCG64DXSM()),
    "MT19937": lambda: np.random.Generator(np.random.MT19937()),
    "Philox": lambda: np.random.Generator(np.random.Philox()),
    "SFC64": lambda: np.random.Generator(np.random.SFC64()),
    "RandomState": lambda: np.random.RandomState(),
    "RandomState of Philox": lambda: np.random.RandomState(np.random.Philox()),
    "random.Random": random.Random,
}
