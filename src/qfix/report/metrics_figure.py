"""What was measured while a run learned, as small charts on one time axis."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from qfix.report.chart import drawable, mean_of, span
from qfix.report.learning_curve import draw_frame
from qfix.report.paint import SERIES, heading, place, sheet
from qfix.report.summary import run_title
from qfix.report.value_scale import INK
from qfix.run import Run


class Panel(NamedTuple):
    """A small chart."""

    title: str
    lines: tuple[str, ...]
    """Metrics with a thin line a seed, and the thick mean."""
    band: tuple[str, str] | None = None
    """Metrics between whose lowest and highest the area is tinted."""
    dashed: str = ""
    """A metric that is drawn as a dashed line."""
    top: float | None = None
    """Upper end of the axis, where it is given."""


PANELS = (
    Panel("TD error: mean size, and from p05 to p95", ("td_error",), ("td_error_p05", "td_error_p95")),
    Panel("action values: lowest to highest, and mean", ("q_mean",), ("q_min", "q_max")),
    Panel(
        "share of exploratory actions; dashed: scheduled", ("exploratory_share",), None, "exploration_rate"
    ),
    Panel("entropy of the policy, in nats", ("entropy",)),
    Panel("temperature: what a nat of entropy is worth", ("temperature",)),
    Panel("squared error of the critic", ("value_loss",)),
    Panel("KL of the policy from that of the rollout, in nats", ("approx_kl",)),
    Panel("share of ratios beyond the bounds", ("clip_fraction",)),
    Panel("coverage of state-action pairs", ("coverage",), top=1.04),
    Panel("step size", ("step_size",)),
    Panel("length of an episode", ("episode_length",)),
)


def metrics_figure(run: Run) -> Figure | None:
    """TD error, range of Q, exploration, coverage, step size and length of episodes, or what a policy's learner has in
    their place; None where none was measured."""
    panels = [panel for panel in PANELS if any(_known(run, name) for name in panel.lines)]
    if not panels:
        return None
    across, wide, tall, gap, head = 2, 3.6, 1.75, 0.75, 0.35
    down = -(-len(panels) // across)
    figure = sheet(0.85 + across * (wide + gap), 0.8 + down * (tall + head + 0.4) + 0.1)
    n = len(run.spec.seeds)
    note = f"thin: {n} seeds, thick: their mean" if n > 1 else f"seed {run.spec.seeds[0]}"
    heading(figure, f"{run_title(run.spec)}: while it learned", note)
    for i, panel in enumerate(panels):
        left = 0.85 + (i % across) * (wide + gap)
        axes = place(figure, left, 0.8 + head + (i // across) * (tall + head + 0.4), wide, tall)
        axes.set_title(panel.title, fontsize=9.5, color=INK, loc="left", pad=5)
        _draw(axes, run, panel)
    return figure


def _draw(axes: Axes, run: Run, panel: Panel) -> None:
    drawn: list[NDArray[np.float64]] = []
    if panel.band is not None and all(_known(run, name) for name in panel.band):
        steps, low = _rows(run, panel.band[0])
        _, high = _rows(run, panel.band[1])
        lower, upper = np.fmin.reduce(low, axis=0), np.fmax.reduce(high, axis=0)
        axes.fill_between(steps, lower, upper, color=SERIES[0], alpha=0.15, linewidth=0, zorder=1)
        drawn += [lower, upper]
    for name in panel.lines:
        steps, values = _rows(run, name)
        for i, row in enumerate(values if len(values) > 1 else ()):
            axes.plot(steps, row, color=SERIES[i % len(SERIES)], linewidth=0.7, alpha=0.5, zorder=2)
        axes.plot(steps, mean_of(values), color=INK, linewidth=1.6, zorder=3)
        drawn.append(values)
    if panel.dashed and _known(run, panel.dashed):
        steps, values = _rows(run, panel.dashed)
        axes.plot(steps, mean_of(values), color="#c98a1b", linewidth=1.3, linestyle=(0, (4, 3)), zorder=4)
        drawn.append(values)
    low_end, high_end = span(drawn, [0.0])
    axes.set_ylim(
        low_end if low_end < -0.07 * high_end else 0.0, high_end if panel.top is None else panel.top
    )
    axes.set_xlim(0, max(run.steps, 1))
    draw_frame(axes, ticks=4)


def _rows(run: Run, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Steps and (seeds, n) values; NaN where there is none, or nothing that can be drawn."""
    metric = run.metrics(name)
    return metric.steps, np.where(drawable(metric.values), metric.values, np.nan)


def _known(run: Run, name: str) -> bool:
    return name in run.metric_names and bool(np.isfinite(_rows(run, name)[1]).any())
