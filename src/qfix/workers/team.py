"""The side of the parent: every seed of a run in a process of its own, and what to do when one dies or hangs."""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from qfix.errors import EnvironmentFault, OptionError, option_error
from qfix.runs.history import Records
from qfix.workers.process import GOODBYE_SECONDS, end_process, ending, preload, start_process
from qfix.workers.worker import LOOKS, Arrays, Build, work

PACK_SECONDS = 10.0  # between two packed states that are kept for a seed whose process may die
_PACK_SHARE = 0.01  # of the time since the last of them that making one may take
_PATIENCE = 2 * LOOKS  # looks without a move after which a process is ended: its own time limit comes first


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
        self._pause = None if limit is None else limit / LOOKS
        arrays, made = trainer.pack(state), trainer.steps_done(state)
        self._team = [
            _Seed(number, _part_of(arrays, i), made[i], episodes[i]) for i, number in enumerate(self.seeds)
        ]
        self._deaths: dict[int, str] = {}  # since the last advance
        self._mourned: set[int] = set()  # seeds that have died, whose steps are perhaps being made again
        self._packed_at, self._pack_wait = time.perf_counter(), PACK_SECONDS
        preload(build)

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
        until = time.perf_counter() + GOODBYE_SECONDS
        for seed in self._team:
            if seed.process is not None:
                end_process(seed.process, max(0.0, until - time.perf_counter()))
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
        seed.line, seed.process, seed.beat = start_process(work)

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
            process.join(GOODBYE_SECONDS)
            said = f"its process died ({ending(process.exitcode)})"
        else:
            process.kill()
        end_process(process)
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


def _end_line(seed: _Seed) -> None:
    if seed.process is not None:
        assert seed.line is not None
        seed.line.close()
        end_process(seed.process)
    seed.process = seed.line = None


def _part_of(arrays: Arrays, i: int) -> Arrays:
    prefix = f"{i}."
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
