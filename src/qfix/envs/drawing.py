"""Pictures of a world with an agent in it, as text and as pixels, in plain NumPy.

Shapes are signed distances in units of a cell, negative inside: what a pixel shows is how much of it lies
inside, so that edges come out smooth at any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qfix.envs.layout import GridLayout, strip
from qfix.mdp import FiniteMDP

Image = NDArray[np.uint8]
Field = NDArray[np.float64]

PAPER = (255, 255, 255)
FLOOR = (244, 241, 234)
LINE = (221, 215, 203)
WALL = (67, 76, 94)
WALL_LIGHT = (86, 97, 118)
START = (201, 219, 240)
GOAL = (214, 236, 214)
GEM = (47, 158, 98)
PIT = (247, 221, 216)
HOLE = (178, 58, 52)
SPILL = (250, 234, 200)
DROP = (222, 160, 40)
AIR = (226, 238, 243)
WIND = (150, 187, 204)
AGENT = (38, 99, 209)
INK = (70, 74, 84)

GROUND = {".": FLOOR, "S": START, "G": GOAL, "P": PIT, "~": SPILL, "^": AIR, "#": WALL, " ": PAPER}

# 5 x 7 pixels a letter, one number a row, its bits from left to right
_FONT = {
    "0": (14, 17, 19, 21, 25, 17, 14), "1": (4, 12, 4, 4, 4, 4, 14), "2": (14, 17, 1, 2, 4, 8, 31),
    "3": (31, 2, 4, 2, 1, 17, 14), "4": (2, 6, 10, 18, 31, 2, 2), "5": (31, 16, 30, 1, 1, 17, 14),
    "6": (6, 8, 16, 30, 17, 17, 14), "7": (31, 1, 2, 4, 8, 8, 8), "8": (14, 17, 17, 14, 17, 17, 14),
    "9": (14, 17, 17, 15, 1, 2, 12), "A": (14, 17, 17, 31, 17, 17, 17), "B": (30, 17, 17, 30, 17, 17, 30),
    "C": (14, 17, 16, 16, 16, 17, 14), "D": (30, 17, 17, 17, 17, 17, 30), "E": (31, 16, 16, 30, 16, 16, 31),
    "F": (31, 16, 16, 30, 16, 16, 16), "G": (14, 17, 16, 23, 17, 17, 15), "H": (17, 17, 17, 31, 17, 17, 17),
    "I": (14, 4, 4, 4, 4, 4, 14), "J": (7, 2, 2, 2, 2, 18, 12), "K": (17, 18, 20, 24, 20, 18, 17),
    "L": (16, 16, 16, 16, 16, 16, 31), "M": (17, 27, 21, 21, 17, 17, 17), "N": (17, 25, 21, 19, 17, 17, 17),
    "O": (14, 17, 17, 17, 17, 17, 14), "P": (30, 17, 17, 30, 16, 16, 16), "Q": (14, 17, 17, 17, 21, 18, 13),
    "R": (30, 17, 17, 30, 20, 18, 17), "S": (15, 16, 16, 14, 1, 1, 30), "T": (31, 4, 4, 4, 4, 4, 4),
    "U": (17, 17, 17, 17, 17, 17, 14), "V": (17, 17, 17, 17, 17, 10, 4), "W": (17, 17, 17, 21, 21, 27, 17),
    "X": (17, 17, 10, 4, 10, 17, 17), "Y": (17, 17, 10, 4, 4, 4, 4), "Z": (31, 1, 2, 4, 8, 16, 31),
    " ": (0, 0, 0, 0, 0, 0, 0), ".": (0, 0, 0, 0, 0, 12, 12), "/": (1, 1, 2, 4, 8, 16, 16),
}  # fmt: skip


def text(layout: GridLayout, state: int | None = None, action: int | None = None) -> str:
    """The layout in characters, the agent's cell in brackets, and under it the last action.

    >>> print(text(strip(("A", "B", ""), "S.G", ("go",)), 1, 0), end="")
     A [B] G
    (go)
    """
    shown = [list(row.ljust(layout.columns)) for row in layout.glyphs]
    for label, (row, column) in zip(layout.labels, layout.cell_of_state):
        if label and row >= 0:
            shown[row][column] = label
    width = max(len(mark) for row in shown for mark in row)
    agent = None if state is None else _pair(layout.cell_of_state[state])
    lines = []
    for r, row in enumerate(shown):
        marks = [mark.center(width) for mark in row]
        lines.append("".join(f"[{m}]" if (r, c) == agent else f" {m} " for c, m in enumerate(marks)).rstrip())
    if action is not None and layout.action_names:
        lines.append(f"({layout.action_names[action]})")
    return "\n".join(lines) + "\n"


def image(
    layout: GridLayout, state: int | None = None, action: int | None = None, cell: int | None = None
) -> Image:
    """The layout in pixels: ground, marks, labels, the agent, and a nose on it that points where it last
    meant to go.

    Args:
        layout: what to draw.
        state: where the agent is; None for nowhere.
        action: what it last did; None for nothing.
        cell: pixels per cell, at least 8; by default what makes the longer side about 640, from 12 to 72.

    Returns:
        (rows * cell, columns * cell, 3) uint8.
    """
    size = cell or min(max(640 // max(layout.rows, layout.columns), 12), 72)
    canvas = np.empty((layout.rows * size, layout.columns * size, 3))
    for r, row in enumerate(layout.glyphs):
        for c, glyph in enumerate(row.ljust(layout.columns)):
            _tile(canvas, r, c, size)[:] = _ground(glyph, size)
    for label, (r, c) in zip(layout.labels, layout.cell_of_state):
        if label and r >= 0:
            write(_tile(canvas, r, c, size), label)
    if state is not None and layout.cell_of_state[state][0] >= 0:
        r, c = layout.cell_of_state[state]
        heading = (0, 0) if action is None else _pair(layout.action_arrows[action])
        _draw_agent(_tile(canvas, r, c, size), heading, small=bool(layout.labels and layout.labels[state]))
    return np.rint(canvas).astype(np.uint8)


def bars(share: Sequence[float] | Field, names: Sequence[str], size: int = 96) -> Image:
    """Shares in [0, 1] as bars side by side, each over the first letter of its name."""
    canvas = np.empty((3 * size, len(names) * size, 3))
    canvas[:] = FLOOR
    for i, (part, name) in enumerate(zip(share, names)):
        height = round(float(part) * (2 * size - size // 8))
        left = i * size + size // 5
        canvas[2 * size - height : 2 * size, left : left + size - 2 * (size // 5)] = AGENT
        write(canvas[2 * size :, i * size : (i + 1) * size], name[0].upper())
    canvas[2 * size : 2 * size + 2] = INK
    return np.rint(canvas).astype(np.uint8)


def headed(picture: Image, label: str) -> Image:
    """A picture (H, W, 3) with a line of letters above it, (H + h, W, 3): h is 28, or less where it is narrow."""
    height = max(14, min(28, 14 * (picture.shape[1] // (6 * len(label) + 3))))
    strip_ = np.full((height, picture.shape[1], 3), PAPER, np.float64)
    write(strip_, label)
    return np.concatenate([strip_.astype(np.uint8), picture])


def plain_layout(mdp: FiniteMDP) -> GridLayout:
    """States side by side, at most 32 a row, for a model that comes without a picture."""
    names = tuple(str(a) for a in range(mdp.n_actions))
    glyphs = "".join("G" if end else "S" if p > 0 else "." for end, p in zip(mdp.terminal, mdp.start))
    if mdp.n_states <= 32:
        return strip(tuple(str(s) for s in range(mdp.n_states)), glyphs, names)
    rows = tuple(glyphs[i : i + 32].ljust(32) for i in range(0, mdp.n_states, 32))
    cells = np.array([divmod(s, 32) for s in range(mdp.n_states)], dtype=np.int64)
    return GridLayout(rows, cells, np.zeros((mdp.n_actions, 2), np.int64), names)


def _pair(numbers: NDArray[np.int64]) -> tuple[int, int]:
    return int(numbers[0]), int(numbers[1])


def _tile(canvas: Field, row: int, column: int, size: int) -> Field:
    return canvas[row * size : (row + 1) * size, column * size : (column + 1) * size]


def _axes(size: int) -> tuple[Field, Field]:
    """x to the right and y down of each pixel's centre, in cells, from the middle of the cell."""
    axis = (np.arange(size) + 0.5) / size - 0.5
    return axis[None, :], axis[:, None]


