"""A2C: a policy and its critic, from a short rollout, in one step of gradient descent.

    L(θ) = mean -A log π_θ(a|s) + c_v mean (G - v_θ(s))² - c_e mean H(π_θ(·|s))

Advantages A and returns G are those of `qfix.deep.experience`: at λ = 1 the rewards to the end of the rollout and then
the critic, less the critic.

Source: Mnih et al. (2016), Asynchronous methods for deep reinforcement learning, algorithm S3, with environments that
are stepped together in place of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from qfix.core.surrogates import policy_gradient
from qfix.deep.data import Steps
from qfix.deep.experience import (
    counted,
    experience_of,
    learn,
    normalised_advantage,
    over_rollout,
    start_policy,
    value_of,
)
from qfix.deep.learner import Learner, Rates, Setup
from qfix.deep.policy_config import PolicyConfig
from qfix.deep.policy_report import PolicyReport
from qfix.explore.options import require_choice, require_fraction
from qfix.explore.schedules import Schedule

Array = Any


@dataclass(frozen=True)
class Config(PolicyConfig):
    """Options of A2C."""

    learning_rate: Schedule | float | str = 7e-4
    """Step size of the optimiser, such as 3e-4 or "Linear(1e-3, 0, 100_000)", over environment steps."""
    num_steps: int = 8
    """Steps of each environment in a rollout."""
    lambda_: float = 1.0
    """λ of the advantages, in [0, 1]: 0 the TD error, 1 the whole return."""
    normalize_advantages: bool = False
    """Bring the advantages of each rollout to mean 0 and standard deviation 1."""
    optimizer: Literal["rmsprop", "adam"] = "rmsprop"
    """Optimiser of the gradient."""

    def check(self) -> None:
        """Check the options of A2C."""
        require_fraction(self.owner, "lambda_", self.lambda_, "Use lambda_=0.95.")
        require_choice(self.owner, "normalize_advantages", self.normalize_advantages, (True, False))
        require_choice(self.owner, "optimizer", self.optimizer, ("rmsprop", "adam"))


init = start_policy
bootstrap = value_of


def update(
    setup: Setup, learner: Learner, steps: Steps, rates: Rates, key: Array
) -> tuple[Learner, PolicyReport]:
    """Learn from a rollout.

    Args:
        setup, learner: who learns.
        steps: T steps of N environments.
        rates: of this moment.
        key: not used: nothing is left to chance.
    """
    config: Any = setup.config
    learner, whole = experience_of(setup, learner, steps, config.lambda_)
    advantage = normalised_advantage(whole.advantage) if config.normalize_advantages else whole.advantage
    learner, report = learn(setup, learner, whole, partial(policy_gradient, advantage=advantage), rates)
    return counted(setup, learner, steps), over_rollout(report, whole)
