"""What was learned, as values that can be drawn: now, and as it was after some episodes."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from qfix.run import Run
from qfix.tabular.policy import TablePolicy
from qfix.tabular.store import Sparse


class Moment(NamedTuple):
    """The first seed's policy at a moment of its training."""

    title: str
    policy: Any


def moments(run: Run) -> list[Moment]:
    """The first seed after each of its snapshots' episodes, and at the end."""
    found = [
        Moment(f"after {_count(shot.episode)}", policy_with(run, shot.action_values))
        for shot in run.snapshots
    ]
    end = "at the end" if run.status == "finished" else f"where it was {run.status}"
    return [*found, Moment(f"{end}, {_count(len(run.episodes.returns[0]))}", run.policy())]


def policy_with(run: Run, weights: NDArray[np.float64]) -> TablePolicy:
    """The first seed's policy if its store held these weights, as it did when they were copied."""
    store = run.state.agents[0].store
    full = np.array(store.weights)
    if isinstance(store, Sparse):
        # rows are given out in the order of the first visits: those beyond the copy were not there
        full[:] = run.trainer.blueprint.unseen
    full[: len(weights)] = weights
    return TablePolicy.of(run.trainer.blueprint, store._replace(weights=full))


def state_values(run: Run, policy: Any) -> NDArray[np.float64]:
    """(S, A) action values of every state of a Discrete space."""
    space = run.env.observation_space
    assert isinstance(space, gymnasium.spaces.Discrete)
    values: NDArray[np.float64] = policy.action_values(np.arange(space.start, space.start + space.n))
    return values


def _count(episodes: int) -> str:
    return "1 episode" if episodes == 1 else f"{episodes:,} episodes"
