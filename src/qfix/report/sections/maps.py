"""What was learned: values and greedy actions on a grid or over a box of two dimensions, and where it has been."""

from __future__ import annotations

import gymnasium
import numpy as np
from numpy.typing import NDArray

from qfix.envs.layout import GridLayout
from qfix.envs.layouts import layout_of
from qfix.errors import QfixError
from qfix.report.box import box_of, box_values
from qfix.report.chart import listed, number_text
from qfix.report.dossier import Dossier
from qfix.report.grid_drawing import (
    LEAST,
    MOST_CELLS,
    count_drawing,
    short_count,
    shown_states,
    value_drawing,
)
from qfix.report.markup import Child, Html, joined, section, table, tag
from qfix.report.summary import caption_of
from qfix.report.theme import SIDE, count_level, level_of, picture
from qfix.report.value_scale import ValueScale
from qfix.report.values import moments
from qfix.report.visits import Visits, visits_of
from qfix.run import Run

_LAST_ALONE = 1_000  # cells of all panels together beyond which only the last is drawn


def values(dossier: Dossier) -> Html:
    """The section of values and policy."""
    title = "Values and policy"
    if dossier.run is None:
        why = tag(
            "p",
            "Without values and policy: what was learned could not be loaded. ",
            dossier.absent,
            class_="none",
        )
        return section("values", title, why)
    try:
        drawn = _values(dossier.run)
    except QfixError as fault:
        drawn = tag("p", f"No picture of the values: {fault}", class_="none")
    return section("values", title, drawn)


def _values(run: Run) -> Html:
    if run.trainer.remembers:
        said = "No picture: a recurrent network values what it has seen so far, and not a state alone."
        return tag("p", said, class_="none")
    space = run.env.observation_space
    if isinstance(space, gymnasium.spaces.Discrete) and (layout := layout_of(run.env)) is not None:
        return _grid(run, int(space.n), layout)
    box = box_of(run)
    if box is None:
        said = "No picture: the states lie neither on a grid nor in a box of two dimensions."
        return tag("p", said, class_="none")
    panels = box_values(run, box)
    scale = ValueScale(np.concatenate([each.ravel() for _, each in panels]))
    figures = [
        _panel(
            name,
            tag(
                "div",
                picture(
                    _levels(each[::-1], scale),
                    "v",
                    f"Value of the best action over {box.names[0]} and {box.names[1]}, {name}: "
                    f"from {number_text(float(np.nanmin(each)))} to {number_text(float(np.nanmax(each)))}",
                ),
                *_corners(box.low, box.high, box.names),
                class_="box-map",
            ),
        )
        for name, each in panels
    ]
    note = tag("p", _whose(run), ". Colour: the value of the best action.", class_="note")
    return joined([note, tag("div", *figures, class_="maps boxes"), _value_key(scale)])


def _grid(run: Run, n_states: int, layout: GridLayout) -> Html:
    terminal = np.zeros(n_states, bool) if run.model is None else run.model.terminal
    shown = shown_states(layout, terminal)
    panels = moments(run, np.arange(n_states))
    if layout.rows * layout.columns * len(panels) > _LAST_ALONE:
        panels = panels[-1:]
    scale = ValueScale(np.concatenate([p.action_values[shown].max(axis=1) for p in panels]))
    large = layout.rows * layout.columns > MOST_CELLS
    draw = _large_values if large else value_drawing
    figures = []
    for panel in panels:
        best = panel.action_values[shown].max(axis=1)
        known = best[np.isfinite(best)]
        reach = f", from {number_text(known.min())} to {number_text(known.max())}" if len(known) else ""
        said = f"Value and greedy action on a grid of {layout.rows} by {layout.columns}, {panel.title}{reach}"
        drawn = draw(panel.action_values, layout, shown, scale, said)
        figures.append(_panel(panel.title, drawn))
    note = listed(
        [
            _whose(run),
            "colour and number: the value of the best action",
            None
            if large
            else "arrows: the greedy action, one for each of equally good ones, none where all are equal",
            caption_of(run.env),
        ]
    )
    width = max(140, layout.columns * (LEAST + 6))  # panels stand side by side where each has so much room
    maps = tag("div", *figures, class_="maps", style=f"--w:{width}px")
    return joined([tag("p", note, class_="note"), maps, _value_key(scale)])


