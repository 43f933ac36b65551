"""Options that every table learner has."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np

from qfix.errors import naming, option_error
from qfix.explore import (
    UCB,
    VDBE,
    Constant,
    CountBonus,
    EpsilonGreedy,
    Initial,
    Inverse,
    Linear,
    Schedule,
    Strategy,
    as_initial,
    as_strategy,
    scheduled_within,
)
from qfix.explore.options import (
    plain,
    require_choice,
    require_fraction,
    require_positive,
    require_whole,
)
from qfix.explore.schedules import is_number

TABLES = ("dense", "sparse")
STORES = ("dense", "sparse", "tiled", "features")


@dataclass(frozen=True)
class TabularConfig(ABC):
    """Options shared by the learners on tables."""

    gamma: float = 0.99
    """Discount of future rewards, in [0, 1]; 1 only where episodes end."""
    alpha: Schedule | float | str | None = None
    """Step size in [0, 1], such as 0.1 or "Polynomial(1, 0.6, by=visit)"; tiles share it.
    Default: Inverse(0.5, 100, by=visit) in a table, 0.3 on tiles."""
    epsilon: Schedule | float | str | None = None
    """Probability of a random action, in [0, 1], such as 0.1 or "Linear(1, 0.05, 100_000)".
    Default: Linear(1, 0.05, half of all steps) in a table, 0.05 on tiles."""
    explore: Strategy | str | None = None
    """Another behaviour than epsilon-greedy, such as "boltzmann(0.5)", "ucb(2)" or "vdbe(1)"; replaces epsilon."""
    initial: Initial | float | str = 0.0
    """Values before learning, such as 0, "Optimistic(1, 0.99)" or "SmallRandom(0.01)"."""
    store: Literal["auto", "dense", "sparse", "tiled"] = "auto"
    """Where values are kept: a dense table, one that grows with the states visited, or tile coding of a box."""
    tilings: int = 8
    """Tile coding: how many shifted grids."""
    tiles: int = 8
    """Tile coding: tiles that span each dimension of a grid."""
    tile_range: tuple[float, ...] = ()
    """Tile coding: low and high of each dimension in turn, in place of the space's own, if that is unbounded."""
    gradient: Literal["semi", "tdc"] = "semi"
    """Updates of tiles and features: semi-gradient, or gradient-TD with correction (TDC)."""
    beta: float = 0.05
    """TDC: step size of the second weights, above 0."""

    stores: ClassVar[tuple[str, ...]] = STORES
    gradients: ClassVar[tuple[str, ...]] = ("semi",)

    def __post_init__(self) -> None:
        """Bring schedules and strategies to one type, and check every range."""
        owner = self.owner
        require_fraction(owner, "gamma", self.gamma, "Use gamma=0.99 for long horizons.")
        for name, remedy in (("alpha", "Use alpha=0.1."), ("epsilon", "Use epsilon=0.1.")):
            value = getattr(self, name)
            if is_number(value):
                require_fraction(owner, name, value, remedy)
            if value is not None:
                object.__setattr__(self, name, scheduled_within(value, owner, name, 0.0, 1.0, remedy))
        if self.explore is not None:
            with naming(owner, "explore"):
                object.__setattr__(self, "explore", as_strategy(self.explore))
        with naming(owner, "initial"):
            object.__setattr__(self, "initial", as_initial(self.initial))
        require_choice(owner, "store", self.store, ("auto", "dense", "sparse", "tiled"))
        require_choice(owner, "gradient", self.gradient, ("semi", "tdc"))
        require_whole(owner, "tilings", self.tilings, 1, "Use tilings=8.")
        require_whole(owner, "tiles", self.tiles, 1, "Use tiles=8.")
        require_positive(owner, "beta", self.beta, "Use beta=0.05.")
        if self.gradient not in self.gradients:
            rule = f"must be one of {', '.join(self.gradients)}: its targets have no gradient correction here"
            raise option_error(
                owner, "gradient", rule, self.gradient, "Use q_learning, sarsa or expected_sarsa."
            )
        bounds = self.tile_range
        if (
            not isinstance(bounds, (tuple, list))
            or len(bounds) % 2
            or any(not is_number(x) or not math.isfinite(x) for x in bounds)
            or any(low >= high for low, high in zip(bounds[::2], bounds[1::2], strict=False))
        ):
            rule = "must list a finite low and a higher high for each dimension"
            raise option_error(owner, "tile_range", rule, bounds, "Use for example (-2.4, 2.4, -3, 3).")

    @property
    def owner(self) -> str:
        """The algorithm's name, for messages: the module it is in."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def strategy(self) -> Strategy:
        """The behaviour."""
        return EpsilonGreedy(self.epsilon or 0.1) if self.explore is None else as_strategy(self.explore)

    def settled(self, store: str, total_steps: int) -> Self:
        """The same options with the defaults filled in that depend on the store and the budget.

        In a table each pair has its own falling step size, and epsilon falls over half of the steps. Tiles
        generalise: a constant step size, and little exploration.

        Raises:
            OptionError: the options do not fit the store.
        """
        alpha, epsilon = self.alpha, self.epsilon
        if store in TABLES:
            alpha = Inverse(0.5, 100, by="visit") if alpha is None else alpha
            epsilon = Linear(1.0, 0.05, max(1, total_steps // 2)) if epsilon is None else epsilon
        else:
            alpha = Constant(0.3) if alpha is None else alpha
            epsilon = Constant(0.05) if epsilon is None else epsilon
        kept: Any = self.store if store == "features" else store
        config = dataclasses.replace(self, alpha=alpha, epsilon=epsilon, store=kept)
        config.check_store(store)
        return config

    def settled_as(self, kept: Mapping[str, Any], total_steps: int) -> Self:
        """The same options with the defaults filled in as in a run whose options are kept in JSON form.

        Raises:
            OptionError: the options do not fit its store.
        """
        return self.settled("features" if "features" in kept else str(kept.get("store")), total_steps)

    @property
    def history(self) -> int:
        """How many of the latest observations must stay encoded."""
        return 4

    @abstractmethod
    def memory(self, weights: np.ndarray, history: int) -> NamedTuple:
        """The algorithm's own arrays, before learning.

        Args:
            weights: (rows, A) where the store starts.
            history: how many of the latest observations stay encoded; at first `self.history`, and twice as
                many each time the memory lacks room.
        """

    def check_store(self, store: str) -> None:
        """Refuse a kind of store the algorithm or the options cannot use.

        Raises:
            OptionError: names the option at odds with the store.
        """
        if store not in self.stores:
            rule = f"must be one of {', '.join(self.stores)}"
            raise option_error(self.owner, "store", rule, store, "Use q_learning or sarsa_lambda on a box.")
        if store in TABLES:
            if self.gradient == "tdc":
                rule, remedy = (
                    f"needs tiles or features; in a '{store}' table nothing diverges",
                    "Use gradient='semi'.",
                )
                raise option_error(self.owner, "gradient", rule, "tdc", remedy)
            return
        remedy = "Use by='step' or by='episode'."
        if isinstance(self.alpha, Schedule) and self.alpha.by == "visit":
            rule = f"cannot count visits: '{store}' values have none"
            raise option_error(self.owner, "alpha", rule, self.alpha, remedy)
        if self.strategy.schedule.by == "visit" or isinstance(self.strategy, UCB | CountBonus | VDBE):
            rule = f"cannot count visits of states: '{store}' values have none"
            if self.explore is None:
                raise option_error(self.owner, "epsilon", rule, self.epsilon, remedy)
            raise option_error(self.owner, "explore", rule, self.strategy, "Use epsilon or Boltzmann.")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form: every option, as it is written on the command line."""
        return {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
