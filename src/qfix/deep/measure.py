"""What a learner of action values looks like from outside while it learns."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

Array = Any

_OVERSHOOT = 1.1

NAMES = (
    "q_min",
    "q_max",
    "q_mean",
    "q_std",
    "td_error",
    "td_error_p05",
    "td_error_p50",
    "td_error_p95",
    "loss",
    "grad_norm",
    "step_size",
    "exploration_rate",
    "q_bound",
)
"""In order:

- lowest, highest and mean prediction of the last gradient step, and their standard deviation
- mean absolute TD error of that step, and the quantiles 0.05, 0.5 and 0.95 of the signed one
- its loss, and the norm of its gradient before it was clipped
- the learning rate now
- the scheduled epsilon or temperature now; NaN of a greedy behaviour
- 1.1 r_max / (1 - gamma), with r_max the largest |reward| so far, as it is learned from: no return exceeds r_max / (1 -
  gamma), and a network that is on its way there may overshoot a little; infinite for gamma = 1
  and before the first reward
"""


class Report(NamedTuple):
    """What the last gradient step looked like."""

    td_error: Array  # (B,) target less prediction
    q: Array  # (B,) predictions
    loss: Array  # ()
    grad_norm: Array  # () before it was clipped


def blank_report(size: int) -> Report:
    """Before the first gradient step on batches of so many."""
    return Report(jnp.zeros(size), jnp.zeros(size), jnp.float32(0), jnp.float32(0))


def measured(learner: Any, report: Any, largest_reward: float, gamma: float, rates: np.ndarray) -> np.ndarray:
    """The values of `NAMES` now; NaN before the first gradient step.

    Args:
        learner, report: of the seed.
        largest_reward: of |reward|, as it is learned from.
        gamma: discount.
        rates: (3,) exploration, learning rate and beta now.
    """
    out = np.full(len(NAMES), np.nan)
    out[11] = rates[0]
    # before the first reward nothing is known of what they may be
    if largest_reward > 0.0 and gamma < 1.0:
        out[12] = _OVERSHOOT * float(largest_reward) / (1.0 - gamma)
    else:
        out[12] = math.inf
    if int(learner.updates) == 0:
        return out
    out[10] = rates[1]
    q, error = np.asarray(report.q, np.float64), np.asarray(report.td_error, np.float64)
    out[:4] = q.min(), q.max(), q.mean(), q.std()
    out[4] = np.abs(error).mean()
    out[5:8] = np.quantile(error, (0.05, 0.5, 0.95)) if np.isfinite(error).all() else np.nan
    out[8], out[9] = float(report.loss), float(report.grad_norm)
    return out
