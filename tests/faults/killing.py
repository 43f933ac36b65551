"""Runs that are killed and resumed until they are finished, and then held against the uninterrupted run.

    python tests/faults/killing.py FOLDER --kills 8 --seed 0

One process trains every case once, undisturbed, which also compiles; then it forks a child for every attempt, and
kills it. It is pinned to one core until it has forked, so that the library starts no thread in it: a fork takes
only the thread that forks along.

Two ways to choose the moment:

    at random    SIGKILL from outside, after a time drawn uniformly; the child writes a checkpoint every 10 ms
    by counting  SIGKILL from within, before the n-th call that changes files (open to write, write, fsync, rename, ...)
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sqlite3
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

import qfix
from qfix import loop
from qfix.envs.table_env import TableEnv
from qfix.runs import RunFolder, StoreReader, recorder
from qfix.runs.checkpoint import read_checkpoint

CHECKPOINT_SECONDS = 0.01


def large_world() -> gymnasium.Env[Any, Any]:
    """20,000 states at random: tables of 3 MB a seed."""
    return gymnasium.wrappers.TimeLimit(TableEnv(qfix.garnet(20_000, 4, 3, seed=1)), 50)


CASES: dict[str, dict[str, Any]] = {
    # a table in a model, a pair of seeds in one loop and one beside them: three threads' work
    "taxi": {
        "env": "Taxi",
        "algorithm": "q_learning",
        "seeds": 3,
        "total_steps": 3_000_000,
        "metrics_every": 5_000,
        "epsilon": 0.1,
    },
    # a state of megabytes: a kill falls into the writing of its file more often than not
    "large": {
        "env": large_world,
        "algorithm": "double_q_learning",
        "seeds": [7, 1],
        "total_steps": 400_000,
        "metrics_every": 20_000,
    },
    "traces": {
        "env": "CliffWalking",
        "algorithm": "watkins_q_lambda",
        "seeds": 2,
        "total_steps": 300_000,
        "metrics_every": 2_500,
        "alpha": 0.3,
    },
    "planner": {
        "env": "qfix/DynaMaze-v0",
        "algorithm": "prioritized_sweeping",
        "seeds": 2,
        "total_steps": 60_000,
        "metrics_every": 500,
    },
    # live environments: their episode is brought back by its seed and its actions
    "live": {
        "env": "FrozenLake",
        "algorithm": "sarsa",
        "seeds": 2,
        "driver": "live",
        "total_steps": 30_000,
        "metrics_every": 500,
    },
    "sparse": {
        "env": "Blackjack-v1",
        "algorithm": "monte_carlo",
        "seeds": 2,
        "store": "sparse",
        "total_steps": 20_000,
        "metrics_every": 400,
    },
    "tiles": {
        "env": "MountainCar",
        "algorithm": "sarsa_lambda",
        "seeds": 2,
        "total_steps": 15_000,
        "metrics_every": 250,
    },
    # diverges: NaN and infinity in the metrics, and alerts
    "diverging": {
        "env": "qfix/Baird-v0",
        "algorithm": "q_learning",
        "seeds": 1,
        "total_steps": 200_000,
        "metrics_every": 1_000,
    },
}


# What is done


def world_of(case: str) -> Any:
    """What `load` has to be given."""
    env = CASES[case]["env"]
    return env if callable(env) else None


def train(case: str, folder: Path, **more: Any) -> qfix.Run:
    options = {"workers": 1, "snapshot_episodes": (1, 5, 50), "eval_episodes": 20} | CASES[case] | more
    return qfix.train(out=folder, **options)


def attempt(
    case: str, folder: Path, often: bool = True, chunk: float = 0.002, between: float = CHECKPOINT_SECONDS
) -> None:
    """What a user does after a crash: train where there is nothing yet, else resume.

    `chunk` is in seconds of training, `between` in seconds from a checkpoint to the next.
    """
    more: dict[str, Any] = {"workers": CASES[case].get("workers", 1)}
    if often:
        more |= {"checkpoint_seconds": between}
        recorder.COST_SHARE = 1e9  # of time nothing is spared
        loop._CHUNK_SECONDS = chunk  # there is a checkpoint between any two chunks
    if (folder / "spec.json").exists():
        qfix.resume(folder, env=world_of(case), **more)
    else:
        train(case, folder, **more)


def is_finished(folder: Path) -> bool:
    if not (folder / "spec.json").exists():
        return False
    kept = RunFolder(folder)
    return kept.steps == kept.spec.total_steps and "optimal" in [
        e.policy for e in kept.store.evaluations()
    ] + ["optimal"] * (kept.spec.driver == "live")


# Killing


def in_child(work: Callable[[], None]) -> int:
    """Fork, and do some work in the child; returns its process id."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def killed_after(seconds: float, work: Callable[[], None]) -> bool:
    """Kill a child from outside; True if it had ended by itself."""
    child = in_child(work)
    until = time.perf_counter() + seconds
    while (left := until - time.perf_counter()) > 0:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return _ended(child, status)
        time.sleep(min(left, 0.005))
    os.kill(child, signal.SIGKILL)
    return _ended(child, os.waitpid(child, 0)[1])


