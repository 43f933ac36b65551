"""A grid world as an SVG: tiles, what is known of each state as a colour and a number, and the greedy actions.

One drawing has 64 units a cell and takes the colours of the style sheet.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qfix.envs.layout import GridLayout
from qfix.report.chart import number_text
from qfix.report.markup import Html, tag
from qfix.report.theme import count_level, level_of
from qfix.report.value_scale import ValueScale, greedy_actions

CELL = 64
LEAST, NATURAL = 26, 72
"""Pixels of a cell: below the first the drawing scrolls, above the second it does not grow."""
MOST_CELLS = 1_600
"""Cells of a grid that is drawn one by one; a larger one is a picture."""
_NAMES = {
    "#": "wall", "S": "start", "G": "goal", "P": "pit", "~": "spill", "^": "wind", ".": "floor", " ": "blank",
}  # fmt: skip


def shown_states(layout: GridLayout, terminal: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(S,) states in which something is decided: on the grid, not terminal and in no pit."""
    in_pit = [r >= 0 and layout.glyphs[r][c] == "P" for r, c in layout.cell_of_state]
    return (layout.cell_of_state[:, 0] >= 0) & ~terminal & ~np.array(in_pit, bool)


def value_drawing(
    action_values: NDArray[np.float64],
    layout: GridLayout,
    shown: NDArray[np.bool_],
    scale: ValueScale,
    said: str,
) -> Html:
    """max_a q of every state, with an arrow for each greedy action.

    Args:
        action_values: (S, A).
        layout: where states lie.
        shown: (S,) states that have a value to show.
        scale: of the values.
        said: what it shows, in words.
    """
    best = action_values.max(axis=1)
    size = float(np.abs(action_values[np.isfinite(action_values)]).max(initial=0.0)) or 1.0

    def cell(s: int) -> tuple[str, str, Html | None, str]:
        actions = greedy_actions(action_values[s], size)
        words = "/".join(layout.action_names[a] if layout.action_names else str(a) for a in actions)
        text = scale.text(best[s]) if np.isfinite(best[s]) else "NaN"
        name = f"state {s}: {number_text(float(best[s]))}" + (f", {words}" if words else ", no preference")
        return f"v{level_of(best[s], scale.size)}", text, _arrows(actions, layout, words), name

    return _drawing(layout, shown, cell, said)


def count_drawing(
    counts: NDArray[np.float64], layout: GridLayout, shown: NDArray[np.bool_], said: str
) -> Html:
    """How often each state was updated, on a logarithmic scale of colour."""
    most = float(counts[shown].max(initial=0.0))

    def cell(s: int) -> tuple[str, str, Html | None, str]:
        text = short_count(counts[s])
        return f"w{count_level(counts[s], most)}", text, None, f"state {s}: {counts[s]:,.0f} updates"

    return _drawing(layout, shown, cell, said)


def short_count(count: float) -> str:
    """A count in at most four characters.

    >>> [short_count(n) for n in (0, 7.4, 950, 1234, 45_678, 12_345_678)]
    ['0', '7', '950', '1.2k', '46k', '12M']
    """
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * size:
            amount = count / size
            return f"{amount:.1f}{unit}" if amount < 9.95 else f"{amount:.0f}{unit}"
    return f"{count:.0f}"


def _drawing(
    layout: GridLayout,
    shown: NDArray[np.bool_],
    cell: Callable[[int], tuple[str, str, Html | None, str]],
    said: str,
) -> Html:
    """Cells with what `cell` says of their state: class, number, arrows and name."""
    taken = {tuple(layout.cell_of_state[s]): int(s) for s in np.flatnonzero(shown)}
    cells = []
    for r, row in enumerate(layout.glyphs):
        for c, glyph in enumerate(row):
            ground = _NAMES.get(glyph, "floor")
            place = f"translate({c * CELL} {r * CELL})"
            if (r, c) not in taken:
                square = tag("rect", width=CELL, height=CELL)
                cells.append(tag("g", square, _mark(ground), class_=f"ground {ground}", transform=place))
                continue
            state = taken[r, c]
            style, text, arrows, name = cell(state)
            high = arrows is None
            number = tag("text", text, x=CELL // 2, y=37 if high else 58, class_="number")
            corner = tag("text", "S", x=5, y=14, class_="corner") if glyph == "S" else None
            label = layout.labels[state] if layout.labels else ""
            label_text = tag("text", label, x=CELL // 2, y=16, class_="number") if label else None
            square = tag("rect", width=CELL, height=CELL)
            parts = (tag("title", name), square, label_text, arrows, number, corner)
            cells.append(tag("g", *parts, class_=f"state {style}", transform=place))
    width, height = layout.columns * CELL, layout.rows * CELL
    natural = min(layout.columns * NATURAL, 1_400)
    return tag(
        "svg",
        *cells,
        viewBox=f"-1 -1 {width + 2} {height + 2}",
        role="img",
        aria_label=said,
        class_="grid-map",
        style=f"min-width:{layout.columns * LEAST}px;max-width:{natural}px",
    )


def _mark(ground: str) -> Html | None:
    half = CELL // 2
    if ground == "goal":
        return tag("path", d=f"M{half} 14L50 {half}L{half} 50L14 {half}z", class_="gem")
    if ground == "pit":
        return tag("circle", cx=half, cy=half, r=13, class_="hole")
    if ground == "spill":
        return tag("circle", cx=half, cy=half, r=9, class_="drop")
    return None


def _arrows(actions: NDArray[np.int64], layout: GridLayout, words: str) -> Html | None:
    """An arrow for each action that goes somewhere; a word for those that do not."""
    pieces, still = [], False
    for a in actions:
        down, right = layout.action_arrows[a]
        if not (down or right):
            still = True
            continue
        norm = float(np.hypot(down, right))
        pieces.append(_arrow(right / norm, down / norm, alone=len(actions) == 1))
    if pieces:
        dot = tag("circle", cx=CELL // 2, cy=26, r=3, class_="stay") if still else None
        return tag("g", tag("path", d="".join(pieces), class_="arrow"), dot)
    if still:
        size = min(11.0, 96 / max(len(words), 1))
        return tag("text", words, x=CELL // 2, y=32, class_="word", style=f"font-size:{size:.1f}px")
    return tag("g")


def _arrow(right: float, down: float, alone: bool) -> str:
    """A line with a head, about the middle of the upper part of the cell."""
    length, aside, head = (26.0, 0.0, 7.0) if alone else (12.0, 9.0, 4.0)
    x, y = CELL / 2 + aside * right, 26 + aside * down
    tip_x, tip_y = x + length / 2 * right, y + length / 2 * down
    back_x, back_y = tip_x - head * right, tip_y - head * down
    left = f"{back_x + head * down * 0.8:.1f} {back_y - head * right * 0.8:.1f}"
    other = f"{back_x - head * down * 0.8:.1f} {back_y + head * right * 0.8:.1f}"
    tail = f"{x - length / 2 * right:.1f} {y - length / 2 * down:.1f}"
    tip = f"{tip_x:.1f} {tip_y:.1f}"
    return f"M{tail}L{tip}M{left}L{tip}L{other}"
