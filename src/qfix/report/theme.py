"""Colours of maps in a page, by day and by night: a cell has a class, and the style sheet knows its two colours."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from qfix.report.markup import Html, tag
from qfix.report.value_scale import STOPS, rgb

SIDE = 12
"""Steps of colour to either side of zero."""
VALUE_LEVELS = 2 * SIDE + 1
COUNT_LEVELS = SIDE + 1

DARK_INK, LIGHT_INK = "#000000", "#ffffff"
_VALUES = {
    "day": STOPS,
    "night": (
        "#ffc3ad", "#f08d70", "#c4573f", "#86392b", "#47271f",
        "#20252e",
        "#1f3547", "#235a86", "#3182bd", "#6bb4e6", "#bfe3ff",
    ),
}  # fmt: skip
_COUNTS = {
    "day": ("#fbfaf6", "#cfe8e2", "#7fc4b6", "#2f8f80", "#0b4f47"),
    "night": ("#20252e", "#1c4440", "#1f7468", "#45b5a2", "#b6f2e4"),
}


def value_colours(theme: str) -> list[str]:
    """The colour of each level of value, lowest first; zero in the middle."""
    return _steps(_VALUES[theme], VALUE_LEVELS)


def count_colours(theme: str) -> list[str]:
    """The colour of each level of a count, none first."""
    return _steps(_COUNTS[theme], COUNT_LEVELS)


def ink(colour: str) -> str:
    """Of black and white the one that has more contrast on a colour."""
    return max((DARK_INK, LIGHT_INK), key=lambda other: contrast(colour, other))


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, from 1 to 21.

    Source: Web Content Accessibility Guidelines 2.1, "contrast ratio"; 4.5 is its least for text (criterion 1.4.3).

    >>> contrast("#000000", "#ffffff")
    21.0
    """
    low, high = sorted((_luminance(one), _luminance(other)))
    return round((high + 0.05) / (low + 0.05), 6)


def _luminance(colour: str) -> float:
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in rgb(colour)]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def _steps(stops: tuple[str, ...], levels: int) -> list[str]:
    colours = np.array([rgb(stop) for stop in stops])
    at = np.linspace(0, len(stops) - 1, levels)
    mixed = np.stack([np.interp(at, range(len(stops)), colours[:, i]) for i in range(3)], axis=-1)
    return ["#{:02x}{:02x}{:02x}".format(*(round(255 * x) for x in colour)) for colour in mixed]


def style_sheet() -> str:
    """A rule for every level: `.v0` and `.w0` fill a cell, `.i` inside it is the ink on it."""
    day, night = (
        "".join(
            f".{letter}{k}{{--c:{colour};--i:{ink(colour)}}}"
            for letter, colours in (("v", value_colours(theme)), ("w", count_colours(theme)))
            for k, colour in enumerate(colours)
        )
        for theme in ("day", "night")
    )
    return f"{day}@media screen and (prefers-color-scheme:dark){{{night}}}"


def level_of(value: float, size: float) -> int:
    """Which of the levels a value has, if `size` is at the end of the scale; zero only where it is nothing.

    >>> level_of(0.0, 1.0), level_of(1.0, 1.0), level_of(-1e-9, 1.0)
    (12, 24, 11)
    """
    if not np.isfinite(value) or value == 0:
        return SIDE
    away = int(np.clip(np.ceil(SIDE * min(abs(value) / size, 1.0)), 1, SIDE))
    return SIDE + away if value > 0 else SIDE - away


def count_level(count: float, most: float) -> int:
    """Which of the levels a count has, on a logarithmic scale up to the largest.

    >>> count_level(0, 1000), count_level(1, 1000), count_level(1000, 1000)
    (0, 2, 12)
    """
    if count <= 0:
        return 0
    share = np.log1p(count) / np.log1p(max(most, count))
    return int(np.clip(np.ceil(SIDE * share), 1, SIDE))


def picture(levels: NDArray[np.int64], letter: str, said: str) -> Html:
    """A map of many cells as two small pictures, for day and night.

    Args:
        levels: (rows, columns) levels of value ("v") or of counts ("w").
        letter: which of the two.
        said: what it shows, in words.
    """
    of = value_colours if letter == "v" else count_colours
    day, night = (
        Html(f"data:image/png;base64,{base64.b64encode(_png(levels, of(theme))).decode()}")
        for theme in ("day", "night")
    )
    dark = tag("source", srcset=night, media="screen and (prefers-color-scheme: dark)")
    return tag("picture", dark, tag("img", src=day, alt=said, width="100%"))


def _png(levels: NDArray[np.int64], palette: list[str]) -> bytes:
    """An image of palette colours (PNG, colour type 3)."""
    rows, columns = levels.shape
    colours = b"".join(bytes.fromhex(colour[1:]) for colour in palette)
    raw = b"".join(b"\0" + row.tobytes() for row in levels.astype(np.uint8))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)),
        (b"PLTE", colours),
        (b"IDAT", zlib.compress(raw, 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
