"""REINFORCE: actions become likelier in proportion to the return that followed them, less a baseline.

    L(θ) = mean -(G_t - b_t) log π_θ(a_t|s_t) + c_v mean (G_t - v_θ(s_t))² - c_e mean H(π_θ(·|s_t))

    baseline   none                b = 0
               running_mean        b = mean return of earlier rollouts, the last weighing a tenth
               normalized_return   G - b = (G - mean G)/std G over the rollout
               learned             b = v_θ(s), before learning from the rollout

G is all reward to the end of the episode, with one gradient step a rollout. Episodes are not waited for: where one goes
on beyond the rollout, or was truncated, v(s') of where it was cut stands for the rest, and v is learned for that
whatever the baseline. Leaving such episodes out would favour short ones; this is biased by γ^k (v - v_π)(s') at a step
k before a cut, and by nothing where an episode terminates within the rollout. With a rollout that is longer
than any episode only the first and the last episode of each environment have a cut at all.

Source: Williams (1992), Simple statistical gradient-following algorithms; Sutton & Barto (2018), section 13.4 (with a
baseline).
1. Steps are not weighed by γ^t, as everywhere in practice.
2. A baseline that is the rollout's own mean depends on the action by one part in T·N; that is left.
3. With `normalize_rewards` the running mean is of rewards as they were scaled at the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax.numpy as jnp

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
from qfix.explore.options import require_choice
from qfix.explore.schedules import Schedule

Array = Any

BASELINES = ("none", "running_mean", "normalized_return", "learned")

_NEWEST = 0.1  # what the latest rollout weighs in the running mean, from the tenth on


@dataclass(frozen=True)
class Config(PolicyConfig):
    """Options of REINFORCE."""

    learning_rate: Schedule | float | str = 2e-3
    """Step size of the optimiser, such as 3e-4 or "Linear(1e-3, 0, 100_000)", over environment steps."""
    num_steps: int = 128
    """Steps of each environment in a rollout; episodes that go on beyond it are cut there."""
    baseline: Literal["none", "running_mean", "normalized_return", "learned"] = "learned"
    """What is subtracted from returns; it changes their variance, and not what is learned on average."""

    def check(self) -> None:
        """Check the options of REINFORCE."""
        require_choice(self.owner, "baseline", self.baseline, BASELINES)


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
    learner, whole = experience_of(setup, learner, steps, 1.0)
    tally = learner.tally
    advantage = {
        "none": lambda: whole.target,
        "running_mean": lambda: whole.target - tally.mean_return,
        "normalized_return": lambda: normalised_advantage(whole.target),
        "learned": lambda: whole.advantage,
    }[config.baseline]()
    rollouts = tally.rollouts + 1.0
    weight = jnp.maximum(1.0 / rollouts, _NEWEST)
    mean = tally.mean_return + weight * (jnp.mean(whole.target) - tally.mean_return)
    learner = learner._replace(tally=tally._replace(mean_return=mean, rollouts=rollouts))
    learner, report = learn(setup, learner, whole, partial(policy_gradient, advantage=advantage), rates)
    return counted(setup, learner, steps), over_rollout(report, whole)
