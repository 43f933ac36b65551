"""The result of a run as a table in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qfix.evaluation import LONGEST_EPISODE, Evaluation
from qfix.report.summary import Summary

_MOST_SEEDS = 16
_MOST_RETURNS = 200


class Column(NamedTuple):
    """What is told of every seed."""

    name: str
    values: np.ndarray
    """(seeds,)"""
    text: Callable[[float], str]
    errors: np.ndarray | None = None
    """(seeds,) standard errors, where the values are sampled."""


def result_table(summary: Summary) -> RenderableType:
    """Return, training return, gap and episodes of each seed; their mean; what to hold them against."""
    counts = np.array([len(r) for r in summary.run.episodes.returns], float)
    columns = [
        _returns("return", summary, summary.evaluation),
        Column("training", summary.training_return, number),
        *_gap(summary),
        *_measured(summary),
        Column("episodes", counts, lambda x: f"{x:,.0f}"),
    ]
    return _laid_out(summary, columns, _notes(summary, "return", training=True))


def evaluation_table(summary: Summary) -> RenderableType:
    """The greedy policy beside the exploring one, the gap, and what to hold them against."""
    columns = [
        _returns("greedy", summary, summary.evaluation),
        _returns("exploratory", summary, summary.exploratory),
        *_gap(summary),
        *_measured(summary),
    ]
    return _laid_out(summary, columns, _notes(summary, "greedy", training=False))


def _returns(name: str, summary: Summary, found: Evaluation | None) -> Column:
    if found is None:
        return Column(name, np.full(len(summary.run.spec.seeds), np.nan), number)
    return Column(name, found.returns, number, None if found.exact else found.standard_errors)


def _gap(summary: Summary) -> list[Column]:
    return [] if summary.gap is None else [Column("gap", summary.gap, gap_text)]


def _measured(summary: Summary) -> list[Column]:
    if summary.measured is None:
        return []
    measure, values = summary.measured
    return [Column(measure.name, values, gap_text)]


def _laid_out(summary: Summary, columns: list[Column], notes: Iterator[str]) -> RenderableType:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="bold", pad_edge=False)
    rows = [("", "seed", [(column.name, "") for column in columns]), *_rows(summary, columns)]
    table.add_column("seed", no_wrap=True)
    written = []
    for k, column in enumerate(columns):
        # a value stands over a value, and has its error at its right
        widths = [max(len(cells[k][part]) for *_, cells in rows) for part in (0, 1)]
        justify: Literal["left", "right"] = "right" if column.errors is None else "left"
        texts = [f"{value:>{widths[0]}}{error}" for *_, cells in rows for value, error in [cells[k]]]
        table.add_column(texts[0], justify=justify, no_wrap=True)
        written.append(texts)
    for i, (style, name, _) in enumerate(rows[1:], 1):
        table.add_row(name, *(texts[i] for texts in written), style=style)
    parts: list[RenderableType] = [table, Text()]
    if points := _all_points(summary):
        parts += [Text(points), Text()]
    return Group(*parts, Text("\n".join(notes), style="dim"))


def _rows(summary: Summary, columns: list[Column]) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """Style, name, and of each column the value and its error."""
    seeds, counted = summary.run.spec.seeds, summary.counted
    n = len(seeds)
    shown = n if n <= _MOST_SEEDS else _MOST_SEEDS - 2
    nothing = [("", "")] * len(columns)
    for i in range(shown):
        cells = [
            (c.text(c.values[i]), "" if c.errors is None else f" ± {short(c.errors[i])}") for c in columns
        ]
        yield ("", f"{seeds[i]}", cells) if counted[i] else ("dim", f"{seeds[i]} failed", cells)
    if shown < n:
        yield "dim", f"... {n - shown} more", nothing
    if n > 1 and counted.any():
        yield "bold", "mean", [(c.text(c.values[counted].mean()), "") for c in columns]
    if n > 1 and "iqm" in summary.estimates:
        yield "bold", "IQM", [(number(summary.estimates["iqm"].estimate), ""), *nothing[1:]]
    if summary.baselines:
        yield "", "", nothing
    for name in ("optimal", "random", "untrained"):
        if name in summary.baselines:
            yield "dim", name, [(number(summary.baselines[name].mean), ""), *nothing[1:]]


def _all_points(summary: Summary) -> str:
    """Every return, where the table leaves some out."""
    if summary.evaluation is None or len(summary.run.spec.seeds) <= _MOST_SEEDS:
        return ""
    scores = np.sort(summary.evaluation.returns[summary.counted])
    more = f" ... and {len(scores) - _MOST_RETURNS} more" if len(scores) > _MOST_RETURNS else ""
    return f"all returns, sorted: {' '.join(number(x) for x in scores[:_MOST_RETURNS])}{more}"


def _notes(summary: Summary, name: str, training: bool) -> Iterator[str]:
    found = summary.evaluation
    what = f"{name}: {'' if name == 'return' else 'return '}of the greedy policy"
    if found is None:
        yield f"{name}: not evaluated, {summary.unevaluated}."
    elif found.exact:
        limit = summary.run.model.max_episode_steps if summary.run.model is not None else None
        cut = "" if limit else f" Episodes are cut at {LONGEST_EPISODE:,} steps."
        yield f"{what}, exact, computed from the environment's table.{cut}"
    else:
        each = "1 fresh episode" if found.episodes == 1 else f"mean of {found.episodes:,} fresh episodes"
        error = ", ± its standard error" if found.episodes > 1 else ""
        yield f"{what}, {each}{error}."
    if summary.exploratory is not None:
        yield "exploratory: return of the policy as it acts while it learns, at this step."
    if training:
        yield "training: mean return of the last tenth of the training episodes, exploring."
    if summary.gap is not None:
        gamma = summary.run.spec.config["gamma"]
        yield f"gap: to the optimum, exact: J* - J, discounted by gamma {gamma}."
    if summary.measured is not None:
        measure = summary.measured[0]
        yield f"{measure.name}: {measure.meaning}."
        yield f"{name}: not to be judged by it alone: {measure.caution}."
    if summary.value_distance is not None:
        low, high = (gap_text(x) for x in (summary.value_distance.min(), summary.value_distance.max()))
        span = low if low == high else f"{low} to {high}"
        yield f"values: max |q - q*| over all states and actions {span}, exact."
    yield from _of_seeds(summary)


def _of_seeds(summary: Summary) -> Iterator[str]:
    """What may be said of other seeds."""
    n, failed = len(summary.run.spec.seeds), len(summary.run.failures)
    if failed:
        counts = "it counts" if failed == 1 else "they count"
        yield f"failed: {failed} of {n} seeds; {counts} for nothing in mean, IQM and intervals."
    if not summary.estimates:
        return
    mean, middle = summary.estimates["mean"], summary.estimates["iqm"]
    if mean.n == 1:
        yield "interval: none, of 1 seed. Run at least 3, better 10: --seeds 10."
        return
    methods = mean.method if mean.method == middle.method else f"{mean.method} and {middle.method}"
    limits = ", ".join(
        f"{of} [{number(x.low)}, {number(x.high)}]" for of, x in (("mean", mean), ("IQM", middle))
    )
    yield f"95 % intervals ({methods}, n = {mean.n} seeds): {limits}."
    for note in dict.fromkeys((mean.note, middle.note)):
        if note:
            yield note


def short(x: float) -> str:
    """A standard error, in two digits.

    >>> [short(x) for x in (0.01234, 0.0, 12.345, 340.0, float("nan"))]
    ['0.012', '0', '12', '340', '?']
    """
    if np.isnan(x):
        return "?"
    return f"{x:,.0f}" if x >= 10 else f"{x:.2g}"


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
