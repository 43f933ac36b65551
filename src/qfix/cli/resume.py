"""`qfix resume FOLDER`: go on with a run as if nothing had happened."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from qfix.cli import arguments as read
from qfix.cli.arguments import Option
from qfix.cli.kept import ENV, command_on, folder_named, lacks_evaluation, load_run, resume_command
from qfix.cli.result import OPTIONS as RESULT_OPTIONS
from qfix.cli.result import (
    VIDEO,
    Wishes,
    check_filmable,
    conclude,
    film,
    keep_evaluated,
    of_training,
    remove_film,
)
from qfix.cli.signals import say_when_stopped
from qfix.errors import OptionError

_USAGE = "qfix resume FOLDER [--option value ...]"
_ABOUT = (
    "Go on with a run from its last checkpoint, to the bit as if it had not been stopped: after Ctrl-C, a crash or a "
    "power failure, or to extend one that is finished."
)
OPTIONS = (
    Option(
        "total-steps",
        "Environment steps of each seed in all, to extend the run; by default those it was begun with.",
        read.whole,
        "N",
    ),
    ENV,
    VIDEO,
    *RESULT_OPTIONS,
    Option("help", "Show this."),
)


def run(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    opened = read.opening(arguments, OPTIONS, _USAGE, _ABOUT)
    if opened is None:
        return 0
    words, own = opened
    folder = folder_named(words, "qfix resume")
    wishes = Wishes.of(own, folder, own["env"])
    kept = load_run(folder, own["env"], python=".resume()", step_time_limit=own["step_time_limit"])
    if wishes.film:
        check_filmable(kept.env, folder)
    try:
        return go_on(kept, wishes, own["total_steps"], own)
    except OptionError as error:
        raise OptionError(read.as_typed(str(error), OPTIONS)) from error


def go_on(kept: Any, wishes: Wishes, total_steps: int | None, own: Mapping[str, Any]) -> int:
    """Go on with a run that was loaded; returns the exit code.

    Args:
        kept: the run.
        wishes: how its result is to be given; its folder is that of the run.
        total_steps: to extend it, or None.
        own: the options that were typed.
    """
    assert wishes.folder is not None
    if kept.steps == (kept.spec.total_steps if total_steps is None else total_steps):
        return _finished(kept, wishes)
    total = kept.spec.total_steps if total_steps is None else total_steps
    if total > kept.steps:
        _require_writable(kept.folder)
        print(f"Restored: {'; '.join(kept.restored)}. To go: {total - kept.steps:,} steps.", file=sys.stderr)
    say_when_stopped(lambda: wishes.farewell)

    how = of_training(own)
    how.pop("step_time_limit", None)  # the environments are made already

    def training() -> Any:
        kept.resume(total_steps, wishes.progress, **how)
        from qfix.loop import evaluating

        with evaluating(kept.model is None and wishes.progress):
            keep_evaluated(kept)
        return kept

    return conclude(training, wishes, kept.steps)


def _finished(kept: Any, wishes: Wishes) -> int:
    """Say that there is nothing to be trained, and make the film that is asked for."""
    assert wishes.folder is not None
    document = kept.to_dict() | {"folder": str(wishes.folder), "restored": kept.restored}
    errors = []
    if wishes.film:
        _require_writable(wishes.folder)
        remove_film(wishes.folder)
        document["film"] = None
        errors = list(film(kept, document, wishes.folder, wishes.progress))
        _note_film(document["film"], wishes.folder / "result.json")
    if wishes.json:
        print(json.dumps(document, indent=1))
    else:
        print(f"{wishes.folder} is finished: all {kept.steps:,} steps of each seed are made.")
        if lacks_evaluation(wishes.folder):
            print(f"It is not evaluated yet: {command_on('evaluate', wishes.folder, wishes.env)}")
        extend = resume_command(str(wishes.folder), wishes.env, "--total-steps", f"{2 * kept.steps:_}")
        print(f"To extend it: {extend}")
        if document.get("film"):
            print(f"film     {document['film']}")
    for error in errors:
        print("Error:", " ".join(str(error).split()), file=sys.stderr)
    return 1 if errors else 0


def _note_film(film: str | None, result: Path) -> None:
    """Let the result that is kept, if one is, tell of the film."""
    from qfix.runs.files import write_atomically

    with suppress(OSError, ValueError, TypeError):
        told = json.loads(result.read_text(encoding="utf-8")) | {"film": film}
        write_atomically(result, (json.dumps(told, indent=1) + "\n").encode())


def _require_writable(folder: Path) -> None:
    """Before anything is said: whether the run can be gone on with.

    Raises:
        LockedError: another process is writing it.
        FolderError: the folder cannot be written.
    """
    from qfix.runs.files import folder_error
    from qfix.runs.lock import RunLock

    with RunLock(folder):
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as fault:
            raise folder_error("write to", folder, fault) from fault
