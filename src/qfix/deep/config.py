"""Options that every learner on networks has."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Literal, Self

import gymnasium

from qfix.deep import measure
from qfix.deep.network import QNetwork
from qfix.deep.observations import Input
from qfix.deep.torsos import TORSOS
from qfix.errors import SpaceError, is_whole, naming, option_error
from qfix.explore import (
    Boltzmann,
    EpsilonGreedy,
    Greedy,
    Linear,
    Schedule,
    Strategy,
    as_schedule,
    as_strategy,
    scheduled_within,
)
from qfix.explore.options import plain, require_choice, require_fraction, require_positive, require_whole
from qfix.explore.schedules import is_number


@dataclass(frozen=True)
class NetworkConfig(ABC):
    """Options shared by the learners on networks, whether they learn values or a policy."""

    gamma: float = 0.99
    """Discount of future rewards, in [0, 1]; 1 only where episodes end."""
    learning_rate: Schedule | float | str = 5e-4
    """Step size of the optimiser, such as 3e-4 or "Linear(1e-3, 0, 100_000)", over environment steps."""
    num_envs: int = 1
    """Environments stepped together."""
    network: Literal["auto", "mlp", "minatar", "nature", "impala"] = "auto"
    """Torso of the network; auto: convolutional for images, small ones as in MinAtar, else fully connected."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of the fully connected layers; of a convolutional network only the last counts."""
    layer_norm: bool = False
    """Normalise layers; impala: the fully connected layer only."""
    normalize_observations: bool = False
    """Scale observations to mean 0 and variance 1 by what has been seen so far; frozen when the policy is evaluated."""
    max_grad_norm: float | None = 10.0
    """Longest gradient: longer ones are scaled down to it, all weights together; none for any."""
    reward_scale: float = 1.0
    """Factor on rewards before they are learned from; values are in these units."""
    reward_clip: float | None = None
    """Largest size of a reward that is learned from, after scaling; none for any."""

    moments_by_rollout: ClassVar[bool] = False  # whether observations count once a rollout is learned from
    adam_epsilon: ClassVar[float] = 1e-8

    def __post_init__(self) -> None:
        """Bring schedules and strategies to one type, and check every range."""
        owner = self.owner
        require_fraction(owner, "gamma", self.gamma, "Use gamma=0.99 for long horizons.")
        keep = object.__setattr__
        remedy = "Use learning_rate=1e-3."
        if is_number(self.learning_rate):
            require_positive(owner, "learning_rate", self.learning_rate, remedy)
        rate = scheduled_within(self.learning_rate, owner, "learning_rate", 0.0, math.inf, remedy)
        keep(self, "learning_rate", require_by_step(owner, "learning_rate", rate))
        self.check_behaviour()
        require_whole(owner, "num_envs", self.num_envs, 1, "Use num_envs=8.")
        require_choice(owner, "network", self.network, TORSOS)
        keep(self, "hidden", self._checked_hidden())
        for name in ("layer_norm", "normalize_observations"):
            require_choice(owner, name, getattr(self, name), (True, False))
        if self.max_grad_norm is not None:
            require_positive(owner, "max_grad_norm", self.max_grad_norm, "Use max_grad_norm=10.")
        require_positive(
            owner, "reward_scale", self.reward_scale, "Use reward_scale=0.1 where rewards are large."
        )
        if self.reward_clip is not None:
            require_positive(owner, "reward_clip", self.reward_clip, "Use reward_clip=1.")
        self.check()

    def check_behaviour(self) -> None:  # noqa: B027 - nothing by default
        """Check the options of how it acts while it learns.

        Raises:
            OptionError: names the option at fault.
        """

    @abstractmethod
    def network_for(self, given: Input, space: gymnasium.Space[Any]) -> Any:
        """The network for observations and a space of actions.

        Raises:
            SpaceError, OptionError: they do not go together.
        """

    @property
    @abstractmethod
    def measuring(self) -> ModuleType:
        """What tells how learning goes: `NAMES`, `measured` and `blank_report`."""

    @abstractmethod
    def check(self) -> None:
        """Check the algorithm's own options.

        Raises:
            OptionError: names the option at fault.
        """

    def _checked_hidden(self) -> tuple[int, ...]:
        given = self.hidden
        if is_whole(given):
            given = (given,)
        if not isinstance(given, tuple | list) or any(not is_whole(n) or n < 1 for n in given):
            rule = "must list whole numbers above 0"
            raise option_error(self.owner, "hidden", rule, given, "Use hidden=(64, 64).")
        return tuple(int(n) for n in given)

    @property
    def owner(self) -> str:
        """The algorithm's name, for messages: the module it is in."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def rate(self) -> Schedule:
        """The learning rate."""
        return as_schedule(self.learning_rate)

    @property
    def alpha(self) -> Schedule:
        """The learning rate, under the name that tables have for a step size."""
        return self.rate

    def settled(self, total_steps: int) -> Self:
        """The same options with the defaults filled in that depend on the budget."""
        return self

    def settled_as(self, kept: Mapping[str, Any], total_steps: int) -> Self:
        """The same options with the defaults filled in as in a run whose options are kept in JSON form."""
        return self.settled(total_steps)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form: every option, as it is written on the command line."""
        return {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self)}


