"""The loop: advances a run until its budget is spent or somebody interrupts, and has it kept meanwhile.

`run` is a `qfix.run.Run` throughout; a run knows its loop, so that it can be resumed, and not the other way round.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from types import FrameType
from typing import Any

from qfix.errors import EnvironmentFault, FolderError, Interrupted, is_whole, option_error
from qfix.runs import Recorder, list_checkpoints
from qfix.runs.recorder import CHECKPOINT_SECONDS
from qfix.tracking import Tracker, check_trackers, open_tracker
from qfix.workers import check_workers, in_processes, processes_due

_LOOK_SECONDS = 0.5  # after which the speed tells whether other processes are worth it
_CHUNK_SECONDS = 0.05  # how long an interruption may wait; a tenth at most, as chunks are guessed

Progress = Callable[[int, int, float], None]


def go_on(
    run: Any,
    total_steps: int | None = None,
    progress: bool | Progress = False,
    track: Sequence[str] = (),
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    workers: int | None = None,
) -> None:
    """Resume a run; see `Run.resume`."""
    if run.torn:
        raise FolderError(
            f"This run was stopped in the middle of a step, and what is in memory may be half of it; the last "
            f"checkpoint in {run.folder} is whole. Load it again: qfix.load({str(run.folder)!r})."
        )
    goal = run.spec.total_steps if total_steps is None else total_steps
    if not is_whole(goal) or goal < max(1, run.steps):
        rule = f"must be a whole number, {run.steps:,} or more: so many steps are made"
        raise option_error(
            "resume", "total_steps", rule, goal, "Leave it out to finish the run as it was planned."
        )
    names = check_trackers(track)
    if names and run.folder is None:
        raise option_error("resume", "track", "needs a run that is kept in a folder", names, "Save it first.")
    check_checkpoint_seconds("resume", checkpoint_seconds)
    check_workers(workers, run.build, run.spec.seeds, "resume")
    run.workers = workers
    spec = run.spec.with_total_steps(int(goal))
    if run.folder is None:
        run.spec = spec
        carry_on(run, progress)
        return
    counts = {seed: len(r) for seed, r in zip(run.spec.seeds, run.episodes.returns, strict=True)}
    recorder = Recorder.reopen(
        run.folder, run.steps, counts, run.checkpoints_seen, checkpoint_seconds=checkpoint_seconds
    )
    try:
        if spec.total_steps != run.spec.total_steps:
            spec.save(run.folder)
            recorder.event(run.steps, "extended", f"to {goal:,} steps of each seed")
        run.spec = spec
        recorder.event(run.steps, "resumed", "; ".join(run.restored))
    except BaseException:
        recorder.close()
        raise
    keep_while(run, recorder, progress, names)


def check_checkpoint_seconds(owner: str, seconds: Any) -> None:
    """Refuse what is no time between checkpoints.

    Raises:
        OptionError: it is not.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0.0 < seconds < math.inf:
        rule = "must be a finite number of seconds above 0"
        raise option_error(owner, "checkpoint_seconds", rule, seconds, "Use checkpoint_seconds=10.")


def keep_while(
    run: Any, recorder: Recorder, progress: bool | Progress = False, track: Sequence[str] = ()
) -> None:
    """Carry on with a recorder at work, and close it with a last checkpoint.

    Raises:
        FolderError: the disk has refused to the last; its `run` has what was learned, for `run.save` elsewhere.
        EnvironmentFault, Interrupted: as in `train`.
    """
    run.folder = recorder.folder
    run.recorder = recorder
    begun_at = run.steps
    said, torn = "", True
    try:
        with _mirrored(run, track):
            carry_on(run, progress)
        torn = False
    except (EnvironmentFault, Interrupted) as fault:
        said, torn = str(fault), False
        raise
    finally:
        run.recorder = None
        if torn:
            # a second Ctrl-C, or a bug: the state may be half of a step, and the last checkpoint is whole
            run.torn = True
            recorder.event(run.steps, "interrupted", "at once; goes on from the last checkpoint")
            with suppress(FolderError):  # it must not take the place of what is being raised
                recorder.close()
        else:
            _finish(run, recorder, begun_at, said)


