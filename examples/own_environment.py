"""An environment of your own: observations of any discrete kind, learned in a table that grows as states turn up.

A courier on a board of 4 x 4 cells fetches a parcel and brings it home to cell 0. What is seen is a tuple: the
courier's cell, the parcel's cell, and whether it is aboard. No table of transitions is needed, and no number of
states.

Promise: every one of three seeds learns to deliver every parcel within the limit of 50 steps; random actions rarely do.
"""

import gymnasium
from gymnasium import spaces

import qfix

SIDE = 4
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))


class Courier(gymnasium.Env):
    observation_space = spaces.Tuple((spaces.Discrete(SIDE**2), spaces.Discrete(SIDE**2), spaces.Discrete(2)))
    action_space = spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.cell, self.parcel, self.aboard = 0, int(self.np_random.integers(1, SIDE**2)), 0
        return (self.cell, self.parcel, self.aboard), {}

    def step(self, action):
        place = zip(divmod(self.cell, SIDE), MOVES[action], strict=True)
        row, column = (min(SIDE - 1, max(0, x + move)) for x, move in place)
        self.cell = row * SIDE + column
        self.aboard = int(self.aboard or self.cell == self.parcel)
        home = self.aboard == 1 and self.cell == 0
        return (self.cell, self.parcel, self.aboard), float(home), home, False, {}


def main() -> float:
    gymnasium.register("Courier-v0", Courier, max_episode_steps=50)
    options = {"alpha": 0.5, "epsilon": 0.2, "store": "sparse"}
    run = qfix.train("Courier-v0", "q_learning", total_steps=60_000, seeds=3, **options)
    learned, random = run.evaluate(episodes=100), run.baselines(episodes=100)["random"]
    print(f"delivered by seed {learned.returns}, by random actions {random.mean:.2f}")
    assert learned.returns.min() == 1.0
    assert random.mean < 0.5
    return learned.mean


if __name__ == "__main__":
    main()
