"""What a learner of a policy looks like from outside while it learns."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

Array = Any


class PolicyReport(NamedTuple):
    """What the last update looked like, each () float32: means over the minibatches it looked at, or as is said.

    Not a number is what an algorithm has nothing to tell of: with one gradient step a rollout the policy that learns is
    the one that acted.
    """

    policy_loss: Array
    value_loss: Array  # mean squared error of the values; of clipped ones with `value_clip`
    entropy: Array  # of the policy, in nats
    approx_kl: Array  # estimate k3 of KL(acted‖learns), in nats, at the last minibatch looked at
    clip_fraction: Array  # share of ratios beyond the bounds
    loss: Array
    grad_norm: Array  # before it was clipped
    policy_grad_norm: Array  # of the stretch of it that only the policy depends on
    value_grad_norm: Array  # of the stretch that only the value depends on
    first_ratio: Array  # largest of ρ and 1/ρ before the first gradient step: 1, or the two policies disagree
    explained_variance: Array  # share of the variance of the returns that the values explain, before learning
    value_mean: Array  # before learning
    gradient_steps: Array  # how many there were: fewer than asked for where `target_kl` has ended the update


NAMES = (*PolicyReport._fields, "step_size")
"""In order: the last update before a measurement, as its report says, and the learning rate."""


def blank_report(size: int, dtype: Any = np.float32) -> PolicyReport:
    """Before the first update, in the precision of the weights; `size` is that of a batch, which is not told of."""
    return PolicyReport(*(jnp.zeros((), dtype) for _ in PolicyReport._fields))


def measured(learner: Any, report: Any, largest_reward: float, gamma: float, rates: np.ndarray) -> np.ndarray:
    """The numbers of a report and the learning rate now; NaN before the first gradient step.

    Args:
        learner, report: of the seed.
        largest_reward, gamma: not needed: nothing here is held against a bound.
        rates: (3,) exploration, learning rate and beta now.
    """
    if int(learner.updates) == 0:
        return np.full(len(report) + 1, np.nan)
    return np.array([*(float(x) for x in report), rates[1]])
