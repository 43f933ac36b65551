"""What a learner looks like from outside while it learns: its values, its errors, how it explores.

A measurement reads and decides nothing. Its cost does not grow with the table: above `SAMPLED_ROWS` states it looks
at as many, evenly spread.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qfix.explore import schedule_code
from qfix.mdp.cached import cached
from qfix.tabular.agent import EPISODE, STEP, Blueprint
from qfix.tabular.kernel import Agent
from qfix.tabular.store import Linear, Sparse

SAMPLED_ROWS = 4096

NAMES = (
    "q_min",
    "q_max",
    "q_mean",
    "q_std",
    "td_error",
    "td_error_p05",
    "td_error_p50",
    "td_error_p95",
    "step_size",
    "coverage",
    "exploratory_share",
    "exploration_rate",
    "q_bound",
)
"""In order:

- lowest, highest and mean action value, and their standard deviation; of tiles and features those of the latest updates
- mean absolute TD error of the latest 256 steps, and the quantiles 0.05, 0.5 and 0.95 of the signed one
- mean step size of the same updates
- share of the state-action pairs that were ever updated, terminal states aside; NaN on tiles and features
- share of the actions chosen since the last measurement that were exploratory: random, or not of the highest value
- the scheduled epsilon, temperature or size of the bonus now; NaN where every state has its own
- r_max / (1 - gamma), which no return exceeds, or the largest starting value if that is more; r_max is the model's, or
  of a live environment the largest |reward| so far; infinite for gamma = 1
"""

_schedule_value = schedule_code.schedule_value


def measured(agent: Agent, blueprint: Blueprint) -> np.ndarray:
    """The values of `NAMES` now; begins a new count of exploratory actions.

    Args:
        agent: between two calls of its kernels.
        blueprint: what it was made from.
    """
    out = np.full(len(NAMES), np.nan)
    store, watch = agent.store, agent.behaviour.watch
    step, episode = int(agent.registers.counts[STEP]), int(agent.registers.counts[EPISODE])
    _quantiles(_errors(watch.updates, out), out)
    if isinstance(store, Linear):
        values = watch.updates[~np.isnan(watch.updates[:, 1]), :1]
        _moments(np.ascontiguousarray(values), len(values), out)
    else:
        rows = int(store.used[0]) if isinstance(store, Sparse) else len(store.weights)
        _moments(store.weights, rows, out)
        _coverage(store.counts, rows, out)
        out[9] = min(1.0, out[9] / blueprint.active_share)
    if watch.explored[1] > 0:
        out[10] = watch.explored[0] / watch.explored[1]
    watch.explored[:] = 0
    out[11] = _rate(agent, step, episode)
    out[12] = _bound(agent, blueprint)
    return out


def _bound(agent: Agent, blueprint: Blueprint) -> float:
    if agent.gamma >= 1.0:
        return math.inf
    low, high = agent.behaviour.watch.rewards
    largest = max(abs(low), abs(high)) if low <= high else 0.0
    return max(blueprint.largest_start, max(largest, blueprint.largest_reward) / (1.0 - agent.gamma))


def _rate(agent: Agent, step: int, episode: int) -> float:
    code: Any = agent.behaviour.schedule
    if len(agent.behaviour.rate) > 0 or (
        code[1] == schedule_code.BY_VISIT and code[0] != schedule_code.CONSTANT
    ):
        return math.nan
    return float(_schedule_value(code, float(schedule_code.pick_counter(code, step, episode, 0, 0))))


def _quantiles(errors: np.ndarray, out: np.ndarray) -> None:
    """Quantiles by linear interpolation between order statistics; NumPy's own take ten times as long."""
    if len(errors) == 0 or not math.isfinite(out[4]):
        return
    errors.sort()
    for k, share in enumerate((0.05, 0.5, 0.95)):
        at = share * (len(errors) - 1)
        low = int(at)
        high = min(low + 1, len(errors) - 1)
        out[5 + k] = errors[low] + (at - low) * (errors[high] - errors[low])


@cached
def _errors(updates, out):
    """TD errors of the watched updates; their mean size and that of the steps go to `out`."""
    error = np.empty(len(updates))
    n = 0
    total = 0.0
    size = 0.0
    for i in range(len(updates)):
        # NaN: a step in which nothing was updated, as before the end of an episode under Monte Carlo
        if not np.isnan(updates[i, 1]):
            error[n] = updates[i, 2]
            total += abs(updates[i, 2])
            size += updates[i, 1]
            n += 1
    if n > 0:
        out[4] = total / n
        out[8] = size / n
    return error[:n]


@cached
def _moments(values, rows, out):
    """Least, largest and mean value of the first rows, and the standard deviation."""
    stride = max(1, (rows + SAMPLED_ROWS - 1) // SAMPLED_ROWS)
    low, high = np.inf, -np.inf
    total, n = 0.0, 0
    for i in range(0, rows, stride):
        for a in range(values.shape[1]):
            v = values[i, a]
            low = min(low, v)
            high = max(high, v)
            total += v
            n += 1
    if n == 0:
        return
    mean = total / n
    squares = 0.0
    for i in range(0, rows, stride):
        for a in range(values.shape[1]):
            squares += (values[i, a] - mean) ** 2
    out[0] = low
    out[1] = high
    out[2] = mean
    out[3] = math.sqrt(squares / n)
    if np.isnan(mean):
        out[0] = mean
        out[1] = mean


@cached
def _coverage(counts, rows, out):
    """Share of pairs with a visit."""
    stride = max(1, (rows + SAMPLED_ROWS - 1) // SAMPLED_ROWS)
    n = 0
    visited = 0
    for i in range(0, rows, stride):
        for a in range(counts.shape[1]):
            visited += counts[i, a] > 0
            n += 1
    if n:
        out[9] = visited / n
