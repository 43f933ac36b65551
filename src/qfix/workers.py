"""Seeds in processes of their own, for environments that are stepped in Python and hold its lock.

While a run is trained, `SeedProcesses` stands in for the trainer, and gives the state back at the end:

    advance, measure, pack, steps_done     as the trainer does them, each seed by a trainer of its own elsewhere

Seeds share nothing, and a process goes on from the packed state of its seed, so nothing but the time depends on how
many processes are at work. What dies or hangs in native code takes one process with it, and so one seed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from qfix.errors import EnvironmentFault, OptionError, is_whole, option_error

WORTH_SECONDS = 10.0  # what the rest of a training takes in one process, if others are to be started for it
PACK_SECONDS = 10.0  # between two packed states that are kept for a seed whose process may die
_PACK_SHARE = 0.01  # of the time since the last of them that making one may take
_LOOKS = 4  # within the time limit, at whether a worker has moved
_PATIENCE = 2 * _LOOKS  # looks without a move after which a process is ended: its own time limit comes first
_GOODBYE_SECONDS = 3.0  # in which a process that is not needed any more ends by itself

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


class Records(NamedTuple):
    """What happened during an advance, as a trainer tells it."""

    returns: list[list[np.ndarray]]
    lengths: list[list[np.ndarray]]
    snapshots: list[Any]
    failures: dict[int, str]


@dataclass
class State:
    """What a run looks into; the rest is with the processes."""

    failures: dict[int, str]
    notes: list[str] = field(default_factory=list)


@dataclass
class _Seed:
    """A seed as the parent knows it."""

    number: int
    packed: Arrays  # names without the seed's place
    steps: int
    episodes: int
    since: list[tuple[str, int]] = field(default_factory=list)  # what it has been through since it was packed
    process: Any = None
    line: Connection | None = None
    beat: Any = None  # counted up while it moves
    seen: int = -1  # the beat at the last look
    still: int = 0  # looks since it last moved
    looked: float = 0.0  # when


# Whether to


def check_workers(
    workers: int | None, build: Build | None, seeds: Sequence[int], owner: str = "train"
) -> None:
    """Check what a user asks for before any work: make a trainer in another process.

    Raises:
        OptionError: it is no count, or another process cannot make the environment.
    """
    if workers is None:
        return
    if not is_whole(workers) or workers < 1:
        rule = "must be a whole number above 0, or None"
        raise option_error(owner, "workers", rule, workers, "Use workers=2.")
    if min(workers, len(seeds)) == 1:
        return
    refused = why_not(build)
    if refused is None:
        assert build is not None
        _preload(build)
        refused = _tried(build, seeds[0])
    if refused is not None:
        rule = f"must be 1 where another process cannot make the environment: {refused.rstrip('.')}"
        remedy = (
            "Put what makes or registers it into a module of its own, and give 'module:Id-v0' or a function of "
            "that module; or use workers=1."
        )
        raise option_error(owner, "workers", rule, workers, remedy)


def why_not(build: Build | None) -> str | None:
    """Why the trainer of a seed cannot be sent for to another process; None where nothing speaks against it."""
    if build is None:
        return "it was given as an object, which lives in this process"
    if multiprocessing.current_process().daemon:
        return "this process is a daemon, and may not start others"
    try:
        with _no_script():
            ForkingPickler.dumps(build)
    except Exception as fault:  # whatever the parts of an environment raise
        return f"it cannot be sent there ({type(fault).__name__}: {fault})"
    return None


def processes_due(run: Any, seconds: float, made: int) -> int:
    """How many processes should go on with a run; 1 for this one alone.

    Args:
        run: whose `workers` is a number, or None for whatever is quickest.
        seconds: that this process has taken
        made: for so many steps of every seed.
    """
    going = len(run.spec.seeds) - len(run.failures)
    if run.workers is not None:
        return min(run.workers, going)
    most = min(going, usable_cores())
    if run.spec.driver != "live" or most < 2 or not run.build or not run.build.by_id:
        return 1
    rest = seconds / made * (run.spec.total_steps - run.steps)
    return most if rest > WORTH_SECONDS and why_not(run.build) is None else 1


def usable_cores() -> int:
    """Cores this process may run on: fewer than the machine has where it is pinned."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


