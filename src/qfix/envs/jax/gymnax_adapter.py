"""Environments of gymnax's make on the device, without gymnax: what they look like is enough."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium
import jax.numpy as jnp
import numpy as np

from qfix.envs.jax.protocol import JaxEnv, Step
from qfix.errors import option_error


def from_gymnax(env: Any, params: Any = None) -> JaxEnv:
    """An environment with gymnax's interface as a `JaxEnv`.

    `reset_env(key, params)` and `step_env(key, state, action, params)` are called if there are such, as `step` would
    reset by itself; else `reset` and `step`. A step gives (observation, state, reward, ended, info), or two flags,
    terminated and truncated, in place of `ended`. Where there is one, and `params.max_steps_in_episode` and
    `state.time` exist,

        truncated = ended and time ≥ max_steps_in_episode,   terminated = ended and not truncated

    Args:
        env: the environment. Its spaces have `n`, or `low`, `high` and `shape`.
        params: its parameters; by default its own `default_params`.

    Raises:
        OptionError: a space is neither.

    What cannot be told apart: an episode that terminates in its very last step looks as if only time had run out, and
    is truncated; and without `time` and the limit, all that ends is terminated.
    """
    if params is None:
        params = getattr(env, "default_params", None)
    adapted = GymnaxEnv(env, params)
    _ = adapted.observation_space, adapted.action_space  # what cannot be converted is said at once
    return adapted


@dataclass(frozen=True, eq=False)
class GymnaxEnv:
    """What `from_gymnax` makes."""

    env: Any
    params: Any

    @cached_property
    def observation_space(self) -> gymnasium.Space[Any]:
        """The environment's, as Gymnasium has it."""
        return _space(self.env.observation_space(self.params), "observation_space")

    @cached_property
    def action_space(self) -> gymnasium.Space[Any]:
        """The environment's, as Gymnasium has it."""
        return _space(self.env.action_space(self.params), "action_space")

    @property
    def max_episode_steps(self) -> int | None:
        """The limit of its parameters, which the environment keeps too; None if they have none."""
        limit = getattr(self.params, "max_steps_in_episode", None)
        return None if limit is None else int(limit)

    def reset(self, key: Any) -> tuple[Any, Any]:
        """A start: (state, observation)."""
        reset = getattr(self.env, "reset_env", None) or self.env.reset
        observation, state = reset(key, self.params)
        return state, observation

    def step(self, state: Any, action: Any, key: Any) -> Step:
        """What follows `action`, its two ways to end told apart."""
        step = getattr(self.env, "step_env", None) or self.env.step
        observation, following, reward, *ends, _ = step(key, state, action, self.params)
        if len(ends) == 2:
            terminated, truncated = (jnp.asarray(end, bool) for end in ends)
        else:
            ended = jnp.asarray(ends[0], bool)
            truncated = ended & self._time_is_out(following)
            terminated = ended & ~truncated
        return Step(following, observation, jnp.asarray(reward, jnp.float32), terminated, truncated)

    def _time_is_out(self, state: Any) -> Any:
        limit, time = getattr(self.params, "max_steps_in_episode", None), getattr(state, "time", None)
        return jnp.zeros((), bool) if limit is None or time is None else time >= limit


def _space(space: Any, name: str) -> gymnasium.Space[Any]:
    if getattr(space, "n", None) is not None:
        return gymnasium.spaces.Discrete(int(space.n))
    if all(getattr(space, part, None) is not None for part in ("low", "high", "shape")):
        shape = tuple(space.shape)
        dtype: Any = np.dtype(getattr(space, "dtype", np.float32))
        low, high = (np.broadcast_to(np.asarray(side, dtype), shape) for side in (space.low, space.high))
        return gymnasium.spaces.Box(low, high, shape, dtype)
    rule = f"must have a {name} with `n`, or with `low`, `high` and `shape`"
    raise option_error(
        "from_gymnax", "env", rule, space, "Write a JaxEnv for it; see qfix.envs.jax.protocol."
    )
