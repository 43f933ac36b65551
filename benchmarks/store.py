"""The store of a run: rows a second, and whether a reader holds the writer up.

    python benchmarks/store.py [--rounds 5] [--rows 1_000_000]

Rows are the fifteen metrics of table learners, added and flushed as a run does, checks included. Contenders take turns
within a round; figures are medians over rounds. The limit is SQLite alone: one prepared statement, one transaction.

Flushes of 15,000 rows are timed one by one while nobody reads, while another connection holds a read transaction from
the first flush to the last (the log cannot be put into the file: it grows), and while another process asks for a whole
metric again and again. That process takes a core, and its memory, from nobody if the machine has two to spare.
"""

from __future__ import annotations

import argparse
import contextlib
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path

import numpy as np

from qfix.runs import schema
from qfix.runs.reader import StoreReader
from qfix.runs.store import MetricStore

NAMES = sorted(
    [
        "coverage",
        "episode_length",
        "episodes",
        "exploration_rate",
        "exploratory_share",
        "q_max",
        "q_mean",
        "q_min",
    ]
    + ["q_std", "return", "step_size", "td_error", "td_error_p05", "td_error_p50", "td_error_p95"]
)
READ_AGAIN = """
import sys
from qfix.runs.reader import StoreReader
reader = StoreReader(sys.argv[1])
print(flush=True)
while True:
    reader.metric("td_error")
"""


def rows_a_second(path: Path, seeds: int, rows: int) -> float:
    values = np.random.default_rng(1).standard_normal((len(NAMES), seeds))
    steps = rows // values.size
    with MetricStore(path) as store:
        begun = time.perf_counter()
        for step in range(steps):
            store.add_metrics(step, range(seeds), NAMES, values)
            if store.pending >= 50_000:
                store.flush()
        store.flush(durable=True)
        return steps * values.size / (time.perf_counter() - begun)


def sqlite_alone(path: Path, rows: int) -> float:
    path.write_bytes(schema.empty_database())
    values = np.random.default_rng(1).standard_normal(len(NAMES)).tolist()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as link:
        begun = time.perf_counter()
        link.execute("BEGIN")
        block = chain.from_iterable(
            zip(repeat(step), repeat(0), NAMES, values) for step in range(rows // len(NAMES))
        )
        link.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?)", block)
        link.execute("COMMIT")
        return rows / (time.perf_counter() - begun)


def rows_read_a_second(path: Path) -> float:
    reader = StoreReader(path)
    begun = time.perf_counter()
    found = sum(reader.metric(name).values.size for name in NAMES)
    return found / (time.perf_counter() - begun)


@contextlib.contextmanager
def nobody(path: Path) -> Iterator[None]:
    yield


@contextlib.contextmanager
def long_transaction(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as link:
        link.execute("BEGIN")
        link.execute("SELECT count(*) FROM metrics").fetchone()
        yield


@contextlib.contextmanager
def reading_again(path: Path) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", READ_AGAIN, path], stdout=subprocess.PIPE) as reader:
        reader.stdout.readline()
        yield
        reader.kill()


def flush_times(path: Path, beside, flushes: int = 60) -> list[float]:
    """Milliseconds of each flush of 15,000 rows."""
    values = np.random.default_rng(2).standard_normal((len(NAMES), 100))
    taken = []
    with MetricStore(path) as store:
        store.flush(durable=True)
        with beside(path):
            for flush in range(flushes):
                for step in range(10 * flush, 10 * flush + 10):
                    store.add_metrics(step, range(100), NAMES, values)
                begun = time.perf_counter()
                store.flush()
                taken.append(1e3 * (time.perf_counter() - begun))
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    speeds: dict[str, list[float]] = {}
    times: dict[str, list[list[float]]] = {}
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for seeds in (1, 10, 100):
                speed = rows_a_second(folder / f"{seeds}.db", seeds, given.rows)
                speeds.setdefault(f"written, {seeds} seeds", []).append(speed)
            speeds.setdefault("written, SQLite alone", []).append(
                sqlite_alone(folder / "sqlite.db", given.rows)
            )
            speeds.setdefault("read, 10 seeds", []).append(rows_read_a_second(folder / "10.db"))
            for beside in (nobody, long_transaction, reading_again):
                taken = flush_times(folder / f"{beside.__name__}.db", beside)
                times.setdefault(beside.__name__.replace("_", " "), []).append(taken)
    print(f"{'rows a second':28} {'median':>10} {'slowest round':>14}")
    for label, found in speeds.items():
        print(f"{label:28} {statistics.median(found):10,.0f} {min(found):14,.0f}")
    print(f"\n{'ms a flush of 15,000 rows':28} {'median':>10} {'90 %':>8} {'longest':>8}")
    for label, rounds in times.items():
        median, most, longest = (
            statistics.median(float(np.quantile(taken, q)) for taken in rounds) for q in (0.5, 0.9, 1.0)
        )
        print(f"{'read by ' + label:28} {median:10.1f} {most:8.1f} {longest:8.1f}")


if __name__ == "__main__":
    main()
