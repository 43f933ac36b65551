"""What a learner of a policy looks like from outside while it learns."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

Array = Any

NAMES = (
    "policy_loss",
    "value_loss",
    "entropy",
    "approx_kl",
    "clip_fraction",
    "loss",
    "grad_norm",
    "policy_grad_norm",
    "value_grad_norm",
    "first_ratio",
    "explained_variance",
    "value_mean",
    "gradient_steps",
    "step_size",
)
"""In order, of the last update before a measurement:

- means over the minibatches it looked at: the policy's loss, the mean squared error of the value, the policy's entropy
  in nats, the estimate k3 of the divergence between the policy that made the rollout and the one that learns from it,
  the share of ratios beyond the bounds, the whole loss, the norm of its gradient before it was clipped, and the norms
  of the stretches of it that only the policy and only the value depend on
- the largest ratio of the two policies' probabilities before the first gradient step: 1, or they disagree
- the share of the variance of the returns that the values explain, and the mean value, both before learning
- how many gradient steps there were: fewer than asked for where `target_kl` has ended the update
- the learning rate
"""


class PolicyReport(NamedTuple):
    """What the last update looked like: means over its gradient steps, each () float32."""

    policy_loss: Array
    value_loss: Array
    entropy: Array
    approx_kl: Array
    clip_fraction: Array
    loss: Array
    grad_norm: Array  # before it was clipped
    policy_grad_norm: Array  # of what only the policy depends on
    value_grad_norm: Array  # of what only the value depends on
    first_ratio: Array  # largest ratio of new to old probability before the first gradient step
    explained_variance: Array  # of the returns by the values
    value_mean: Array
    gradient_steps: Array  # how many there were


def blank_report(size: int, dtype: Any = np.float32) -> PolicyReport:
    """Before the first update, in the precision of the weights; `size` is that of a batch, which is not told of."""
    return PolicyReport(*(jnp.zeros((), dtype) for _ in PolicyReport._fields))


def measured(learner: Any, report: Any, largest_reward: float, gamma: float, rates: np.ndarray) -> np.ndarray:
    """The values of `NAMES` now; NaN before the first gradient step.

    Args:
        learner, report: of the seed.
        largest_reward, gamma: not needed: nothing here is held against a bound.
        rates: (3,) exploration, learning rate and beta now.
    """
    if int(learner.updates) == 0:
        return np.full(len(NAMES), np.nan)
    return np.array([*(float(x) for x in report), rates[1]])
