"""The memory of a learner on the host: what it takes, and whether that is in memory or in a file.

A step takes both of its observations, so 56 kB where an observation is 4 frames of 84 x 84. Where the environment says
that its observations are stacks of frames (Gymnasium's FrameStackObservation around everything else that changes them)
each frame is kept once, and that is 7 kB.

A memory in a file is the same to the bit. The file has no name any more once it is open, so that nothing is left of it
whatever stops the process; it lies in TMPDIR if that is set, else in /var/tmp. All of it is reserved at once: a disk
that is full later would end the process without a word.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

import gymnasium

from qfix.deep.data import Replay
from qfix.deep.observations import Input
from qfix.envs.make import TRANSPARENT
from qfix.errors import option_error
from qfix.replay.batch import rows_for
from qfix.replay.host import HostReplay

Where = Literal["auto", "ram", "disk"]

COMFORTABLE = 0.5  # of the memory that is available, up to which "auto" keeps steps there


def stacked_frames(env: gymnasium.Env[Any, Any], given: Input) -> int | None:
    """k, where observations are images that an environment is known to stack of k frames, on the first axis."""
    while isinstance(env, gymnasium.Wrapper) and type(env).__name__ in TRANSPARENT:
        env = env.env
    if not isinstance(env, gymnasium.wrappers.FrameStackObservation) or given.kind != "image":
        return None
    k = int(env.stack_size)
    return k if env.padding_type == "reset" and k <= 255 and given.shape[0] == k else None


class HostMemory:
    """Makes the memories of the seeds of a run.

    Args:
        owner: the algorithm, for messages.
        data: how many steps, and how they are drawn.
        where: "ram", "disk", or "auto": in a file where all seeds together would take more than half of the memory that
            is available.
        n_envs: N.
        n_seeds: memories that are held at the same time.
        given: what observations are.
        frame_stack: of `stacked_frames`.
        n_actions: to keep masks of actions; None keeps none.
        action_size: of actions that are arrays; None where they are numbered.
        gamma: discount of a step.

    Attributes:
        nbytes: what the memory of one seed takes when it is full, final frames of episodes aside.
        on_disk: whether it is in a file.
    """

    def __init__(
        self,
        owner: str,
        data: Replay,
        where: Where,
        n_envs: int,
        n_seeds: int,
        given: Input,
        frame_stack: int | None,
        n_actions: int | None,
        action_size: int | None,
        gamma: float,
    ) -> None:
        self._owner, self._data, self._n_envs = owner, data, n_envs
        self._given, self._frame_stack = given, frame_stack
        self._n_actions, self._gamma = n_actions, gamma
        self._action_size = action_size
        self._n_state = 0 if data.sequence is None else data.sequence.n_state
        rows = rows_for(data.capacity, n_envs)
        one = math.prod(given.shape) * given.dtype.itemsize
        if frame_stack is None:
            self._observation_bytes = 2 * one * rows * n_envs
        else:
            self._observation_bytes = one // frame_stack * (rows + frame_stack - 1) * n_envs
        beside = 12 + (5 if frame_stack else 0) + (n_actions or 0) + (9 if data.priority_exponent else 0)
        beside += 4 * (self._n_state + (action_size or 0))
        self.nbytes = self._observation_bytes + beside * rows * n_envs
        fits = self.nbytes * n_seeds <= COMFORTABLE * available_bytes()
        self.on_disk = where == "disk" or (where == "auto" and not fits)

    def __call__(self) -> HostReplay:
        """An empty one.

        Raises:
            OptionError: there is not enough space on the disk.
        """
        if not self.on_disk:
            return self._made(None)
        parent = _disk_folder()
        if shutil.disk_usage(parent).free < self._observation_bytes:
            raise self._full(parent)
        folder = Path(tempfile.mkdtemp(prefix="qfix-memory-", dir=parent))
        try:
            made = self._made(folder)
            for file in folder.iterdir():
                _reserve(file)
        except OSError as fault:
            raise self._full(parent) from fault
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return made

    def _made(self, folder: Path | None) -> HostReplay:
        given, data, stack = self._given, self._data, self._frame_stack
        return HostReplay(
            data.capacity,
            self._n_envs,
            (given.shape, given.dtype),
            data.n_step,
            self._gamma,
            data.priority_exponent,
            self._n_actions,
            folder,
            stack,
            frames_first=stack is not None,
            sequence=data.rows,
            n_state=self._n_state,
            action_size=self._action_size,
        )

    def _full(self, parent: Path) -> Exception:
        rule = f"of this size needs {self._observation_bytes / 1e9:.1f} GB of disk in {parent}, more than there are"
        remedy = "Remember fewer steps, or set TMPDIR to a folder on a larger disk."
        return option_error(self._owner, "buffer_size", rule, self._data.capacity, remedy)

    def __repr__(self) -> str:
        where = "in a file" if self.on_disk else "in memory"
        kept = "each frame once" if self._frame_stack else "both observations of each"
        return f"{self._data.capacity:,} steps, {kept}: {bytes_text(self.nbytes)} {where}"


def bytes_text(n: float) -> str:
    """A size to be read.

    >>> bytes_text(7_090_000_000)
    '7.09 GB'
    """
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n:.0f} bytes"


def available_bytes() -> float:
    """Memory that this process may still take; infinite where the system does not say."""
    found = [_available_of_machine(), _available_of_group()]
    return min(found)


def _available_of_machine() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        pass
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return math.inf


def _available_of_group() -> float:
    """What a container leaves."""
    folder = Path("/sys/fs/cgroup")
    try:
        return float((folder / "memory.max").read_text()) - float((folder / "memory.current").read_text())
    except (OSError, ValueError):  # there is none, or it says "max"
        return math.inf


def _disk_folder() -> Path:
    """Where large temporary files go: /tmp is in memory on many systems."""
    usual = Path("/var/tmp")
    if "TMPDIR" not in os.environ and usual.is_dir() and os.access(usual, os.W_OK):
        return usual
    return Path(tempfile.gettempdir())


def _reserve(file: Path) -> None:
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, max(1, file.stat().st_size))
