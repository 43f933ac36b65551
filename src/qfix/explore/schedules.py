"""How epsilon, a step size or a temperature changes while a run goes on.

A schedule is a value f(n) ≥ 0 of a counter n = 0, 1, 2, ...: the number of steps, episodes or visits *before*
the one at hand. The first update of a pair therefore sees n = 0, and `Polynomial(1.0, 1.0, by="visit")` gives
1, 1/2, 1/3, ...: the sample average.

The equations, and the row of numbers that compiled code gets, are in `schedule_code`.
"""

from __future__ import annotations

import itertools
import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, final, get_args, overload

import numpy as np
from numpy.typing import NDArray

from qfix.errors import naming, option_error
from qfix.explore import _syntax
from qfix.explore.schedule_code import (
    CONSTANT,
    DECAY,
    EXPONENTIAL,
    INVERSE,
    LINEAR,
    PIECEWISE,
    POLYNOMIAL,
    schedule_value,
)

By = Literal["step", "episode", "visit", "step_in_episode"]

_EXAMPLE = "0.1 or Linear(1.0, 0.05, 100_000)"


@dataclass(frozen=True, repr=False)
class Schedule(ABC):
    """A value f(n) ≥ 0 of a counter n ≥ 0. Call it; or `encode` it for compiled code."""

    by: By = field(default="step", kw_only=True)
    """What n counts: steps, finished episodes, visits of the state or pair, steps in this episode."""

    def __post_init__(self) -> None:
        if self.by not in get_args(By):
            raise option_error(
                type(self).__name__,
                "by",
                f"must be one of {', '.join(get_args(By))}",
                self.by,
                "Use by='step'.",
            )
        self._check()

    @abstractmethod
    def _check(self) -> None:
        """Validate the fields and bring numbers to one type."""

    @abstractmethod
    def _row(self) -> tuple[float, ...]:
        """The encoded row as plain floats."""

    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value (or limit) over all n ≥ 0."""

    @overload
    def __call__(self, n: float) -> float: ...
    @overload
    def __call__(self, n: NDArray[Any]) -> NDArray[np.float64]: ...
    def __call__(self, n: float | NDArray[Any]) -> float | NDArray[np.float64]:
        """f(n), elementwise where n is an array.

        Raises:
            OptionError: some n is negative or NaN.
        """
        row = self._row()
        if isinstance(n, np.ndarray):
            flat = [schedule_value(row, float(_counter(self, value))) for value in n.ravel()]
            return np.array(flat, dtype=np.float64).reshape(n.shape)
        return float(schedule_value(row, float(_counter(self, n))))

    def encode(self) -> NDArray[np.float64]:
        """The row that compiled code evaluates with `schedule_value`; for its layout see `schedule_code`."""
        return np.array(self._row(), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able description; `schedule_from` is its inverse."""
        return {"kind": _syntax.snake(type(self).__name__)} | {
            item.name: _plain(getattr(self, item.name)) for item in fields(self)
        }

    def __repr__(self) -> str:
        return _syntax.written(self)

    def _encoded(self, kind: int, *parameters: float) -> tuple[float, ...]:
        padded = (*parameters, 0.0, 0.0, 0.0, 0.0)[:4]
        return (float(kind), float(get_args(By).index(self.by)), *map(float, padded), 0.0)


@final
@dataclass(frozen=True, repr=False)
class Constant(Schedule):
    """Always the same: f(n) = value."""

    value: float
    """≥ 0."""

    def _check(self) -> None:
        _keep_value(self, "value")

    def _row(self) -> tuple[float, ...]:
        return self._encoded(CONSTANT, self.value)

    def bounds(self) -> tuple[float, float]:
        """The value, twice."""
        return self.value, self.value


