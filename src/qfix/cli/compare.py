"""`qfix compare RUN RUN ...`: which of several runs is better, and how sure that is."""

from __future__ import annotations

import json
import os
import sys
from os.path import normpath
from pathlib import Path
from typing import Any

from qfix.cli import arguments as read
from qfix.cli.arguments import Option
from qfix.cli.tables import put_table
from qfix.errors import OptionError

_USAGE = "qfix compare RUN RUN ... [--option value ...]"
_ABOUT = (
    "Hold the greedy policies of several runs against each other, seed by seed: mean, interquartile mean, intervals, "
    "probability of improvement, and a verdict corrected for the number of pairs. A RUN is a folder."
)
OPTIONS = (
    Option("estimate", "What is compared: mean or iqm.", read.word, "NAME", "mean"),
    Option(
        "confidence", "1 less the probability that any claim is false, in (0, 1).", read.number, "X", "0.95"
    ),
    Option("correction", "For many pairs: holm, benjamini_hochberg or none.", read.word, "NAME", "holm"),
    Option("paired", "Compare seed by seed, where a seed decides something the runs have in common."),
    Option("threshold", "Tell also how many steps it took to reach this training return.", read.number, "X"),
    Option(
        "plot",
        "File of the picture; none: draw nothing.",
        read.word,
        "FILE",
        "comparison.png beside the first run",
    ),
    Option("json", "Print the result as one JSON document."),
    Option("help", "Show this."),
)
_MOST_VERDICTS = 10  # pairs that are told one by one


def run(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    opened = read.opening(
        arguments, OPTIONS, _USAGE, _ABOUT, estimate="mean", confidence=0.95, correction="holm"
    )
    if opened is None:
        return 0
    words, own = opened
    if len(words) < 2:
        raise OptionError("`qfix compare` needs two runs or more. Write `qfix compare runs/a runs/b`.")
    how = {name: own[name] for name in ("estimate", "confidence", "correction", "paired", "threshold")}
    from qfix.comparison import compare

    try:
        found = compare(words, **how)
    except OptionError as error:
        raise OptionError(
            read.as_typed(str(error), OPTIONS).replace("of compare_all", "of compare")
        ) from error
    picture = None
    if own["plot"] is None or own["plot"].lower() != "none":
        picture = _draw(found, words[0], own["plot"])
    if own["json"]:
        print(json.dumps(found.to_dict() | {"figure": None if picture is None else str(picture)}, indent=1))
        return 0
    _show(found, picture)
    return 0


def _draw(found: Any, first: str, plot: str | None) -> Path | None:
    """Draw the picture; None if it has no name of its own and the folder beside the first run cannot be written."""
    from qfix.report.comparison_figure import comparison_figure
    from qfix.report.paint import write

    home = Path(normpath(Path(first, os.pardir, "comparison.png"))) if plot is None else Path(plot)
    try:
        return write(comparison_figure(found), home)
    except OSError as error:
        if plot is None:
            print(f"No picture: {home}: {error.strerror}. --plot FILE names another.", file=sys.stderr)
            return None
        raise OptionError(
            f"The '--plot' option of compare must be a file that can be written ({error.strerror}). Got {plot!r}. "
            "Choose another, or --plot none."
        ) from error


def _show(found: Any, picture: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from qfix.report.tables import number

    console = Console(highlight=False)
    first = found.runs[0]
    console.print(f"[bold]{first.spec.env}[/]: {len(found.runs)} runs, return of the greedy policy")
    console.print()
    wide = console.width >= 100
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    best = found.statistics.names[0]
    failed = any(run.failures for run in found.runs)
    names = ["run", "seeds", "failed", "mean", "interval", "IQM", "interval ", "beaten"]
    shown = [name for name in names if (name != "failed" or failed) and (name != "interval " or wide)]
    for name in shown:
        table.add_column(name, no_wrap=True, justify="left" if name == "run" else "right")
    order = sorted(found.runs, key=lambda run: found.statistics.names.index(run.name))
    for run in order:
        mean, iqm = run.mean, run.iqm
        cells = [
            run.name,
            str(len(run.scores)),
            str(len(run.failures) or ""),
            number(mean.estimate),
            _between(mean),
        ]
        cells += [
            number(iqm.estimate),
            _between(iqm),
            "" if run.name == best else _beaten(found, best, run.name),
        ]
        row = dict(zip(names, cells, strict=True))
        table.add_row(*(row[name] for name in shown))
    put_table(console, table)
    console.print()
    level = f"{100 * first.mean.confidence:g} %"
    console.print(f"interval: {level}, {_methods(order)}.", style="dim", soft_wrap=True)
    console.print(f"beaten: probability that a seed of {best} scores more.", style="dim", soft_wrap=True)
    console.print("every seed, best first:", style="dim")
    for run in order:
        points = ", ".join(number(x) for x in sorted(run.scores, reverse=True)[:12])
        more = f" and {len(run.scores) - 12} more" if len(run.scores) > 12 else ""
        console.print(f"  {run.name}: {points}{more}", style="dim", soft_wrap=True)
    console.print()
    if found.threshold is not None:
        for run in order:
            console.print(
                f"{run.name} {_reached(run.curve_summary(found.threshold).to_threshold)}", soft_wrap=True
            )
        console.print()
    console.print(f"[bold]{found.verdict}[/]", soft_wrap=True)
    if 1 < len(found.statistics.pairs) <= _MOST_VERDICTS:
        for pair in found.statistics.pairs:
            console.print(f"  {pair.verdict}", soft_wrap=True)
    for note in found.notes:
        console.print(note, style="dim", soft_wrap=True)
    if picture is not None:
        console.print()
        console.print(f"picture  {picture}", soft_wrap=True)


def _methods(runs: list[Any]) -> str:
    """How the intervals were made, each estimate by itself where they differ."""
    mean = " or ".join(sorted({run.mean.method for run in runs}))
    iqm = " or ".join(sorted({run.iqm.method for run in runs}))
    return mean if mean == iqm else f"of the mean {mean}, of the IQM {iqm}"


def _beaten(found: Any, best: str, name: str) -> str:
    pair = found.statistics.pair(best, name)
    theta = pair.improvement.probability
    return f"{theta if pair.a == best else 1 - theta:.2f}"


def _reached(found: Any) -> str:
    """Steps to a threshold, in a line."""
    from math import isfinite

    n = len(found.steps)
    median = f", half of them by step {found.median:,.0f}" if isfinite(found.median) else ""
    said = f"reached {found.threshold:g} in {n - found.n_censored} of {n} seeds{median}"
    left = f"; {found.n_censored} had not by step {found.budget:,.0f}" if found.n_censored else ""
    return f"{said}{left}."


def _between(found: Any) -> str:
    from math import isfinite

    from qfix.report.tables import number

    if not (isfinite(found.low) and isfinite(found.high)):
        return "-"
    return f"[{number(found.low)}, {number(found.high)}]"