@contextmanager
def _mirrored(run: Any, track: Sequence[str]) -> Iterator[None]:
    """With trackers that hold what has been measured, and are given what will be."""
    with ExitStack() as stack:
        for name in track:
            mirror = _Mirror(name, open_tracker(name, run.folder, run.spec))
            stack.callback(mirror.close)
            for step, values in run.history.measured:
                mirror.log(step, run.spec.seeds, run.metric_names, values)
            run.mirrors.append(mirror.log)
        stack.callback(run.mirrors.clear)
        yield


class _Mirror:
    """A tracker that may fail, as other people's disks and networks do, without harm to the training."""

    def __init__(self, name: str, tracker: Tracker) -> None:
        self._name = name
        self._tracker: Tracker | None = tracker

    def log(self, *measured: Any) -> None:
        if self._tracker is not None:
            self._guarded(self._tracker.log, *measured)

    def close(self) -> None:
        if self._tracker is not None:
            self._guarded(self._tracker.close)

    def _guarded(self, call: Callable[..., None], *arguments: Any) -> None:
        try:
            call(*arguments)
        except Exception as fault:
            self._tracker = None
            told = f"{type(fault).__name__}: {fault}"
            warnings.warn(
                f"{self._name} has failed, and gets no more metrics; the run has them all. It said {told}",
                stacklevel=2,
            )


def _finish(run: Any, recorder: Recorder, begun_at: int, said: str) -> None:
    try:
        run.keep_failures(recorder)
        if run.steps > begun_at or not list_checkpoints(recorder.folder):
            recorder.checkpoint(run.steps, run.trainer.pack(run.state), run.checkpoint_info())
        recorder.event(run.steps, run.status, said)  # after what it says is true
        run.checkpoints_seen = list_checkpoints(recorder.folder)
        recorder.close()
    except BaseException as fault:
        with suppress(FolderError):  # the first says what is wrong
            recorder.close()
        if isinstance(fault, FolderError):
            fault.add_note(
                "What was learned is in the `run` of this exception; run.save(...) keeps it elsewhere."
            )
            fault.run = run
        raise


def carry_on(run: Any, progress: bool | Progress = False) -> None:
    """Advance until the budget is spent or somebody interrupts, a twentieth of a second at a time.

    The first step is made by itself, before signals are caught: it may compile for seconds, and there is
    nothing yet to be saved.

    Raises:
        EnvironmentFault: the environment broke its contract in every seed; its `run` has what was learned.
        Interrupted: Ctrl-C or SIGTERM; its `run` has what was learned.
    """
    run.status, run.signal = "running", None
    for caution in run.trainer.cautions(run.spec.total_steps):
        warnings.warn(caution, stacklevel=3)
    try:
        _loop(run, progress)
    except EnvironmentFault as fault:
        run.status = "failed"
        fault.run = run
        raise
    except KeyboardInterrupt:
        run.status = "interrupted"
        raise
    if run.failures:
        told = "; ".join(f"seed {seed}: {said}" for seed, said in run.failures.items())
        warnings.warn(f"{len(run.failures)} of {len(run.spec.seeds)} seeds failed. {told}", stacklevel=3)
    if run.status == "interrupted":
        raise Interrupted(run)


