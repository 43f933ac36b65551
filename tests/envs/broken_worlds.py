"""A module that registers environments which cannot be made, for `module:Id` and for the errors."""

import gymnasium


class NeedsPackage(gymnasium.Env):
    def __init__(self):
        raise gymnasium.error.DependencyNotInstalled(
            'Box2D is not installed, run `pip install "gymnasium[box2d]"`'
        )


class Falls(gymnasium.Env):
    def __init__(self, height=1.0):
        raise RuntimeError("it fell")


class Fine(gymnasium.Env):
    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 1, 0.0, True, False, {}


for kind in (NeedsPackage, Falls, Fine):
    gymnasium.register(f"tests/{kind.__name__}-v0", entry_point=kind)
