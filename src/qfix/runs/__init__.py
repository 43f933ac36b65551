"""The record of a run. Nothing here learns."""

from qfix.runs.alerts import Alert, Watchman
from qfix.runs.checkpoint import Checkpoint, list_checkpoints, read_checkpoint, write_checkpoint
from qfix.runs.folder import RunFolder, find_runs
from qfix.runs.reader import StoreReader
from qfix.runs.recorder import Recorder
from qfix.runs.spec import RunSpec

__all__ = [
    "Alert",
    "Checkpoint",
    "Recorder",
    "RunFolder",
    "RunSpec",
    "StoreReader",
    "Watchman",
    "find_runs",
    "list_checkpoints",
    "read_checkpoint",
    "write_checkpoint",
]
