"""What a device driver needs of an environment: two pure functions over explicit state, and its spaces.

    (s, o)                     = reset(key)
    (s', o', r, end, cut)      = step(s, a, key)

Both are of one environment and are traced by JAX: a driver vmaps them over environments and scans them over time.
Nothing resets by itself and no time limit is kept here, so that the observation of a step is always that of the state
the step led to, and the driver alone decides what begins the next episode.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import gymnasium


class Step(NamedTuple):
    """What follows an action."""

    state: Any
    """The next state of the environment, of the same structure, shapes and dtypes as the state before."""
    observation: Any
    """Of that state; in the observation space, as an array of fixed shape and dtype."""
    reward: Any
    """() float32, or the dtype of the state where that is wider."""
    terminated: Any
    """() bool: the state is terminal, no value follows it."""
    truncated: Any
    """() bool: the episode is cut off by the environment itself. The limit of `max_episode_steps` is kept by whoever
    drives the environment, and is not in here."""


class JaxEnv(Protocol):
    """An environment as pure functions.

    The dtype of computation is that of the state: `reset` gives float32, and a state of float64 goes on in float64.
    What follows a step that has terminated is undefined. Environments are hashable, so that what is compiled for one
    is found again.
    """

    def __hash__(self) -> int:
        """Equal environments do the same."""

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        """Where observations lie."""

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """Where actions lie. Discrete actions count from 0, whatever `Discrete.start` says elsewhere."""

    @property
    def max_episode_steps(self) -> int | None:
        """Time limit that the driver keeps, a truncation; None for none."""

    def reset(self, key: Any) -> tuple[Any, Any]:
        """A start, drawn by `key`: (state, observation)."""

    def step(self, state: Any, action: Any, key: Any) -> Step:
        """What follows `action` in `state`; its chance is drawn by `key`."""
