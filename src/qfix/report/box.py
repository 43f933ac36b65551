"""Values over a box of two dimensions, such as position and velocity."""

from __future__ import annotations

from typing import NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from qfix.report.values import moments
from qfix.run import Run

RESOLUTION = 48
"""Points along each side."""

# what the entries of an observation are, by environment
_OBSERVATIONS = {"MountainCar": ("position", "velocity"), "MountainCarContinuous": ("position", "velocity")}


class Box(NamedTuple):
    """A box of observations."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    names: tuple[str, str]


def box_of(run: Run) -> Box | None:
    """The box in which the observations of a run lie; None where they do not lie in one of two finite dimensions."""
    space = run.env.observation_space
    if not isinstance(space, gymnasium.spaces.Box) or space.shape != (2,):
        return None
    ranges = run.spec.config.get("tile_range") or np.stack([space.low, space.high], 1).ravel().tolist()
    low, high = np.array(ranges[::2], np.float64), np.array(ranges[1::2], np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return None
    name = run.env.spec.name if run.env.spec is not None else ""
    return Box(low, high, _OBSERVATIONS.get(name, ("observation 0", "observation 1")))


def box_values(run: Run, box: Box) -> list[tuple[str, NDArray[np.float64]]]:
    """max_a q at each of the first seed's moments, (RESOLUTION, RESOLUTION), the second observation upwards."""
    first, second = (np.linspace(a, b, RESOLUTION) for a, b in zip(box.low, box.high))
    points = np.stack(np.meshgrid(first, second), -1).reshape(-1, 2)
    return [
        (moment.title, moment.action_values.max(axis=1).reshape(RESOLUTION, RESOLUTION))
        for moment in moments(run, points)
    ]
