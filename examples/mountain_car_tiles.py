"""MountainCar: continuous observations by tile coding.

Promise: after 40,000 steps the car reaches the top, on average in fewer than 140 steps; random actions never do within
the limit of 200.
"""

import qfix


def main() -> float:
    run = qfix.train("MountainCar-v0", "sarsa_lambda", total_steps=40_000, gamma=1.0, epsilon=0.0)
    print(f"{run.spec.algorithm}, {run.spec.config['tilings']} tilings")
    learned, random = run.evaluate(episodes=100).mean, run.baselines(episodes=20)["random"].mean
    print(f"mean return: learned {learned:.1f}, random {random:.1f}")
    assert random == -200.0
    assert learned > -140.0
    return learned


if __name__ == "__main__":
    main()
