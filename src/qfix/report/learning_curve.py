"""The learning curve: return of the training episodes against environment steps, every seed visible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, ScalarFormatter
from numpy.typing import NDArray

from qfix.report.paint import FAINT, GRID, SERIES, heading, place, sheet
from qfix.report.summary import Summary, run_title
from qfix.report.value_scale import INK

BINS = 160
WINDOW = 9
"""Bins over which the thick line is the mean."""


class Curve(NamedTuple):
    """Mean return of the episodes that ended in each stretch of training."""

    steps: NDArray[np.float64]
    """(B,) middle of each stretch, in steps of one seed."""
    returns: NDArray[np.float64]
    """(seeds, B); NaN where no episode ended."""


def learning_curve(returns: list[NDArray[np.float64]], lengths: list[NDArray[np.int64]], steps: int) -> Curve:
    """Returns by stretches of equal length, at most `BINS` and no more than the seeds have episodes.

    Args:
        returns, lengths: of each seed's episodes, in order.
        steps: of a seed, in all.
    """
    counts = [len(r) for r in returns]
    # a seed that failed early does not coarsen the others
    fewest = min((n for n in counts if 10 * n >= max(counts)), default=1)
    bins = int(np.clip(fewest, 1, BINS))
    edges = np.linspace(0, max(steps, 1), bins + 1)
    rows = []
    for r, n in zip(returns, lengths, strict=True):
        stretch = np.clip(np.searchsorted(edges, np.cumsum(n), "left") - 1, 0, bins - 1)
        total, count = np.bincount(stretch, r, bins), np.bincount(stretch, minlength=bins)
        with np.errstate(invalid="ignore"):
            rows.append(total / np.where(count, count, np.nan))
    return Curve((edges[:-1] + edges[1:]) / 2, np.array(rows))


def smoothed(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Centred moving mean; NaN counts for nothing."""
    known = np.isfinite(values)
    kernel = np.ones(min(window, len(values)))
    total = np.convolve(np.where(known, values, 0.0), kernel, "same")
    count = np.convolve(known.astype(float), kernel, "same")
    return np.where(count > 0, total / np.maximum(count, 1e-9), np.nan)


