"""What soft actor-critic looks like from outside while it learns."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

Array = Any

NAMES = (
    "q_min",
    "q_max",
    "q_mean",
    "td_error",
    "value_loss",
    "policy_loss",
    "entropy",
    "temperature",
    "grad_norm",
    "step_size",
)
"""In order, of the last gradient step before a measurement:

- lowest, highest and mean prediction of the first of the two values
- mean absolute TD error of both
- the loss of the values, the loss of the policy, and its entropy as estimated from one action a step, in nats
- what a nat of entropy is worth
- the norm of the whole gradient, before it was clipped
- the learning rate
"""


class SoftReport(NamedTuple):
    """What the last gradient step looked like, each () float32."""

    q_min: Array
    q_max: Array
    q_mean: Array
    td_error: Array
    value_loss: Array
    policy_loss: Array
    entropy: Array
    temperature: Array
    grad_norm: Array


def blank_report(size: int) -> SoftReport:
    """Before the first gradient step; `size` is that of a batch, which is not told of."""
    return SoftReport(*(jnp.float32(0) for _ in SoftReport._fields))


def measured(learner: Any, report: Any, largest_reward: float, gamma: float, rates: np.ndarray) -> np.ndarray:
    """The values of `NAMES` now; NaN before the first gradient step.

    Args:
        learner, report: of the seed.
        largest_reward, gamma: not needed: values hold entropy, too, which no reward bounds.
        rates: (3,) exploration, learning rate and beta now.
    """
    if int(learner.updates) == 0:
        return np.full(len(NAMES), np.nan)
    return np.array([*(float(x) for x in report), rates[1]])
