"""`qfix evaluate FOLDER`: what the policies of a run are worth, on episodes nobody trained on."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

from qfix.cli import arguments as read
from qfix.cli.arguments import Option
from qfix.cli.kept import CHECKPOINT, ENV, checkpoint_named, folder_named, load_trained
from qfix.cli.tables import put_table
from qfix.errors import FolderError, LockedError, OptionError

_USAGE = "qfix evaluate FOLDER [--option value ...]"
_ABOUT = (
    "Evaluate a run: its greedy policies beside the exploring ones, random actions, what it began with, and the "
    "optimum where it is known. Exact where the environment has a table of transitions; else on fresh episodes, whose "
    "seeds no training episode has. The result is kept in the run's metrics.db."
)
OPTIONS = (
    Option(
        "episodes", "Episodes a seed, where the answer cannot be computed exactly.", read.whole, "N", "1000"
    ),
    Option(
        "seed", "Seed of these episodes; the same gives every policy the same ones.", read.whole, "N", "0"
    ),
    CHECKPOINT,
    ENV,
    Option("json", "Print the result as one JSON document."),
    Option("help", "Show this."),
)


def run(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    opened = read.opening(arguments, OPTIONS, _USAGE, _ABOUT, episodes=1000, seed=0)
    if opened is None:
        return 0
    words, own = opened
    folder = folder_named(words, "qfix evaluate")
    kept = load_trained(folder, own["env"], checkpoint_named(own["checkpoint"]), ".evaluate()")
    try:
        return _evaluate(kept, folder, own)
    except OptionError as error:
        raise OptionError(read.as_typed(str(error), OPTIONS)) from error


def _evaluate(kept: Any, folder: Path, own: dict[str, Any]) -> int:
    from qfix.experiment import keep_evaluations
    from qfix.loop import evaluating
    from qfix.report.summary import summarise

    refused = None
    with evaluating(kept.model is None and not own["json"]):
        try:
            keep_evaluations(kept, own["episodes"], own["seed"], exploratory=True)
        except FolderError as fault:
            refused = fault  # what was found is in the run's memory
    summary = summarise(kept, own["episodes"], own["seed"], exploratory=True)
    told = "" if refused is None else f"Not kept. {refused}"
    if own["json"]:
        document = summary.to_dict()
        document |= {"folder": str(folder), "eval_seed": own["seed"], "kept": refused is None, "note": told}
        print(json.dumps(document, indent=1))
    else:
        _print(summary, folder, told)
    # a run that another process writes, or a folder that may only be read, is no fault of the evaluation
    harmless = isinstance(refused, LockedError) or getattr(refused, "errno", 0) in (
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
    )
    return 0 if refused is None or harmless else 1


def _print(summary: Any, folder: Path, told: str) -> None:
    from rich.console import Console
    from rich.markup import escape

    from qfix.report.summary import run_title
    from qfix.report.tables import evaluation_table

    kept, spec = summary.run, summary.run.spec
    console = Console(highlight=False)
    n = len(spec.seeds)
    steps = f"after {kept.steps:,} of {spec.total_steps:,} steps"
    each = f"{n} seeds, {steps} each" if n > 1 else steps
    console.print(f"[bold]{escape(run_title(spec))}[/]: {each}")
    console.print()
    put_table(console, evaluation_table(summary))
    console.print()
    console.print(told or f"kept in  {folder / 'metrics.db'}", soft_wrap=True, markup=False)