def learning_figure(summary: Summary) -> Figure:
    """Thin lines the seeds, the thick one their mean; level lines what random actions and the optimum get."""
    run = summary.run
    episodes = run.episodes
    curve = learning_curve(episodes.returns, episodes.lengths, run.steps)
    figure = sheet(8.6, 4.7)
    n = len(run.spec.seeds)
    heading(
        figure,
        run_title(run.spec),
        "return of an episode while training, exploration included"
        + (f"; thin: {n} seeds, thick: their mean, smoothed" if n > 1 else "; thick: smoothed"),
    )
    axes = place(figure, 0.85, 0.95, 6.1, 3.05)
    for i, row in enumerate(curve.returns):
        known = np.isfinite(row)
        axes.plot(
            curve.steps[known], row[known], color=SERIES[i % len(SERIES)], linewidth=0.8, alpha=0.55, zorder=2
        )
    known = np.isfinite(curve.returns)
    mean = np.where(known, curve.returns, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    mean[~known.any(0)] = np.nan
    thick = smoothed(mean, WINDOW if len(mean) >= 3 * WINDOW else 3)
    axes.plot(curve.steps, thick, color=INK, linewidth=2.2, zorder=3)
    greedy = np.empty(0) if summary.evaluation is None else summary.evaluation.returns
    levels = {name: found.mean for name, found in summary.baselines.items()}
    _levels(axes, summary, thick, visible_range(curve, greedy, levels))
    draw_frame(axes)
    axes.set_xlabel("steps of each seed" if n > 1 else "steps", fontsize=9, color=INK)
    axes.set_xlim(0, max(run.steps, 1))
    return figure


def visible_range(
    curve: Curve, greedy: NDArray[np.float64], levels: Mapping[str, float]
) -> tuple[float, float]:
    """Room for what was learned, the optimum and the greedy policies; a bad beginning may leave the picture.

    Args:
        curve: of the run.
        greedy: (n,) returns of the greedy policies.
        levels: "random" and "optimal", where they are known.
    """
    known = curve.returns[np.isfinite(curve.returns)]
    if not len(known):
        return 0.0, 1.0
    later = curve.returns[:, curve.returns.shape[1] // 10 :]
    later = later[np.isfinite(later)]
    low = float(np.quantile(later if len(later) else known, 0.02))
    high = float(known.max())
    inside = [low, high, *greedy.tolist()]
    if "optimal" in levels:
        inside.append(levels["optimal"])
    low, high = min(inside), max(inside)
    reach = 2.5 * ((high - low) or abs(high) or 1.0)
    if "random" in levels and low - reach <= levels["random"] <= high + reach:
        low, high = min(low, levels["random"]), max(high, levels["random"])
    low = min(low, max(float(known.min()), low - reach))
    wide = next(x for x in (high - low, abs(high), 1.0) if x > 1e-290)
    return low - 0.06 * wide, high + 0.06 * wide


def _levels(axes: Axes, summary: Summary, thick: NDArray[np.float64], limits: tuple[float, float]) -> None:
    """Labelled lines, the labels at the right and clear of one another."""
    low, high = limits
    axes.set_ylim(low, high)
    labels: list[tuple[float, str, str]] = []
    last = thick[np.isfinite(thick)]
    if len(last):
        labels.append((float(last[-1]), "training", INK))
    for name, style, colour in (("optimal", (0, (6, 3)), "#2f8f6b"), ("random", (0, (1, 2)), "#b04a3a")):
        if name in summary.baselines:
            level = summary.baselines[name].mean
            axes.axhline(level, color=colour, linestyle=style, linewidth=1.3, zorder=1)
            labels.append((level, name, colour))
    if summary.evaluation is not None:
        greedy = summary.evaluation.returns
        end = summary.run.steps
        axes.scatter(
            [end] * len(greedy), greedy, 26, color="#2663d1", clip_on=False, zorder=5, linewidths=0, alpha=0.8
        )
        labels.append((float(greedy.mean()), "greedy policy", "#2663d1"))
    _write_labels(axes, labels, low, high)


def _write_labels(axes: Axes, labels: list[tuple[float, str, str]], low: float, high: float) -> None:
    apart = 0.075 * (high - low)
    inside = sorted((label for label in labels if low <= label[0] <= high), reverse=True)
    heights = [min(level, high) for level, _, _ in inside]
    for i in range(1, len(heights)):
        heights[i] = min(heights[i], heights[i - 1] - apart)
    for i in reversed(range(len(heights))):
        heights[i] = max(heights[i], low if i + 1 == len(heights) else heights[i + 1] + apart)
    for height, (level, name, colour) in zip(heights, inside):
        axes.annotate(
            f"{name} {_short(level)}", (1.025, height), xycoords=("axes fraction", "data"),
            fontsize=8.5, color=colour, va="center", annotation_clip=False,
        )  # fmt: skip
    for level, name, colour in labels:
        if not low <= level <= high:
            edge, arrow = (low, "below") if level < low else (high, "above")
            axes.annotate(
                f"{name} {_short(level)} lies {arrow}", (0.99, edge), xycoords=("axes fraction", "data"),
                xytext=(0, 6 if level < low else -6), textcoords="offset points", fontsize=8.5, color=colour,
                ha="right", va="bottom" if level < low else "top",
            )  # fmt: skip


def draw_frame(axes: Axes, ticks: int = 6) -> None:
    """The look of all axes: a grid, steps along the bottom, no box."""
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=8.5, colors=INK)
    axes.xaxis.set_major_locator(MaxNLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: steps_text(x)))
    axes.yaxis.set_major_locator(MaxNLocator(ticks))
    axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)


def steps_text(steps: float) -> str:
    """A count of steps for an axis.

    >>> [steps_text(x) for x in (0, 800, 50_000, 1_500_000)]
    ['0', '800', '50k', '1.5M']
    """
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(steps) >= size:
            return f"{steps / size:.4g}{unit}"
    return f"{steps:.4g}"


def _short(x: float) -> str:
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"
