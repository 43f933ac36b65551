"""The writing side of a run's folder: rows as they come, a checkpoint now and then, one writer at a time.

The order makes a run that is killed at any moment whole again: first all rows up to a step are on the disk, then the
checkpoint of that step is published. Resuming removes the rows after the checkpoint it starts from, and the training
makes the same ones again.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from qfix.errors import FolderError, LockedError, option_error
from qfix.runs.checkpoint import list_checkpoints, remove_checkpoints_after, write_checkpoint
from qfix.runs.files import TEMPORARY, fsync_folder, remove_leftovers
from qfix.runs.lock import LOCK, RunLock
from qfix.runs.spec import SPEC, STORE, RunSpec
from qfix.runs.store import MetricStore

FLUSH_SECONDS = 0.5
CHECKPOINT_SECONDS = 10.0
COST_SHARE = 0.01  # of the time since the last checkpoint that writing one may take; half of what is promised


class Recorder:
    """Writes a run's folder. Holds its lock from the first moment to `close`.

    Args:
        folder: of the run; locked by the caller, who gives the lock away.
        lock: held.
        checkpoint_seconds: time between two checkpoints; longer where a checkpoint takes long, so that writing them
            takes no more than 1 % of the time.
    """

    def __init__(self, folder: Path, lock: RunLock, checkpoint_seconds: float = CHECKPOINT_SECONDS) -> None:
        self.folder = folder
        self._lock = lock
        self._seconds = checkpoint_seconds
        self._wait = checkpoint_seconds
        self._flushed = self._checkpointed = time.perf_counter()
        remove_leftovers(folder)
        self.trouble: FolderError | None = None  # what the disk said last, while it refuses to take more
        try:
            self.store = MetricStore(folder / STORE)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def create(
        cls, folder: str | Path, spec: RunSpec, checkpoint_seconds: float = CHECKPOINT_SECONDS
    ) -> Recorder:
        """Begin the folder of a new run.

        Raises:
            OptionError: the folder holds something already, or cannot be written.
            LockedError: another process has just begun a run there.
        """
        path = _claim_folder(folder)
        lock = RunLock(path)
        lock.acquire()
        try:
            if (path / SPEC).exists():
                raise LockedError(f"Another process has just begun a run in {path}. Choose another folder.")
            spec.save(path)
            fsync_folder(path.absolute().parent)
        except BaseException:
            lock.release()
            raise
        recorder = cls(path, lock, checkpoint_seconds)
        with recorder._closed_on_error():
            recorder.event(0, "started", f"{spec.algorithm} on {spec.env}, {len(spec.seeds)} seeds")
            recorder.store.flush(durable=True)
        return recorder

    @classmethod
    def reopen(
        cls,
        folder: str | Path,
        step: int,
        episodes: Mapping[int, int],
        seen: Sequence[int],
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
    ) -> Recorder:
        """Go on with the folder of a run from one of its checkpoints; what was recorded after it is removed.

        Args:
            folder: of the run.
            step: of the checkpoint that was read; 0 where the run has none.
            episodes: of each seed up to there.
            seen: steps of the checkpoints that were there when it was read.
            checkpoint_seconds: time between two checkpoints.

        Raises:
            LockedError: another process writes the run, or has written it since the checkpoint was read.
        """
        path = Path(folder)
        lock = RunLock(path)
        lock.acquire()
        try:
            if list_checkpoints(path) != list(seen):
                raise LockedError(f"The run in {path} has gone on since it was loaded. Load it again.")
            left = remove_checkpoints_after(path, step)  # before the rows they rely on
        except BaseException:
            lock.release()
            raise
        recorder = cls(path, lock, checkpoint_seconds)
        with recorder._closed_on_error():
            recorder.store.rollback(step, dict(episodes))
            if left:
                recorder.event(step, "rolled_back", f"checkpoints after it were given up: {left}")
        return recorder

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with suppress(FolderError):
                self.close()
            raise

    @staticmethod
    @contextmanager
    def addition(folder: str | Path) -> Iterator[MetricStore]:
        """The store of a run that nobody is training, to add rows to it.

        Raises:
            LockedError: another process is writing the run.
        """
        with RunLock(folder), MetricStore(Path(folder) / STORE) as store:
            yield store

    # Rows; see MetricStore

    def event(self, step: int, kind: str, message: str = "") -> None:
        """Note what happens to the run itself."""
        self.store.add_event(step, kind, message)

    # Time

    def tend(
        self, step: int, pack: Callable[[], dict[str, np.ndarray]], info: Callable[[], dict[str, Any]]
    ) -> None:
        """Write what is due. A disk that refuses is noted in `trouble` and asked again later: training goes on."""
        now = time.perf_counter()
        if now - self._checkpointed >= self._wait:
            self._try(lambda: self.checkpoint(step, pack(), info(), begun=now))
        elif now - self._flushed >= FLUSH_SECONDS:
            self._try(self.store.flush)
            self._flushed = time.perf_counter()

    def _try(self, write: Callable[[], Any]) -> None:
        try:
            write()
            self.trouble = None
        except FolderError as fault:
            self.trouble = fault
            self._checkpointed = self._flushed = time.perf_counter()

    def checkpoint(
        self, step: int, arrays: Mapping[str, np.ndarray], info: dict[str, Any], begun: float | None = None
    ) -> Path:
        """Publish a checkpoint, with every row up to its step on the disk before.

        Args:
            step: environment steps of each seed.
            arrays: of the state.
            info: what is said beside them.
            begun: when the work for it began, by `time.perf_counter`, if that was before: packing counts too.

        Raises:
            FolderError: the disk refuses; what was there before is intact, and the rows are still in memory.
        """
        begun = time.perf_counter() if begun is None else begun
        self.store.flush(durable=True)
        path = write_checkpoint(self.folder, step, dict(arrays), info)
        self.event(step, "checkpoint")  # not before: who finds this and no checkpoint has lost one
        self._checkpointed = self._flushed = time.perf_counter()
        self._wait = max(self._seconds, (self._checkpointed - begun) / COST_SHARE)
        return path

    def close(self) -> None:
        """Write the last rows and let others write."""
        try:
            self.store.close()
        finally:
            self._lock.release()


def _claim_folder(folder: str | Path) -> Path:
    """Make the folder of a run, so that a bad name is known before any work.

    Raises:
        OptionError: the folder holds something already, or cannot be written.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        # a writer that was killed at its very first file leaves that, and the lock, behind
        taken = any(name != LOCK and not name.startswith(TEMPORARY) for name in os.listdir(path))
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as fault:
        rule = f"must be a folder that can be written ({fault.strerror})"
        remedy = "Use another folder, or out=None to keep the run in memory."
        raise option_error("train", "out", rule, str(path), remedy) from fault
    if taken:
        if (path / SPEC).exists():
            rule = "must be a new or an empty folder; this one holds a run"
            remedy = f"Go on with it (`qfix resume {path}`), or choose another name."
        else:
            rule = "must be a new or an empty folder; this one holds something already"
            remedy = "Choose another name, or remove the folder."
        raise option_error("train", "out", rule, str(path), remedy)
    return path
