"""Whether learned values are true: against what is really earned on episodes nobody trained on.

    bias      =  mean over steps of  q(s_t, a_t) - G_t,    G_t = Σ_k γ^k r_{t+k} to the end of the episode
    td_error  =  mean over steps of  |r_t + γ (1 - terminated_t) max_a q(s_{t+1}, a) - q(s_t, a_t)|

Rewards are as they were learned from: where they were clipped, so are those here. Values of another policy than the
greedy one, as of SARSA and Munchausen Q-learning, differ from G by what the policies differ.

Where a truncated episode is cut, what would have followed is not known: only steps from which γ^k at the cut is 1 % or
less count for the bias. A bias above 0 is the over-estimation of taking the maximum of noisy values.

Source: van Hasselt et al. (2016), Deep reinforcement learning with double Q-learning, section 4 (figure 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from qfix.envs.masks import MASK
from qfix.evaluation import LONGEST_EPISODE, allowed
from qfix.mdp.simulate import evaluation_seed

_REST = 0.01  # of the value, that may lie beyond a cut


@dataclass(frozen=True)
class Calibration:
    """Learned values against what greedy episodes earn, by seed; in the units of the environment's rewards."""

    bias: np.ndarray
    """(seeds,) mean of q - G; NaN where every episode was cut too soon to say."""
    mean_value: np.ndarray
    """(seeds,) mean of q over the same steps."""
    mean_return: np.ndarray
    """(seeds,) mean of G over the same steps."""
    td_error: np.ndarray
    """(seeds,) mean absolute TD error, on these episodes, which were not trained on."""
    episodes: int
    """How many a seed."""

    def __repr__(self) -> str:
        n = len(self.bias)
        seeds = "1 seed" if n == 1 else f"{n} seeds"
        return (
            f"Calibration({seeds}, {self.episodes} episodes each: bias {np.nanmean(self.bias):+.4g}, q "
            f"{np.nanmean(self.mean_value):.4g}, G {np.nanmean(self.mean_return):.4g}, |TD error| "
            f"{np.mean(self.td_error):.4g})"
        )


class _Episode(NamedTuple):
    """A greedy episode as the policy sees it."""

    taken: np.ndarray  # (T,) q of the action taken
    best_next: np.ndarray  # (T,) best q of what followed; 0 where it terminated
    reward: np.ndarray  # (T,)
    terminated: bool


def calibrate(
    env: gymnasium.Env[Any, Any],
    policies: Sequence[Any],
    gamma: float,
    learned: Callable[[float], float],
    value_scale: float,
    episodes: int,
    seed: int,
) -> Calibration:
    """Play greedy episodes and hold the values against them.

    Args:
        env: to play in.
        policies: one a seed.
        gamma: discount of the values.
        learned: a reward as it is learned from, in units of the values: scaled, perhaps clipped.
        value_scale: how many units of the values a unit of reward is.
        episodes: how many a seed.
        seed: of the episodes.
    """
    rows = [
        _of_policy(
            [_played(env, p, learned, value_scale, evaluation_seed(seed, i)) for i in range(episodes)], gamma
        )
        for p in policies
    ]
    bias, value, returned, error = np.array(rows).T
    return Calibration(bias, value, returned, error, episodes)


def _played(
    env: gymnasium.Env[Any, Any], policy: Any, learned: Callable[[float], float], scale: float, start: int
) -> _Episode:
    taken: list[float] = []
    best_next: list[float] = []
    rewards: list[float] = []
    first = int(getattr(env.action_space, "start", 0))
    observation, info = env.reset(seed=start)
    policy.reset()
    values = policy.action_values(observation) / scale
    ended = over = False
    while not ended and len(rewards) < LONGEST_EPISODE:
        action = policy.predict(observation, **allowed(policy, info))
        taken.append(values[action - first])
        observation, reward, over, cut, info = env.step(action)
        values = policy.action_values(observation) / scale
        mask = np.asarray(allowed(policy, info).get(MASK, np.ones(len(values))), bool)
        best_next.append(0.0 if over or not mask.any() else values[mask].max())
        rewards.append(learned(float(reward)) / scale)
        ended = over or cut
    return _Episode(np.array(taken), np.array(best_next), np.array(rewards), bool(over))


def _of_policy(played: Sequence[_Episode], gamma: float) -> tuple[float, float, float, float]:
    values, returns, errors = [], [], []
    for episode in played:
        errors.append(np.abs(episode.reward + gamma * episode.best_next - episode.taken))
        returned, following = np.empty(len(episode.reward)), 0.0
        for t in range(len(episode.reward) - 1, -1, -1):
            returned[t] = following = episode.reward[t] + gamma * following
        beyond = gamma ** np.arange(len(returned), 0, -1)  # weight of what follows the end, at each step
        counted = np.ones(len(returned), bool) if episode.terminated else beyond <= _REST
        values.append(episode.taken[counted])
        returns.append(returned[counted])
    q, g = np.concatenate(values), np.concatenate(returns)
    if len(q) == 0:
        return np.nan, np.nan, np.nan, float(np.concatenate(errors).mean())
    return float((q - g).mean()), float(q.mean()), float(g.mean()), float(np.concatenate(errors).mean())