def killed_at_call(n: int, work: Callable[[], None]) -> bool:
    """Have a child kill itself before its n-th call that changes files; True if it had ended before."""

    def counted() -> None:
        count_calls(n)
        work()

    child = in_child(counted)
    return _ended(child, os.waitpid(child, 0)[1])


def _ended(child: int, status: int) -> bool:
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if status:
        raise AssertionError(f"The child ended with {status}, not by being killed.")
    return True


def count_calls(n: int) -> None:
    """From now on, the n-th call that changes files is never made."""
    left = n

    def guarded(call: Callable[..., Any]) -> Callable[..., Any]:
        def guard(*given: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*given, **more)

        return guard

    for name in ("write", "fsync", "rename", "replace", "mkdir", "rmdir", "unlink", "open"):
        setattr(os, name, guarded(getattr(os, name)))
    sqlite3_connect = sqlite3.connect

    class Counted(sqlite3.Connection):
        execute = guarded(sqlite3.Connection.execute)
        executemany = guarded(sqlite3.Connection.executemany)

    sqlite3.connect = lambda *given, **more: sqlite3_connect(*given, factory=Counted, **more)  # type: ignore[assignment]


def half_written(folder: Path) -> bool:
    """Whether the writing of a checkpoint was cut short."""
    within = folder / "checkpoints"
    return within.is_dir() and any(name.startswith(".tmp-") for name in os.listdir(within))


# Holding one run against another


def rows(folder: Path, table: str) -> list[tuple[Any, ...]]:
    # where nobody writes there is no log beside the file, and in a read-only folder none could be made
    mode = "ro" if (folder / "metrics.db-wal").exists() else "ro&immutable=1"
    with sqlite3.connect(f"file:{folder / 'metrics.db'}?mode={mode}", uri=True) as link:
        found = link.execute(f"SELECT * FROM {table}").fetchall()
    link.close()
    return sorted(found, key=repr)


def differences(folder: Path, reference: Path, env: Any = None) -> Iterator[str]:
    """What is not the same, to the bit, in two runs: rows, episodes, arrays, and what `load` makes of them."""
    for table in ("metrics", "alerts", "snapshots", "evaluations"):
        if repr(rows(folder, table)) != repr(rows(reference, table)):
            yield f"the rows of {table}"
    one, other = StoreReader(folder / "metrics.db"), StoreReader(reference / "metrics.db")
    mine, its = one.all_episodes(), other.all_episodes()
    if mine.keys() != its.keys() or not all(
        same(a, b) for seed in its for a, b in zip(mine[seed], its[seed], strict=True)
    ):
        yield "the episodes"
    yield from differences_of_checkpoints(folder, reference)
    yield from differences_of_runs(qfix.load(folder, env), qfix.load(reference, env))
    spec, its_spec = (json.loads((f / "spec.json").read_text()) for f in (folder, reference))
    if spec != its_spec:
        yield "spec.json"


def differences_of_checkpoints(folder: Path, reference: Path) -> Iterator[str]:
    mine, its = read_checkpoint(folder), read_checkpoint(reference)
    for name in sorted(its.arrays.keys() | mine.arrays.keys()):
        if name not in mine.arrays or name not in its.arrays or not same(mine.arrays[name], its.arrays[name]):
            yield f"the array {name} of the checkpoint"
    for name in ("episodes", "score"):
        if mine.info[name] != its.info[name]:
            yield f"{name} in the checkpoint"


