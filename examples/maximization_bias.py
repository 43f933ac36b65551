"""Maximisation bias, Sutton & Barto, Example 6.7: the maximum over noisy values is too high.

Going left is a mistake. Exploration alone goes left in 5 % of the episodes.

Promise: over the first 100 episodes Q-learning goes left more than twice as often as Double Q-learning.
"""

import numpy as np

import qfix

OPTIONS = {"gamma": 1.0, "alpha": 0.1, "epsilon": 0.1, "total_steps": 500, "seeds": 1_000}


def main() -> dict[str, float]:
    left = {}
    for algorithm in ("q_learning", "double_q_learning"):
        run = qfix.train("qfix/MaximizationBias-v0", algorithm, **OPTIONS)
        # an episode of two steps went left
        left[algorithm] = float(np.mean([lengths[:100] == 2 for lengths in run.episodes.lengths]))
        print(f"{algorithm:<18} left in {left[algorithm]:.1%} of the first 100 episodes")
    assert left["q_learning"] > 2 * left["double_q_learning"]
    return left


if __name__ == "__main__":
    main()
