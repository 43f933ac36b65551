"""The value map: what the best action is worth in every cell, and which one it is, as training went on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from qfix.envs import drawing
from qfix.envs.layout import GridLayout
from qfix.report.grid_drawing import shown_states
from qfix.report.paint import FAINT, colour_bar, heading, place, sheet
from qfix.report.value_scale import FLOOR, INK, ValueScale, greedy_actions, ink_on, rgb
from qfix.report.values import Moment

_LEGIBLE = 0.44  # inches: smaller cells have no room for numbers


def grid_figure(
    panels: list[Moment],
    layout: GridLayout,
    terminal: NDArray[np.bool_],
    title: str,
    note: str = "",
) -> Figure:
    """Heat maps of max_a q on the cells of a grid, with arrows for the greedy actions, on one colour scale.

    Equally good actions get an arrow each; where all are equal there is none.

    Args:
        panels: what to draw, in reading order.
        layout: where states lie.
        terminal: (S,) states in which no action is taken; drawn as what they are, without a value.
        title, note: above the panels.
    """
    shown = shown_states(layout, terminal)
    scale = ValueScale(np.concatenate([p.action_values[shown].max(axis=1) for p in panels]))
    cell = cell_inches(layout)
    width, height = layout.columns * cell, layout.rows * cell
    across = 1 if len(panels) == 1 or layout.rows <= 2 else 2
    down = -(-len(panels) // across)
    left, top, gap, head = 0.3, 0.85, 0.35, 0.3
    inner = across * width + (across - 1) * gap
    figure = sheet(max(left + inner + 1.0, 6.4), top + down * (height + head) + (down - 1) * 0.15 + 0.25)
    heading(figure, title, note)
    for i, panel in enumerate(panels):
        x = left + (i % across) * (width + gap)
        y = top + head + (i // across) * (height + head + 0.15)
        axes = place(figure, x, y, width, height)
        axes.set_title(panel.title, fontsize=10, color=INK, loc="left", pad=5)
        draw_grid(axes, panel.action_values, layout, shown, scale, cell)
    tall = down * height + (down - 1) * (head + 0.15)
    colour_bar(figure, scale, left + inner + 0.2, top + head, max(height, min(1.2, tall)))
    return figure


def cell_inches(layout: GridLayout) -> float:
    """Width of a cell: large enough for a number and an arrow where the whole stays on a page."""
    return float(np.clip(5.4 / max(layout.columns, layout.rows), 0.3, 0.82))


def draw_grid(
    axes: Axes,
    action_values: NDArray[np.float64],
    layout: GridLayout,
    shown: NDArray[np.bool_],
    scale: ValueScale,
    cell: float,
) -> None:
    """One panel: tiles, values, arrows.

    Args:
        shown: (S,) states that have a value to show.
        cell: width of a cell in inches; numbers are left out where it is small.
    """
    best = action_values.max(axis=1)
    tiles = draw_ground(
        axes, layout, shown, {int(s): scale.paint(best[s]) for s in np.flatnonzero(shown)}, cell
    )
    legible = cell >= _LEGIBLE
    if legible:
        for s in np.flatnonzero(shown):
            row, column = layout.cell_of_state[s]
            colour = ink_on(tiles[row, column]) if best[s] else FAINT
            style: dict[str, Any] = {"fontsize": 11 * cell + 0.6, "color": colour, "ha": "center"}
            axes.text(column + 0.5, row + 0.93, scale.text(best[s]), va="bottom", **style)
            if layout.labels:
                axes.text(column + 0.5, row + 0.08, layout.labels[s], va="top", **style)
    _arrows(axes, action_values, layout, shown, tiles, cell, 0.4 if legible else 0.5)


def draw_ground(
    axes: Axes,
    layout: GridLayout,
    shown: NDArray[np.bool_],
    colours: Mapping[int, ArrayLike],
    cell: float,
) -> NDArray[np.float64]:
    """The tiles, those of some states in colours of their own, with what lies on them.

    Args:
        shown: (S,) states that have something to show.
        colours: (3,) by state.
        cell: width of a cell in inches.

    Returns:
        (rows, columns, 3) colours of the tiles.
    """
    tiles = _tiles(layout)
    for s, colour in colours.items():
        tiles[tuple(layout.cell_of_state[s])] = colour
    axes.imshow(tiles, interpolation="nearest", extent=(0, layout.columns, layout.rows, 0))
    _lines(axes, layout)
    _marks(axes, layout, tiles, shown, cell)
    return tiles


def _tiles(layout: GridLayout) -> NDArray[np.float64]:
    """(rows, columns, 3) colours of the ground."""
    ground = {glyph: tuple(np.array(colour) / 255) for glyph, colour in drawing.GROUND.items()}
    ground |= dict.fromkeys("S.^", rgb(FLOOR))
    tiles = np.ones((layout.rows, layout.columns, 3))
    for r, row in enumerate(layout.glyphs):
        for c, glyph in enumerate(row):
            tiles[r, c] = ground[glyph]
    return tiles


def _lines(axes: Axes, layout: GridLayout) -> None:
    axes.set_xticks(range(layout.columns + 1), [])
    axes.set_yticks(range(layout.rows + 1), [])
    axes.grid(color="#d5d2ca", linewidth=0.6)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_color("#b9b5ab")


def _marks(
    axes: Axes,
    layout: GridLayout,
    tiles: NDArray[np.float64],
    shown: NDArray[np.bool_],
    cell: float,
) -> None:
    """Start, goal, pits and what else lies on the ground."""
    valued = {tuple(layout.cell_of_state[s]) for s in np.flatnonzero(shown)}
    for r, row in enumerate(layout.glyphs):
        for c, glyph in enumerate(row):
            free = (r, c) not in valued
            x, y, area = (c + 0.5, r + 0.5, 300 * cell**2) if free else (c + 0.17, r + 0.17, 60 * cell**2)
            if glyph == "G":
                axes.scatter(x, y, area * 2, marker="D", color=_colour(drawing.GEM), linewidths=0, zorder=3)
            elif glyph == "P":
                axes.scatter(x, y, area * 3, marker="o", color=_colour(drawing.HOLE), linewidths=0, zorder=3)
            elif glyph == "~" and free:
                axes.scatter(x, y, area * 2, marker="o", color=_colour(drawing.DROP), linewidths=0, zorder=3)
            elif glyph == "S":
                colour = FAINT if tiles[r, c].min() > 0.85 else ink_on(tiles[r, c])
                axes.text(
                    c + 0.08, r + 0.08, "S", fontsize=9 * cell + 1, color=colour, va="top", fontweight="bold"
                )


def _colour(bytes_: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*bytes_)


def _arrows(
    axes: Axes,
    action_values: NDArray[np.float64],
    layout: GridLayout,
    shown: NDArray[np.bool_],
    tiles: NDArray[np.float64],
    cell: float,
    middle: float,
) -> None:
    arrows = list(_arrow_rows(action_values, layout, shown, middle))
    if arrows:
        x, y, dx, dy = np.array(arrows).T
        colours = [ink_on(tiles[int(b), int(a)]) for a, b in zip(x, y)]
        axes.quiver(
            x - dx / 2, y - dy / 2, dx, dy, color=colours, angles="xy", scale_units="xy", scale=1,
            units="inches", width=0.028 * cell + 0.006, headwidth=4.2, headlength=4.2, headaxislength=3.8, zorder=4,
        )  # fmt: skip
    size = float(np.abs(action_values).max()) or 1.0
    for s in np.flatnonzero(shown):
        best = greedy_actions(action_values[s], size)
        still = [a for a in best if not layout.action_arrows[a].any()]
        row, column = layout.cell_of_state[s]
        ink = ink_on(tiles[row, column])
        if still and len(still) < len(best):
            axes.scatter(column + 0.5, row + middle, 30 * cell**2, color=ink, linewidths=0, zorder=4)
        elif still and cell >= _LEGIBLE:
            names = "/".join(layout.action_names[a] if layout.action_names else str(a) for a in still)
            font = min(9.0, 8.5 * cell * 7 / max(7, len(names)))
            axes.text(column + 0.5, row + 0.5, names, fontsize=font, color=ink, ha="center", va="center")


def _arrow_rows(
    action_values: NDArray[np.float64], layout: GridLayout, shown: NDArray[np.bool_], middle: float
) -> Iterator[tuple[float, float, float, float]]:
    """(x, y, dx, dy) of the middle and the extent of every arrow."""
    size = float(np.abs(action_values).max()) or 1.0
    for s in np.flatnonzero(shown):
        row, column = layout.cell_of_state[s]
        best = greedy_actions(action_values[s], size)
        for a in best:
            down, right = layout.action_arrows[a]
            if not (down or right):
                continue
            length, aside = (0.42, 0.0) if len(best) == 1 else (0.26, 0.18)
            norm = float(np.hypot(down, right))
            dx, dy = right / norm, down / norm
            yield column + 0.5 + aside * dx, row + middle + aside * dy, length * dx, length * dy


def box_figure(
    panels: list[tuple[str, NDArray[np.float64]]],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    names: tuple[str, str],
    title: str,
    note: str = "",
) -> Figure:
    """Heat maps of max_a q over a two-dimensional box.

    Args:
        panels: title and (rows, columns) values; the first observation runs along the columns, the second up.
        low, high: (2,) corners.
        names: of the two observations.
        title, note: above the panels.
    """
    scale = ValueScale(np.concatenate([values.ravel() for _, values in panels]))
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    left, top, width, height, gap, head = 0.85, 0.85, 3.3, 2.6, 0.45, 0.3
    inner = across * width + (across - 1) * gap
    figure = sheet(left + inner + 1.0, top + down * (height + head) + (down - 1) * 0.15 + 0.65)
    heading(figure, title, note)
    for i, (name, values) in enumerate(panels):
        axes = place(
            figure,
            left + (i % across) * (width + gap),
            top + head + (i // across) * (height + head + 0.15),
            width,
            height,
        )
        axes.set_title(name, fontsize=10, color=INK, loc="left", pad=5)
        axes.imshow(
            scale.paint(values), origin="lower", aspect="auto", extent=(low[0], high[0], low[1], high[1])
        )
        axes.tick_params(length=2, labelsize=8, colors=INK, width=0.5)
        axes.set_xlabel(names[0], fontsize=9, color=INK)
        axes.set_ylabel(names[1], fontsize=9, color=INK)
        for axis, last in ((axes.xaxis, i + across >= len(panels)), (axes.yaxis, i % across == 0)):
            if not last:
                axis.set_ticklabels([])
                axis.label.set_visible(False)
        for spine in axes.spines.values():
            spine.set_color("#b9b5ab")
    colour_bar(figure, scale, left + inner + 0.2, top + head, height)
    return figure
