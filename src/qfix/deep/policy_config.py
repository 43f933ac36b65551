"""Options that every learner of a policy has."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Literal

import gymnasium

from qfix.deep import policy_report
from qfix.deep.config import NetworkConfig
from qfix.deep.data import Rollout
from qfix.deep.distributions import actions_of
from qfix.deep.layers import ACTIVATIONS
from qfix.deep.observations import Input
from qfix.deep.policy_network import LOG_STD_RANGE, PolicyNetwork
from qfix.errors import option_error
from qfix.explore.options import require_choice, require_whole
from qfix.explore.schedules import is_number

_AT_LEAST_0 = (
    ("entropy_coefficient", "Use entropy_coefficient=0.01 to explore longer."),
    ("value_coefficient", "Use value_coefficient=0.5."),
)


@dataclass(frozen=True)
class PolicyConfig(NetworkConfig):
    """Options shared by the learners of a policy, which draw their actions from it."""

    num_envs: int = 8
    """Environments stepped together."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the fully connected layers; of a convolutional network only the last counts."""
    max_grad_norm: float | None = 0.5
    """Longest gradient: longer ones are scaled down to it, all weights together; none for any."""
    num_steps: int = 128
    """Steps of each environment in a rollout."""
    entropy_coefficient: float = 0.0
    """What a nat of entropy is worth: keeps the policy from being sure too soon."""
    value_coefficient: float = 0.5
    """Weight of the value's squared error beside the policy's loss."""
    normalize_rewards: bool = False
    """Divide rewards by the running standard deviation of the discounted return."""
    activation: Literal["tanh", "relu"] = "tanh"
    """What stands between fully connected layers."""
    shared_torso: bool = False
    """Policy and value share all but their heads."""
    orthogonal: bool = True
    """Begin with orthogonal weights, and a policy that is nearly uniform."""
    deviation: Literal["free", "state"] = "free"
    """Box actions: the standard deviation is a weight of its own, or an output of the network."""
    log_std: float = 0.0
    """Box actions: logarithm of the standard deviation before learning; bounds are at -1 and 1."""
    gru: int = 0
    """Width of a recurrent layer behind each torso, for environments that do not show all at once; 0: none."""
    squashed: bool = False
    """Box actions: bring a Gaussian into the bounds by tanh, in place of cutting it there."""

    moments_by_rollout: ClassVar[bool] = True  # a policy must not change while it makes a rollout
    adam_epsilon: ClassVar[float] = 1e-5

    def network_for(self, given: Input, space: gymnasium.Space[Any]) -> PolicyNetwork:
        """The network of policy and value."""
        if not isinstance(space, gymnasium.spaces.Box):
            for name in ("deviation", "log_std"):
                if getattr(self, name) != getattr(PolicyConfig, name):
                    rule = f"must be left out where actions are numbers: they lie in {space}"
                    raise option_error(self.owner, name, rule, getattr(self, name), "Leave it out.")
        return PolicyNetwork(
            given,
            actions_of(self.owner, space, self.squashed),
            self.network,
            self.hidden,
            normalised=self.layer_norm,
            activation=self.activation,
            shared=self.shared_torso,
            deviation=self.deviation,
            log_std=self.log_std,
            gru=self.gru,
        )

    @property
    def data(self) -> Rollout:
        """The latest steps."""
        return Rollout(self.num_steps, self.num_steps * self.num_envs)

    @property
    def measuring(self) -> ModuleType:
        """Policies and how they change."""
        return policy_report

    def check_behaviour(self) -> None:
        """Check the options of all learners of a policy."""
        owner = self.owner
        require_whole(owner, "num_steps", self.num_steps, 1, "Use num_steps=128.")
        require_whole(owner, "gru", self.gru, 0, "Use gru=64.")
        for name, remedy in _AT_LEAST_0:
            value = getattr(self, name)
            if not is_number(value) or not 0.0 <= value < float("inf"):
                raise option_error(owner, name, "must be a number, 0 or above", value, remedy)
        for name in ("normalize_rewards", "shared_torso", "orthogonal", "squashed"):
            require_choice(owner, name, getattr(self, name), (True, False))
        require_choice(owner, "activation", self.activation, tuple(ACTIVATIONS))
        require_choice(owner, "deviation", self.deviation, ("free", "state"))
        low, high = LOG_STD_RANGE
        if not is_number(self.log_std) or not low <= self.log_std <= high:
            rule = f"must be in [{low:g}, {high:g}]"
            raise option_error(owner, "log_std", rule, self.log_std, "Use log_std=0.")
