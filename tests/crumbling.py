"""A module with an environment that breaks in the middle of its life: `crumbling:tests/Crumbles-v0`."""

import gymnasium


class Crumbles(gymnasium.Env):
    """Ten states in a row, the last one ends the episode with 1. Raises at the step of the number `at`."""

    observation_space = gymnasium.spaces.Discrete(10)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, at=500):
        self.at = at
        self.steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return 0, {}

    def step(self, action):
        self.steps += 1
        if self.steps == self.at:
            raise OSError("the cable came loose")
        self.place += 1
        return self.place, float(self.place == 9), self.place == 9, False, {}


gymnasium.register("tests/Crumbles-v0", entry_point=Crumbles)
