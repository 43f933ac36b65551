"""Episodes on the terminal: a picture in characters for every step, or a table of the steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TextIO

from qfix.playback.replaying import Replay


def texts(replay: Replay, env: Any = None) -> Iterator[str]:
    """What `show` shows, frame by frame.

    Args:
        replay: of an episode.
        env: what makes the environment with a render mode, where it was given to `train` as an object.
    """
    raise NotImplementedError


def show(replay: Replay, env: Any = None, file: TextIO | None = None, pause_seconds: float = 0.0) -> None:
    """Put a training episode on the terminal.

    Environments that render as text are drawn at every step, with the action, the reward and the return so far; of
    others the steps are listed.

    Args:
        replay: of an episode.
        env: what makes the environment with a render mode, where it was given to `train` as an object.
        file: to write to; by default standard output.
        pause_seconds: between two frames; above 0, a terminal shows them in one place.
    """
    raise NotImplementedError
