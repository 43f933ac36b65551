"""What keeping a run costs: monitoring, the store and checkpoints against bare training; loading; comparing.

    python benchmarks/runs.py            all of it, about four minutes
    python benchmarks/runs.py overhead   one part: overhead, checkpoints, load, compare

Each figure is the median over rounds, ratios are taken within a round. One thread, pinned.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import gymnasium
import numpy as np

import qfix
from qfix.runs import Recorder

ROUNDS = 7


class Ring(gymnasium.Env):
    """A walk on a ring of 2.5 million places with 4 actions: a dense table of 10 million entries, stepped live."""

    places = 2_500_000
    observation_space = gymnasium.spaces.Discrete(places)
    action_space = gymnasium.spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = int(self.np_random.integers(self.places))
        return self.at, {}

    def step(self, action):
        self.at = (self.at + (1, -1, 1000, -1000)[action]) % self.places
        return self.at, float(self.at == 0), self.at == 0, False, {}


def pin(*cores: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(cores))


def timed(work) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def overhead(home: Path) -> None:
    """Bare `advance`, a run in memory with its metrics, a run in a folder, one after another in each round."""
    print("\nA compiled run of one seed, against the bare learner (1.00)\n")
    print("| environment | steps | seconds, bare | with metrics | in a folder |")
    print("|---|---|---|---|---|")
    for name in ("FrozenLake-v1", "Taxi-v4", "CliffWalking-v1"):
        options = {"env": name, "total_steps": 2 * 10**8, "alpha": 0.1, "epsilon": 0.1}
        qfix.train(**options | {"total_steps": 1_000})
        rows = [_round(options, home / f"{name}{r}") for r in range(5)]
        base = statistics.median(row[0] for row in rows)
        ratios = [statistics.median(row[k] / row[0] for row in rows) for k in (1, 2)]
        print(
            f"| {name} | {options['total_steps']:,} | {base:.2f} | {ratios[0]:.3f} | {ratios[1]:.3f} |",
            flush=True,
        )


def _round(options: dict, folder: Path) -> list[float]:
    def bare() -> None:
        trainer = qfix.train(**options | {"total_steps": 1}).trainer
        state = trainer.start()
        for _ in range(100):
            state, _ = trainer.advance(state, options["total_steps"] // 100)

    def in_memory() -> None:
        qfix.train(**options)

    def in_folder() -> None:
        qfix.train(**options, out=folder, eval_episodes=0)

    row = [timed(bare), timed(in_memory), timed(in_folder)]
    shutil.rmtree(folder)
    return row


def checkpoints(home: Path) -> None:
    """Share of the time of a run that goes into its checkpoints, at the default cadence; the last one apart."""
    print("\nCheckpoints at the default cadence\n")
    print("| table | seconds of training | checkpoints | seconds each | share |")
    print("|---|---|---|---|---|")
    spent: list[float] = []
    plain = Recorder.checkpoint

    def watched(self, *args, **options):
        begun = time.perf_counter()
        path = plain(self, *args, **options)
        spent.append(time.perf_counter() - begun)
        return path

    Recorder.checkpoint = watched
    cases = (
        (
            "Taxi-v4, 3,000 entries",
            lambda: qfix.train("Taxi-v4", total_steps=10**9, out=home / "taxi", eval_episodes=0),
        ),
        (
            "garnet, 1,000,000 entries",
            lambda: qfix.train(garnet(), total_steps=3 * 10**8, out=home / "garnet", eval_episodes=0),
        ),
    )
    for label, work in cases:
        spent.clear()
        taken = timed(work)
        during = spent[:-1]  # the last is written when the training is over
        each = statistics.median(spent)
        print(
            f"| {label} | {taken:.1f} | {len(spent)} | {each:.3f} | {sum(during) / taken:.2%} |", flush=True
        )
    Recorder.checkpoint = plain


def garnet():
    from qfix.envs.table_env import TableEnv

    return TableEnv(qfix.garnet(250_000, 4, 3, gamma=0.99, seed=0))


def load(home: Path) -> None:
    """Loading the run of a table of 10 million entries, checks included; and going on with it."""
    folder = home / "ring"
    qfix.train(Ring, out=folder, total_steps=20_000, eval_episodes=0)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    loads = [timed(lambda: qfix.load(folder, env=Ring)) for _ in range(ROUNDS)]
    run = qfix.load(folder, env=Ring)
    one_more = timed(lambda: run.advance(1))
    print("\nA table of 10 million entries\n")
    print("| in the folder | load, median | first | and one step more |")
    print("|---|---|---|---|")
    print(
        f"| {size / 1e6:.0f} MB | {statistics.median(loads):.2f} s | {loads[0]:.2f} s | {one_more:.3f} s |",
        flush=True,
    )


def compare(home: Path) -> None:
    """A hundred runs of ten seeds, from their folders."""
    folders = [home / f"run{i:03d}" for i in range(100)]
    for i, folder in enumerate(folders):
        seeds = [10 * i + k for k in range(10)]
        qfix.train("FrozenLake-v1", out=folder, seeds=seeds, total_steps=20_000, alpha=0.02 + 0.005 * i)
    seconds = [timed(lambda: qfix.compare(folders)) for _ in range(ROUNDS)]
    few = [timed(lambda: qfix.compare(folders[:3])) for _ in range(ROUNDS)]
    print("\nComparing runs of ten seeds, from their folders\n")
    print("| runs | pairs | seconds, median |")
    print("|---|---|---|")
    print(f"| 3 | 3 | {np.median(few):.3f} |")
    print(f"| 100 | 4,950 | {np.median(seconds):.2f} |", flush=True)


PARTS = {"overhead": overhead, "checkpoints": checkpoints, "load": load, "compare": compare}


def main() -> None:
    pin(0)
    for name in sys.argv[1:] or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            PARTS[name](Path(folder))


if __name__ == "__main__":
    main()
