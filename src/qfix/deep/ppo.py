"""PPO: a policy and its critic, which go through a rollout several times and stay near the policy that made it.

    L(θ) = mean -min(ρ A, clip(ρ, 1 - ε_low, 1 + ε_high) A) + c_v mean (G - v_θ(s))² - c_e mean H(π_θ(·|s))
    ρ    = π_θ(a|s)/π_old(a|s)

A rollout of T steps of N environments is made by π_old; advantages A and returns G are those of `qfix.deep.experience`,
computed once. The critic's part is the TD regression of Q-learning without the max: the TD error of A is the TD error.

Source: Schulman et al. (2017), Proximal policy optimization algorithms, eqs. 7 and 9; the two bounds: Yu et al. (2025),
DAPO, section 3.1.
1. Advantages are normalised within each minibatch, and gradients are clipped by their norm, as in the code beside the
   paper.
2. `target_kl` ends the update as soon as a minibatch's estimate of KL(π_old‖π_θ) exceeds 1.5 times it, as in
   Stable-Baselines3; that minibatch is not learned from.
3. A minibatch of a recurrent network has all steps of some environments, each from the state that the rollout began
   with.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from qfix.core.surrogates import clipped_surrogate
from qfix.deep.data import Rollout, Steps
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
from qfix.deep.minibatches import check_minibatches, each_part
from qfix.deep.policy_config import PolicyConfig
from qfix.deep.policy_report import PolicyReport, blank_report
from qfix.explore.options import require_choice, require_fraction, require_positive, require_whole
from qfix.explore.schedules import Schedule

Array = Any

_KL_MARGIN = 1.5


@dataclass(frozen=True)
class Config(PolicyConfig):
    """Options of PPO."""

    learning_rate: Schedule | float | str = 1e-3
    """Step size of the optimiser, such as 3e-4 or "Linear(1e-3, 0, 100_000)", over environment steps."""
    num_minibatches: int = 4
    """Parts that a rollout is learned from in."""
    num_epochs: int = 10
    """How often a rollout is gone through."""
    lambda_: float = 0.95
    """λ of the advantages, in [0, 1]: 0 the TD error, 1 the whole return."""
    clip_low: float = 0.2
    """How far below 1 the ratio of new to old probability may fall and still be pushed, in [0, 1]."""
    clip_high: float = 0.2
    """How far above 1 it may rise; a larger one than `clip_low` lets rare actions rise, against losing all entropy."""
    value_clip: float | None = None
    """How far a value may move in an update and still be learned, in units of the values; none for any."""
    normalize_advantages: bool = True
    """Bring the advantages of each minibatch to mean 0 and standard deviation 1."""
    target_kl: float | None = None
    """End an update where the policy has moved by 1.5 times this, in nats; none for never."""

    def check(self) -> None:
        """Check the options of PPO."""
        owner = self.owner
        for name in ("num_minibatches", "num_epochs"):
            require_whole(owner, name, getattr(self, name), 1, f"Use {name}={getattr(Config, name)}.")
        check_minibatches(self)
        require_fraction(owner, "lambda_", self.lambda_, "Use lambda_=0.95.")
        require_fraction(owner, "clip_low", self.clip_low, "Use clip_low=0.2.")
        require_positive(owner, "clip_high", self.clip_high, "Use clip_high=0.2.")
        require_choice(owner, "normalize_advantages", self.normalize_advantages, (True, False))
        for name, remedy in (("value_clip", "Use value_clip=0.2."), ("target_kl", "Use target_kl=0.02.")):
            if getattr(self, name) is not None:
                require_positive(owner, name, getattr(self, name), remedy)

    @property
    def data(self) -> Rollout:
        """The latest steps."""
        return Rollout(self.num_steps, self.num_steps * self.num_envs // self.num_minibatches)


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
        key: to shuffle.
    """
    config: Any = setup.config
    learner, whole = experience_of(setup, learner, steps, config.lambda_)
    limit = jnp.inf if config.target_kl is None else _KL_MARGIN * config.target_kl

    def descend(carry: tuple[Learner, PolicyReport, Array], part: Array) -> Any:
        before, total, _ = carry
        batch = whole.at(part)
        advantage = batch.advantage
        if config.normalize_advantages:
            advantage = normalised_advantage(advantage)
        surrogate = partial(
            clipped_surrogate,
            log_prob_old=batch.log_prob,
            advantage=advantage,
            eps_low=config.clip_low,
            eps_high=config.clip_high,
        )
        clip = (config.clip_low, config.clip_high)
        after, told = learn(setup, before, batch, surrogate, rates, config.value_clip, clip)
        first = jnp.where(total.gradient_steps == 0, told.first_ratio, total.first_ratio)
        total = jax.tree.map(jnp.add, total, told)._replace(first_ratio=first, approx_kl=told.approx_kl)
        going = told.approx_kl <= limit
        if config.target_kl is not None:
            after = jax.tree.map(lambda new, old: jnp.where(going, new, old), after, before)
        return after, total, going

    parts = whole.rollout.parts(key, config.num_epochs, config.num_minibatches)
    going = None if config.target_kl is None else lambda carry: carry[2]
    carry = (learner, blank_report(0, learner.params.dtype), jnp.bool_(True))
    after, total, _ = each_part(parts, descend, carry, going)
    mean = jax.tree.map(lambda x: x / total.gradient_steps, total)
    made = after.updates - learner.updates  # fewer than were looked at, where target_kl ended it
    report = mean._replace(
        first_ratio=total.first_ratio,
        approx_kl=total.approx_kl,
        gradient_steps=made.astype(total.loss.dtype),
    )
    return counted(setup, after, steps), over_rollout(report, whole)
