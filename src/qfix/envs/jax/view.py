"""A JAX environment as an ordinary Gymnasium environment: to look at, to play, to step from the host.

The chance of an episode is a pure function of the seed given to `reset`. With fold(k, n) for `jax.random.fold_in`:

    episode = fold(fold(key(0), seed mod 2³²), ⌊seed / 2³²⌋)
    reset draws by fold(episode, 0), the t-th step by fold(episode, t), t = 1, 2, ...
"""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import gymnasium
import jax
import numpy as np

from qfix.envs.jax.check import check_jax_env
from qfix.envs.jax.protocol import JaxEnv
from qfix.errors import option_error

RENDER_MODES = ["ansi", "rgb_array"]


class JaxEnvView(gymnasium.Env[Any, Any]):
    """A Gymnasium environment over a `JaxEnv`, compiled for the CPU. The limit of
    `max_episode_steps`, where it has one, is kept here: a truncation.

    `reset(seed=e)` starts the episode of seed e, in [0, 2⁶⁴). `reset()` draws the next seed from `np_random`, so that
    what follows a seed is determined by it too.

    Args:
        jax_env: the environment. A method `render(state)` that gives an (H, W, 3) uint8 array makes its picture, a
            method `text(state)` its text; without one the text is that of its state.
        render_mode: None, "ansi" or, where there is a picture, "rgb_array".

    Raises:
        OptionError: the environment has no such render mode.
    """

    metadata = {"render_modes": RENDER_MODES, "render_fps": 15}  # noqa: RUF012 - a class attribute is how Gymnasium wants it

    def __init__(self, jax_env: JaxEnv, render_mode: str | None = None) -> None:
        self.jax_env = jax_env
        self._picture = getattr(jax_env, "render", None)
        self._text = getattr(jax_env, "text", str)
        modes = RENDER_MODES if self._picture is not None else RENDER_MODES[:1]
        if render_mode not in (None, *modes):
            name = type(jax_env).__name__
            rule = f"must be one of {modes} or None for {name}"
            raise option_error("JaxEnvView", "render_mode", rule, render_mode, "Use 'ansi'.")
        self.render_mode = render_mode
        # spaces have a stream of samples of their own: views do not share it
        self.observation_space = copy.deepcopy(jax_env.observation_space)
        self.action_space = copy.deepcopy(jax_env.action_space)
        self.state: Any = None
        self._episode: Any = None
        self._steps = 0  # of the episode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode: the one of `seed`, or with None one drawn from `np_random`."""
        super().reset(seed=seed)
        number = int(self.np_random.integers(2**63)) if seed is None else seed % 2**64
        begin, _ = _compiled(self.jax_env)
        low, high = np.uint32(number % 2**32), np.uint32(number >> 32)
        self._episode, self.state, observation = begin(_on_cpu(low), _on_cpu(high))
        self._steps = 0
        return self._observed(observation), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """What follows `action`.

        Raises:
            OptionError: the action is not in the action space.
            gymnasium.error.ResetNeeded: called before `reset`.
        """
        if self.state is None:
            raise gymnasium.error.ResetNeeded("Call reset() before step().")
        if isinstance(self.action_space, gymnasium.spaces.Discrete):
            if not 0 <= action < self.action_space.n:
                rule = f"must be in 0..{self.action_space.n - 1}"
                raise option_error("JaxEnvView.step", "action", rule, action, "See action_space.")
            action = np.int32(action)
        _, advance = _compiled(self.jax_env)
        self._steps += 1
        step = advance(self._episode, np.uint32(self._steps), self.state, action)
        self.state = step.state
        return (
            self._observed(step.observation),
            float(step.reward),
            bool(step.terminated),
            bool(step.truncated) or self._steps == self.jax_env.max_episode_steps,
            {},
        )

    def render(self) -> Any:
        """The state as text or as an (H, W, 3) uint8 array; None without a render mode."""
        if self.render_mode is None or self.state is None:
            return None
        if self._picture is not None and self.render_mode == "rgb_array":
            return self._picture(self.state)
        return f"{self._text(self.state)}\n"

    def _observed(self, observation: Any) -> Any:
        array = np.array(observation)  # a copy of its own: the buffer is the device's
        return int(array) if isinstance(self.observation_space, gymnasium.spaces.Discrete) else array


def _on_cpu(value: Any) -> Any:
    """Committed to the CPU, and so is what is computed from it."""
    return jax.device_put(value, jax.devices("cpu")[0])


@lru_cache(maxsize=32)
def _compiled(jax_env: Any) -> tuple[Any, Any]:
    """Reset and step, compiled once for all views of equal environments."""
    check_jax_env(jax_env)

    def begin(low: Any, high: Any) -> tuple[Any, Any, Any]:
        episode = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), low), high)
        return (episode, *jax_env.reset(jax.random.fold_in(episode, 0)))

    def advance(episode: Any, t: Any, state: Any, action: Any) -> Any:
        return jax_env.step(state, action, jax.random.fold_in(episode, t))

    return jax.jit(begin), jax.jit(advance)