def _whose(run: Run) -> str:
    seeds = run.spec.seeds
    return f"seed {seeds[0]}, the first of {len(seeds)}" if len(seeds) > 1 else f"seed {seeds[0]}"


def _panel(title: str, drawn: Html) -> Html:
    return tag("figure", tag("figcaption", title), tag("div", drawn, class_="scroll"), class_="map")


def _levels(values_: NDArray[np.float64], scale: ValueScale) -> NDArray[np.int64]:
    return np.array([[level_of(float(x), scale.size) for x in row] for row in values_])


def _corners(low: NDArray[np.float64], high: NDArray[np.float64], names: tuple[str, str]) -> list[Html]:
    ends = [number_text(float(x)) for x in (low[0], high[0], low[1], high[1])]
    across = tag("div", tag("span", ends[0]), tag("span", names[0]), tag("span", ends[1]), class_="across")
    up = tag("div", tag("span", ends[3]), tag("span", names[1]), tag("span", ends[2]), class_="up")
    return [across, up]


def _large_values(
    action_values: NDArray[np.float64],
    layout: GridLayout,
    shown: NDArray[np.bool_],
    scale: ValueScale,
    said: str,
) -> Html:
    levels = np.full((layout.rows, layout.columns), SIDE)
    for s in np.flatnonzero(shown):
        levels[tuple(layout.cell_of_state[s])] = level_of(float(action_values[s].max()), scale.size)
    return tag("div", picture(levels, "v", said), class_="box-map pixels")


def _value_key(scale: ValueScale) -> Html:
    """The colours with their values."""
    lowest, highest = level_of(scale.low, scale.size), level_of(scale.high, scale.size)
    swatches = [tag("i", class_=f"v{k}") for k in range(lowest, highest + 1)]
    ends = (tag("span", number_text(scale.low)), tag("span", number_text(scale.high)))
    return tag(
        "p", ends[0], tag("span", *swatches, class_="swatches", aria_hidden="true"), ends[1], class_="key"
    )


# Where it has been


def visits(dossier: Dossier) -> Html | None:
    """The section of the visits; None where nothing counts them."""
    if dossier.run is None:
        return None
    found = visits_of(dossier.run)
    if found is None:
        return None
    parts: list[Child] = []
    layout = layout_of(dossier.run.env) if found.numbered else None
    if layout is not None and layout.rows * layout.columns <= MOST_CELLS:
        parts.append(_visit_map(dossier.run, found, layout))
    parts.append(_decades(found))
    return section("visits", "Where it has been", tag("div", *parts, class_="columns"))


def _visit_map(run: Run, found: Visits, layout: GridLayout) -> Html:
    n = int(found.counts[0].shape[0])
    shown = shown_states(layout, np.zeros(n, bool) if run.model is None else run.model.terminal)
    counts = found.by_state
    most, least = float(counts[shown].max(initial=0.0)), float(counts[shown].min(initial=np.inf))
    seeds = len(run.spec.seeds)
    said = f"Updates of each cell of a grid of {layout.rows} by {layout.columns}, from {least:,.0f} to {most:,.0f}"
    note = listed(
        [
            "updates of a state by any action" + (f", mean of {seeds} seeds" if seeds > 1 else ""),
            "colours on a logarithmic scale",
            caption_of(run.env),
        ]
    )
    swatches = [tag("i", class_=f"w{k}") for k in range(count_level(most, most) + 1)]
    key = tag(
        "p",
        tag("span", "0"),
        tag("span", *swatches, class_="swatches", aria_hidden="true"),
        tag("span", short_count(most)),
        class_="key",
    )
    figure = tag(
        "figure", tag("div", count_drawing(counts, layout, shown, said), class_="scroll"), class_="map"
    )
    return tag("div", tag("p", note, class_="note"), tag("div", figure, class_="maps"), key)


def _decades(found: Visits) -> Html:
    """How many pairs were updated how often, with bars."""
    rows = found.by_decade
    total = sum(count for _, count in rows) or 1
    made = [
        [
            name,
            f"{count:,}",
            f"{count / total:.1%}",
            tag("i", class_="bar", style=f"width:{100 * count / total:.1f}%"),
        ]
        for name, count in rows
    ]
    seeds = len(found.counts)
    caption = "State-action pairs by how often they were updated" + (
        f", {seeds} seeds together" if seeds > 1 else ""
    )
    return table(["updates", "pairs", "share", ""], made, caption, tight=True)