def _paint(tile: Field, distance: Field, colour: tuple[int, int, int], opacity: float = 1.0) -> None:
    """Lay `colour` over the pixels of `tile` where `distance` is negative."""
    cover = opacity * np.clip(0.5 - distance * tile.shape[0], 0.0, 1.0)[..., None]
    tile[:] = tile * (1.0 - cover) + np.array(colour) * cover


@lru_cache(maxsize=64)
def _ground(glyph: str, size: int) -> Field:
    """A cell without agent and label, (size, size, 3)."""
    tile = np.empty((size, size, 3))
    tile[:] = GROUND.get(glyph, FLOOR)
    if glyph == " ":
        return tile
    x, y = _axes(size)
    if glyph == "#":
        _paint(tile, np.maximum(np.abs(x), np.abs(y)) - 0.42, WALL_LIGHT)
    elif glyph == "G":
        _paint(tile, (np.abs(x) * 1.15 + np.abs(y) - 0.3) / 1.5, GEM)
        _paint(tile, np.maximum((np.abs(x) * 1.15 + np.abs(y) - 0.3) / 1.5, y), PAPER, 0.25)
    elif glyph == "P":
        _paint(tile, np.hypot(x, y) - 0.32, HOLE)
        _paint(tile, np.hypot(x, y - 0.06) - 0.25, (110, 28, 26))
    elif glyph == "~":
        for dx, dy, radius in (
            (-0.2, 0.12, 0.12),
            (0.14, -0.16, 0.14),
            (0.2, 0.22, 0.08),
            (-0.18, -0.24, 0.06),
        ):
            _paint(tile, np.hypot(x - dx, y - dy) - radius, DROP, 0.75)
    elif glyph == "^":
        for dy in (-0.12, 0.12):
            _paint(tile, np.maximum(np.abs(y - dy - np.abs(x)) - 0.05, np.abs(x) - 0.18), WIND)
    elif glyph == "S":
        _paint(tile, np.abs(np.hypot(x, y) - 0.36) - 0.02, AGENT, 0.35)
    # the lines between cells: a pixel on two sides, which neighbours complete
    tile[0, :] = tile[:, 0] = WALL if glyph == "#" else LINE
    return tile


