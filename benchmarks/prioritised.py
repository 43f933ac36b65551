"""Prioritised against uniform replay inside the training loop of qfix itself.

    python benchmarks/prioritised.py [--rounds 5] [--capacities 10_000 100_000 1_000_000]

DQN on CartPole, one environment, a gradient step a step, batch 64, [64, 64], both drivers; the memory is full before
the clock starts where it is small enough to fill. One core, one thread; medians of the ratio within a round, by
processor time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import gymnasium

from qfix.deep.dqn import Config
from qfix.deep.trainer import DeepTrainer

STEPS = {"device": 20_000, "host": 8_000}


def make() -> gymnasium.Env:
    return gymnasium.make("CartPole-v1")


def started(driver: str, capacity: int, prioritized: bool) -> tuple[DeepTrainer, object]:
    """A trainer past its compilation, its memory filled as far as 20,000 steps do."""
    config = Config(hidden=(64, 64), buffer_size=capacity, prioritized=prioritized)
    trainer = DeepTrainer(config, make(), make, None, (0,), driver, total_steps=1_000_000)
    state, _ = trainer.advance(trainer.start(), 2_000)
    return trainer, state


def microseconds(trainer: DeepTrainer, state: object) -> float:
    steps = STEPS[trainer.driver]
    begun = time.process_time()
    trainer.advance(state, steps)
    return (time.process_time() - begun) / steps * 1e6


def main() -> None:
    """Both drivers, at each capacity."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--capacities", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(f"{'driver':7} {'capacity':>9} {'uniform µs':>11} {'prioritised µs':>15} {'ratio':>6}")
    for driver in STEPS:
        for capacity in options.capacities:
            pair = [started(driver, capacity, prioritized) for prioritized in (False, True)]
            found = [[microseconds(*one) for one in pair] for _ in range(options.rounds)]
            uniform, prioritised = (statistics.median(column) for column in zip(*found, strict=True))
            ratio = statistics.median(b / a for a, b in found)
            print(f"{driver:7} {capacity:9,} {uniform:11.1f} {prioritised:15.1f} {ratio:6.2f}", flush=True)


if __name__ == "__main__":
    main()
