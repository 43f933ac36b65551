"""How a learner acts while it learns: which actions it prefers, and how much it tries the others.

A strategy is a description. `probabilities` is its meaning, on NumPy; `encode` is what compiled code gets: a
kind, a row of four float64 parameters, and the encoded schedule (`schedule_value`) of what changes over time.

    kind 0  Greedy         params -             schedule 0
    kind 1  EpsilonGreedy  params -             schedule epsilon
    kind 2  Boltzmann      params -             schedule temperature
    kind 3  UCB            params -             schedule c
    kind 4  CountBonus     params -             schedule beta
    kind 5  VDBE           params sigma, delta  schedule: epsilon of a state never visited, constant

Ties are shared: actions of equal value have equal probability, so no action is preferred for its index.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qfix.core import policies
from qfix.errors import option_error
from qfix.explore import _syntax
from qfix.explore.bonuses import count_bonus
from qfix.explore.schedules import SCHEDULES, Constant, Schedule, as_schedule, is_number, scheduled_within

GREEDY = 0
EPSILON_GREEDY = 1
BOLTZMANN = 2
UCB_BONUS = 3
COUNT_BONUS = 4
VALUE_DIFFERENCE = 5

_EXAMPLE = "0.1, epsilon_greedy(Linear(1.0, 0.05, 100_000)) or boltzmann(0.5)"

ScheduleLike = Schedule | float | str | Mapping[str, Any]


class EncodedStrategy(NamedTuple):
    """What compiled code gets; for the meaning of each number see the module."""

    kind: int
    """Which strategy."""
    params: NDArray[np.float64]
    """(4,) numbers that do not change."""
    schedule: NDArray[np.float64]
    """Encoded schedule of what changes."""


@dataclass(frozen=True, repr=False)
class Strategy(ABC):
    """A way to choose actions from their estimated values."""

    def __post_init__(self) -> None:
        self._check()

    @abstractmethod
    def _check(self) -> None:
        """Validate the fields and bring schedules to one type."""

    @property
    @abstractmethod
    def schedule(self) -> Schedule:
        """What changes while the run goes on, with the counter that drives it."""

    @abstractmethod
    def probabilities(
        self,
        q: ArrayLike,
        *,
        counter: float = 0,
        counts: ArrayLike | None = None,
        epsilon: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """The probability of each action.

        Args:
            q: (..., A) estimated values.
            counter: value of the counter that drives the schedule.
            counts: (..., A) how often each action was taken in its state; `UCB` and `CountBonus` need it.
            epsilon: (...) exploration rate of each state; `VDBE` uses it, and its start where this is None.

        Returns:
            (..., A) probabilities; they sum to 1 over the last axis, and ties share.

        Raises:
            OptionError: counts are needed and missing, negative or of another shape.
        """

    @abstractmethod
    def encode(self, n_actions: int) -> EncodedStrategy:
        """What compiled code needs; for the layout see the module."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able description; `as_strategy` reads it back."""
        values = {item.name: _plain(getattr(self, item.name)) for item in dataclasses.fields(self)}
        return {"kind": _syntax.snake(type(self).__name__)} | values

    def __repr__(self) -> str:
        values = {item.name: _number(getattr(self, item.name)) for item in dataclasses.fields(self)}
        return _syntax.written(self, values)

    def _encoded(self, kind: int, *params: float) -> EncodedStrategy:
        row = np.zeros(4)
        row[: len(params)] = params
        return EncodedStrategy(kind, row, self.schedule.encode())

    def _keep_schedule(self, name: str, low: float, high: float, remedy: str) -> None:
        value = scheduled_within(getattr(self, name), type(self).__name__, name, low, high, remedy)
        object.__setattr__(self, name, value)