def _draw_agent(tile: Field, heading: tuple[int, int], small: bool) -> None:
    """A disc with a nose; in a corner and small where the cell has a label."""
    x, y = _axes(tile.shape[0])
    scale = 1.0
    if small:
        x, y, scale = x - 0.26, y - 0.26, 0.55
    body = np.hypot(x, y) - 0.27 * scale
    if any(heading):
        length = float(np.hypot(heading[0], heading[1]))
        along = (x * heading[1] + y * heading[0]) / length
        across = np.abs(x * heading[0] - y * heading[1]) / length
        nose = np.maximum((across + along - 0.42 * scale) / np.sqrt(2.0), 0.0 - along)
        body = np.minimum(body, np.maximum(nose, across - 0.19 * scale))
    _paint(tile, body - 0.045 * scale, PAPER)
    _paint(tile, body, AGENT)


def write(tile: Field, label: str) -> None:
    """The label in the middle of the tile, as large as fits; letters without a drawing are left out."""
    letters = [_FONT[ch] for ch in label.upper() if ch in _FONT]
    if not letters:
        return
    scale = min(tile.shape[1] // (6 * len(letters) + 3), tile.shape[0] // 14)
    if scale < 1:
        return
    bits = np.zeros((7, 6 * len(letters) - 1), bool)
    for i, rows in enumerate(letters):
        for r, row in enumerate(rows):
            bits[r, 6 * i : 6 * i + 5] = [bool(row >> (4 - b) & 1) for b in range(5)]
    stamp = np.kron(bits, np.ones((scale, scale))).astype(bool)
    top, left = (tile.shape[0] - stamp.shape[0]) // 2, (tile.shape[1] - stamp.shape[1]) // 2
    tile[top : top + stamp.shape[0], left : left + stamp.shape[1]][stamp] = INK
