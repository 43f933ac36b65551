"""What the options of every family of learners are checked with, and how they are written down."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qfix.errors import is_whole, option_error
from qfix.explore.initial import Initial
from qfix.explore.schedules import Schedule, is_number
from qfix.explore.strategies import Strategy


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, (Schedule, Strategy, Initial)):
        return repr(value)
    return list(value) if isinstance(value, tuple) else value


def require_fraction(owner: str, name: str, value: Any, remedy: str) -> None:
    """A number in [0, 1]."""
    if not is_number(value) or not 0.0 <= value <= 1.0:
        raise option_error(owner, name, "must be in [0, 1]", value, remedy)


def require_interval(owner: str, name: str, value: Any, remedy: str) -> tuple[float, float]:
    """A low and a high, as a tuple.

    Raises:
        OptionError: they are not two finite numbers, the second the higher.
    """
    ends = tuple(value) if isinstance(value, tuple | list) else ()
    if len(ends) != 2 or not all(is_number(end) and math.isfinite(end) for end in ends) or ends[0] >= ends[1]:
        raise option_error(owner, name, "must be a finite low and a higher high", value, remedy)
    return ends


def require_positive(owner: str, name: str, value: Any, remedy: str) -> None:
    """A finite number above 0."""
    if not is_number(value) or not 0.0 < value < math.inf:
        raise option_error(owner, name, "must be a finite number above 0", value, remedy)


def require_whole(owner: str, name: str, value: Any, least: int, remedy: str) -> None:
    """A whole number from `least` up."""
    if not is_whole(value) or value < least:
        raise option_error(owner, name, f"must be a whole number, {least} or more", value, remedy)


def require_divisor(owner: str, name: str, value: int, of: int, said: str) -> None:
    """A whole number that divides another without a rest.

    Args:
        owner, name, value: of the parameter.
        of: what it has to divide.
        said: how that is called.
    """
    if of % value:
        near = [n for n in (next((n for n in range(value, 0, -1) if of % n == 0), 0), _above(value, of)) if n]
        remedy = f"Use {name}={' or '.join(map(str, near))}."
        raise option_error(owner, name, f"must divide {said}", value, remedy)


def _above(value: int, of: int) -> int:
    """The next divisor; 0 where there is none."""
    return next((n for n in range(value, of + 1) if of % n == 0), 0)


def require_drawing(deterministic: Any, rng: Any) -> None:
    """How the `predict` of a policy is to choose, and the stream that it is to draw from, if any.

    Raises:
        OptionError: they are not; says in which order the arguments stand.
    """
    order = (
        "Its arguments are (obs, deterministic, rng), and not Stable-Baselines3's (observation, state, "
        "episode_start, deterministic): write predict(obs, deterministic=True)."
    )
    if not isinstance(deterministic, bool | np.bool_):
        raise option_error("predict", "deterministic", "must be True or False", deterministic, order)
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise option_error("predict", "rng", "must be a numpy.random.Generator or None", rng, order)


def require_choice(owner: str, name: str, value: Any, choices: tuple[str | bool, ...]) -> None:
    """One of a few words, or True or False."""
    if type(value) is not type(choices[0]) or value not in choices:
        listed = ", ".join(map(str, choices))
        raise option_error(owner, name, f"must be one of {listed}", value, f"Use {choices[0]!r}.")
