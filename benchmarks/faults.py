"""What a run survives: the long campaigns of tests/faults.

    python benchmarks/faults.py [--kills 26] [--folders 10000] [--seed 1]

Runs of eight kinds are killed with SIGKILL at random moments and resumed until they are finished, and a short one
is killed before each of its calls that change files; each must equal the run that nobody killed, to the bit. Then
folders of twelve kinds are mutated and opened. `tests/faults/killing.py` and `hostile.py` say how, and repeat one case.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

FAULTS = Path(__file__).parent.parent / "tests" / "faults"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=26, help="of each kind")
    parser.add_argument("--folders", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    worst = 0
    for script, words in (
        ("killing.py", ["--kills", str(asked.kills)]),
        ("hostile.py", ["--cases", str(asked.folders)]),
    ):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, str(FAULTS / script), folder, "--seed", str(asked.seed), *words]
            worst = max(worst, subprocess.run(command, check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