# The parent's side


@contextmanager
def in_processes(run: Any, workers: int) -> Iterator[None]:
    """Have each seed of a run in a process of its own, at most `workers` of them at work, and take them back.

    Raises:
        OptionError: another process cannot make the environment, and processes were asked for.
    """
    trainer, counts = run.trainer, [len(returns) for returns in run.episodes.returns]
    team = SeedProcesses(trainer, run.state, run.build, counts, workers)
    apart = True
    try:
        try:
            team.open(faithful=run.workers is None)
        except OptionError as fault:
            if run.workers is not None:
                raise
            warnings.warn(f"The seeds are trained in one process (workers=1). {fault}", stacklevel=5)
            apart = False
        if not apart:
            team.close()
            yield
            return
        run.trainer, run.state = team, team.state
        arrays = None
        try:
            yield
            arrays = team.pack(team.state)
        except Exception:
            arrays = team.pack(team.state)
            raise
        finally:
            run.trainer = trainer
            # at once, after a second Ctrl-C: from what is here
            run.state = trainer.unpack(team.latest() if arrays is None else arrays)
    finally:
        team.close()


class SeedProcesses:
    """What a trainer is to the loop, with every seed in a process of its own.

    Args:
        trainer: whose place it takes.
        state: of it; it is not touched.
        build: makes the trainer of a seed elsewhere.
        episodes: of each seed so far; for messages.
        workers: processes that are at work at the same time.

    A worker that has not moved for twice the time limit of a step, in native code that its own limit does not reach,
    is ended.
    """

    def __init__(
        self,
        trainer: Any,
        state: Any,
        build: Build,
        episodes: Sequence[int],
        workers: int,
    ) -> None:
        self.metric_names = trainer.metric_names
        self.seeds, self.config = trainer.seeds, trainer.config
        self.driver, self.total_steps = trainer.driver, trainer.total_steps
        self.state = State(dict(state.failures))
        self._build, self._workers = build, workers
        limit = build.step_time_limit
        self._pause = None if limit is None else limit / _LOOKS
        arrays, made = trainer.pack(state), trainer.steps_done(state)
        self._team = [
            _Seed(number, _part_of(arrays, i), made[i], episodes[i]) for i, number in enumerate(self.seeds)
        ]
        self._deaths: dict[int, str] = {}  # since the last advance
        self._mourned: set[int] = set()  # seeds that have died, whose steps are perhaps being made again
        self._packed_at, self._pack_wait = time.perf_counter(), PACK_SECONDS
        _preload(build)

    def open(self, faithful: bool = False) -> None:
        """Start the processes.

        Args:
            faithful: refuse environments that are not there what they are here.

        Raises:
            OptionError: one of them could not make the environment, or is refused.
        """
        try:
            for i in range(len(self._team)):
                self._start(i)
        except OSError as fault:  # the system allows no more processes or open files
            rule = f"must be 1 where other processes cannot be started: {fault}"
            remedy = "Allow more (ulimit -u, ulimit -n), train fewer seeds at once, or use workers=1."
            raise option_error("train", "workers", rule, self._workers, remedy) from fault
        answers = self._ask(range(len(self._team)), "begin").values()
        refused = [said for said, _ in answers if said is not None] + list(self._deaths.values())
        if faithful and not all(same for _, same in answers):
            refused.append("the same seed and actions lead to something else there")
        if refused:
            rule = f"must be 1 where another process cannot make the environment: {refused[0].rstrip('.')}"
            remedy = "Give 'module:Id-v0', which imports the module, or use workers=1."
            raise option_error("train", "workers", rule, self._workers, remedy)

    def close(self) -> None:
        """End the processes; those that are still at work are not waited for long."""
        for seed in self._team:
            if seed.line is not None:
                seed.line.close()
        until = time.perf_counter() + _GOODBYE_SECONDS
        for seed in self._team:
            if seed.process is not None:
                _end(seed.process, max(0.0, until - time.perf_counter()))
                seed.process = seed.line = None

    def advance(self, state: State, steps: int) -> tuple[State, Records]:
        """Exactly `steps` more environment steps of every seed that has not failed.

        Raises:
            EnvironmentFault: every seed has failed.
        """
        n = len(self._team)
        going = [i for i in range(n) if i not in state.failures]
        records = Records([[] for _ in range(n)], [[] for _ in range(n)], [], {})
        for i, answer in sorted(self._ask(going, "advance", steps).items()):
            returns, lengths, snapshots, made, failure = answer
            self._team[i].steps = made
            self._team[i].episodes += sum(map(len, lengths))
            records.returns[i].extend(returns)
            records.lengths[i].extend(lengths)
            records.snapshots.extend(snapshots)
            if failure is not None:
                records.failures[i] = failure
        records.failures.update(self._deaths)
        self._deaths = {}
        state.failures.update(sorted(records.failures.items()))
        if len(state.failures) == n:
            last = state.failures[max(records.failures or state.failures)]
            fault = EnvironmentFault(f"All {n} seeds have failed. The last: {last}" if n > 1 else last)
            fault.records = records
            raise fault
        if time.perf_counter() - self._packed_at >= self._pack_wait:
            self.pack(state)
        return state, records

    def measure(self, state: State) -> np.ndarray:
        """(metrics, seeds) values of `metric_names`; NaN where a process has died."""
        values = np.full((len(self.metric_names), len(self._team)), np.nan)
        for i, column in self._ask(range(len(self._team)), "measure").items():
            values[:, i] = column
        return values

    def pack(self, state: State) -> Arrays:
        """All of the state, as the trainer packs it."""
        begun = time.perf_counter()
        for i, arrays in self._ask(range(len(self._team)), "pack").items():
            self._team[i].packed, self._team[i].since = _part_of(arrays, 0), []
        self._packed_at = time.perf_counter()
        self._pack_wait = max(PACK_SECONDS, (self._packed_at - begun) / _PACK_SHARE)
        return self.latest()

    def latest(self) -> Arrays:
        """What was packed last."""
        arrays: Arrays = {}
        for i, seed in enumerate(self._team):
            arrays |= {f"{i}.{name}": array for name, array in seed.packed.items()}
            if seed.process is None and (said := self.state.failures.get(i)):
                arrays[f"{i}.failure"] = np.frombuffer(said.encode(), np.uint8).copy()
        return arrays

    def steps_done(self, state: State) -> list[int]:
        """Environment steps of each seed so far."""
        return [seed.steps for seed in self._team]

    def _start(self, i: int) -> None:
        seed = self._team[i]
        seed.line, seed.process, seed.beat = start_process(_work)

    def _ask(self, places: Iterable[int], kind: str, argument: int = 0) -> dict[int, Any]:
        """Ask processes for something; those that die meanwhile are in `_deaths`, and have no answer."""
        waiting = deque(i for i in places if self._team[i].process is not None)
        asked: dict[Any, int] = {}
        answers: dict[int, Any] = {}
        while waiting or asked:
            while waiting and len(asked) < self._workers:
                i = waiting.popleft()
                seed = self._team[i]
                assert seed.line is not None
                seed.still, seed.seen, seed.looked = 0, seed.beat.value, time.perf_counter()
                asked[seed.line] = i
                with suppress(OSError):  # it has died, and its end of the line tells
                    if kind == "begin":
                        given = {f"0.{name}": array for name, array in seed.packed.items()}
                        seed.line.send((self._build, seed.number, given))
                    else:
                        seed.line.send((kind, argument))
            ready: Any = wait(list(asked), self._pause)
            for line in ready:
                i = asked.pop(line)
                try:
                    answers[i] = line.recv()
                    if kind in ("advance", "measure"):
                        self._team[i].since.append((kind, argument))
                except (EOFError, OSError):
                    self._lose(i, None)
            for line, i in list(asked.items()):
                if self._is_still(self._team[i]):
                    del asked[line]
                    said = (
                        f"it has not answered within the time limit of {self._build.step_time_limit:g} seconds a step "
                        f"(step_time_limit), in native code, so its process was ended"
                    )
                    self._lose(i, said)
        return answers

    def _is_still(self, seed: _Seed) -> bool:
        if self._pause is None:
            return False
        if seed.beat.value != seed.seen or seed.beat.value == 0:  # 0: it is only starting
            seed.seen, seed.still, seed.looked = seed.beat.value, 0, time.perf_counter()
        elif time.perf_counter() - seed.looked >= self._pause:
            seed.still, seed.looked = seed.still + 1, time.perf_counter()
        return seed.still >= _PATIENCE

    def _lose(self, i: int, said: str | None) -> None:
        """A process has died, or is to: its seed has failed, and what it had learned is made again elsewhere."""
        seed = self._team[i]
        process, seed.process = seed.process, None
        assert seed.line is not None
        seed.line.close()
        if said is None:
            process.join(_GOODBYE_SECONDS)
            said = f"its process died ({_ending(process.exitcode)})"
        else:
            process.kill()
        _end(process)
        if i in self._mourned:
            return  # in making its steps again: what was packed is all there is
        self._mourned.add(i)
        finished, seed.since = seed.since, []
        try:
            kept = f"What was learned until step {seed.steps:,} is kept"
            if finished and not self._make_again(i, finished):
                kept = "What was learned when it was packed last is kept, as its process died once more on the way"
        finally:
            _end_line(seed)
        self._deaths[i] = self.state.failures[i] = (
            f"Training failed (seed {seed.number}, episode {seed.episodes} or later, after step {seed.steps:,}): "
            f"{said}. {kept}; mend what the environment does in native code, or give it more memory or time."
        )

    def _make_again(self, i: int, finished: list[tuple[str, int]]) -> bool:
        """Bring a seed to where it had answered last, in another process, and pack it there: nothing is random."""
        self._start(i)
        begun = self._ask([i], "begin")
        if i not in begun or begun[i][0] is not None:
            return False
        for kind, argument in finished:
            if i not in self._ask([i], kind, argument):
                return False
        answers = self._ask([i], "pack")
        if i in answers:
            self._team[i].packed = _part_of(answers[i], 0)
        return i in answers


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
        with _no_script():
            process.start()
    finally:
        theirs.close()
    return mine, process, beat


