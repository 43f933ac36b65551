"""What a user waits for before anything is learned: the command line, kernels from disk, kernels compiled.

    python benchmarks/startup.py [--rounds 5]

Each figure is the median of whole commands, in seconds. `first` starts from an empty folder of compiled code.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds(words: list[str], folder: Path, cache: Path) -> float:
    begun = time.perf_counter()
    program = [sys.executable, "-m", "qfix", *words]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    subprocess.run(program, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    train = ["train", "FrozenLake-v1"]
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name), Path(name) / "compiled"
        seconds(["--help"], folder, cache)
        shown = [seconds(["--help"], folder, cache) for _ in range(rounds)]
        first = []
        for _ in range(rounds):
            shutil.rmtree(cache, ignore_errors=True)
            first.append(seconds(train, folder, cache))
        cached = [seconds(train, folder, cache) for _ in range(rounds)]
    for label, taken in (("qfix --help", shown), (" ".join(train), cached), ("the same, first", first)):
        print(f"{label:24} {statistics.median(taken):6.2f} s")


if __name__ == "__main__":
    main()
