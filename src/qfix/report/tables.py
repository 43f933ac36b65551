"""The result of a run as a table in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qfix.report.summary import Summary
from qfix.run import LONGEST_EPISODE

_MOST_SEEDS = 16


def result_table(summary: Summary) -> RenderableType:
    """Return, training return, gap and episodes of each seed; their mean; what to hold them against."""
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="bold", pad_edge=False)
    table.add_column("seed", no_wrap=True)
    columns = ["return", "while training", "gap to optimum", "episodes"]
    if summary.gap is None:
        columns.remove("gap to optimum")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for style, cells in _rows(summary):
        if cells is None:
            table.add_section()
        else:
            table.add_row(
                *(c for c, n in zip(cells, ["seed", *_COLUMNS]) if n == "seed" or n in columns), style=style
            )
    return Group(table, Text(), Text("\n".join(_notes(summary)), style="dim"))


_COLUMNS = ("return", "while training", "gap to optimum", "episodes")


def _rows(summary: Summary) -> Iterator[tuple[str, tuple[str, ...] | None]]:
    run = summary.run
    n = len(run.spec.seeds)
    evaluated = np.full(n, np.nan) if summary.evaluation is None else summary.evaluation.returns
    gap = np.full(n, np.nan) if summary.gap is None else summary.gap
    counts = [len(r) for r in run.episodes.returns]
    shown = n if n <= _MOST_SEEDS else _MOST_SEEDS - 2
    for i in range(shown):
        cells = (number(evaluated[i]), number(summary.training_return[i]), gap_text(gap[i]), f"{counts[i]:,}")
        yield "", (str(run.spec.seeds[i]), *cells)
    if shown < n:
        yield "dim", (f"... {n - shown} more", "", "", "", "")
    if n > 1:
        means = (number(evaluated.mean()), number(summary.training_return.mean()), gap_text(gap.mean()))
        yield "bold", ("mean", *means, f"{round(float(np.mean(counts))):,}")
    yield "", ("", "", "", "", "")
    for name in ("optimal", "random", "untrained"):
        if name in summary.baselines:
            yield "dim", (name, number(summary.baselines[name].mean), "", "", "")


def _notes(summary: Summary) -> Iterator[str]:
    if summary.evaluation is None:
        yield "return: not evaluated, as the environment failed."
    elif summary.evaluation.exact:
        limit = summary.run.model.max_episode_steps if summary.run.model is not None else None
        cut = "" if limit else f" Episodes are cut at {LONGEST_EPISODE:,} steps."
        yield f"return: of the greedy policy, exact: computed from the environment's table.{cut}"
    else:
        yield f"return: of the greedy policy, mean of {summary.evaluation.episodes} fresh episodes."
    yield "while training: mean of the last tenth of the training episodes, exploration included."
    if summary.gap is not None:
        gamma = summary.run.spec.config["gamma"]
        yield f"gap to optimum: exact, of discounted values: J* - J at gamma {gamma}."


def number(x: float) -> str:
    """A return in up to four significant digits, without an exponent where one can do without.

    >>> [number(x) for x in (0.73236, -13.0, -6713.25, 123456.7, float("nan"))]
    ['0.732', '-13.00', '-6,713', '123,457', '-']
    """
    if np.isnan(x):
        return "-"
    if abs(x) >= 1e9 or 0 < abs(x) < 1e-3:
        return f"{x:.2e}"
    for limit, digits in ((10, 3), (100, 2), (1000, 1)):
        if abs(x) < limit:
            return f"{x:.{digits}f}"
    return f"{x:,.0f}"


def gap_text(x: float) -> str:
    """A gap, told apart from rounding.

    >>> [gap_text(x) for x in (0.0, 3e-12, 0.00954, float("inf"))]
    ['0', '0', '0.0095', 'infinite']
    """
    if np.isnan(x):
        return "-"
    if np.isinf(x):
        return "infinite"
    return "0" if x < 1e-9 else f"{x:.2g}" if x < 1 else number(x)
