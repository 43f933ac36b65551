"""Other processes, as their parent starts and ends them."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any

from qfix.workers import worker
from qfix.workers.worker import Build

GOODBYE_SECONDS = 3.0  # in which a process that is not needed any more ends by itself

_script = threading.Lock()


def start_process(target: Callable[[Connection, Any], None]) -> tuple[Connection, Any, Any]:
    """A process that runs target(line, beat); this end of the line, the process and the beat.

    It does not import the script that is running here, as Python would have it: a script that trains a run without
    `if __name__ == "__main__"` would train it in every process.
    """
    context = _context()
    mine, theirs = context.Pipe()
    beat = context.RawValue("Q", 0)
    process = context.Process(target=target, args=(theirs, beat))
    try:
        with without_script():
            process.start()
    finally:
        theirs.close()
    return mine, process, beat


def _context() -> Any:
    known = multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("forkserver" if "forkserver" in known else "spawn")


def preload(build: Build) -> None:
    """Have the server of forks import what every worker needs; in vain if it has been started already."""
    context = _context()
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload([worker.__name__, *build.modules])


@contextmanager
def without_script() -> Iterator[None]:
    """With an empty module in place of the script that is running, so that what is sent elsewhere cannot need it."""
    with _script:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def end_process(process: Any, patience: float = GOODBYE_SECONDS) -> None:
    """Wait for its end for so many seconds, and then kill it."""
    process.join(patience)
    if process.is_alive():
        process.kill()  # it does not listen to a friendlier signal
        process.join()
    process.close()


def ending(code: int | None) -> str:
    """How a process ended, by its exit code."""
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return "its end is not known" if code is None else f"exit code {code}"
