"""The picture of Lane: the road from above, its direction at the car upwards, as text and as pixels.

Every pixel is given coordinates of the road, how far along it and how far to the side: what is painted on the road is
then a matter of comparing numbers, and bends with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qfix.envs.drawing import AGENT, HOLE, INK, LINE, PAPER, Field, Image, write

SIZE = 480  # pixels a side
SCALE = 9.0  # pixels a metre
BEHIND = 18.0  # m between the car and the lower edge
STEP = 2.0  # m between the points of the road that pixels are measured from

GRASS = (206, 222, 178)
GRASS_DARK = (198, 215, 169)
SHOULDER = (226, 216, 190)
ASPHALT = (92, 98, 110)
MARK = (244, 241, 234)
TRAIL = (255, 196, 77)
GLASS = (196, 222, 240)
TYRE = (36, 40, 48)

CAR = (4.3, 1.8)  # m, length and width
OVERHANG = 0.85  # m of it behind the rear axle
WHEELBASE = 2.7  # m


@dataclass(frozen=True)
class Scene:
    """What is drawn; lengths in m, angles in rad, positive to the left."""

    half_width: float
    """Of the road."""
    offset: float
    """Of the car's rear axle from the middle of the road."""
    heading: float
    """Of the car against the road."""
    steering: float
    """Share of the most there is, in [-1, 1]."""
    wheels: float
    """Angle of the front wheels."""
    speed: float
    """In m/s."""
    distance: float
    """Along the road since the start."""
    curvature: Callable[[Any], Any]
    """1/m at distances (n,) ahead of the car, (n,)."""
    trail: NDArray[np.float64]
    """(n, 2) distance and offset of the steps before, the oldest first."""


def image(scene: Scene) -> Image:
    """The road, the car on it with the trail of its last seconds, and the readings, (480, 480, 3) uint8."""
    canvas = np.empty((SIZE, SIZE, 3))
    canvas[:] = GRASS
    along, aside = _on_the_road(scene)
    _draw_road(canvas, along, aside, scene.half_width, scene.distance)
    _draw_trail(canvas, along, aside, scene)
    _draw_car(canvas, scene)
    _draw_readings(canvas, scene)
    return np.rint(canvas).astype(np.uint8)


def text(scene: Scene) -> str:
    """The road ahead, five metres a line and one a letter, the car at the bottom, and the readings."""
    ahead = np.arange(45.0, -0.1, -5.0)
    middle = _middle(scene, ahead)[1]
    lines = []
    for y in middle:
        row = [" "] * 61
        for place, mark in ((y, ":"), (y + scene.half_width, "|"), (y - scene.half_width, "|")):
            _put(row, place, mark)
        lines.append(row)
    _put(lines[-1], scene.offset, "A" if abs(scene.offset) <= scene.half_width else "X")
    readings = (
        f"{scene.distance:.0f} m, {scene.speed:.1f} m/s, offset {scene.offset:+.2f} m, "
        f"heading {math.degrees(scene.heading):+.1f} deg, steering {scene.steering:+.2f}"
    )
    return "\n".join([*("".join(row).rstrip() for row in lines), readings]) + "\n"


def _put(row: list[str], left: float, mark: str) -> None:
    """A mark so many metres to the left of the middle of a line of text."""
    column = len(row) // 2 - round(left)
    if 0 <= column < len(row):
        row[column] = mark


def _middle(scene: Scene, ahead: NDArray[np.float64]) -> tuple[Field, Field, Field]:
    """The middle of the road at evenly spaced distances `ahead`: metres forwards, to the left, and its direction, seen
    from the point of it that is beside the car."""
    direction = _running(scene.curvature(ahead), ahead)
    return _running(np.cos(direction), ahead), _running(np.sin(direction), ahead), direction


