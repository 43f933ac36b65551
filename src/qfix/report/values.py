"""What was learned, as values that can be drawn: now, and as it was after some episodes."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from qfix.run import Run
from qfix.tabular.policy import TablePolicy
from qfix.tabular.store import Linear


class Moment(NamedTuple):
    """The first seed's values at a moment of its training."""

    title: str
    action_values: NDArray[np.float64]
    """(B, A) at the observations asked for; of a policy without them, the state's value at the likeliest action."""


def moments(run: Run, observations: NDArray[np.generic]) -> list[Moment]:
    """The first seed's action values after each of its snapshots' episodes, and at the end.

    Args:
        run: as far as it has gone.
        observations: (B, ...) states of a table, counted from 0, or points of a box.
    """
    found = [
        Moment(f"after {_count(shot.episode)}", values_of(run, shot.action_values, observations))
        for shot in run.snapshots
    ]
    end = "at the end" if run.status == "finished" else f"where it was {run.status}"
    title = f"{end}, {_count(len(run.episodes.returns[0]))}"
    space = run.env.observation_space
    first = space.start if isinstance(space, gymnasium.spaces.Discrete) else 0
    policy: Any = run.policy()
    values = policy.action_values if run.trainer.learns_values else policy.ranked_values
    return [*found, Moment(title, values(observations + first))]


def values_of(
    run: Run, learned: NDArray[np.float64], observations: NDArray[np.generic]
) -> NDArray[np.float64]:
    """(B, A) action values from what the first seed had learned: a table, or the weights of tiles or features."""
    store = run.state.agents[0].store
    if not isinstance(store, Linear):
        return learned[observations]
    return TablePolicy.of(run.trainer.blueprint, store._replace(weights=learned)).action_values(observations)


def _count(episodes: int) -> str:
    return "1 episode" if episodes == 1 else f"{episodes:,} episodes"
