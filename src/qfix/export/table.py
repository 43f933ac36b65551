"""A policy on numbered observations as a graph: whatever it was learned in, it is a table, and acting is to look up.

    row = Σ_d (x_d - start_d) Π_{e > d} n_e        q = table[row]

An observation of several numbers x_1, x_2, ... of n_1, n_2, ... values is one row (`qfix.envs.spaces`). A number out of
its range is an error of the runtime, and never another row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from qfix.envs.spaces import discrete_codec
from qfix.errors import SpaceError
from qfix.export.graph import Graph
from qfix.export.greedy import VALUES_NAME as VALUES_NAME
from qfix.export.greedy import add_action as add_action
from qfix.export.greedy import same_actions as same_actions
from qfix.export.greedy import values_of as values_of
from qfix.tabular.policy import TablePolicy

VALUES = np.float64
"""Type of the action values."""

_MOST_ROWS = 1_000_000  # of compound observations, which are asked for one by one

spaces = gymnasium.spaces


def n_actions(policy: TablePolicy) -> int:
    """A."""
    return policy.weights.shape[1]


def n_state(policy: TablePolicy) -> int:
    """A table has no state."""
    return 0


def input_of(space: gymnasium.Space[Any]) -> tuple[Any, tuple[int, ...]]:
    """Type and shape of one input: those of the space; of a Tuple or Dict its numbers, one after the other."""
    if isinstance(space, spaces.Tuple | spaces.Dict):
        return np.int64, (len(_ranges(space)),)
    assert space.shape is not None
    return space.dtype, space.shape


def as_input(space: gymnasium.Space[Any], observations: Sequence[Any]) -> np.ndarray:
    """(B, *shape) input of observations."""
    dtype, shape = input_of(space)
    return np.array([_numbers(space, one) for one in observations], dtype).reshape(-1, *shape)


def arrays(policy: TablePolicy) -> dict[str, np.ndarray]:
    """The table by name: (S, A) values, row by row of the numbered observations."""
    return {"q": table_of(policy)}


def seen_by(policy: TablePolicy) -> None:
    """Nothing: numbers are not normalised."""


def draw(graph: Graph, policy: TablePolicy, space: gymnasium.Space[Any]) -> str:
    """Add what looks up the action values of the graph's input; returns the name of their array."""
    table = table_of(policy)
    sizes, starts = (np.array(column, np.int64) for column in zip(*_ranges(space)))
    weights = np.array([math.prod(sizes[d + 1 :].tolist()) for d in range(len(sizes))], np.int64)
    axis = graph.constant("axis", np.array([1], np.int64))
    x = graph.reshape(graph.cast(graph.input, np.int64), len(sizes))
    x = graph.add("Sub", x, graph.constant("starts", starts))
    place = graph.add("Mul", x, graph.constant("weights", weights))
    row = graph.add("ReduceSum", place, axis, keepdims=0)
    above = graph.add("GreaterOrEqual", x, graph.constant("zero", np.int64(0)))
    inside = graph.add("And", above, graph.add("Less", x, graph.constant("sizes", sizes)))
    count = graph.add("ReduceSum", graph.cast(inside, np.int64), axis, keepdims=0)
    known = graph.add("Equal", count, graph.constant("numbers", np.int64(len(sizes))))
    outside = graph.constant("outside", np.int64(len(table)))  # no row: looking it up is an error
    row = graph.add("Where", known, row, outside)
    return graph.add("Gather", graph.constant("q", table), row, axis=0)


def table_of(policy: TablePolicy) -> np.ndarray:
    """(S, A) values of all observations.

    Raises:
        SpaceError: observations are not numbered, or too many.
    """
    space = policy.observation_space
    remedy = "Train a network in its place, such as `qfix train ENV dqn`, or act with run.policy().predict."
    try:
        codec = discrete_codec(space)
    except SpaceError as fault:
        raise SpaceError(
            f"A policy of a table can be exported where observations are numbered. These lie in {space}. {remedy}"
        ) from fault
    if isinstance(space, spaces.Discrete):
        return policy.action_values(np.arange(space.start, space.start + space.n))
    if codec.n_states > _MOST_ROWS:
        raise SpaceError(
            f"A policy of a table can be exported where there are {_MOST_ROWS:,} observations at most. {space} has "
            f"{codec.n_states:,}. {remedy}"
        )
    return np.array([policy.action_values(codec.decode(key)) for key in range(codec.n_states)])


def _ranges(space: Any) -> list[tuple[int, int]]:
    """(how many, from where on) of each number of an observation."""
    if isinstance(space, spaces.Tuple | spaces.Dict):
        return [row for _, part in _parts(space) for row in _ranges(part)]
    if isinstance(space, spaces.MultiBinary):
        return [(2, 0)] * math.prod(space.shape)
    sizes = np.ravel(space.n if isinstance(space, spaces.Discrete) else space.nvec)
    return list(zip(sizes.tolist(), np.ravel(space.start).tolist()))


def _numbers(space: Any, observation: Any) -> list[int]:
    if isinstance(space, spaces.Tuple | spaces.Dict):
        return [n for key, part in _parts(space) for n in _numbers(part, observation[key])]
    return [int(n) for n in np.ravel(observation)]


def _parts(space: Any) -> list[tuple[Any, Any]]:
    return list(space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces))