@final
@dataclass(frozen=True, repr=False)
class Linear(Schedule):
    """A straight line, then level: f(n) = start + (end − start) · min(n / duration, 1)."""

    start: float
    """f(0); ≥ 0."""
    end: float
    """f(n) for every n ≥ duration; ≥ 0."""
    duration: float
    """How long the change takes, in units of the counter; > 0."""

    def _check(self) -> None:
        _keep_value(self, "start")
        _keep_value(self, "end")
        _keep_count(self, "duration")

    def _row(self) -> tuple[float, ...]:
        return self._encoded(LINEAR, self.start, self.end, self.duration)

    def bounds(self) -> tuple[float, float]:
        """The lower and the higher of start and end."""
        return min(self.start, self.end), max(self.start, self.end)


@final
@dataclass(frozen=True, repr=False)
class Exponential(Schedule):
    """Equal factors, then level: f(n) = start · (end / start)^min(n / duration, 1)."""

    start: float
    """f(0); > 0."""
    end: float
    """f(n) for every n ≥ duration; > 0 (for a geometric fall towards 0 use `Decay`)."""
    duration: float
    """How long the change takes, in units of the counter; > 0."""

    def _check(self) -> None:
        remedy = "Use Decay(start, rate) for a geometric fall to 0, or a small end such as 0.001."
        for name in ("start", "end"):
            _keep_value(self, name)
            if getattr(self, name) == 0.0:
                raise option_error("Exponential", name, "must be above 0", 0.0, remedy)
        if not 0.0 < self.end / self.start < math.inf:
            rule = f"must make end / start a float64 above 0 (start={self.start!r})"
            raise option_error("Exponential", "end", rule, self.end, remedy)
        _keep_count(self, "duration")

    def _row(self) -> tuple[float, ...]:
        return self._encoded(EXPONENTIAL, self.start, self.end, self.duration, self.end / self.start)

    def bounds(self) -> tuple[float, float]:
        """The lower and the higher of start and end."""
        return min(self.start, self.end), max(self.start, self.end)


@final
@dataclass(frozen=True, repr=False)
class Decay(Schedule):
    """The same factor at each count, down to a floor: f(n) = max(end, start · rate^n)."""

    start: float
    """f(0); ≥ 0 and ≥ end."""
    rate: float
    """Factor a count; in (0, 1). It halves every ln 2 / −ln(rate) counts: 0.999 every 693."""
    end: float = 0.0
    """The floor; ≥ 0."""

    def _check(self) -> None:
        _keep_start_and_floor(self)
        _keep_value(self, "rate")
        if not 0.0 < self.rate < 1.0:
            raise option_error(
                "Decay", "rate", "must be in (0, 1)", self.rate, "Use rate=0.999, or Constant."
            )

    def _row(self) -> tuple[float, ...]:
        return self._encoded(DECAY, self.start, self.rate, self.end)

    def bounds(self) -> tuple[float, float]:
        """The floor and the start."""
        return self.end, self.start


@final
@dataclass(frozen=True, repr=False)
class Inverse(Schedule):
    """Falls like 1/n, down to a floor: f(n) = max(end, start · scale / (scale + n)).

    Half of start is reached at n = scale. `Inverse(1.0, 1.0)` is the sample average 1, 1/2, 1/3, ...
    """

    start: float
    """f(0); ≥ 0 and ≥ end."""
    scale: float
    """Counts until half of start; > 0."""
    end: float = 0.0
    """The floor; ≥ 0. A floor above 0 gives up convergence for tracking (see `robbins_monro`)."""

    def _check(self) -> None:
        _keep_start_and_floor(self)
        _keep_count(self, "scale")

    def _row(self) -> tuple[float, ...]:
        return self._encoded(INVERSE, self.start, self.scale, self.end)

    def bounds(self) -> tuple[float, float]:
        """The floor and the start."""
        return self.end, self.start


