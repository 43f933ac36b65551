"""A module with an environment that breaks in some episodes: `fragile:tests/Fragile-v0`."""

import gymnasium


class Fragile(gymnasium.Env):
    """Ten states in a row, the last one ends the episode with 1. Raises in one episode of `rarity`, by its seed."""

    observation_space = gymnasium.spaces.Discrete(10)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, rarity=60):
        self.rarity = rarity

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.breaks = self.np_random.integers(self.rarity) == 0
        self.place = 0
        return 0, {}

    def step(self, action):
        self.place += 1
        if self.breaks and self.place == 5:
            raise OSError("the cable came loose")
        return self.place, float(self.place == 9), self.place == 9, False, {}


gymnasium.register("tests/Fragile-v0", entry_point=Fragile)
