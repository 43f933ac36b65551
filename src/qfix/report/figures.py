"""The figures of a run: how it learned, and what."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
from matplotlib.figure import Figure

from qfix.envs.layouts import layout_of
from qfix.report.learning_curve import learning_figure
from qfix.report.paint import write
from qfix.report.summary import Summary, caption_of, run_title
from qfix.report.value_map import box_figure, grid_figure
from qfix.report.values import moments
from qfix.run import Run

_RESOLUTION = 48  # points along each side of a box

# what the entries of an observation are, by environment
_OBSERVATIONS = {"MountainCar": ("position", "velocity"), "MountainCarContinuous": ("position", "velocity")}


def draw_figures(summary: Summary, folder: Path) -> list[Path]:
    """Draw what can be drawn of a run: the learning curve where an episode ended, the value map where one can be.

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
    return paths


def value_figure(run: Run) -> Figure | None:
    """max_a q after 1, 50 and 500 episodes and at the end: on a grid, or over a box of two dimensions.

    None where the states of the environment lie neither on a grid nor in such a box.
    """
    title = f"{run_title(run.spec)}: value of the best action"
    name = run.env.spec.name if run.env.spec is not None else ""
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
    if isinstance(space, gymnasium.spaces.Box) and space.shape == (2,):
        return _box_figure(run, space, title, name, seed)
    return None


def _box_figure(run: Run, space: gymnasium.spaces.Box, title: str, name: str, seed: str) -> Figure:
    ranges = run.spec.config.get("tile_range") or np.stack([space.low, space.high], 1).ravel().tolist()
    low, high = np.array(ranges[::2], np.float64), np.array(ranges[1::2], np.float64)
    first, second = (np.linspace(a, b, _RESOLUTION) for a, b in zip(low, high))
    points = np.stack(np.meshgrid(first, second), -1).reshape(-1, 2)
    panels = [
        (moment.title, moment.action_values.max(axis=1).reshape(_RESOLUTION, _RESOLUTION))
        for moment in moments(run, points)
    ]
    return box_figure(
        panels, low, high, _OBSERVATIONS.get(name, ("observation 0", "observation 1")), title, seed
    )
