"""Both branches on one world whose answers are known: the 4 x 3 grid of Russell & Norvig where every fifth step slips.

dqn learns Q and acts at random; ppo learns a policy π and its critic v, and acts by π. Q*, J and V^π are computed.

Promise: of ten seeds all policies are within 5 % of J*; on average max|v - V^π| is larger than max|Q - Q*|, and four
times what it is at the start: a critic knows where its policy goes. A tenth of ln 4 nats are left of π at most, and a
table's max|Q - Q*| halves with a hundred times the steps. Ten of 100 other seeds break it once in 10,000 times.
No promise, but told: how many seeds end more than 1 % below J*. Of the seeds 100 to 199, 43 of ppo and 19 of dqn.
"""

from functools import partial

import numpy as np

import qfix
from qfix.stats import interval

WORLD, GAMMA, STEPS = {"slip": 0.2, "step_reward": -0.04}, 0.99, 32_768
COMMON = {"hidden": 32, "num_envs": 8, "total_steps": STEPS, "learning_rate": f"Linear(3e-3, 0, {STEPS})"}
DQN = COMMON | {"epsilon": 1.0, "learning_starts": 100, "tau": 0.02, "loss": "squared"}
TABLE = {"epsilon": 1.0, "alpha": "Polynomial(1, 0.7, by=visit)"}
MDP = qfix.FiniteMDP.from_env("qfix/Grid4x3-v0", gamma=GAMMA, **WORLD)
STATES, BEST = np.arange(MDP.n_states), qfix.start_value(MDP, qfix.solve(MDP).v)


def values(run: qfix.Run) -> np.ndarray:
    """(seeds, S) exact ones, of dqn's greedy policies, of ppo's as they draw."""
    policies = (run.policy(seed).probabilities(STATES) for seed in run.spec.seeds)
    return np.array([qfix.evaluate_policy(MDP, policy) for policy in policies])


def main(seeds: list[int] | int = 10) -> dict[str, np.ndarray]:
    train = partial(qfix.train, "qfix/Grid4x3-v0", env_kwargs=WORLD, gamma=GAMMA, seeds=seeds)
    dqn, ppo = train("dqn", **DQN), train("ppo", **COMMON, num_steps=32)
    wrong = np.abs([ppo.policy(seed).value(STATES) for seed in ppo.spec.seeds] - values(ppo)) * ~MDP.terminal
    found = {
        "dqn: max|Q - Q*|": dqn.value_distance(),
        "ppo: max|v - V^π|": wrong.max(axis=1),
        "ppo: |v - V^π| at the start": wrong @ MDP.start,
        "table: max|Q - Q*|, 10,000 steps": train("q_learning", total_steps=10_000, **TABLE).value_distance(),
        "table: max|Q - Q*|, 1,000,000": train("q_learning", total_steps=1_000_000, **TABLE).value_distance(),
        "dqn: 1 - J/J*": 1 - values(dqn) @ MDP.start / BEST,
        "ppo: 1 - J/J*": 1 - values(ppo) @ MDP.start / BEST,
        "ppo: entropy of π": ppo.metrics("entropy").values[:, -1],
    }
    for name, mean in ((name, interval(scores, "mean")) for name, scores in found.items()):
        print(f"{name:<34} {mean.estimate:6.3f} [{mean.low:6.3f}, {mean.high:6.3f}]")
    far = [(found[f"{name}: 1 - J/J*"] > 0.01).sum() for name in ("ppo", "dqn")]
    print(f"more than 1 % below J*: {far[0]} of {len(wrong)} seeds of ppo, {far[1]} of dqn")
    q, v, start, early, late, *_ = (scores.mean() for scores in found.values())
    *_, below, ppo_below, entropy = (scores.max() for scores in found.values())
    assert late < early / 2
    assert q < v > 4 * start
    assert max(below, ppo_below, entropy / np.log(4) / 2) < 0.05
    return found


if __name__ == "__main__":
    main()
