"""`qfix list runs`: the runs below a folder, a line each."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from qfix.cli.tables import put_table
from qfix.errors import FolderError, QfixError
from qfix.report.tables import number

_HOME = Path("runs")


class Row(NamedTuple):
    """A run in the list."""

    folder: str
    status: str
    """running, finished, interrupted, failed, killed or damaged."""
    fault: str | None = None
    """What is wrong with a damaged one, of which no more is told."""
    algorithm: str | None = None
    env: str | None = None
    seeds: int | None = None
    failed: int | None = None
    steps: int | None = None
    """Of each seed, at the last checkpoint."""
    total_steps: int | None = None
    greedy_return: float | None = None
    """Mean over the seeds that did not fail, by the last evaluation; None where there is none."""
    age_seconds: float | None = None
    """Since something was last noted of it."""


def list_runs(folder: Path | None, as_json: bool) -> int:
    """Print the runs below a folder; returns the exit code.

    Raises:
        FolderError: there is no such folder.
    """
    from qfix.runs import find_runs

    if folder is not None and not folder.is_dir():
        raise FolderError(f"There is no folder {folder}. Write `qfix list runs` for those in runs/.")
    root = folder or _HOME
    rows = [row_of(path, time.time()) for path in find_runs(root)]
    if as_json:
        print(json.dumps([row._asdict() for row in rows], indent=1))
    elif rows:
        _print(rows, root)
    else:
        print(f"No runs in {str(root).rstrip('/')}/. Train one: qfix train FrozenLake-v1")
    return 0


def row_of(path: Path, now: float) -> Row:
    """What is told of a run; of a damaged one, what is wrong."""
    from qfix.runs import RunFolder
    from qfix.runs.lock import is_locked
    from qfix.runs.spec import STORE

    try:
        found = RunFolder(path)
        if not (path / STORE).exists() and not found.steps:
            # killed, or just being begun, between its first two files
            spec, status = found.spec, "running" if is_locked(path) else "killed"
            n, total = len(spec.seeds), spec.total_steps
            return Row(str(path), status, None, spec.algorithm, spec.env, n, 0, 0, total)
        spec, failures = found.spec, found.failures()
        status, steps = found.status, found.steps
        if status != "running" and found.lost_checkpoints:
            raise FolderError(
                f"{path} has lost its checkpoints. Its metrics can still be read (`qfix report {path}`); to go on "
                f"with it, restore it from a copy."
            )
        returns = [x.mean for seed, x in found.evaluations().items() if seed not in failures]
        events = found.store.events()
    except QfixError as fault:
        return Row(str(path), "damaged", " ".join(str(fault).split()))
    mean = sum(returns) / len(returns) if returns else None
    return Row(
        str(path),
        status,
        None,
        spec.algorithm,
        spec.env,
        len(spec.seeds),
        len(failures),
        steps,
        spec.total_steps,
        mean if mean is not None and math.isfinite(mean) else None,
        max(0.0, now - events[-1].time) if events else None,  # a clock may go backwards
    )


def _print(rows: list[Row], root: Path) -> None:
    from rich.console import Console
    from rich.measure import Measurement

    # a line for each run, where no terminal says how wide it is; two where it is narrow
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 250
    console = Console(highlight=False, width=wide)
    table = _table(rows, root, narrow=False)
    if Measurement.get(console, console.options.update(width=1_000), table).maximum > console.width:
        table = _table(rows, root, narrow=True)
    put_table(console, table)
    damaged = [row for row in rows if row.fault is not None]
    if damaged:
        console.print()
    for row in damaged:
        console.print(f"{_below(row, root)}: {row.fault}", style="red", soft_wrap=True, markup=False)


def _table(rows: list[Row], root: Path, narrow: bool) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    table.add_column(f"run in {root}/", overflow="fold")
    for name in () if narrow else ("algorithm", "environment"):
        table.add_column(name, overflow="fold")
    for name in ("seeds", "steps", "return"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("status", "age"):
        table.add_column(name, no_wrap=True)
    for row in rows:
        style = {"damaged": "red", "failed": "red", "running": "green"}.get(row.status, "")
        told, about = Text(_below(row, root)), [row.algorithm or "", row.env or ""]
        if narrow:
            told.append(f"\n  {about[0]} on {about[1]}" if about[0] else "", "dim")
            about = []
        table.add_row(told, *map(Text, (*about, *_progress(row))), Text(row.status, style), Text(_age(row)))
    return table


def _below(row: Row, root: Path) -> str:
    return os.path.relpath(row.folder, root)


def _progress(row: Row) -> tuple[str, str, str]:
    """Seeds, steps and return."""
    if row.steps is None or row.total_steps is None:
        return "", "", ""
    part = "" if row.steps == row.total_steps else f"{short(row.steps)} of "
    failed = f" ({row.failed} failed)" if row.failed else ""
    earned = "-" if row.greedy_return is None else number(row.greedy_return)
    return f"{row.seeds}{failed}", f"{part}{short(row.total_steps)}", earned


def _age(row: Row) -> str:
    return "" if row.age_seconds is None else age_text(row.age_seconds)


def short(count: int) -> str:
    """A number of steps, in three digits.

    >>> [short(n) for n in (800, 20_000, 1_234_567, 999_999, 3_000_000_000_000)]
    ['800', '20k', '1.23M', '1M', '3T']
    """
    for size, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= 0.9995 * size:
            return f"{count / size:.3g}{unit}"
    return str(count)


def age_text(seconds: float) -> str:
    """A time that has passed, in its largest unit.

    >>> [age_text(s) for s in (0.4, 59, 90, 7200, 200_000, 1e8)]
    ['0 s', '59 s', '1 min', '2 h', '2 days', '1157 days']
    """
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {'day' if (unit, count) == ('days', 1) else unit}"
    return f"{int(seconds)} s"
