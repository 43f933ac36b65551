"""The deadly triad shown: a network, bootstrapping, and learning about another policy than the one that acts.

Q-learning from the latest step alone; then what keeps DQN stable is put back. Balancing a pole pays 1 a step: no policy
is worth more than 1/(1 - 0.99) = 100. A prediction above has diverged, softly (van Hasselt et al. 2018, 1812.02648).

Promise: of ten seeds at least eight predict more than 100 with a memory and no target network, at most four with both;
and with a memory episodes are at least twice as long as without. Of 100 other seeds 100 and 2 did. Were the true shares
97 and 6 % (95 % limits), the promise would be broken once in 300 times; the lengths are 5 standard errors from it.
"""

import numpy as np

import qfix
from qfix.stats import interval

PLAIN = {
    "buffer_size": 1,  # only the latest step is remembered,
    "batch_size": 1,  # and learned from once,
    "learning_starts": 0,  # from the first one on;
    "tau": 1.0,  # the target network is a copy of the network,
    "target_every": 1,  # made anew after every gradient step
}
REPLAY, TARGET = {"buffer_size": 10_000, "batch_size": 16}, {"target_every": 100}
ARMS = {"neither": {}, "target network": TARGET, "memory": REPLAY, "both": REPLAY | TARGET}
ARMS["both, double"] = ARMS["both"] | {"double": True}
# one reward a target, and neither errors nor gradients are clipped, which would hide what is to be seen
REST = {"n_step": 1, "double": False, "loss": "squared", "max_grad_norm": 1e9, "hidden": 64, "epsilon": 0.1}


def trained(arm: str, seeds: list[int] | int) -> tuple[np.ndarray, np.ndarray]:
    """Of each seed: mean length of its last 20 episodes, and its largest prediction."""
    options = REST | PLAIN | ARMS[arm] | {"learning_rate": 5e-3, "metrics_every": 100}
    run = qfix.train("CartPole-v1", "dqn", total_steps=8_000, seeds=seeds, **options)
    lengths = np.array([steps[-20:].mean() for steps in run.episodes.lengths])
    return lengths, run.metrics("q_max").values.max(axis=1)


def row(name: str, *scores: np.ndarray) -> str:
    means = [interval(x, "mean") for x in scores]
    return f"{name:<22}" + "  ".join(f"{m.estimate:6.0f} [{m.low:4.0f}, {m.high:4.0f}]" for m in means)


def main() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    print("means (95 %, 10 seeds)     episode length  largest prediction  above 100")
    of = {arm: trained(arm, 10) for arm in ARMS}
    for arm, found in of.items():
        print(row(arm, *found), f"{(found[1] > 100).sum():9}")
    (a, qa), (b, qb), (c, qc), (d, qd) = (of[arm] for arm in list(ARMS)[:4])
    print(row("adds: a memory", (c - a + d - b) / 2, (qc - qa + qd - qb) / 2))
    print(row("adds: a target network", (b - a + d - c) / 2, (qb - qa + qd - qc) / 2))
    assert (qc > 100).sum() >= 8
    assert (qd > 100).sum() <= 4
    assert c.mean() > 2 * a.mean()
    assert d.mean() > 2 * b.mean()
    return of


if __name__ == "__main__":
    main()
