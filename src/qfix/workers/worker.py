"""The side of a worker: a process that has the trainer of one seed, and does what its parent asks for."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol, TypeAlias

import numpy as np

from qfix.errors import EnvironmentFault

LOOKS = 4  # within the time limit, at whether a worker has moved

Arrays: TypeAlias = dict[str, np.ndarray]


class Build(Protocol):
    """Makes the trainer of one seed, here or in another process, to which it can be sent."""

    @property
    def step_time_limit(self) -> float | None:
        """Seconds that a step may take."""

    @property
    def by_id(self) -> bool:
        """Whether an id says all of its environment, and nothing that the script has set besides."""

    @property
    def modules(self) -> Sequence[str]:
        """What is worth importing once, before there are processes."""

    def __call__(self, seed: int) -> Any:
        """The trainer."""


def try_to_build(line: Connection, beat: Any) -> None:
    """Say why the trainer of a seed cannot be made here; None if it can."""
    _leave_signals_to_the_parent()
    with suppress(EOFError, OSError):
        refused = None
        try:
            build, seed = line.recv()
            _built(build, seed)
        except Exception as fault:  # whatever an environment raises
            refused = f"{type(fault).__name__}: {fault}"
        line.send(refused)


def work(line: Connection, beat: Any) -> None:
    """Do what the parent asks for, until its end of the line is closed or it is gone."""
    _leave_signals_to_the_parent()
    pulse = _Pulse(beat)
    with suppress(EOFError, OSError):
        try:
            build, seed, arrays = line.recv()
            pulse.seconds = (build.step_time_limit or 60.0) / LOOKS
            pulse.start()
            trainer = _built(build, seed)
            state = trainer.unpack(arrays)
        except Exception as fault:  # whatever an environment raises
            line.send((f"{type(fault).__name__}: {fault}", False))
            return
        first = trainer.steps_done(state)[0]
        line.send((None, _same(trainer.pack(state), arrays)))
        while True:
            kind, argument = line.recv()
            # until its first step the kernels are loaded, or compiled
            if kind == "advance" and trainer.steps_done(state)[0] > first:
                pulse.standing = lambda: trainer.steps_done(state)[0]
            answer = _answer(trainer, state, kind, argument)
            pulse.standing = None
            line.send(answer)


def _answer(trainer: Any, state: Any, kind: str, argument: int) -> Any:
    if kind == "measure":
        return trainer.measure(state)[:, 0]
    if kind == "pack":
        return trainer.pack(state)
    try:
        _, records = trainer.advance(state, argument)
    except EnvironmentFault as fault:
        records = fault.records
    return (
        records.returns[0],
        records.lengths[0],
        records.snapshots,
        trainer.steps_done(state)[0],
        state.failures.get(0),
    )


class _Pulse(threading.Thread):
    """Counts the beat up while the worker moves, and ends it with its parent.

    Native code that holds Python's lock stops this thread too, so the beat is still then, as it should be.
    """

    def __init__(self, beat: Any) -> None:
        super().__init__(daemon=True)
        self._beat = beat
        self.seconds = 0.0
        self.standing: Callable[[], int] | None = (
            None  # steps made, while it is the environment that takes its time
        )

    def run(self) -> None:
        """Look, some times within the time limit."""
        parent = multiprocessing.parent_process()
        assert parent is not None
        last = None
        while True:
            standing = self.standing
            now = None if standing is None else standing()
            if now is None or now != last:
                self._beat.value += 1
            last = now
            if wait([parent.sentinel], self.seconds):
                os._exit(1)


def _built(build: Build, seed: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the parent has made the same, and been told
        return build(seed)


def _same(one: Arrays, other: Arrays) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f") for name in one
    )


def _leave_signals_to_the_parent() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
