"""FrozenLake: train Q-learning, then measure by solving the model how far it is from the optimum.

Promise: after 4,000,000 steps each of four seeds acts within 0.005 of the optimal expected return.
"""

import qfix


def main() -> float:
    run = qfix.train("FrozenLake-v1", "q_learning", total_steps=4_000_000, seeds=4, gamma=0.99)
    evaluation = run.evaluate()
    print(f"return by seed {evaluation.returns.round(3)}, exact: {evaluation.exact}")
    print(f"what random actions get {run.baselines()['random'].mean:.3f}")
    gap = float(run.optimality_gap().max())
    print(f"largest gap to the optimum, exact: {gap:.2e}")
    assert gap < 0.005
    return gap


if __name__ == "__main__":
    main()