@final
@dataclass(frozen=True, repr=False)
class Greedy(Strategy):
    """Only the best action. Explores where starting values are optimistic, and nowhere else."""

    def _check(self) -> None:
        pass

    @property
    def schedule(self) -> Schedule:
        """Constant 0: nothing random."""
        return Constant(0.0)

    def probabilities(
        self,
        q: ArrayLike,
        *,
        counter: float = 0,
        counts: ArrayLike | None = None,
        epsilon: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """π(a) = 1 / (number of best actions) for a best action, else 0."""
        return policies.greedy(_values(q))

    def encode(self, n_actions: int) -> EncodedStrategy:
        """Kind 0."""
        return self._encoded(GREEDY)


@final
@dataclass(frozen=True, repr=False)
class EpsilonGreedy(Strategy):
    """The best action, and with probability ε any action at random: π(a) = (1 − ε) · greedy(a) + ε / A.

    With `by="visit"` in the schedule ε falls with the visits of each state: 1/n gives a policy that is greedy
    in the limit and tries everything for ever (GLIE).

    Source: Sutton & Barto (2018), section 2.2.
    """

    epsilon: ScheduleLike = 0.1
    """Probability of a random action; a schedule with values in [0, 1], kept as `Schedule`."""
    restart: Literal["never", "episode"] = "never"
    """`episode`: the schedule counts the steps of the episode, and starts again with the next one."""

    def _check(self) -> None:
        self._keep_schedule("epsilon", 0.0, 1.0, "Use epsilon=0.1 or Linear(1.0, 0.05, 100_000).")
        if self.restart not in ("never", "episode"):
            rule, remedy = "must be 'never' or 'episode'", "Use restart='episode'."
            raise option_error("EpsilonGreedy", "restart", rule, self.restart, remedy)
        if self.restart == "episode" and as_schedule(self.epsilon).by in ("episode", "visit"):
            rule = "can be 'episode' only where epsilon counts steps"
            remedy = "Use by='step' in the schedule of epsilon, or restart='never'."
            raise option_error("EpsilonGreedy", "restart", rule, self.restart, remedy)

    @property
    def schedule(self) -> Schedule:
        """Epsilon; counted within the episode if it restarts."""
        schedule = as_schedule(self.epsilon)
        return dataclasses.replace(schedule, by="step_in_episode") if self.restart == "episode" else schedule

    def probabilities(
        self,
        q: ArrayLike,
        *,
        counter: float = 0,
        counts: ArrayLike | None = None,
        epsilon: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """π(a) = (1 − ε) · greedy(a) + ε / A, with ε = schedule(counter)."""
        return policies.epsilon_greedy(_values(q), self.schedule(counter))

    def encode(self, n_actions: int) -> EncodedStrategy:
        """Kind 1."""
        return self._encoded(EPSILON_GREEDY)


@final
@dataclass(frozen=True, repr=False)
class Boltzmann(Strategy):
    """Better actions more often: π(a) = exp(q(a) / τ) / Σ_b exp(q(b) / τ).

    τ → 0 is `Greedy`; τ → ∞ is uniform. Temperature is in the unit of the values.

    Source: Sutton & Barto (2018), equation 13.2 (softmax in action preferences).
    """

    temperature: ScheduleLike
    """τ; a schedule that stays above 0, kept as `Schedule`."""

    def _check(self) -> None:
        self._keep_schedule("temperature", 0.0, math.inf, "Use temperature=0.5.")
        if self.schedule.bounds()[0] == 0.0:
            remedy = "Let it end above 0, such as end=0.01; for temperature 0 use Greedy()."
            raise option_error("Boltzmann", "temperature", "must stay above 0", self.schedule, remedy)

    @property
    def schedule(self) -> Schedule:
        """Temperature."""
        return as_schedule(self.temperature)

    def probabilities(
        self,
        q: ArrayLike,
        *,
        counter: float = 0,
        counts: ArrayLike | None = None,
        epsilon: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """π(a) ∝ exp(q(a) / τ), with τ = schedule(counter)."""
        return policies.boltzmann(_values(q), self.schedule(counter))

    def encode(self, n_actions: int) -> EncodedStrategy:
        """Kind 2."""
        return self._encoded(BOLTZMANN)


@final
@dataclass(frozen=True, repr=False)
class UCB(Strategy):
    """The action that could be best: greedy in q(a) + c · √(ln t / n(a)), untried first; t = Σ_a n(a).

    Source: Sutton & Barto (2018), equation 2.10.
    """

    c: ScheduleLike = 2.0
    """Width of the confidence bound in the unit of the values; a schedule ≥ 0, kept as `Schedule`."""

    def _check(self) -> None:
        self._keep_schedule("c", 0.0, math.inf, "Use c=2.")

    @property
    def schedule(self) -> Schedule:
        """c."""
        return as_schedule(self.c)

    def probabilities(
        self,
        q: ArrayLike,
        *,
        counter: float = 0,
        counts: ArrayLike | None = None,
        epsilon: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """Greedy in q(a) + c · √(ln t / n(a)), with c = schedule(counter); `ucb_bonus` for each action."""
        values = _values(q)
        return policies.ucb(values, _counts("UCB", values, counts), self.schedule(counter))

    def encode(self, n_actions: int) -> EncodedStrategy:
        """Kind 3."""
        return self._encoded(UCB_BONUS)


@final
@dataclass(frozen=True, repr=False)
class CountBonus(Strategy):
    """What was seldom tried looks better: greedy in q(a) + β / √n(a); untried actions first.

    Source and deviation: see `count_bonus`.
    """

    beta: ScheduleLike = 1.0
    """Size of the bonus in the unit of the values; a schedule ≥ 0, kept as `Schedule`."""

    def _check(self) -> None:
        self._keep_schedule("beta", 0.0, math.inf, "Use beta=1.")

    @property
    def schedule(self) -> Schedule:
        """Beta."""
        return as_schedule(self.beta)

    def probabilities(
        self,
        q: ArrayLike,
        *,
        counter: float = 0,
        counts: ArrayLike | None = None,
        epsilon: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """Greedy in q(a) + count_bonus(β, n(a)), with β = schedule(counter)."""
        values = _values(q)
        n = _counts("CountBonus", values, counts)
        bonus = np.vectorize(count_bonus, otypes=[np.float64])(self.schedule(counter), n)
        return policies.greedy(values + bonus)

    def encode(self, n_actions: int) -> EncodedStrategy:
        """Kind 4."""
        return self._encoded(COUNT_BONUS)


@final
@dataclass(frozen=True, repr=False)
class VDBE(Strategy):
    """ε-greedy with an ε for each state that rises while its values change and falls once they settle.

    ε(s) starts at `start` and moves by `vdbe_update` after each update of a value in s.

    Source: Tokic (2010), "Adaptive ε-greedy Exploration in Reinforcement Learning Based on Value
    Differences".
    """

    sigma: float = 1.0
    """Change of a value that counts as large, in the unit of the values; > 0. Small: explores for long."""
    delta: float | None = None
    """Weight of one update, in (0, 1]; None is 1 / A."""
    start: float = 1.0
    """ε of a state before its first visit, in [0, 1]."""

    def _check(self) -> None:
        for name, low_in, rule, high in (
            ("sigma", False, "must be a finite number above 0", math.inf),
            ("delta", False, "must be in (0, 1], or None for 1 / A", 1.0),
            ("start", True, "must be in [0, 1]", 1.0),
        ):
            value = getattr(self, name)
            if name == "delta" and value is None:
                continue
            if not is_number(value) or not math.isfinite(value) or value > high or value < 0.0:
                raise option_error("VDBE", name, rule, value, "Use VDBE(1.0).")
            if value == 0.0 and not low_in:
                raise option_error("VDBE", name, rule, value, "Use VDBE(1.0).")
            object.__setattr__(self, name, float(value))

    @property
    def schedule(self) -> Schedule:
        """Constant: ε of a state before its first visit."""
        return Constant(self.start)

    def probabilities(
        self,
        q: ArrayLike,
        *,
        counter: float = 0,
        counts: ArrayLike | None = None,
        epsilon: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """π(a) = (1 − ε) · greedy(a) + ε / A, with ε that of the state."""
        values = _values(q)
        rate = np.asarray(self.start if epsilon is None else epsilon, dtype=np.float64)
        if np.any(~((rate >= 0.0) & (rate <= 1.0))):
            raise option_error(
                "VDBE.probabilities", "epsilon", "must be in [0, 1]", epsilon, "Use vdbe_update."
            )
        return policies.epsilon_greedy(values, np.broadcast_to(rate, values.shape[:-1]))

    def encode(self, n_actions: int) -> EncodedStrategy:
        """Kind 5, with delta filled in."""
        return self._encoded(
            VALUE_DIFFERENCE, self.sigma, 1.0 / n_actions if self.delta is None else self.delta
        )


STRATEGIES: tuple[type[Strategy], ...] = (Greedy, EpsilonGreedy, Boltzmann, UCB, CountBonus, VDBE)


def as_strategy(x: Strategy | ScheduleLike) -> Strategy:
    """A strategy from what a user writes: its text or JSON form; a number or schedule is epsilon.

    >>> as_strategy("boltzmann(0.5)")
    Boltzmann(0.5)
    >>> as_strategy("linear(1, 0.05, 1e5)")
    EpsilonGreedy(Linear(1.0, 0.05, 100_000))

    Raises:
        OptionError: not readable, or a parameter out of its range.
        UnknownNameError: no such strategy or schedule; suggests the nearest.
    """
    if isinstance(x, Strategy):
        return x
    read = _syntax.read(x, "as_strategy", _EXAMPLE) if isinstance(x, str) else x
    if isinstance(read, Mapping):
        kind = read.get("kind")
        if isinstance(kind, str) and _syntax.find(kind, SCHEDULES) is not None:
            return EpsilonGreedy(read)
        return _syntax.from_mapping(read, STRATEGIES, "strategy", "as_strategy", '{"kind": "greedy"}')
    if isinstance(read, _syntax.Call):
        if _syntax.find(read.name, SCHEDULES) is not None:
            return EpsilonGreedy(as_schedule(x))
        cls = _syntax.lookup(read.name, (*STRATEGIES, *SCHEDULES), "strategy")
        return _syntax.build(cls, read.args, read.options)  # type: ignore[return-value]
    if isinstance(read, Schedule) or is_number(read):
        return EpsilonGreedy(read)
    rule = "must be a strategy, a number, a schedule, or the text or JSON form of one"
    raise option_error("as_strategy", "x", rule, x, f"Use {_EXAMPLE}.")


def _values(q: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(q, dtype=np.float64)


def _counts(owner: str, q: NDArray[np.float64], counts: ArrayLike | None) -> NDArray[np.float64]:
    remedy = "Pass counts (..., A): how often each action was taken in its state."
    if counts is None:
        raise option_error(f"{owner}.probabilities", "counts", "must be given", None, remedy)
    n = np.asarray(counts, dtype=np.float64)
    if n.shape != q.shape:
        raise option_error(f"{owner}.probabilities", "counts", f"must have shape {q.shape}", n.shape, remedy)
    if np.any(~(n >= 0.0)):
        raise option_error(f"{owner}.probabilities", "counts", "must be 0 or above", float(n.min()), remedy)
    return n


def _number(value: Any) -> Any:
    """A schedule that says no more than a number is shown as one."""
    return value.value if isinstance(value, Constant) and value.by == "step" else value


def _plain(value: Any) -> Any:
    return value.to_dict() if isinstance(value, Schedule) else value
