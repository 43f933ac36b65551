"""The folder of a run, to be read: what was run and what has happened, without making an environment or a learner."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from qfix.errors import FolderError
from qfix.runs.checkpoint import list_checkpoints
from qfix.runs.lock import is_locked
from qfix.runs.reader import Evaluation, StoreReader
from qfix.runs.spec import SPEC, STORE, RunSpec

ENDINGS = ("finished", "interrupted", "failed")


class RunFolder:
    """What is kept of a run; also of one whose checkpoints are lost, or that another process is writing.

    Attributes:
        path: the folder.
        spec: what is run.
        store: metrics, episodes, evaluations, alerts, events.

    Raises:
        FolderError: there is no run in the folder, or it is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise FolderError(f"There is no folder {self.path}. `qfix list runs` shows the runs there are.")
        if not (self.path / SPEC).exists():
            raise FolderError(f"{self.path} is not the folder of a run: it has no {SPEC}.")
        self.spec = RunSpec.load(self.path)

    @cached_property
    def store(self) -> StoreReader:
        """Metrics, episodes, evaluations, alerts, events."""
        return StoreReader(self.path / STORE)

    @property
    def status(self) -> str:
        """running, finished, interrupted or failed; killed where nobody writes and nothing says how it ended."""
        if is_locked(self.path):
            return "running"
        if not os.path.lexists(self.path / STORE) and not self.steps:
            return "killed"  # between its first two files
        told = [event.kind for event in self.store.events() if event.kind in (*ENDINGS, "started", "resumed")]
        return told[-1] if told and told[-1] in ENDINGS else "killed"

    @property
    def steps(self) -> int:
        """Steps of each seed at the last checkpoint; 0 before the first."""
        return max(list_checkpoints(self.path), default=0)

    @property
    def lost_checkpoints(self) -> bool:
        """Whether there were checkpoints of it, and none is left."""
        if list_checkpoints(self.path):
            return False
        return any(event.kind == "checkpoint" and event.step > 0 for event in self.store.events())

    def failures(self) -> dict[int, str]:
        """What ended the training of a seed, by seed; not what a resume from before it has undone."""
        found: dict[int, tuple[int, str]] = {}
        for event in self.store.events():
            if event.kind == "resumed":
                found = {seed: told for seed, told in found.items() if told[0] <= event.step}
                if len(found) == len(self.spec.seeds):
                    found = {}  # where all had failed, all are tried again
            elif event.kind == "seed_failed":
                seed, _, said = event.message.removeprefix("seed ").partition(": ")
                if seed.isdecimal():
                    found[int(seed)] = event.step, said
        return {seed: said for seed, (_, said) in found.items()}

    def evaluations(self, policy: str = "greedy") -> dict[int, Evaluation]:
        """The latest evaluation of each seed under a policy: greedy, exploratory, untrained, random or optimal."""
        return {found.seed: found for found in self.store.evaluations() if found.policy == policy}

    def __repr__(self) -> str:
        spec = self.spec
        return f"RunFolder({str(self.path)!r}, {spec.algorithm} on {spec.env}, {len(spec.seeds)} seeds, {self.status})"


def find_runs(folder: str | Path) -> list[Path]:
    """The folders of runs below a folder, three levels deep, in the order of their names."""
    root = Path(folder)
    found = []
    level = [root]
    for _ in range(4):
        found += [path for path in level if (path / SPEC).is_file()]
        below = [path for path in level if path not in found]
        level = sorted(p for path in below for p in _folders(path))
    return sorted(found)


def _folders(path: Path) -> list[Path]:
    try:
        return [p for p in path.iterdir() if p.is_dir() and not p.is_symlink()]
    except OSError:
        return []
