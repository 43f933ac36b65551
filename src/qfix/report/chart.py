"""Line charts for a page: they fill the width there is, and their letters keep their size.

The lines are an SVG that is stretched to its place, with strokes that are not; the numbers at the axes are HTML beside
it. Colours come from the style sheet, so one chart serves day, night and paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qfix.report.markup import Child, Html, joined, tag

SIZE = 1000
"""Units of the drawing along each side."""
LARGEST = 1e150
"""Numbers beyond it are not drawn."""


class Line(NamedTuple):
    """Points joined by a line; where one is missing the line goes on from the next."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    style: str = "seed"
    """Class in the style sheet: seed, mean, bound, optimal, random."""
    name: str = ""
    """What it is, shown where a pointer rests on it."""


class Band(NamedTuple):
    """The area between two lines."""

    x: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


class Mark(NamedTuple):
    """A dot."""

    x: float
    y: float
    style: str = "dot"
    name: str = ""


class Key(NamedTuple):
    """An entry of the legend."""

    style: str
    text: str


class Axes(NamedTuple):
    """What part of the plane is shown, and how its numbers are written."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_text: Callable[[float], str]
    y_text: Callable[[float], str]
    x_name: str = ""

    def place(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.int64]:
        """(n, 2) units of the drawing; what lies far outside is brought to its edge's neighbourhood."""
        across = (np.asarray(x, np.float64) - self.x[0]) / (self.x[1] - self.x[0])
        down = (self.y[1] - np.asarray(y, np.float64)) / (self.y[1] - self.y[0])
        both = np.stack([across, down], axis=-1)
        return np.rint(SIZE * np.clip(both, -2.0, 3.0)).astype(np.int64)


def chart(
    title: str,
    note: Child,
    said: str,
    axes: Axes,
    drawn: Iterable[Line | Band | Mark],
    keys: Sequence[Key] = (),
    tall: bool = False,
) -> Html:
    """A figure with axes, a legend and a text for those who do not see it.

    Args:
        title, note: above it.
        said: what it shows, in words.
        axes: its range.
        drawn: from the back to the front.
        keys: the legend.
        tall: whether it is the main figure of its section.
    """
    columns, rows = ticks(*axes.x, 6 if tall else 4), ticks(*axes.y, 6 if tall else 4)
    grid = "".join(f"M0 {y}H{SIZE}" for y in (axes.place(axes.x[0], row)[1] for row in rows))
    shapes = [tag("path", d=Html(grid), class_="grid")]
    shapes += [_shape(axes, one) for one in drawn]
    picture = tag(
        "svg", *shapes, viewBox=f"0 0 {SIZE} {SIZE}", preserveAspectRatio="none", role="img", aria_label=said
    )
    numbers = [
        tag("span", axes.y_text(row), class_="y", style=f"top:{percent(row, axes.y[1], axes.y[0])}")
        for row in rows
    ]
    numbers += [
        tag(
            "span",
            axes.x_text(column),
            class_="x odd" if i % 2 else "x",
            style=f"left:{percent(column, *axes.x)}",
        )
        for i, column in enumerate(columns)
    ]
    name = tag("span", axes.x_name, class_="x-name") if axes.x_name else None
    caption = tag("figcaption", tag("b", title), tag("span", note, class_="note") if note else None)
    legend = _legend(keys) if keys else None
    plot = tag("div", picture, tag("div", *numbers, name, aria_hidden="true"), class_="plot")
    return tag("figure", caption, legend, plot, class_="chart tall" if tall else "chart")


def _legend(keys: Sequence[Key]) -> Html:
    drawing = {"viewBox": "0 0 24 12", "width": "24", "height": "12", "aria_hidden": "true"}
    entries = []
    for key in keys:
        shape = "M12 6h0" if key.style.startswith("dot") else "M1 6H23"
        if key.style == "band":
            shape = "M0 1H24V11H0z"
        entries.append(tag("li", tag("svg", tag("path", d=shape, class_=key.style), **drawing), key.text))
    return tag("ul", *entries, class_="legend")


