"""The result of a run as a table in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qfix.evaluation import LONGEST_EPISODE
from qfix.report.summary import Summary

_COLUMNS = ("return", "training", "gap", "episodes")
_MOST_SEEDS = 16


def result_table(summary: Summary) -> RenderableType:
    """Return, training return, gap and episodes of each seed; their mean; what to hold them against."""
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="bold", pad_edge=False)
    table.add_column("seed", no_wrap=True)
    columns = [name for name in _COLUMNS if name != "gap" or summary.gap is not None]
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    kept = ["seed", *columns]
    for style, cells in _rows(summary):
        table.add_row(*(cells[name] for name in kept), style=style)
    return Group(table, Text(), Text("\n".join(_notes(summary)), style="dim"))


def _rows(summary: Summary) -> Iterator[tuple[str, dict[str, str]]]:
    run = summary.run
    n = len(run.spec.seeds)
    evaluated = np.full(n, np.nan) if summary.evaluation is None else summary.evaluation.returns
    gap = np.full(n, np.nan) if summary.gap is None else summary.gap
    counts = np.array([len(r) for r in run.episodes.returns])
    shown = n if n <= _MOST_SEEDS else _MOST_SEEDS - 2

    training = summary.training_return

    def row(name: str, *values: float) -> dict[str, str]:
        evaluation, while_training, short, count = values
        texts = (name, number(evaluation), number(while_training), gap_text(short), f"{count:,.0f}")
        return dict(zip(("seed", *_COLUMNS), texts, strict=True))

    for i in range(shown):
        yield "", row(str(run.spec.seeds[i]), evaluated[i], training[i], gap[i], counts[i])
    blank = dict.fromkeys(("seed", *_COLUMNS), "")
    if shown < n:
        yield "dim", blank | {"seed": f"... {n - shown} more"}
    if n > 1:
        yield "bold", row("mean", evaluated.mean(), training.mean(), gap.mean(), counts.mean())
    yield "", blank
    for name in ("optimal", "random", "untrained"):
        if name in summary.baselines:
            yield "dim", blank | {"seed": name, "return": number(summary.baselines[name].mean)}


def _notes(summary: Summary) -> Iterator[str]:
    if summary.evaluation is None:
        yield "return: not evaluated, as the environment failed."
    elif summary.evaluation.exact:
        limit = summary.run.model.max_episode_steps if summary.run.model is not None else None
        cut = "" if limit else f" Episodes are cut at {LONGEST_EPISODE:,} steps."
        yield f"return: of the greedy policy, exact, computed from the environment's table.{cut}"
    else:
        yield f"return: of the greedy policy, mean of {summary.evaluation.episodes} fresh episodes."
    yield "training: mean return of the last tenth of the training episodes, exploring."
    if summary.gap is not None:
        gamma = summary.run.spec.config["gamma"]
        yield f"gap: to the optimum, exact: J* - J, discounted by gamma {gamma}."


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
