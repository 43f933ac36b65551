"""How an environment is drawn: by our own hand where its states lie on a grid, else by its own."""

from __future__ import annotations

import re
from typing import Any

import gymnasium
import numpy as np

from qfix.envs import drawing
from qfix.envs.layouts import layout_of
from qfix.errors import EnvironmentFault

Image = drawing.Image


def render_modes(env: gymnasium.Env[Any, Any]) -> list[str]:
    """The ways in which an environment can be drawn."""
    return list(env.metadata.get("render_modes") or [])


class Scene:
    """An environment to be drawn.

    Args:
        env: the environment; stepped by somebody else.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self.env = env
        self._name = env.spec.id if env.spec is not None else str(env)
        space = env.observation_space
        self._first = int(space.start) if isinstance(space, gymnasium.spaces.Discrete) else 0
        self._layout = layout_of(env) if isinstance(space, gymnasium.spaces.Discrete) else None
        actions: Any = env.action_space
        self._first_action = int(actions.start) if isinstance(actions, gymnasium.spaces.Discrete) else 0

    @property
    def frames_a_second(self) -> float:
        """Of a film: 4 on a grid, else what the environment says."""
        if self._layout is not None:
            return 4.0
        told = self.env.metadata.get("render_fps")
        return float(told) if isinstance(told, int | float) and 0 < told <= 1_000 else 30.0

    def word(self, action: Any) -> str:
        """What an action is called."""
        if isinstance(action, np.ndarray):
            return f"action {plain(action)}"
        names = () if self._layout is None else self._layout.action_names
        place = action - self._first_action
        return names[place] if place < len(names) else f"action {action}"

    def text(self, observation: Any) -> str | None:
        """A picture in characters, or None: of the observation where that says all, else of the environment as it is.

        Args:
            observation: the last.
        """
        state = self._shown(observation)
        if state is not None:
            assert self._layout is not None
            return drawing.text(self._layout, state).rstrip("\n")
        if self.env.render_mode != "ansi":
            return None
        drawn = self._render()
        return drawn.strip("\n") if isinstance(drawn, str) else None

    def image(self, observation: Any, action: Any) -> Image:
        """A picture in pixels, (H, W, 3) uint8.

        Raises:
            EnvironmentFault: it cannot be drawn: a package is missing, or what comes back is no picture.
        """
        try:
            drawn = self._render()
        except gymnasium.error.DependencyNotInstalled as fault:
            state = self._shown(observation)
            if state is None:
                raise EnvironmentFault(self._wanting(fault)) from fault
            assert self._layout is not None
            known = None if action is None or isinstance(action, np.ndarray) else action - self._first_action
            return drawing.image(self._layout, state, known)
        image = np.asarray(drawn)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            what = f"{image.dtype} {image.shape}" if isinstance(drawn, np.ndarray) else type(drawn).__name__
            raise EnvironmentFault(
                f"The environment '{self._name}' must render (H, W, 3) uint8 for a film. Got {what}. Mend its "
                f"render(), or watch without a film."
            )
        return image

    def _render(self) -> Any:
        try:
            return self.env.render()
        except gymnasium.error.DependencyNotInstalled:
            raise
        except Exception as fault:
            raise EnvironmentFault(
                f"The environment '{self._name}' cannot be drawn: it raised {type(fault).__name__}: {fault}. Mend its "
                f"render(), or watch it as a list of steps."
            ) from fault

    def shows(self, observation: Any) -> bool:
        """Whether our own drawing of this observation says all that it does."""
        return self._shown(observation) is not None

    @property
    def is_taxi(self) -> bool:
        """Whether this is Gymnasium's Taxi, whose cells do not tell where the passenger is."""
        return self.env.spec is not None and self.env.spec.name == "Taxi"

    def _shown(self, observation: Any) -> int | None:
        """The state of an observation, if the layout says all about it."""
        if self._layout is None or self.is_taxi:
            return None
        state = int(observation) - self._first
        return state if 0 <= state < len(self._layout.cell_of_state) else None

    def _wanting(self, fault: Exception) -> str:
        extra = re.search(r"gymnasium\[[a-z0-9_-]+\]", str(fault))
        remedy = f"Install '{extra.group()}'" if extra else f"It says: {str(fault).rstrip('.')}. Install it"
        return (
            f"The environment '{self._name}' draws its pictures with a package that is not installed. {remedy}, or "
            f"watch without a film."
        )


def plain(value: Any) -> str:
    """An observation in a few characters.

    >>> plain((np.int64(3), np.array([0.25, -1.0]), False))
    '(3, [0.25 -1], False)'
    """
    if isinstance(value, tuple):
        return f"({', '.join(map(plain, value))})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {plain(part)}' for name, part in value.items())}}}"
    if isinstance(value, np.ndarray):
        return f"[{' '.join(f'{x:.4g}' for x in value.ravel().tolist()[:12])}{' ...' * (value.size > 12)}]"
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    return str(value)