def _shape(axes: Axes, one: Line | Band | Mark) -> Html:
    if isinstance(one, Mark):
        x, y = axes.place(one.x, one.y)
        return tag("path", _name(one.name), d=f"M{x} {y}h0", class_=one.style)
    if isinstance(one, Band):
        known = np.isfinite(one.low) & np.isfinite(one.high)
        upper = axes.place(one.x[known], one.high[known])
        lower = axes.place(one.x[known], one.low[known])[::-1]
        outline = [*upper, *lower]
        return tag("path", d=Html(f"M{_points(outline)}z") if outline else None, class_="band")
    known = np.isfinite(one.x) & np.isfinite(one.y)
    points = axes.place(one.x[known], one.y[known])
    style = f"{one.style} lone" if len(points) == 1 else one.style
    return tag("path", _name(one.name), d=Html(f"M{_points(points)}") if len(points) else None, class_=style)


def _name(name: str) -> Html | None:
    return tag("title", name) if name else None


def _points(points: Iterable[NDArray[np.int64]]) -> str:
    """Coordinates after a moveto: further ones are lines.

    Points that add nothing, as they are where the one before is, are left out.
    """
    written: list[str] = []
    before: tuple[int, int] | None = None
    for point in points:
        x, y = int(point[0]), int(point[1])
        if (x, y) != before:
            written.append(f"{x} {y}")
        before = x, y
    return f"{written[0]}L{' '.join(written[1:] or written)}"


def percent(value: float, start: float, end: float) -> str:
    """Where a value lies between two others, for a style."""
    return f"{round(100 * (value - start) / (end - start), 2) + 0.0:g}%"


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from `low` to `high`, about so many.

    >>> ticks(0, 300_000, 6), ticks(-0.1, 0.83, 4)
    ([0.0, 50000.0, 100000.0, 150000.0, 200000.0, 250000.0, 300000.0], [0.0, 0.25, 0.5, 0.75])
    """
    raw = (high - low) / about
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * k for k in (1, 2, 2.5, 5, 10) if size * k >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def span(
    values: Iterable[ArrayLike], including: Sequence[float] = (), margin: float = 0.06
) -> tuple[float, float]:
    """From the lowest to the highest finite value, with some room; (0, 1) where there is none."""
    pieces = [np.asarray(v, np.float64).ravel() for v in values] + [np.asarray(including, np.float64)]
    every = np.concatenate(pieces) if pieces else np.empty(0)
    known = every[drawable(every)]
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    largest = max(abs(low), abs(high))
    width = high - low if high - low > 1e-9 * largest else largest
    room = margin * (width if width > 1e-290 else 1.0)
    return low - room, high + room


def drawable(values: ArrayLike) -> NDArray[np.bool_]:
    """Which numbers can be drawn: finite ones, and not so large that their differences overflow."""
    given = np.asarray(values, np.float64)
    return np.isfinite(given) & (np.abs(given) < LARGEST)


def thinned(
    x: NDArray[np.float64], rows: NDArray[np.float64], most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows of values in at most `most` stretches: the mean of what is known in each; NaN where nothing is.

    Args:
        x: (n,) ascending.
        rows: (k, n).
        most: stretches.

    Returns:
        (m,) mean x and (k, m) mean values.
    """
    if len(x) <= most:
        return x, rows
    starts = np.unique(np.linspace(0, len(x), most + 1).astype(np.int64)[:-1])
    known = np.isfinite(rows)
    total = np.add.reduceat(np.where(known, rows, 0.0), starts, axis=1)
    count = np.add.reduceat(known.astype(np.float64), starts, axis=1)
    sizes = np.diff([*starts, len(x)])
    return np.add.reduceat(x, starts) / sizes, total / np.where(count > 0, count, np.nan)


def mean_of(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) mean over the rows of (k, n) of what is known; NaN where nothing is."""
    known = np.isfinite(rows)
    count = known.sum(axis=0)
    total = np.where(known, rows, 0.0).sum(axis=0)
    return np.asarray(total / np.where(count > 0, count, np.nan), np.float64)


def number_text(x: float) -> str:
    """A number for an axis or a sentence, short.

    >>> [number_text(x) for x in (0.0, 0.25, -13.0, 123456.0, 1e-7, 2.5e12)]
    ['0', '0.25', '−13', '123,456', '1e−07', '2.5e+12']
    """
    if x == 0:
        text = "0"
    elif 1e-4 <= abs(x) < 1e7:
        text = f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.4g}"
    else:
        text = f"{x:.3g}"
    return text.replace("-", "−")


def listed(parts: Iterable[Child]) -> Html:
    """Parts with a middle dot between them."""
    return joined((part for part in parts if part), " · ")
