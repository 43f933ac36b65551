"""A training episode again: the run is trained anew up to its first step, and then every step is told.

Seeds are independent and training is deterministic, so this needs one seed and nothing but the run's spec. What comes
out is compared with what was recorded, episode by episode: it is that very episode, or an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qfix.run import Run
from qfix.runs import RunSpec


class Step(NamedTuple):
    """A step of a training episode, as it was made and learned from."""

    number: int
    """Environment steps the seed had made before this one."""
    observation: Any
    """What the action was chosen at."""
    action: int
    """As the environment takes it."""
    reward: float
    next_observation: Any
    terminated: bool
    truncated: bool
    values: np.ndarray
    """(A,) learned action values at the observation, before the step was learned from."""
    greedy: int
    """The action of the highest value, the first of several."""
    explored: bool
    """Whether the action was exploratory: random, or not of the highest value when it was chosen."""
    td_error: float
    """Of the last update that was made at this step; NaN where none was."""


@dataclass(frozen=True)
class Replay:
    """A training episode, step by step."""

    spec: RunSpec
    """Of the run."""
    seed: int
    episode: int
    """Its number among the finished episodes of the seed, from 0 on."""
    steps: tuple[Step, ...]
    total: float
    """Undiscounted return."""

    def __repr__(self) -> str:
        where = f"seed {self.seed}, episode {self.episode}"
        return f"Replay({self.spec.env}, {where}: {len(self.steps)} steps, return {self.total:g})"


def replay(
    source: Run | str | Path, seed: int | None = None, episode: int | None = None, env: Any = None
) -> Replay:
    """That very training episode again, step by step.

    The time it takes is that of training one seed up to the end of the episode.

    Args:
        source: a run, or the folder of one; its checkpoints are not needed.
        seed: one of the run's; by default the first.
        episode: number of a finished episode, from 0 on; by default the last.
        env: the environment, or what makes it, where it was given to `train` as an object.

    Returns:
        A Replay; `show` puts it on the terminal.

    Raises:
        OptionError: no such seed or episode; says which there are.
        FolderError: no run in the folder, or the episode does not come out as it was recorded: with other versions, or
            in an environment that does not repeat itself.
        EnvironmentFault: the environment raised.
    """
    raise NotImplementedError
