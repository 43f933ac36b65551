"""A time limit for environments that hang, at no cost for a step.

A timer rings four times within the limit and looks whether the seed has moved since; a step is not looked at at
all. It rings by a signal, so it works where Python does: in the main thread, where the system has that timer and
nobody else has set it, and in an environment that comes back to the interpreter (a loop in Python, `sleep`, a
socket), not in native code that never returns.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Callable
from numbers import Real
from types import FrameType
from typing import Any

from qfix.errors import EnvironmentFault, option_error

RINGS = 4  # within the limit


def check_step_time_limit(seconds: Any) -> None:
    """Require a limit of `train` that a timer can be set to.

    Raises:
        OptionError: it is neither None nor a finite number above 0.
    """
    if seconds is not None and not (isinstance(seconds, Real) and 0.0 < float(seconds) < math.inf):
        rule = "must be a finite number of seconds above 0, or None"
        raise option_error("train", "step_time_limit", rule, seconds, "Use step_time_limit=60.")


class TimeLimit:
    """While it is entered: an EnvironmentFault in whatever runs when nothing has moved for the limit.

    Time is counted in rings that came, not by a clock: a machine that was put to sleep does not count.

    Args:
        seconds: the limit; None for none.
        standing: where the seed stands; only compared.
    """

    def __init__(self, seconds: float | None, standing: Callable[[], Any]) -> None:
        self._seconds = seconds
        self._standing = standing
        self._last: Any = None
        self._still = 0  # rings since it last moved
        self._active = False
        self._before: Any = None
        self.paused = False  # True while it is not the environment that takes its time

    def __enter__(self) -> TimeLimit:
        if self._seconds is not None and _timer_is_free():
            self._last, self._active = self._standing(), True
            self._before = signal.signal(signal.SIGALRM, self._ring)
            pause = self._seconds / RINGS
            signal.setitimer(signal.ITIMER_REAL, pause, pause)
        return self

    def __exit__(self, *_: object) -> None:
        self.paused = True
        if self._active:
            self._active = False
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL if self._before is None else self._before)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        standing = self._standing()
        if self.paused or standing != self._last:
            self._last, self._still = standing, 0
            return
        self._still += 1
        if self._still >= RINGS:
            raise EnvironmentFault(
                f"it has not answered within the time limit of {self._seconds:g} seconds a step (step_time_limit)"
            )


def _timer_is_free() -> bool:
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        return False
    return signal.getitimer(signal.ITIMER_REAL)[0] == 0.0