@final
@dataclass(frozen=True, repr=False)
class Polynomial(Schedule):
    """Falls like 1/n^w, down to a floor: f(n) = max(end, start / (n + offset)^power).

    With power in (1/2, 1] it satisfies the Robbins-Monro conditions. As a step size for Q-learning a power
    below 1 is the better choice: the bound on the time to an ε-accurate Q is exponential in 1/(1 − γ) at
    power 1 and polynomial below it.

    Source: Even-Dar & Mansour (2003), "Learning Rates for Q-learning", JMLR 5, 1-25.
    """

    start: float
    """Numerator; f(0) = start when offset is 1. ≥ 0."""
    power: float
    """w; > 0."""
    offset: float = 1.0
    """Added to the counter; > 0."""
    end: float = 0.0
    """The floor; ≥ 0 and ≤ f(0)."""

    def _check(self) -> None:
        for name in ("start", "power", "offset", "end"):
            _keep_value(self, name)
        for name, remedy in (("power", "Use power=0.8, or Constant."), ("offset", "Use offset=1.")):
            if getattr(self, name) == 0.0:
                raise option_error("Polynomial", name, "must be above 0", 0.0, remedy)
        try:
            first = self.start / self.offset**self.power
        except (OverflowError, ZeroDivisionError):
            first = math.inf
        if not first < math.inf:
            rule = f"must leave start / offset^power finite (start={self.start!r}, power={self.power!r})"
            raise option_error("Polynomial", "offset", rule, self.offset, "Use offset=1.")
        if self.end > first:
            remedy = "Lower the floor or raise start."
            raise option_error("Polynomial", "end", f"must be at most f(0) = {first!r}", self.end, remedy)

    def _row(self) -> tuple[float, ...]:
        return self._encoded(POLYNOMIAL, self.start, self.power, self.offset, self.end)

    def bounds(self) -> tuple[float, float]:
        """The floor and f(0)."""
        return self.end, self(0)