def _loop(run: Any, progress: bool | Progress) -> None:
    total = run.spec.total_steps
    started = time.perf_counter()
    with _Reporter(progress, run) as report:
        if run.steps < total:
            run.advance(1)
        chunk = 1_000 if run.spec.driver == "compiled" else 1
        troubled, undecided = False, True
        begun_at, begun_with = time.perf_counter(), run.steps
        with _Interruption() as interruption, ExitStack() as stack:
            while (made := run.steps) < total and interruption.number is None:
                seconds = time.perf_counter() - begun_at
                told = made > begun_with and seconds > _LOOK_SECONDS
                if undecided and (run.workers is not None or told):
                    undecided = False
                    if (n := processes_due(run, seconds, made - begun_with)) > 1:
                        stack.enter_context(in_processes(run, n))
                begun = time.perf_counter()
                run.advance(min(chunk, total - made))
                taken = max(time.perf_counter() - begun, 1e-6)
                chunk = max(1, int(chunk * min(8.0, _CHUNK_SECONDS / taken)))
                if run.recorder is not None:
                    run.recorder.tend(run.steps, lambda: run.trainer.pack(run.state), run.checkpoint_info)
                    troubled = _tell_trouble(run.recorder, troubled)
                report(run.steps, total, time.perf_counter() - started)
        run.signal = interruption.number
    run.status = "interrupted" if run.steps < total else "finished"


def _tell_trouble(recorder: Recorder, told: bool) -> bool:
    """Say once that the disk refuses; the training goes on and asks it again later."""
    if recorder.trouble is not None and not told:
        warnings.warn(f"{recorder.trouble} The training goes on in memory, and tries again.", stacklevel=4)
    return recorder.trouble is not None


class _Interruption:
    """The first Ctrl-C or SIGTERM asks the loop to stop where it can; the second is not held back."""

    def __init__(self) -> None:
        self.number: int | None = None  # of the signal
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}


class _Reporter:
    """A progress bar where one is asked for."""

    def __init__(self, progress: bool | Progress, run: Any) -> None:
        self._progress = progress
        self._run = run
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if callable(self._progress):
            return self._progress
        if not self._progress:
            return lambda made, total, seconds: None
        told = len(self._run.alerts)
        if not sys.stderr.isatty():

            def tell(made: int, total: int, seconds: float) -> None:
                nonlocal told
                for alert in self._run.alerts[told:]:
                    print(f"Alert: {alert_text(alert)}", file=sys.stderr)
                told = len(self._run.alerts)

            return tell
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        run, spec = self._run, self._run.spec
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=Console(stderr=True))
        self._bar.start()
        task = self._bar.add_task(
            f"{spec.algorithm} on {spec.env}",
            total=spec.total_steps,
            completed=run.steps,
            speed="starting ..." if run.steps else "compiling ...",
        )

        def show(made: int, total: int, seconds: float) -> None:
            nonlocal told
            speed = speed_text(run.speed) if run.speed else "compiling ..."
            self._bar.update(task, completed=made, speed=speed)
            for alert in run.alerts[told:]:
                self._bar.console.print(f"Alert: {alert_text(alert)}", style="yellow", highlight=False)
            told = len(run.alerts)

        return show

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def evaluating(long: bool) -> AbstractContextManager[object]:
    """Say on a terminal what takes its time: an evaluation that cannot be computed has to be played."""
    if not long or not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status("evaluating ...")


@contextmanager
def telling(shown: bool) -> Iterator[Callable[[str], None]]:
    """What to call with what is being done, to have it shown on a terminal to those who wait."""
    if not shown or not sys.stderr.isatty():
        yield lambda said: None
        return
    from rich.console import Console

    with Console(stderr=True).status("...") as status:
        yield lambda said: status.update(f"{said} ...")


def alert_text(alert: Any) -> str:
    """An alert as a line."""
    return f"seed {alert.seed}, step {alert.step:,}: {alert.message}"


def speed_text(steps_per_second: float) -> str:
    """A speed to be read: 3 digits and a unit.

    >>> speed_text(68_400_000.0)
    '68.4 M steps/s'
    """
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if steps_per_second >= size:
            return f"{steps_per_second / size:.3g} {unit} steps/s"
    return f"{steps_per_second:.3g} steps/s"
