"""What a table holds before anything is learned.

High values are a way to explore: an action looks better than it is until it is tried, so even a greedy
learner tries everything. `Optimistic(r_max, gamma)` is the level above which no true value lies.

Terminal states have no future: a learner keeps their values at 0 whatever is chosen here.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from qfix.errors import option_error
from qfix.explore import _syntax
from qfix.explore.schedules import is_number

_EXAMPLE = "0.0, Optimistic(1.0, 0.99) or SmallRandom(0.01)"


def initial_value(low, width, uniform):
    """One starting value: low + width · uniform; operators alone, so compiled stores that grow call it too.

    Args:
        low, width: the two numbers of `Initial.encode`.
        uniform: a draw from [0, 1).
    """
    return low + width * uniform


@dataclass(frozen=True, repr=False)
class Initial(ABC):
    """Starting values, all equal or drawn uniformly from a range."""

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, self._number(item.name))
        self._check()

    @abstractmethod
    def _check(self) -> None:
        """Validate the ranges of the fields."""

    @abstractmethod
    def encode(self) -> NDArray[np.float64]:
        """(low, width): each value is `initial_value(low, width, u)` with u uniform in [0, 1)."""

    def fill(
        self, shape: int | tuple[int, ...], rng: np.random.Generator | None = None
    ) -> NDArray[np.float64]:
        """A new table of that shape.

        Args:
            shape: for example (S, A).
            rng: the stream to draw from; needed where values are random, untouched where they are not.

        Raises:
            OptionError: values are random and there is no generator.
        """
        low, width = self.encode()
        if width == 0.0:
            return np.full(shape, low)
        if rng is None:
            owner, remedy = type(self).__name__, "Use rng=numpy.random.default_rng(seed)."
            raise option_error(owner, "rng", "must be a numpy Generator", rng, remedy)
        return initial_value(low, width, rng.random(shape))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able description; `as_initial` reads it back."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {"kind": _syntax.snake(type(self).__name__)} | values

    def __repr__(self) -> str:
        return _syntax.written(self)

    def _number(self, name: str) -> float:
        value = getattr(self, name)
        if not is_number(value) or not math.isfinite(value):
            raise option_error(
                type(self).__name__, name, "must be a finite number", value, f"Use {_EXAMPLE}."
            )
        return float(value)


@final
@dataclass(frozen=True, repr=False)
class Zeros(Initial):
    """All 0."""

    def _check(self) -> None:
        pass

    def encode(self) -> NDArray[np.float64]:
        """(0, 0)."""
        return np.array([0.0, 0.0])


@final
@dataclass(frozen=True, repr=False)
class ConstantValue(Initial):
    """All the same."""

    value: float
    """Any finite number; above every reward-to-go it is optimistic."""

    def _check(self) -> None:
        pass

    def encode(self) -> NDArray[np.float64]:
        """(value, 0)."""
        return np.array([self.value, 0.0])


@final
@dataclass(frozen=True, repr=False)
class Optimistic(Initial):
    """The highest return there can be: r_max / (1 − gamma), the sum of r_max · gamma^t over t = 0, 1, 2, ...

    Where no reward exceeds r_max ≥ 0 no true value exceeds it, and a greedy learner tries every action it can
    reach. With r_max < 0 in an episodic task this level may lie below true values (an episode can end early):
    use 0 there.

    Source: Sutton & Barto (2018), section 2.6; Brafman & Tennenholtz (2002), "R-max".
    """

    r_max: float
    """Largest reward of a step."""
    gamma: float
    """Discount in [0, 1)."""

    def _check(self) -> None:
        if self.gamma == 1.0:
            rule = "must be below 1: without discount r_max / (1 - gamma) is infinite"
            remedy = (
                "Use ConstantValue(v), v the largest return of an episode: r_max times its length bounds it."
            )
            raise option_error("Optimistic", "gamma", rule, self.gamma, remedy)
        if not 0.0 <= self.gamma < 1.0:
            raise option_error("Optimistic", "gamma", "must be in [0, 1)", self.gamma, "Use gamma=0.99.")
        if not math.isfinite(self.r_max / (1.0 - self.gamma)):
            rule = "must leave r_max / (1 - gamma) finite"
            raise option_error("Optimistic", "r_max", rule, self.r_max, "Use the largest reward of one step.")

    def encode(self) -> NDArray[np.float64]:
        """(r_max / (1 − gamma), 0)."""
        return np.array([self.r_max / (1.0 - self.gamma), 0.0])


@final
@dataclass(frozen=True, repr=False)
class SmallRandom(Initial):
    """Uniform in [−scale, scale): breaks ties between actions before anything is known."""

    scale: float = 0.01
    """≥ 0; small beside the rewards."""

    def _check(self) -> None:
        if self.scale < 0.0:
            raise option_error("SmallRandom", "scale", "must be 0 or above", self.scale, "Use scale=0.01.")

    def encode(self) -> NDArray[np.float64]:
        """(−scale, 2 · scale)."""
        return np.array([-self.scale, 2.0 * self.scale])


INITIALS: tuple[type[Initial], ...] = (Zeros, ConstantValue, Optimistic, SmallRandom)


def as_initial(x: Initial | float | str | Mapping[str, Any]) -> Initial:
    """Starting values from what a user writes: a number, an object of this module, its text or its JSON form.

    >>> as_initial("optimistic(1, 0.99)")
    Optimistic(1.0, 0.99)
    >>> as_initial(2)
    ConstantValue(2.0)

    Raises:
        OptionError: not readable, or a parameter out of its range.
        UnknownNameError: no such name; suggests the nearest.
    """
    if isinstance(x, Initial):
        return x
    if isinstance(x, Mapping):
        return _syntax.from_mapping(x, INITIALS, "initial value", "as_initial", '{"kind": "zeros"}')
    read = _syntax.read(x, "as_initial", _EXAMPLE) if isinstance(x, str) else x
    if isinstance(read, _syntax.Call):
        return _syntax.build(_syntax.lookup(read.name, INITIALS, "initial value"), read.args, read.options)
    if is_number(read):
        return Zeros() if read == 0 else ConstantValue(read)
    rule = "must be a number, initial values, their text or their JSON form"
    raise option_error("as_initial", "x", rule, x, f"Use {_EXAMPLE}.")
