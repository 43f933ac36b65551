"""Kernels that are kept on disk, put there by one process at a time."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numba

if sys.platform != "win32":
    import fcntl

LOCK = "qfix.lock"  # in the folders of compiled code


def cached(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile a kernel when it is first called, or fetch it from disk; a decorator, with or without options.

    Args:
        function: the kernel.
        options: of `numba.njit`.
    """
    if function is None:
        return partial(cached, **options)
    try:
        return saved_alone(numba.njit(cache=True, **options)(function))
    except RuntimeError:  # no folder for the cache can be written
        return numba.njit(**options)(function)


def saved_alone(loop: Any) -> Any:
    """A kernel that is put on disk by one process at a time.

    Numba picks the name of a new entry from the index it has read. Two processes that add different signatures of a
    function at once pick the same name, and one signature then finds the code of the other.
    """
    cache = loop._cache
    save = cache.save_overload

    def save_alone(*entry: Any) -> None:
        with _locked(cache.cache_path):
            save(*entry)

    cache.save_overload = save_alone
    return loop


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Alone among all processes; where a system has no such locks, or the folder takes none, as it is."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            os.makedirs(folder, exist_ok=True)
            file = stack.enter_context(open(os.path.join(folder, LOCK), "a"))
            if sys.platform != "win32":
                fcntl.flock(file, fcntl.LOCK_EX)  # ends with the file, and with the process
        yield
