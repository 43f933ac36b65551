"""Ctrl-C and SIGTERM at the moments when there is nothing to be saved.

While a run learns, `experiment` has the signals: it stops between two steps and gives back what was learned.
Before and after that (imports, compiling, evaluation, pictures) the process ends at once with one line. It
does not unwind: a compiler at work in another thread would hold it up for seconds.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

EXIT_CODES: dict[int, int] = {signal.SIGINT: 130, signal.SIGTERM: 143}
_PATIENCE_SECONDS = 2.0


def say_when_stopped(farewell: str | Callable[[], str]) -> None:
    """From now on end the process at a signal, with this line on standard error; a function is asked for it then."""
    if threading.current_thread() is threading.main_thread():
        for number in EXIT_CODES:
            signal.signal(number, partial(_stop, farewell))


@contextmanager
def immediate_stop() -> Iterator[None]:
    """End the process at a signal, with a line on standard error."""
    before = {number: signal.getsignal(number) for number in EXIT_CODES}
    say_when_stopped("Interrupted.")
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _asked(farewell: Callable[[], str]) -> str:
    """What a function says. It may look into files: what the signal has cut off may hold a lock that it waits for."""
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(farewell()), daemon=True)
    thread.start()
    thread.join(_PATIENCE_SECONDS)
    return said[0] if said else "Interrupted."


def _stop(farewell: str | Callable[[], str], number: int, frame: FrameType | None) -> None:
    # a progress bar may have hidden the cursor; the buffered streams may be in the middle of a write
    clean = "\x1b[?25h\r\x1b[K" if sys.stderr.isatty() else ""
    line = farewell if isinstance(farewell, str) else _asked(farewell)
    os.write(2, f"{clean}{line}\n".encode())
    os._exit(EXIT_CODES[number])