def _running(slope: Field, ahead: NDArray[np.float64]) -> Field:
    """The integral of a slope from 0, by trapezia."""
    pieces = np.diff(ahead) * (slope[1:] + slope[:-1]) / 2
    total = np.concatenate([[0.0], np.cumsum(pieces)])
    return total - np.interp(0.0, *((ahead, total) if ahead[0] < ahead[-1] else (ahead[::-1], total[::-1])))


def _pixels() -> tuple[Field, Field]:
    """Metres forwards (SIZE, 1) and to the left (1, SIZE) of the pixels, from the point of the road beside the car."""
    place = (np.arange(SIZE, dtype=np.float64) + 0.5) / SCALE
    return (SIZE / SCALE - BEHIND - place)[:, None], (SIZE / SCALE / 2 - place)[None, :]


def _on_the_road(scene: Scene) -> tuple[Field, Field]:
    """(SIZE, SIZE) metres along the road from the car and to the left of its middle, of each pixel."""
    ahead = np.arange(-30.0, 80.0, STEP)
    forwards, left, direction = _middle(scene, ahead)
    x, y = _pixels()
    block = 8
    coarse = (x[block // 2 :: block, :, None] - forwards) ** 2 + (y[:, block // 2 :: block, None] - left) ** 2
    nearest = np.argmin(coarse, axis=-1).repeat(block, 0).repeat(block, 1)
    dx, dy = x - forwards[nearest], y - left[nearest]
    cos, sin = np.cos(direction)[nearest], np.sin(direction)[nearest]
    bend = scene.curvature(ahead)[nearest]
    forth, side = dx * cos + dy * sin, dy * cos - dx * sin
    # the road leaves its tangent as a circle does
    forth = forth / np.maximum(1 - bend * side, 0.2)
    return ahead[nearest] + forth, side - bend * forth**2 / 2 * (1 - bend * side)


def _lay(
    canvas: Field, inside_pixels: Field, colour: tuple[int, int, int], opacity: float | Field = 1.0
) -> None:
    """Lay a colour where a distance in pixels is positive, with smooth edges."""
    hit = inside_pixels > -0.5
    cover = np.minimum(0.5 + inside_pixels[hit], 1.0)
    cover *= opacity if isinstance(opacity, float) else opacity[hit]
    under = canvas[hit]
    canvas[hit] = under + (np.array(colour) - under) * cover[:, None]


def _draw_road(canvas: Field, along: Field, aside: Field, half_width: float, distance: float) -> None:
    since = along + distance
    _lay(canvas, SCALE * (np.abs((since / 16) % 1 - 0.5) * 16 - 4), GRASS_DARK)
    edge = half_width - np.abs(aside)
    _lay(canvas, SCALE * (edge + 0.7), SHOULDER)
    _lay(canvas, SCALE * edge, ASPHALT)
    _lay(canvas, SCALE * (0.07 - np.abs(edge - 0.22)), MARK)
    dash = 1.5 - np.abs((since / 6) % 1 - 0.5) * 6
    _lay(canvas, SCALE * np.minimum(0.06 - np.abs(aside), dash), MARK, 0.8)
    post = np.hypot((since / 12 % 1 - 0.5) * 12, edge + 1.1)
    _lay(canvas, SCALE * (0.24 - post), INK, 0.35)
    _lay(canvas, SCALE * (0.17 - post), PAPER)


def _draw_trail(canvas: Field, along: Field, aside: Field, scene: Scene) -> None:
    if len(scene.trail) < 2:
        return
    ago = np.append(scene.trail[:, 0] - scene.distance, 0.0)
    was = np.append(scene.trail[:, 1], scene.offset)
    slope = np.interp(along, ago, np.gradient(was, ago))
    away = np.abs(aside - np.interp(along, ago, was)) / np.hypot(1.0, slope)
    there = np.minimum(along - ago[0], -along)
    fading = np.clip((along - ago[0]) / max(-ago[0], 1e-9), 0.0, 1.0)
    _lay(canvas, SCALE * np.minimum(0.16 - away, there), TRAIL, 0.15 + 0.85 * fading)


def _draw_car(canvas: Field, scene: Scene) -> None:
    x, y = _pixels()
    near_x, near_y = np.abs(x[:, 0] - 1.3) < 6, np.abs(y[0] - scene.offset) < 6
    if not near_x.any() or not near_y.any():
        return
    rows, columns = (slice(n[0], n[-1] + 1) for n in (np.flatnonzero(near_x), np.flatnonzero(near_y)))
    x, y, canvas = x[rows], y[:, columns] - scene.offset, canvas[rows, columns]
    cos, sin = math.cos(scene.heading), math.sin(scene.heading)
    forth, side = x * cos + y * sin, y * cos - x * sin
    length, width = CAR
    body = _box(forth - length / 2 + OVERHANG, side, length, width, 0.55)
    _lay(canvas, -SCALE * (body - 0.18), TYRE, 0.22)  # its shadow
    for wheel, angle in ((0.0, 0.0), (WHEELBASE, scene.wheels)):
        a, b = math.cos(2 * angle), math.sin(2 * angle)  # twice, to be seen
        for wing in (-0.86, 0.86):
            dx, dy = forth - wheel, side - wing
            _lay(canvas, -SCALE * _box(dx * a + dy * b, dy * a - dx * b, 0.75, 0.3, 0.08), TYRE)
    paintwork = AGENT if abs(scene.offset) <= scene.half_width else HOLE
    _lay(canvas, -SCALE * body, paintwork)
    _lay(canvas, -SCALE * _box(forth - 2.0, side, 0.75, 1.36, 0.25), GLASS)
    _lay(canvas, -SCALE * _box(forth + 0.1, side, 0.45, 1.3, 0.2), GLASS)


def _box(x: Field, y: Field, length: float, width: float, corner: float) -> Field:
    """Signed distance to a box with round corners, negative inside."""
    dx, dy = np.abs(x) - length / 2 + corner, np.abs(y) - width / 2 + corner
    return np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0) - corner


def _draw_readings(canvas: Field, scene: Scene) -> None:
    """A card with three dials, which go the way of what they show, and the speed and the way in figures."""
    height, width = 112, 184
    card = canvas[SIZE - 12 - height : SIZE - 12, 12 : 12 + width]
    x, y = (np.arange(n, dtype=np.float64) - n / 2 + 0.5 for n in (width, height))
    _lay(card, -_box(x, y[:, None], width, height, 8), PAPER, 0.85)
    dials = (
        ("STEER", scene.steering, AGENT),
        ("OFFSET", scene.offset / scene.half_width, HOLE if abs(scene.offset) > scene.half_width else AGENT),
        ("HEADING", scene.heading / 0.5, AGENT),
    )
    for i, (name, share, colour) in enumerate(dials):
        row = card[2 + 26 * i : 30 + 26 * i]
        _write_left(row[:, 10:], name)
        _dial(row[7:21, 104:174], share, colour)
    _write_left(card[81:109, 10:], f"{scene.speed:.1f} M/S")
    figures = f"{scene.distance:.0f} M"
    _write_left(card[81:109, 174 - 12 * len(figures) :], figures)


def _write_left(tile: Field, label: str) -> None:
    """Letters of 14 pixels' height, from the left of a tile of 28."""
    write(tile[:, : 2 * (6 * len(label) + 3)], label)


def _dial(tile: Field, share: float, colour: tuple[int, int, int]) -> None:
    """A bar from the middle to the left for positive shares, to the right for negative ones."""
    height, width = tile.shape[:2]
    tile[3 : height - 3] = LINE
    end = round(width / 2 * (1 - min(max(share, -1.0), 1.0)))
    low, high = sorted((end, width // 2))
    tile[1 : height - 1, low:high] = colour
    tile[:, width // 2 - 1 : width // 2 + 1] = INK
