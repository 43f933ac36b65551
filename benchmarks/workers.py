"""Seeds in processes of their own against one process, and what two processes can be at most here.

    python benchmarks/workers.py [--rounds 5] [--steps 300_000] [--seeds 2] [--workers 2]

Each round trains the same run with one process and with several, in turns; the ratio is that of whole calls of
`train`, the start of the processes included, and its median is over rounds. `limit` is the same for a loop of plain
Python that shares nothing: what the machine's second core is worth in that moment.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

import qfix

RANGE = (-2.4, 2.4, -3.0, 3.0, -0.21, 0.21, -3.0, 3.0)
PLAIN = "n = 0\nfor i in range(20_000_000): n += i & 3"


def seconds(env: str, steps: int, seeds: int, workers: int) -> float:
    begun = time.perf_counter()
    options = {"tile_range": RANGE} if env == "CartPole-v1" else {}
    qfix.train(env, total_steps=steps, seeds=seeds, workers=workers, **options)
    return time.perf_counter() - begun


def plain(at_once: int) -> float:
    begun = time.perf_counter()
    processes = [subprocess.Popen([sys.executable, "-c", PLAIN]) for _ in range(at_once)]
    for process in processes:
        process.wait()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300_000)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    begun = time.perf_counter()
    seconds("MountainCar-v0", 1_000, 2, 2)
    print(f"first call, with the server of forks and kernels to load: {time.perf_counter() - begun:.2f} s")
    again = [
        seconds("MountainCar-v0", 1_000, 2, 2) - seconds("MountainCar-v0", 1_000, 2, 1) for _ in range(5)
    ]
    print(f"two more processes, started and ended: {statistics.median(again):.2f} s")
    for env in ("MountainCar-v0", "CartPole-v1"):
        ones, ratios, limits = [], [], []
        for _ in range(options.rounds):
            one = seconds(env, options.steps, options.seeds, 1)
            many = seconds(env, options.steps, options.seeds, options.workers)
            ones.append(one)
            ratios.append(one / many)
            limits.append(options.workers * plain(1) / plain(options.workers))
        rounds = " ".join(f"{ratio:.2f}/{limit:.2f}" for ratio, limit in zip(ratios, limits))
        print(
            f"{env:15} {options.seeds} seeds, 1 process {statistics.median(ones):5.1f} s, {options.workers} processes "
            f"{statistics.median(ratios):4.2f} times as fast (limit {statistics.median(limits):4.2f}); rounds: {rounds}"
        )


if __name__ == "__main__":
    main()
