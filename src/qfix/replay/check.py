"""Arrays that a stranger may have made, looked at before a kernel that checks no bounds sees them."""

from __future__ import annotations

from typing import Any

import numpy as np

from qfix.errors import option_error

_REMEDY = "Use the arrays that `pack` of a memory like this one gave."


def require(holds: Any, name: str, rule: str, value: object) -> None:
    """Raise OptionError unless a rule on an array holds."""
    if not holds:
        raise option_error("HostReplay.unpack", name, rule, value, _REMEDY)


def take_array(
    arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...], dtype: np.dtype | type
) -> np.ndarray:
    """The array of that name, of exactly that shape and type; flags are bytes 0 and 1."""
    given = arrays.get(name)
    found = f"{given.dtype} {given.shape}" if isinstance(given, np.ndarray) else "none"
    fits = isinstance(given, np.ndarray) and given.dtype == np.dtype(dtype) and given.shape == shape
    require(fits, name, f"must be {np.dtype(dtype)} {shape} as its counters and this memory have it", found)
    assert given is not None
    if given.dtype == np.bool_ and given.size:
        most = int(np.ascontiguousarray(given).view(np.uint8).max())
        require(most < 2, name, "must hold flags, bytes 0 or 1", most)
    return given


def take_count(arrays: dict[str, np.ndarray], name: str, low: int, high: int) -> int:
    """A whole number in low..high from an array () int64."""
    value = int(take_array(arrays, name, (), np.int64))
    require(low <= value <= high, name, f"must be in {low}..{high}", value)
    return value
