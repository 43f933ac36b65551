"""What soft actor-critic looks like from outside while it learns."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from qfix.deep.policy_report import measured as measured

Array = Any


class SoftReport(NamedTuple):
    """What the last gradient step looked like, each () float32."""

    q_min: Array  # lowest prediction of the first of the two values
    q_max: Array  # highest
    q_mean: Array
    td_error: Array  # mean absolute TD error of both
    value_loss: Array
    policy_loss: Array
    entropy: Array  # of the policy, as estimated from one action a step, in nats
    temperature: Array  # what a nat of entropy is worth
    grad_norm: Array  # of the whole gradient, before it was clipped


NAMES = (*SoftReport._fields, "step_size")
"""In order: the last gradient step before a measurement, as its report says, and the learning rate."""


def blank_report(size: int) -> SoftReport:
    """Before the first gradient step; `size` is that of a batch, which is not told of."""
    return SoftReport(*(jnp.float32(0) for _ in SoftReport._fields))
