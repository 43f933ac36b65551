"""CliffWalking, Sutton & Barto, Example 6.6: what is learned about is not what is done.

With epsilon 0.1 Q-learning learns the short path along the cliff and, exploring, falls off; SARSA learns what its
own exploring costs and keeps away.

Promise: while learning SARSA gets about -25 an episode and Q-learning about -50; acting greedily afterwards Q-learning
needs 13 steps and SARSA more.
"""

import numpy as np

import qfix

OPTIONS = {"gamma": 1.0, "alpha": 0.5, "epsilon": 0.1, "total_steps": 200_000, "seeds": 10}


def main() -> dict[str, float]:
    online = {}
    for algorithm in ("sarsa", "q_learning"):
        run = qfix.train("CliffWalking-v1", algorithm, **OPTIONS)
        online[algorithm] = float(np.mean([returns[100:].mean() for returns in run.episodes.returns]))
        greedy = np.median(run.evaluate().returns)
        print(
            f"{algorithm:<12} while learning {online[algorithm]:6.1f}   greedy afterwards, median {greedy:6.1f}"
        )
        assert greedy == -13 if algorithm == "q_learning" else greedy < -13
    assert -30 < online["sarsa"] < -20
    assert -60 < online["q_learning"] < -40
    return online


if __name__ == "__main__":
    main()
