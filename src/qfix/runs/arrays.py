"""Arrays that a stranger may have made, as they are read from a file: looked at before anything is taken for granted.

Each rule names the array and what it found. What the arrays of a family of learners must hold beyond that is said
in its own folder, by these words.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qfix.errors import option_error

MOST = 1 << 60  # of any count: one more is still one more
_REMEDY = "Use the state of a run like this one."


def require(holds: Any, name: str, rule: str, value: object) -> None:
    """Raise OptionError unless a rule on an array holds."""
    if not holds:
        raise option_error("unpack", name, rule, value, _REMEDY)


def require_like(name: str, given: Any, like: np.ndarray, any_length: bool = False) -> None:
    """An array of the type and, unless any length will do, the shape of another."""
    is_array = isinstance(given, np.ndarray)
    found = f"{given.dtype} {given.shape}" if is_array else "none"
    shape = "(any,)" if any_length else like.shape
    fits = is_array and given.dtype == like.dtype and given.ndim == like.ndim
    require(
        fits and (any_length or given.shape == like.shape),
        name,
        f"must be {like.dtype} {shape} as this run has it",
        found,
    )


def require_indices(name: str, array: np.ndarray, limit: int, low: int = 0) -> None:
    """Every entry in low..limit-1."""
    if array.size:
        least, most = int(array.min()), int(array.max())
        require(low <= least, name, f"must be at least {low}", least)
        require(most < limit, name, f"must be below {limit}", most)


def require_counts(name: str, array: np.ndarray) -> None:
    """No entry below 0, or so large that counting on overflows."""
    require_indices(name, array, MOST)


def require_flags(name: str, array: np.ndarray) -> None:
    """Booleans of the two bytes that are booleans."""
    require_indices(name, array.view(np.uint8), 2)


def require_each_once(name: str, array: np.ndarray, limit: int) -> None:
    """Different whole numbers in 0..limit-1."""
    require_indices(name, array, limit)
    met = np.zeros(limit, bool)
    met[array] = True
    require(np.count_nonzero(met) == array.size, name, "must not list anything twice", array.size)


LONGEST_TEXT = 1 << 16  # bytes


def as_bytes(text: str) -> np.ndarray:
    """A text as an array of bytes, cut where it is too long."""
    return np.frombuffer(text.encode()[:LONGEST_TEXT], np.uint8).copy()


def text_of(name: str, given: np.ndarray | None) -> str:
    """What an array of bytes says.

    Raises:
        OptionError: it is none, or too long.
    """
    require_like(name, given, np.zeros(0, np.uint8), any_length=True)
    assert given is not None
    require(len(given) <= LONGEST_TEXT, name, f"must have at most {LONGEST_TEXT} bytes", len(given))
    return given.tobytes().decode(errors="replace")
