"""Solving a slippery grid: qfix beside QuantEcon and SciPy, at the same certified error, in one process.

    python benchmarks/solve.py                          # 300 x 300, gamma 0.99, 1e-6
    python benchmarks/solve.py --size 300 --gamma 0.999
    python benchmarks/solve.py --large                  # a million states, with the peak of memory

One thread. Each method runs once to compile (shown as `first`), then --repeats times in turn with the others, so that
a slow spell of the machine meets all of them. QuantEcon certifies epsilon/2, so it is given epsilon = 2 tol.

The limit. A sweep reads S A K outcomes of 12 bytes (an int32 and a float64) and S A rewards of 8; at one fused
multiply-add a cycle it takes S A K cycles. `sweep` is one Jacobi sweep of ours, and `limit` what reading its bytes
would take at the rate a plain sum over as much memory reaches, in this process.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # before the libraries that read them

import numpy as np  # noqa: E402
import scipy.sparse as sp  # noqa: E402

import qfix.mdp  # noqa: E402
from qfix.mdp.layout import layout  # noqa: E402
from qfix.mdp.sweeps import optimality  # noqa: E402


def grid_arrays(n: int, goal: int) -> tuple[list[sp.csr_matrix], np.ndarray]:
    """n x n cells, 4 moves, a third each of going straight, left or right of it; entering the goal pays 1."""
    states = np.arange(n * n, dtype=np.int32)
    row, column = np.divmod(states, n)
    to = [
        np.clip(row + dr, 0, n - 1) * n + np.clip(column + dc, 0, n - 1)
        for dr, dc in ((-1, 0), (0, 1), (1, 0), (0, -1))
    ]
    p, r = [], np.zeros((n * n, 4))
    for a in range(4):
        m = sp.csr_matrix((n * n, n * n))
        for move in (a - 1, a, a + 1):
            third = (
                np.full(n * n, 1 / 3),
                to[move % 4].astype(np.int32),
                np.arange(n * n + 1, dtype=np.int32),
            )
            m = m + sp.csr_matrix(third, shape=m.shape)
        r[:, a] = np.asarray(m[:, [goal]].todense()).ravel()
        p.append(m)
    return p, r


def scipy_value_iteration(
    p: list[sp.csr_matrix], r: np.ndarray, gamma: float, goal: int, tol: float
) -> np.ndarray:
    stacked, v = sp.vstack(p).tocsr(), np.zeros(len(r))
    rewards = np.ascontiguousarray(r.T)
    while True:
        new = (rewards + gamma * (stacked @ v).reshape(rewards.shape)).max(axis=0)
        new[goal] = 0.0
        change = np.abs(new - v).max()
        v = new
        if change < tol * (1 - gamma) / gamma:
            return v


def quantecon_model(p: list[sp.csr_matrix], r: np.ndarray, gamma: float, goal: int) -> Any:
    from quantecon.markov import DiscreteDP

    n_states, n_actions = r.shape
    stay = sp.csr_matrix(([1.0], ([goal], [goal])), shape=p[0].shape)
    keep = sp.diags((np.arange(n_states) != goal).astype(float))
    rows = sp.vstack([keep @ m + stay for m in p]).tocsr()
    pair = (np.tile(np.arange(n_actions), n_states) * n_states) + np.repeat(np.arange(n_states), n_actions)
    rewards = r.copy()
    rewards[goal] = 0.0
    return DiscreteDP(
        rewards.ravel(), rows[pair], gamma, np.repeat(np.arange(n_states), n_actions),
        np.tile(np.arange(n_actions), n_states),
    )  # fmt: skip


def bytes_per_second(size: int) -> float:
    x = np.ones(size // 8)
    x.sum()
    times = []
    for _ in range(7):
        start = time.perf_counter()
        x.sum()
        times.append(time.perf_counter() - start)
    return size / statistics.median(times)


def small(options: argparse.Namespace) -> None:
    n, gamma, tol = options.size, options.gamma, options.tol
    goal = n * n - 1 if options.goal is None else options.goal
    p, r = grid_arrays(n, goal)
    start = time.perf_counter()
    mdp = qfix.mdp.FiniteMDP.from_arrays(p, r, gamma, terminal=[goal])
    print(f"{mdp}, built in {time.perf_counter() - start:.3f} s; certified error {tol:g}, one thread\n")
    runs: dict[str, Callable[[], np.ndarray]] = {}
    methods = ["auto", "modified_policy_iteration", "policy_iteration", "gauss_seidel", "value_iteration"]
    for method in methods if options.all else methods[:1]:
        runs[f"qfix {method}"] = lambda method=method: qfix.mdp.solve(mdp, method, tol=tol).v
    try:
        peer = quantecon_model(p, r, gamma, goal)
    except ImportError:
        print("QuantEcon is not installed: pip install quantecon\n")
    else:
        # its policy iteration factorises a matrix for every policy: minutes beyond 60 x 60
        peers = ["value_iteration", "modified_policy_iteration"] + (
            ["policy_iteration"] if options.all and n <= 60 else []
        )
        for method in peers:
            runs[f"quantecon {method}"] = lambda method=method: (
                peer.solve(method=method, epsilon=2 * tol, max_iter=1_000_000).v
            )
    runs["scipy value_iteration"] = lambda: scipy_value_iteration(p, r, gamma, goal, tol)
    first, times, found = {}, {name: [] for name in runs}, {}
    for name, run in runs.items():
        start = time.perf_counter()
        v = run()
        first[name] = time.perf_counter() - start
        found[name] = v
    for _ in range(options.repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    truth = qfix.mdp.solve(mdp, tol=1e-11).v
    best = statistics.median(times["qfix auto"])
    print(f"{'method':<38}{'first':>9}{'median':>10}{'ratio':>8}{'error':>10}")
    for name in runs:
        median = statistics.median(times[name])
        error = np.abs(found[name] - truth).max()
        print(f"{name:<38}{first[name]:>8.3f}s{median:>9.3f}s{median / best:>8.1f}{error:>10.1e}")
    t, v = layout(mdp), np.append(truth, 0.0)
    out, policy = np.zeros_like(v), np.zeros(mdp.n_states, np.int32)
    sweeps = []
    for _ in range(20):
        start = time.perf_counter()
        optimality(t, gamma, v, out, policy)
        sweeps.append(time.perf_counter() - start)
    size = t.next_state.nbytes + t.probability.nbytes + t.reward.nbytes
    sweep = statistics.median(sweeps)
    limit = size / bytes_per_second(size)
    print(
        f"\na sweep reads {size / 1e6:.1f} MB: {1e3 * sweep:.2f} ms; reading alone {1e3 * limit:.2f} ms",
        end="",
    )
    print(
        f"; {len(t.next_state) / sweep / 1e9:.2f} outcomes a nanosecond; the best run is {best / sweep:.0f} sweeps"
    )


def large(options: argparse.Namespace) -> None:
    print(f"{'model':<26}{'build':>8}{'solve':>9}{'bound':>10}{'inputs':>9}{'model':>9}{'peak RSS':>10}")
    for n, gamma in ((1000, 0.99), (1000, 0.999), (1000, 1.0), (300, 0.999)):
        command = [sys.executable, __file__, "--child", "--size", str(n), "--gamma", str(gamma)]
        subprocess.run([*command, "--tol", str(options.tol)], check=True)


def child(options: argparse.Namespace) -> None:
    n, gamma = options.size, options.gamma
    p, r = grid_arrays(n, n * n - 1)
    qfix.mdp.solve(qfix.mdp.FiniteMDP.from_arrays(*grid_arrays(60, 3599), gamma, terminal=[3599]))  # compile
    inputs = _now_megabytes()
    start = time.perf_counter()
    mdp = qfix.mdp.FiniteMDP.from_arrays(p, r, gamma, terminal=[n * n - 1])
    built = time.perf_counter() - start
    del p, r
    model = _now_megabytes()
    start = time.perf_counter()
    solution = qfix.mdp.solve(mdp, tol=options.tol)
    solved = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{n} x {n}, gamma {gamma:<9g}{built:>9.2f}s{solved:>8.2f}s{solution.bound:>10.1e}{inputs:>6.0f} MB"
        f"{model:>6.0f} MB{peak:>7.0f} MB"
    )


def _now_megabytes() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=300, help="cells along a side")
    parser.add_argument("--gamma", type=float, default=0.99)
    parser.add_argument("--tol", type=float, default=1e-6, help="certified sup-norm error")
    parser.add_argument("--goal", type=int, help="cell of the goal; by default the last")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--all", action="store_true", help="every method of both")
    parser.add_argument("--large", action="store_true", help="a million states, with the peak of memory")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
    elif options.large:
        large(options)
    else:
        small(options)


if __name__ == "__main__":
    main()
