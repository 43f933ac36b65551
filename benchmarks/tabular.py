"""Learning tables: qfix beside the same loop in plain C and beside a plain Python loop over Gymnasium.

    python benchmarks/tabular.py [--rounds 7] [--steps 20_000_000]

Every round runs each contender once, one after the other, pinned to one core (eight seeds: two cores); the
figure is the median over rounds of the ratio within a round, so that a machine that slows down for a while
slows all of them. Compilation is not in the figures: for that see startup.py.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gymnasium
import numpy as np

from qfix.mdp import FiniteMDP
from qfix.tabular.q_learning import Config
from qfix.tabular.trainer import TabularTrainer

LIMIT = 100
WORLDS = {
    "FrozenLake 8x8": ("FrozenLake-v1", {"map_name": "8x8"}),
    "CliffWalking": ("CliffWalking-v1", {}),
    "Taxi": ("Taxi-v4", {}),
}


def pin(*cores: int) -> None:
    os.sched_setaffinity(0, cores)


def compiled_c(folder: Path) -> Path:
    program = folder / "q_learning"
    source = Path(__file__).with_name("q_learning.c")
    subprocess.run(["gcc", "-O3", "-march=native", "-o", program, source], check=True)
    return program


def dumped(env: gymnasium.Env, path: Path) -> None:
    table = env.unwrapped.P
    width = max(len(table[s][a]) for s in table for a in table[s])
    start = int(np.argmax(env.unwrapped.initial_state_distrib))
    lines = [f"{len(table)} {len(table[0])} {width} {start} {LIMIT}"]
    for s in range(len(table)):
        for a in range(len(table[s])):
            outcomes, total = table[s][a], 0.0
            for k in range(width):
                if k < len(outcomes):
                    p, s_next, reward, terminated = outcomes[k]
                    total += p
                last = k >= len(outcomes) - 1
                lines.append(f"{1.0 if last else total} {s_next} {reward} {int(terminated)}")
    path.write_text("\n".join(lines))


def trainer(name: str, kwargs: dict, seeds: int, driver: str = "compiled") -> TabularTrainer:
    env = gymnasium.make(name, **kwargs)
    model = FiniteMDP.from_env(env, 0.95, max_episode_steps=LIMIT)
    config = Config(gamma=0.95, alpha=0.1, epsilon=0.1)
    make = lambda: gymnasium.make(name, **kwargs)  # noqa: E731
    return TabularTrainer(config, env, make, model, range(seeds), driver)


def ns_a_step(learner: TabularTrainer, steps: int) -> float:
    state = learner.start()
    state, _ = learner.advance(state, 1000)
    begun = time.perf_counter()
    learner.advance(state, steps)
    return 1e9 * (time.perf_counter() - begun) / (steps * len(learner.seeds))


def python_loop(name: str, kwargs: dict, steps: int) -> float:
    """Q-learning as tutorials have it: a NumPy table and Gymnasium."""
    env = gymnasium.make(name, **kwargs)
    rng = np.random.default_rng(0)
    q = np.zeros((env.observation_space.n, env.action_space.n))
    s, _ = env.reset(seed=0)
    begun = time.perf_counter()
    for _ in range(steps):
        a = env.action_space.sample() if rng.random() < 0.1 else int(np.argmax(q[s]))
        s_next, reward, terminated, truncated, _ = env.step(a)
        target = reward + 0.95 * (1 - terminated) * np.max(q[s_next])
        q[s, a] += 0.1 * (target - q[s, a])
        s = s_next
        if terminated or truncated:
            s, _ = env.reset()
    return 1e9 * (time.perf_counter() - begun) / steps


def bare_loop(name: str, kwargs: dict, steps: int, drawn: bool) -> float:
    """Stepping alone, with random actions: sampled from the action space, or drawn beforehand."""
    env = gymnasium.make(name, **kwargs)
    actions = np.random.default_rng(0).integers(env.action_space.n, size=steps).tolist()
    env.action_space.seed(0)
    env.reset(seed=0)
    sample = env.action_space.sample
    begun = time.perf_counter()
    for i in range(steps):
        _, _, terminated, truncated, _ = env.step(actions[i] if drawn else sample())
        if terminated or truncated:
            env.reset()
    return 1e9 * (time.perf_counter() - begun) / steps


def median(values: list[float]) -> float:
    return statistics.median(values)


def compiled_table(rounds: int, steps: int, folder: Path) -> None:
    program = compiled_c(folder)
    print(
        f"{'compiled stepping':16} {'C ns':>7} {'qfix ns':>8} {'1 seed / C':>11} {'8 seeds / C':>12} {'/ Python':>9}"
    )
    for label, (name, kwargs) in WORLDS.items():
        path = folder / "table.txt"
        dumped(gymnasium.make(name, **kwargs), path)
        one, eight = trainer(name, kwargs, 1), trainer(name, kwargs, 8)
        ns_a_step(one, 1000), ns_a_step(eight, 1000)
        c, mine, many, python = [], [], [], []
        for _ in range(rounds):
            pin(1)
            out = subprocess.run([program, path, str(steps)], check=True, capture_output=True, text=True)
            c.append(float(out.stdout.split()[0]))
            mine.append(ns_a_step(one, steps))
            python.append(python_loop(name, kwargs, 20_000))
            pin(0, 1)
            many.append(ns_a_step(eight, steps // 4))
        single = median([x / y for x, y in zip(c, mine)])
        total = median([x / y for x, y in zip(c, many)])
        against = median([x / y for x, y in zip(python, mine)])
        print(
            f"{label:16} {median(c):7.2f} {median(mine):8.2f} {single:11.2f} {total:12.2f} {against:9.0f}",
            flush=True,
        )


def live_table(rounds: int) -> None:
    steps = 50_000
    print(
        f"\n{'live stepping':16} {'sampled ns':>11} {'drawn ns':>9} {'qfix ns':>8} {'/ sampled':>10} {'/ drawn':>8}"
    )
    pin(1)
    for label, (name, kwargs) in {"FrozenLake 4x4": ("FrozenLake-v1", {}), **WORLDS}.items():
        live = trainer(name, kwargs, 1, "live")
        ns_a_step(live, 1000)
        sampled, drawn, mine = [], [], []
        for _ in range(rounds):
            sampled.append(bare_loop(name, kwargs, steps, False))
            drawn.append(bare_loop(name, kwargs, steps, True))
            mine.append(ns_a_step(live, steps))
        a = median([x / y for x, y in zip(mine, sampled)])
        b = median([x / y for x, y in zip(mine, drawn)])
        print(
            f"{label:16} {median(sampled):11.0f} {median(drawn):9.0f} {median(mine):8.0f} {a:10.2f} {b:8.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20_000_000)
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("two cores are needed")
    with tempfile.TemporaryDirectory() as folder:
        compiled_table(options.rounds, options.steps, Path(folder))
    live_table(options.rounds)


if __name__ == "__main__":
    main()
