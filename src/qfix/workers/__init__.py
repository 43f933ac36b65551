"""Seeds in processes of their own, for environments that are stepped in Python and hold its lock.

While a run is trained, `SeedProcesses` stands in for the trainer, and gives the state back at the end:

    advance, measure, pack, steps_done     as the trainer does them, each seed by a trainer of its own elsewhere

Seeds share nothing, and a process goes on from the packed state of its seed, so nothing but the time depends on how
many processes are at work. What dies or hangs in native code takes one process with it, and so one seed.

`choice` decides, `process` starts and ends them, `team` is the side of the parent, `worker` the other.
"""

from qfix.workers.choice import check_workers, processes_due
from qfix.workers.team import in_processes
from qfix.workers.worker import Build

__all__ = ["Build", "check_workers", "in_processes", "processes_due"]