@final
@dataclass(frozen=True, repr=False)
class Piecewise(Schedule):
    """Level pieces: values[k] for boundaries[k−1] ≤ n < boundaries[k]."""

    boundaries: tuple[float, ...]
    """Counts at which the next value starts; at least one, above 0, strictly increasing."""
    values: tuple[float, ...]
    """One more than there are boundaries; each ≥ 0."""

    def _check(self) -> None:
        for name in ("boundaries", "values"):
            given = getattr(self, name)
            if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, (Sequence, np.ndarray)):
                raise option_error(
                    "Piecewise", name, "must be a list of numbers", given, "Use ([1000], [1.0, 0.1])."
                )
        boundaries = tuple(_count("Piecewise", f"boundaries[{i}]", x) for i, x in enumerate(self.boundaries))
        values = tuple(_value("Piecewise", f"values[{i}]", x) for i, x in enumerate(self.values))
        if not boundaries:
            raise option_error("Piecewise", "boundaries", "must not be empty", (), "Use Constant(value).")
        if any(late <= early for early, late in itertools.pairwise(boundaries)):
            rule = "must be strictly increasing"
            raise option_error("Piecewise", "boundaries", rule, boundaries, "Sort them and drop repeats.")
        if len(values) != len(boundaries) + 1:
            rule = f"must have one more entry than the {len(boundaries)} boundaries"
            raise option_error("Piecewise", "values", rule, values, "The first value holds from n = 0.")
        object.__setattr__(self, "boundaries", boundaries)
        object.__setattr__(self, "values", values)

    def _row(self) -> tuple[float, ...]:
        head = self._encoded(PIECEWISE)[:6]
        return (*head, float(len(self.boundaries)), *map(float, self.boundaries), *self.values)

    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest piece."""
        return min(self.values), max(self.values)


SCHEDULES: tuple[type[Schedule], ...] = (Constant, Linear, Exponential, Decay, Inverse, Polynomial, Piecewise)


def as_schedule(x: Schedule | float | str | Mapping[str, Any]) -> Schedule:
    """A schedule from what a user writes: a schedule, a number, the text of one, or its JSON form.

    Text is read as a literal and never evaluated; names may be lower-case.

    >>> as_schedule("linear(1, 0.05, 1e5, by=episode)")
    Linear(1.0, 0.05, 100_000, by='episode')
    >>> as_schedule(0.1)
    Constant(0.1)

    Raises:
        OptionError: not a schedule, or a parameter out of its range.
        UnknownNameError: no schedule or option of that name; suggests the nearest.
    """
    if isinstance(x, Schedule):
        return x
    if isinstance(x, Mapping):
        return schedule_from(x)
    read = _syntax.read(x, "as_schedule", _EXAMPLE) if isinstance(x, str) else x
    if isinstance(read, _syntax.Call):
        return _syntax.build(_syntax.lookup(read.name, SCHEDULES, "schedule"), read.args, read.options)
    if is_number(read):
        return Constant(read)
    rule = "must be a number, a schedule, its text or its JSON form"
    raise option_error("as_schedule", "x", rule, x, f"Use {_EXAMPLE}.")


def schedule_from(data: Mapping[str, Any]) -> Schedule:
    """The inverse of `Schedule.to_dict`.

    Raises:
        OptionError: no "kind", or a parameter missing or out of its range.
        UnknownNameError: no schedule or option of that name; suggests the nearest.
    """
    example = '{"kind": "constant", "value": 0.1}'
    return _syntax.from_mapping(data, SCHEDULES, "schedule", "schedule_from", example)


def scheduled_within(
    x: Schedule | float | str | Mapping[str, Any], owner: str, name: str, low: float, high: float, remedy: str
) -> Schedule:
    """A schedule whose values all lie in [low, high]; the owner of a parameter asks before work starts.

    Raises:
        OptionError, UnknownNameError: it is none, or a value of it leaves the range; names the parameter and its
            owner.
    """
    with naming(owner, name):
        schedule = as_schedule(x)
    lowest, highest = schedule.bounds()
    if lowest < low or highest > high:
        rule = f"must stay at or above {low:g}" if high == math.inf else f"must stay in [{low:g}, {high:g}]"
        raise option_error(owner, name, rule, x if is_number(x) else schedule, remedy)
    return schedule


def is_number(x: object) -> bool:
    """A real number, NumPy's included; True and False are not meant as numbers."""
    if isinstance(x, np.ndarray) and x.ndim == 0:
        x = x[()]
    return isinstance(x, numbers.Real) and not isinstance(x, (bool, np.bool_))


def _value(owner: str, name: str, x: Any) -> float:
    if not is_number(x) or not 0.0 <= float(x) < math.inf:
        raise option_error(owner, name, "must be a finite number, 0 or above", x, "Use a value such as 0.1.")
    return float(x)


def _count(owner: str, name: str, x: Any) -> float:
    if not is_number(x) or not 0.0 < float(x) < math.inf:
        raise option_error(owner, name, "must be a finite number above 0", x, "Use a count such as 10_000.")
    number = float(x)
    return int(number) if number.is_integer() and number < 2**53 else number


def _keep_value(schedule: Schedule, name: str) -> None:
    object.__setattr__(schedule, name, _value(type(schedule).__name__, name, getattr(schedule, name)))


def _keep_count(schedule: Schedule, name: str) -> None:
    object.__setattr__(schedule, name, _count(type(schedule).__name__, name, getattr(schedule, name)))


def _keep_start_and_floor(schedule: Decay | Inverse) -> None:
    _keep_value(schedule, "start")
    _keep_value(schedule, "end")
    if schedule.end > schedule.start:
        remedy = "Use Linear or Exponential for a value that rises."
        rule = f"must be at most start = {schedule.start!r}"
        raise option_error(type(schedule).__name__, "end", rule, schedule.end, remedy)


def _counter(schedule: Schedule, n: Any) -> Any:
    if not n >= 0:
        raise option_error(repr(schedule), "n", "must be 0 or above", n, "Counters start at 0.")
    return n


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