@dataclass(frozen=True)
class DeepConfig(NetworkConfig):
    """Options shared by the learners of values, which act by them and explore."""

    epsilon: Schedule | float | str | None = None
    """Probability of a random action, such as 0.1 or "Linear(1, 0.05, 10_000)", over environment steps."""
    explore: Strategy | str | None = None
    """Another behaviour than epsilon-greedy: "boltzmann(0.5)" or "greedy" (with noisy layers); replaces epsilon."""
    gru: int = 0
    """Width of a recurrent layer behind the others, for environments that do not show all at once; 0: none."""

    usual_epsilon_share: ClassVar[float] = 0.2  # of all steps, over which epsilon falls
    usual_epsilon_end: ClassVar[float] = 0.05

    def check_behaviour(self) -> None:
        """Check epsilon, the strategy and the memory."""
        owner, keep = self.owner, object.__setattr__
        require_whole(owner, "gru", self.gru, 0, "Use gru=64.")
        if self.epsilon is not None:
            if is_number(self.epsilon):
                require_fraction(owner, "epsilon", self.epsilon, "Use epsilon=0.1.")
            epsilon = scheduled_within(self.epsilon, owner, "epsilon", 0.0, 1.0, "Use epsilon=0.1.")
            keep(self, "epsilon", require_by_step(owner, "epsilon", epsilon))
        if self.explore is not None:
            with naming(owner, "explore"):
                strategy = as_strategy(self.explore)
            keep(self, "explore", self._checked_strategy(strategy))

    def _checked_strategy(self, strategy: Strategy) -> Strategy:
        if not isinstance(strategy, Greedy | EpsilonGreedy | Boltzmann):
            rule = "must be greedy, epsilon_greedy or boltzmann: a network counts no visits"
            remedy = "Use epsilon, boltzmann(0.5), or noisy layers with greedy."
            raise option_error(self.owner, "explore", rule, strategy, remedy)
        require_by_step(self.owner, "explore", strategy.schedule)
        return strategy

    def network_for(self, given: Input, space: gymnasium.Space[Any]) -> QNetwork:
        """The network of action values."""
        if not isinstance(space, gymnasium.spaces.Discrete):
            raise SpaceError(
                f"The action space of {self.owner} must be Discrete. Got {space}. It chooses among numbered actions: "
                f"use ppo or sac, or discretise them in a wrapper."
            )
        return QNetwork(
            given,
            int(space.n),
            self.network,
            self.hidden,
            self.layer_norm,
            getattr(self, "dueling", False),
            getattr(self, "noisy", False),
            getattr(self, "distribution", "none"),
            getattr(self, "atoms", 51),
            getattr(self, "value_range", (-10.0, 10.0)),
            self.gru,
        )

    @property
    def measuring(self) -> ModuleType:
        """Values and their errors."""
        return measure

    @property
    def strategy(self) -> Strategy:
        """The behaviour, once `settled`."""
        return EpsilonGreedy(self.epsilon or 0.1) if self.explore is None else as_strategy(self.explore)

    def settled(self, total_steps: int) -> Self:
        """The same options with the defaults filled in that depend on the budget."""
        if self.epsilon is not None or self.explore is not None:
            return self
        fall = max(1, int(total_steps * self.usual_epsilon_share))
        return dataclasses.replace(self, epsilon=Linear(1.0, self.usual_epsilon_end, fall))


def require_by_step(owner: str, name: str, schedule: Schedule) -> Schedule:
    """The schedule, if it counts environment steps.

    Raises:
        OptionError: it counts something else.
    """
    if schedule.by != "step":
        rule = (
            "must count steps: environments that run side by side have no common count of episodes or visits"
        )
        raise option_error(owner, name, rule, schedule, "Leave out by=, or use by='step'.")
    return schedule
