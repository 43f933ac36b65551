"""The visit map: how often each state of a grid was updated."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from qfix.envs.layouts import layout_of
from qfix.report.grid_drawing import short_count, shown_states
from qfix.report.paint import heading, place, sheet
from qfix.report.summary import caption_of, run_title
from qfix.report.theme import count_colours, count_level, ink
from qfix.report.value_map import cell_inches, draw_ground
from qfix.report.value_scale import rgb
from qfix.report.visits import visits_of
from qfix.run import Run


def visit_figure(run: Run) -> Figure | None:
    """Updates of each state by any action, mean over the seeds, on a logarithmic scale of colour.

    None where the states lie on no grid, or nothing counts their visits.
    """
    visits = visits_of(run)
    layout = layout_of(run.env) if visits is not None and visits.numbered else None
    if visits is None or layout is None:
        return None
    counts = visits.by_state
    shown = shown_states(layout, np.zeros(len(counts), bool) if run.model is None else run.model.terminal)
    most = float(counts[shown].max(initial=0.0))
    colours = count_colours("day")
    tiles = {int(s): colours[count_level(counts[s], most)] for s in np.flatnonzero(shown)}
    cell = cell_inches(layout)
    width, height = layout.columns * cell, layout.rows * cell
    figure = sheet(max(width + 0.6, 6.4), 0.95 + height + 0.25)
    n = len(run.spec.seeds)
    whose = f"mean of {n} seeds" if n > 1 else ""
    note = "; ".join(filter(None, ("updates of a state, logarithmic colours", whose, caption_of(run.env))))
    heading(figure, f"{run_title(run.spec)}: where it has been", note)
    axes = place(figure, 0.3, 0.9, width, height)
    draw_ground(axes, layout, shown, {s: rgb(colour) for s, colour in tiles.items()}, cell)
    for s, colour in tiles.items():
        row, column = layout.cell_of_state[s]
        axes.text(
            column + 0.5, row + 0.5, short_count(counts[s]), fontsize=11 * cell + 0.6, color=ink(colour),
            ha="center", va="center",
        )  # fmt: skip
    return figure
