"""Work shared out to the machine's cores by threads that stay: starting them takes longer than a short advance."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

T = TypeVar("T")


def usable_cores() -> int:
    """Cores this thread may run on: fewer than the machine has where it is pinned."""
    return len(_cores()) or os.cpu_count() or 1


def share_out(work: Callable[[T], None], items: Iterable[T], threads: int) -> None:
    """Do the work on every item, on so many threads, of which the caller is one.

    The caller takes items as the others do, so it never waits for a thread that has not woken up yet, and an
    advance within an advance cannot wait for itself.

    Raises:
        Exception: what the work raised on an item; by then no thread is at work any more.
    """
    waiting = deque(items)

    def drain() -> None:
        while waiting:
            try:
                item = waiting.popleft()
            except IndexError:  # another thread was faster
                return
            work(item)

    threads = min(threads, len(waiting))
    if threads <= 1:
        drain()
        return
    pool = _pool(os.getpid(), _cores(), threads - 1)
    others = [pool.submit(drain) for _ in range(threads - 1)]
    try:
        drain()
    finally:
        waiting.clear()
        begun = [other for other in others if not other.cancel()]
        faults = [other.exception() for other in begun]
    for fault in faults:
        if fault is not None:
            raise fault


def _cores() -> frozenset[int]:
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return frozenset(affinity(0)) if affinity is not None else frozenset()


@cache
def _pool(process: int, cores: frozenset[int], threads: int) -> ThreadPoolExecutor:
    """The threads of a process. A forked child has none of its parent's; each keeps the cores it was born to."""
    return ThreadPoolExecutor(threads, thread_name_prefix="qfix")
