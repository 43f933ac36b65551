"""What a policy can do and a table of values cannot: be random for good, and turn a wheel by any angle.

In rock, paper, scissors against an opponent that answers habits, a greedy policy is a habit. A steering wheel has as
many actions as there are numbers, and Q-learning a maximum over them to take.

Promise: of six seeds ppo plays each move with a probability within 0.02 of 1/3, and q_learning's greedy policy loses
every round to a best response; dqn refuses Lane, where each of three seeds of ppo earns at least 500 of 600, random
actions less than 50. Of the seeds 6 to 35 the mixes were within 0.011, on average 0.0051 ± 0.0026, and what a best
response wins 0.002 to 0.021; of the seeds 3 to 12 the returns 597 or 598.
"""

import numpy as np

import qfix
from qfix.envs.rock_paper_scissors import policy_exploitability
from qfix.stats import interval

GAME = "qfix/RockPaperScissors-v0"


def refusal() -> str:
    try:
        qfix.train("qfix/Lane-v0", "dqn", total_steps=1)
    except qfix.SpaceError as error:
        return str(error)
    return ""


def main() -> np.ndarray:
    ppo = qfix.train(GAME, "ppo", seeds=6)
    table = qfix.train(GAME, "q_learning", total_steps=20_000, seeds=6)
    mixes = np.array([ppo.policy(seed).probabilities(0) for seed in ppo.spec.seeds])
    print("exploitability, mean of 6 seeds (95 %)")
    for run in (table, ppo):
        mean = interval([policy_exploitability(run.policy(seed)) for seed in run.spec.seeds], "mean")
        print(f"{run.spec.algorithm:<12} {mean.estimate:.3f} [{mean.low:.3f}, {mean.high:.3f}]")
    print(f"largest |π - 1/3|: {np.abs(mixes - 1 / 3).max():.3f}")
    print(f"dqn on Lane: {refusal()}")
    lane = qfix.train("qfix/Lane-v0", "ppo", total_steps=60_000, seeds=3)
    returns, random = lane.evaluate(episodes=10).returns, lane.baselines(episodes=100)["random"].mean
    print(f"ppo on Lane, 60,000 steps: {returns.round()}, random actions {random:.0f}")
    assert np.abs(mixes - 1 / 3).max() < 0.02
    assert all(policy_exploitability(table.policy(seed)) == 1.0 for seed in table.spec.seeds)
    assert refusal()
    assert returns.min() > 500
    assert random < 50
    return mixes


if __name__ == "__main__":
    main()
