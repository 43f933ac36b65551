"""A value map in the terminal: coloured cells with a value and arrows, legible without the colours too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qfix.envs.layout import GridLayout
from qfix.report.value_scale import ValueScale, greedy_actions

_ARROWS = {(-1, 0): "↑", (1, 0): "↓", (0, -1): "←", (0, 1): "→"}
_ARROWS |= {(-1, -1): "↖", (-1, 1): "↗", (1, -1): "↙", (1, 1): "↘"}
_SIZES = (7, 6, 3)  # columns of text a cell; the smallest has no room for values
_MARKS = {
    "G": ("◆", "#2f9e62 on #d6ecd6"),
    "P": ("●", "#b23a34 on #f7ddd8"),
    "~": ("≈", "#8a5a00 on #faeac8"),
}


def value_map(
    q: NDArray[np.float64], layout: GridLayout, terminal: NDArray[np.bool_], width: int
) -> RenderableType | None:
    """The grid of a world with what each state is worth and its best actions.

    Args:
        q: (S, A) action values.
        layout: where states lie.
        terminal: (S,) states without a decision.
        width: of the terminal in characters; None comes back if the grid does not fit.
    """
    size = next((size for size in _SIZES if layout.columns * size <= width), None)
    if size is None:
        return None
    wide = size > _SIZES[-1]
    best = q.max(axis=1)
    shown = (layout.cell_of_state[:, 0] >= 0) & ~terminal
    scale = ValueScale(best[shown])
    state_at = {tuple(layout.cell_of_state[s]): int(s) for s in np.flatnonzero(shown)}
    largest = float(np.abs(q).max()) or 1.0
    lines = []
    for r in range(layout.rows):
        upper, lower = Text(), Text()
        for c in range(layout.columns):
            glyph = layout.glyphs[r][c] if c < len(layout.glyphs[r]) else " "
            s = state_at.get((r, c)) if glyph != "P" else None
            above, below, style = _cell(s, glyph, q, best, largest, layout, scale, size)
            upper.append(above.center(size), style)
            lower.append(below.center(size), style)
        lines += [upper, lower] if wide else [lower]
    return Group(*lines)


def _cell(
    s: int | None,
    glyph: str,
    q: NDArray[np.float64],
    best: NDArray[np.float64],
    largest: float,
    layout: GridLayout,
    scale: ValueScale,
    size: int,
) -> tuple[str, str, str]:
    """(upper line, lower line, style) of a cell; a narrow one shows the lower line only."""
    if s is None:
        if glyph == "#":
            return "█" * size, "█" * size, "#434c5e on #434c5e"
        mark, style = _MARKS.get(glyph, ("", ""))
        return "", mark, style
    arrows = "".join(_action_text(a, layout) for a in greedy_actions(q[s], largest))
    label = f"{layout.labels[s]} " if layout.labels else ""
    paper, ink = scale.colours(best[s])
    if len(arrows) > size:
        arrows = arrows[: size - 1] + "…"
    return label + scale.text(best[s]), arrows or "·", f"{ink} on {paper}"


def _action_text(a: int, layout: GridLayout) -> str:
    rows, columns = (int(x) for x in np.sign(layout.action_arrows[a]))
    if rows or columns:
        return _ARROWS[rows, columns]
    return layout.action_names[a] if layout.action_names else str(a)


def state_table(q: NDArray[np.float64], policy: NDArray[np.int64], most: int = 20) -> RenderableType:
    """Value, best action and action values of the first states."""
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="bold", pad_edge=False)
    for name in ("state", "value", "action"):
        table.add_column(name, justify="right", no_wrap=True)
    few = q.shape[1] <= 6
    for a in range(q.shape[1] if few else 0):
        table.add_column(f"q(·, {a})", justify="right", no_wrap=True)
    for s in range(min(most, len(q))):
        row = [f"{x:.4g}" for x in q[s]] if few else []
        table.add_row(str(s), f"{q[s].max():.6g}", str(policy[s]), *row)
    if len(q) <= most:
        return table
    return Group(table, Text(f"... and {len(q) - most:,} more states", style="dim"))