def _context() -> Any:
    known = multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("forkserver" if "forkserver" in known else "spawn")


def _preload(build: Build) -> None:
    """Have the server of forks import what every worker needs; in vain if it has been started already."""
    context = _context()
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload([__name__, *build.modules])


@contextmanager
def _no_script() -> Iterator[None]:
    with _script:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


_script = threading.Lock()


def _tried(build: Build, seed: int) -> str | None:
    """Make a trainer in another process; what it says if it cannot."""
    line, process, _ = start_process(_try)
    try:
        line.send((build, seed))
        answer: str | None = line.recv()
        return answer
    except (EOFError, OSError):
        process.join(_GOODBYE_SECONDS)
        return f"the process that made it died ({_ending(process.exitcode)})"
    finally:
        line.close()
        _end(process)


def _end(process: Any, patience: float = _GOODBYE_SECONDS) -> None:
    process.join(patience)
    if process.is_alive():
        process.kill()  # it does not listen to a friendlier signal
        process.join()
    process.close()


def _end_line(seed: _Seed) -> None:
    if seed.process is not None:
        assert seed.line is not None
        seed.line.close()
        _end(seed.process)
    seed.process = seed.line = None


def _ending(code: int | None) -> str:
    """How a process ended, by its exit code."""
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return "its end is not known" if code is None else f"exit code {code}"


def _part_of(arrays: Arrays, i: int) -> Arrays:
    prefix = f"{i}."
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}


# The worker's side


def _try(line: Connection, beat: Any) -> None:
    """Say why the trainer of a seed cannot be made here; None if it can."""
    _leave_signals_to_the_parent()
    with suppress(EOFError, OSError):
        refused = None
        try:
            build, seed = line.recv()
            _made(build, seed)
        except Exception as fault:  # whatever an environment raises
            refused = f"{type(fault).__name__}: {fault}"
        line.send(refused)


def _work(line: Connection, beat: Any) -> None:
    """Do what the parent asks for, until its end of the line is closed or it is gone."""
    _leave_signals_to_the_parent()
    pulse = _Pulse(beat)
    with suppress(EOFError, OSError):
        try:
            build, seed, arrays = line.recv()
            pulse.seconds = (build.step_time_limit or 60.0) / _LOOKS
            pulse.start()
            trainer = _made(build, seed)
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


def _made(build: Build, seed: int) -> Any:
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
