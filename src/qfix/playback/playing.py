"""A policy at work in a fresh environment, on the terminal or as a film."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, TextIO

from qfix.evaluation import Kind
from qfix.run import Run


class Played(NamedTuple):
    """What came of it."""

    returns: list[float]
    """Undiscounted, of each episode."""
    lengths: list[int]
    """Steps of each episode."""
    path: Path | None
    """Of the film; None where it was shown on the terminal."""


def play(
    source: Run | str | Path,
    seed: int | None = None,
    episodes: int = 1,
    policy: Kind = "greedy",
    eval_seed: int = 0,
    video: str | Path | None = None,
    env: Any = None,
    file: TextIO | None = None,
    pause_seconds: float = 0.0,
) -> Played:
    """Let a learned policy play, and watch.

    The episodes are those of `run.evaluate` with the same seed: no training episode is among them.

    Args:
        source: a run, or the folder of one.
        seed: whose policy; by default that of the run's first seed.
        episodes: how many, one after the other.
        policy: "greedy", or "exploratory": as it acted while it learned, at the end.
        eval_seed: of the episodes.
        video: a name that ends in .gif or .mp4, to make a film there; None shows the episodes on the terminal.
        env: what makes the environment, given a render mode, where it was given to `train` as an object; or one that
            was made with `render_mode`.
        file: to write to without a film; by default standard output.
        pause_seconds: between two frames on the terminal; above 0, they are shown in one place.

    Returns:
        Played: the returns, the lengths and the path of the film.

    Raises:
        OptionError: no such seed, policy or kind of film, or it cannot be written there.
        EnvironmentFault: the environment raised, or a package that it draws with is not installed.
        FolderError: no run in the folder, or it is damaged.
    """
    raise NotImplementedError
