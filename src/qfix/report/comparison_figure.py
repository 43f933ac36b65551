"""Runs side by side: every seed's score, mean and interval, and how probable it is that one beats another."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from qfix.comparison import RunComparison, RunScores
from qfix.report.learning_curve import steps_text
from qfix.report.paint import FAINT, GRID, SERIES, heading, place, sheet
from qfix.report.value_scale import INK

_ROW = 0.42  # inches
_MOST_CURVES = 8  # runs whose learning curves can be told apart


def comparison_figure(comparison: RunComparison) -> Figure:
    """Scores of each run's seeds, best mean at the top; beside them how they learned, or how they stand to the best.

    Points: one a seed, exact or the mean of its evaluation. Bar: mean and its interval. Diamond: interquartile mean.
    """
    order = [_named(comparison, name) for name in comparison.statistics.names]
    rows = len(order)
    margin = 0.35 + 0.075 * max(len(run.name) for run in order)
    height = max(rows * _ROW, 1.2)
    curves = 1 < rows <= _MOST_CURVES and all(len(run.curve_steps) > 1 for run in order)
    figure = sheet(margin + 9.3 if curves else margin + 6.9, 1.15 + height + 0.75 + (1.3 if curves else 0))
    first = order[0].spec
    title = f"{first.env}: {rows} runs"
    heading(
        figure, title, "return of the greedy policy; point: a seed, bar: mean and 95 % interval, diamond: IQM"
    )
    tall = height + (1.3 if curves else 0)
    scores = place(figure, margin, 1.0, 3.6, tall)
    limits = _limits(order)
    for i, run in enumerate(order):
        _row(scores, rows - 1 - i, run, _colour(comparison, run), limits)
    scores.set_xlim(limits)
    scores.set_yticks(range(rows), [run.name for run in reversed(order)], fontsize=9, color=INK)
    scores.set_ylim(-0.6, rows - 0.4)
    for name, style, colour in (("optimal", (0, (6, 3)), "#2f8f6b"), ("random", (0, (1, 2)), "#b04a3a")):
        level = order[0].baselines.get(name)
        if level is not None and limits[0] <= level <= limits[1]:
            scores.axvline(level, color=colour, linestyle=style, linewidth=1.2, zorder=1)
            scores.annotate(
                name, (level, 1.01), xycoords=("data", "axes fraction"), fontsize=8, color=colour, ha="center"
            )
    _frame(scores)
    scores.set_xlabel("return", fontsize=9, color=INK)
    left = margin + 3.6 + 0.55
    if curves:
        _curves(place(figure, left + 0.2, 1.0, 4.2, tall), comparison, order)
    else:
        _improvement(place(figure, left, 1.0, 2.1, tall), comparison, order)
    return figure


def _named(comparison: RunComparison, name: str) -> RunScores:
    return next(run for run in comparison.runs if run.name == name)


def _colour(comparison: RunComparison, run: RunScores) -> str:
    return SERIES[comparison.runs.index(run) % len(SERIES)]


def _limits(order: list[RunScores]) -> tuple[float, float]:
    """Room for every seed and the optimum; of the widest intervals an arrow is shown."""
    points = np.concatenate([run.scores for run in order])
    inside = [*points, *(run.baselines["optimal"] for run in order if "optimal" in run.baselines)]
    low, high = min(inside), max(inside)
    wide = (high - low) or abs(high) or 1.0
    chance = [run.baselines["random"] for run in order if "random" in run.baselines]
    low = min([low, *(level for level in chance if level > low - wide)])
    return low - 0.25 * wide, high + 0.25 * wide


def _row(axes: Axes, y: int, run: RunScores, colour: str, limits: tuple[float, float]) -> None:
    n = len(run.scores)
    aside = np.linspace(-0.16, 0.16, n) if n > 1 else np.zeros(1)
    axes.scatter(run.scores, y + aside, 16, color=colour, alpha=0.55, linewidths=0, zorder=2)
    mean, iqm = run.mean, run.iqm
    if np.isfinite(mean.low) and np.isfinite(mean.high):
        axes.plot([mean.low, mean.high], [y, y], color=INK, linewidth=2.0, zorder=3, solid_capstyle="butt")
        for beyond, edge, marker in (
            (mean.low < limits[0], limits[0], "<"),
            (mean.high > limits[1], limits[1], ">"),
        ):
            if beyond:
                axes.scatter([edge], [y], 30, color=INK, marker=marker, clip_on=False, linewidths=0, zorder=4)
    axes.plot([mean.estimate] * 2, [y - 0.22, y + 0.22], color=INK, linewidth=2.0, zorder=3)
    axes.scatter(
        [iqm.estimate], [y], 34, color="#ffffff", edgecolors=INK, marker="D", linewidths=1.2, zorder=4
    )


def _improvement(axes: Axes, comparison: RunComparison, order: list[RunScores]) -> None:
    """Probability that a seed of the best run beats one of this run."""
    best = order[0].name
    for i, run in enumerate(order[1:], 1):
        pair = comparison.statistics.pair(best, run.name)
        found = pair.improvement
        value, low, high = found.probability, found.low, found.high
        if pair.a != best:
            value, low, high = 1 - value, 1 - high, 1 - low
        y = len(order) - 1 - i
        axes.plot([low, high], [y, y], color=INK, linewidth=2.0, solid_capstyle="butt")
        axes.scatter([value], [y], 30, color=INK, zorder=3)
    axes.axvline(0.5, color=FAINT, linewidth=1.0, zorder=1)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_yticks([])
    _frame(axes)
    axes.set_xlabel(f"P({best} beats it)", fontsize=9, color=INK)


def _curves(axes: Axes, comparison: RunComparison, order: list[RunScores]) -> None:
    """Mean training return over the seeds, each seed faint behind it."""
    for run in order:
        colour = _colour(comparison, run)
        for curve in run.curves:
            axes.plot(run.curve_steps, curve, color=colour, linewidth=0.6, alpha=0.25, zorder=2)
        known = np.isfinite(run.curves).any(axis=0)
        mean = np.nanmean(run.curves[:, known], axis=0)
        axes.plot(run.curve_steps[known], mean, color=colour, linewidth=2.0, zorder=3, label=run.name)
    if comparison.threshold is not None:
        axes.axhline(comparison.threshold, color=FAINT, linewidth=1.0, linestyle=(0, (4, 3)))
    axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="best")
    _frame(axes)
    axes.xaxis.set_major_formatter(lambda x, _: steps_text(x))
    axes.set_xlabel("steps of each seed", fontsize=9, color=INK)
    axes.set_title("return while training", fontsize=9, color=FAINT, loc="left")


def _frame(axes: Axes) -> None:
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=8.5, colors=INK)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