def differences_of_runs(run: qfix.Run, other: qfix.Run) -> Iterator[str]:
    for name in other.metric_names:
        if not all(same(a, b) for a, b in zip(run.metrics(name), other.metrics(name), strict=True)):
            yield f"the metric {name}"
    for what in ("returns", "lengths"):
        pairs = zip(getattr(run.episodes, what), getattr(other.episodes, what), strict=True)
        if not all(same(a, b) for a, b in pairs):
            yield f"the {what} of the run's episodes"
    if run.alerts != other.alerts:
        yield "the alerts of the run"
    if repr(run.snapshots) != repr(other.snapshots):
        yield "the snapshots of the run"
    if not same(np.asarray(run.q), np.asarray(other.q)):
        yield "the action values"


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal in kind and to the bit, NaN included."""
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


# The campaign


def reference(case: str, within: Path) -> tuple[Path, float]:
    """The uninterrupted run of a case, and the seconds it took once compiled."""
    folder = within / f"{case}-uninterrupted"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        qfix.train(
            **CASES[case] | {"total_steps": 1 + CASES[case]["metrics_every"]}, out=within / f"{case}-warm"
        )
        begun = time.perf_counter()
        train(case, folder)
    return folder, time.perf_counter() - begun


def campaign(case: str, within: Path, kills: int, rng: np.random.Generator) -> dict[str, int]:
    """Kill a case so many times at random, finishing it, and beginning it anew, as often as that takes."""
    told = {"killed": 0, "half-written": 0, "before the first checkpoint": 0, "runs": 0}
    honest, seconds = reference(case, within)
    longest = max(0.15, seconds / 4)
    while told["killed"] < kills:
        folder = within / f"{case}-{told['runs']}"
        while not is_finished(folder):
            enough = told["killed"] >= kills
            wait = 600.0 if enough else float(rng.uniform(0.0, longest))
            if killed_after(wait, partial(attempt, case, folder, not enough)):
                continue
            told["killed"] += 1
            told["half-written"] += half_written(folder)
            told["before the first checkpoint"] += not (folder / "checkpoints").exists()
        told["runs"] += 1
        wrong = list(differences(folder, honest, world_of(case)))
        if wrong:
            raise AssertionError(f"{case}: {folder} differs from {honest} in {', '.join(wrong)}.")
        shutil.rmtree(folder)
    return told


STEP_BY_STEP: dict[str, Any] = {
    "env": "qfix/Grid4x3-v0",
    "algorithm": "n_step_sarsa",
    "seeds": 2,
    "total_steps": 40,
    "metrics_every": 3,
}


def every_call(within: Path, stride: int) -> int:
    """Kill a short run, a checkpoint at nearly every step of it, before each of its calls that change files."""
    case = "step by step"
    CASES[case] = STEP_BY_STEP
    honest, _ = reference(case, within)
    n, killed = 1, 0
    while True:
        folder = within / f"call-{n}"
        if killed_at_call(n, partial(attempt, case, folder, chunk=1e-9, between=1e-9)):
            return killed
        killed += 1
        if not killed_after(600.0, partial(attempt, case, folder, often=False)):
            raise AssertionError("It has not ended in ten minutes.")
        wrong = list(differences(folder, honest))
        if wrong:
            raise AssertionError(f"Killed before call {n}, {folder} differs in {', '.join(wrong)}.")
        shutil.rmtree(folder)
        n += stride


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the runs are kept meanwhile")
    parser.add_argument("--kills", type=int, default=25, help="of each case")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--stride", type=int, default=1, help="kill before every call of so many; 0 for none")
    asked = parser.parse_args(words)
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    if asked.stride:
        begun = time.perf_counter()
        killed = every_call(asked.folder, asked.stride)
        print(f"step by step: killed {killed}, {time.perf_counter() - begun:.1f} s in all", flush=True)
    for case in filter(None, asked.cases.split(",")):
        begun = time.perf_counter()
        told = campaign(case, asked.folder, asked.kills, np.random.default_rng([asked.seed, len(case)]))
        said = ", ".join(f"{name} {n}" for name, n in told.items())
        print(f"{case}: {said}, {time.perf_counter() - begun:.1f} s in all", flush=True)


if __name__ == "__main__":
    main()
