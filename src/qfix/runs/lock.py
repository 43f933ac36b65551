"""One writer a run.

The lock is the kernel's (`flock` on the file `lock` of the folder), so it ends with the process that holds it,
however that ends, and no file that is left behind can hold anybody up. The text in the file, process and host, is for
the message only and decides nothing.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import socket
import stat
import sys
import time
import weakref
from pathlib import Path
from types import TracebackType

from qfix.errors import FolderError, LockedError
from qfix.runs.files import folder_error, open_regular

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = "lock"
_PATIENCE_SECONDS = 0.3  # a reader that asks whether a run is locked holds the lock for a moment
_FAR = 1 << 30  # Windows: the byte that is locked, where no text is, so that the text can be read
_BUSY = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)


class RunLock:
    """The right to write a run, while it is held.

    Held by the object: another thread or another object of the same process is another writer. A child that a fork
    makes does not have it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / LOCK
        self._file: io.FileIO | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._file is not None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            LockedError: another process, thread or object is writing the run.
            FolderError: the folder is not there or cannot be written, or cannot be locked.
        """
        if self.held:
            raise LockedError(f"This RunLock holds {self.path} already. Release it first.")
        file = self._open()
        descriptor = file.fileno()
        try:
            until = time.monotonic() + _PATIENCE_SECONDS
            while not _try_lock(descriptor, self.path):
                if time.monotonic() >= until:
                    raise LockedError(
                        f"The run in {self.path.parent} is being written by {_writer(descriptor)}. "
                        f"Wait until it ends, or stop it (Ctrl-C): it will save what it has."
                    )
                time.sleep(0.02)
            with contextlib.suppress(OSError):  # a full disk: the text is only for messages
                file.truncate(0)
                file.seek(0)
                file.write(f"{os.getpid()} {socket.gethostname()}\n".encode())
        except BaseException:
            file.close()
            raise
        self._file = file
        _held.add(self)

    def release(self) -> None:
        """Give the lock back; nothing happens if it is not held."""
        file, self._file = self._file, None
        _held.discard(self)
        if file is not None:
            with contextlib.suppress(OSError):
                file.truncate(0)
            file.close()

    def __enter__(self) -> RunLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _open(self) -> io.FileIO:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            descriptor = os.open(self.path, flags, 0o666)
        except OSError as fault:
            raise folder_error("lock", self.path, fault) from fault
        file = io.FileIO(descriptor, "r+")
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            file.close()
            raise FolderError(f"{self.path} is not a file of this run alone. Remove it: it is only the lock.")
        return file


def is_locked(folder: str | Path) -> bool:
    """Whether somebody is writing the run, without getting in the way.

    Raises:
        FolderError: the lock of the folder is no file, or cannot be read.
    """
    path = Path(folder) / LOCK
    if not os.path.lexists(path):
        return False
    descriptor, _ = open_regular(folder, LOCK)
    try:
        return not _try_lock(descriptor, path, shared=True)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, path: Path, shared: bool = False) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as fault:
        if fault.errno in _BUSY:
            return False
        raise folder_error("lock", path, fault) from fault
    return True


def _writer(descriptor: int) -> str:
    """Who holds the lock, as far as the text of the file can be believed."""
    with contextlib.suppress(OSError):
        os.lseek(descriptor, 0, os.SEEK_SET)
        text = os.read(descriptor, 300)
        if found := re.fullmatch(rb"(\d{1,10}) ([\w.-]{1,255})\n", text):
            number, host = found[1].decode(), found[2].decode()
            here = " (this very process)" if int(number) == os.getpid() else ""
            return f"process {number}{here} on {host}"
    return "another process"


_held: weakref.WeakSet[RunLock] = weakref.WeakSet()


def _forget_after_fork() -> None:
    """A child shares its parent's lock: were it to keep it open, the lock would outlive a parent that is killed."""
    for lock in list(_held):
        file, lock._file = lock._file, None
        if file is not None:
            file.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
