"""Whether seeds are trained in other processes: where a user asks for it and it can be, or where it is quicker."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from multiprocessing.reduction import ForkingPickler
from typing import Any

from qfix.errors import is_whole, option_error
from qfix.runs.threads import usable_cores
from qfix.workers.process import GOODBYE_SECONDS, end_process, ending, preload, start_process, without_script
from qfix.workers.worker import Build, try_to_build

# what the rest of a training takes in one process, if others are to be started for it, by the driver: elsewhere seeds
# share the cores already, and a process that trains networks takes longer to start
WORTH_SECONDS = {"live": 10.0, "host": 30.0}


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
        preload(build)
        refused = _refusal_elsewhere(build, seeds[0])
    if refused is not None:
        rule = f"must be 1 where another process cannot make the environment: {refused.rstrip('.')}"
        remedy = (
            "Put what makes or registers it into a module of its own, and give 'module:Id-v0' or a function of "
            "that module; or use workers=1."
        )
        raise option_error(owner, "workers", rule, workers, remedy)


def why_not(build: Build | None) -> str | None:
    """Why the trainer of a seed cannot be made in another process, as far as it shows here; None where nothing does."""
    if build is None:
        return "it was given as an object, which lives in this process"
    if multiprocessing.current_process().daemon:
        return "this process is a daemon, and may not start others"
    try:
        with without_script():
            ForkingPickler.dumps(build)
    except Exception as fault:  # whatever the parts of an environment raise
        return f"it cannot be sent there ({type(fault).__name__}: {fault})"
    return None


def _refusal_elsewhere(build: Build, seed: int) -> str | None:
    """Make a trainer in another process; what it says if it cannot."""
    line, process, _ = start_process(try_to_build)
    try:
        line.send((build, seed))
        answer: str | None = line.recv()
        return answer
    except (EOFError, OSError):
        process.join(GOODBYE_SECONDS)
        return f"the process that made it died ({ending(process.exitcode)})"
    finally:
        line.close()
        end_process(process)


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
    worth = WORTH_SECONDS.get(run.spec.driver)
    if worth is None or most < 2 or not run.build or not run.build.by_id:
        return 1
    rest = seconds / made * (run.spec.total_steps - run.steps)
    return most if rest > worth and why_not(run.build) is None else 1
