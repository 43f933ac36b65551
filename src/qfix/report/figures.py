"""The figures of a run: how it learned, and what."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
from matplotlib.figure import Figure

from qfix.envs.layouts import layout_of
from qfix.report.box import box_of, box_values
from qfix.report.learning_curve import learning_figure
from qfix.report.metrics_figure import metrics_figure
from qfix.report.paint import write
from qfix.report.summary import Summary, caption_of, run_title
from qfix.report.value_map import box_figure, grid_figure
from qfix.report.values import moments
from qfix.report.visit_figure import visit_figure
from qfix.run import Run


def draw_figures(summary: Summary, folder: Path) -> list[Path]:
    """Draw what can be drawn of a run: learning curve, values, visits, and what was measured while it learned.

    Args:
        summary: of the run.
        folder: to write PNG files to.

    Returns:
        The files.
    """
    paths = []
    if any(len(r) for r in summary.run.episodes.returns):
        paths.append(write(learning_figure(summary), folder / "learning_curve.png"))
    values = value_figure(summary.run)
    if values is not None:
        paths.append(write(values, folder / "values.png"))
    for name, figure in (
        ("visits", visit_figure(summary.run)),
        ("training_metrics", metrics_figure(summary.run)),
    ):
        if figure is not None:
            paths.append(write(figure, folder / f"{name}.png"))
    return paths


def value_figure(run: Run) -> Figure | None:
    """max_a q after 1, 50 and 500 episodes and at the end: on a grid, or over a box of two dimensions.

    None where the states of the environment lie neither on a grid nor in such a box, and of a policy that remembers: it
    has no values of states alone.
    """
    if run.trainer.remembers:
        return None
    title = f"{run_title(run.spec)}: value of the best action"
    seed = f"seed {run.spec.seeds[0]}" if len(run.spec.seeds) > 1 else ""
    space = run.env.observation_space
    if isinstance(space, gymnasium.spaces.Discrete):
        layout = layout_of(run.env)
        if layout is None:
            return None
        panels = moments(run, np.arange(int(space.n)))
        terminal = np.zeros(int(space.n), bool) if run.model is None else run.model.terminal
        note = "; ".join(filter(None, (seed, "arrows: the greedy action", caption_of(run.env))))
        return grid_figure(panels, layout, terminal, title, note)
    box = box_of(run)
    return None if box is None else box_figure(box_values(run, box), *box, title, seed)
