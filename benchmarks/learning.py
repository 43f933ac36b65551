"""What is learned in a budget: the interquartile mean over seeds of greedy returns, with its interval.

    python benchmarks/learning.py [ROW ...] [--seeds 10] [--episodes 100]

Options are the defaults of qfix and its table of presets, nothing else. Every seed is evaluated on episodes it has
not been trained on. A row that is not named is not run; without names all but the MinAtar games are, which take some
minutes a seed.
"""

from __future__ import annotations

import argparse
import time

import qfix
from qfix.stats import interval

ROWS = {
    "CartPole": ("CartPole-v1", "dqn", 50_000, 475.0),
    "CartPole-pqn": ("CartPole-v1", "pqn", 100_000, 475.0),
    "Acrobot": ("Acrobot-v1", "dqn", 100_000, -90.0),
    "MountainCar": ("MountainCar-v0", "dqn", 150_000, -115.0),
    "LunarLander": ("LunarLander-v3", "dqn", 300_000, 200.0),
    "CartPole-ppo": ("CartPole-v1", "ppo", 100_000, 490.0),
    "CartPole-a2c": ("CartPole-v1", "a2c", 500_000, 475.0),
    "CartPole-reinforce": ("CartPole-v1", "reinforce", 500_000, 475.0),
    "Acrobot-ppo": ("Acrobot-v1", "ppo", 300_000, -90.0),
    "LunarLander-ppo": ("LunarLander-v3", "ppo", 1_000_000, 220.0),
    "Pendulum-ppo": ("Pendulum-v1", "ppo", 500_000, -200.0),
    "Pendulum-sac": ("Pendulum-v1", "sac", 30_000, -200.0),
    "Asterix": ("qfix/Asterix-v0", "pqn", 5_000_000, None),
    "Breakout": ("qfix/Breakout-v0", "pqn", 5_000_000, None),
    "Freeway": ("qfix/Freeway-v0", "pqn", 5_000_000, None),
    "Seaquest": ("qfix/Seaquest-v0", "pqn", 5_000_000, None),
    "SpaceInvaders": ("qfix/SpaceInvaders-v0", "pqn", 5_000_000, None),
}


def main() -> None:
    """Run the rows that are named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", default=[name for name, row in ROWS.items() if row[3] is not None])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--steps", type=int, help="another budget")
    options = parser.parse_args()
    print(
        f"{'row':18} {'algorithm':9} {'steps':>9} {'seeds':>5} {'IQM':>8} {'95 % interval':>18} {'goal':>6} {'s':>6}"
    )
    for name in options.rows:
        env, algorithm, steps, goal = ROWS[name]
        begun = time.perf_counter()
        run = qfix.train(env, algorithm, total_steps=options.steps or steps, seeds=options.seeds)
        returns = run.evaluate(options.episodes).returns
        found = interval(returns, "iqm")
        limits = f"[{found.low:.1f}, {found.high:.1f}]"
        print(
            f"{name:18} {algorithm:9} {run.steps:9,} {options.seeds:5} {found.estimate:8.1f} {limits:>18} "
            f"{'' if goal is None else goal:>6} {time.perf_counter() - begun:6.0f}   "
            f"{' '.join(f'{x:.0f}' for x in sorted(returns))}",
            flush=True,
        )


if __name__ == "__main__":
    main()
