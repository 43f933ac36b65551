"""What policies that are greedy in action values have in common: the action is the first of the best."""

from __future__ import annotations

from typing import Any

import numpy as np

from qfix.export.graph import Graph

VALUES_NAME = "action_values"
"""What a graph calls the values."""


def values_of(policy: Any, observations: Any) -> np.ndarray:
    """(B, A) action values at a batch."""
    values: np.ndarray = policy.action_values(observations)
    return values


def add_action(graph: Graph, policy: Any, values: str, n: int) -> tuple[Any, tuple[int, ...], str]:
    """Add the action of values, under the name "action"; its type, its shape, and what it is in words."""
    best = graph.add("ArgMax", values, axis=1, keepdims=0)
    first = policy.first_action
    graph.add("Add", best, graph.constant("first_action", np.int64(first)), output="action")
    return np.int64, (), f"{n} actions, numbered from {first} to {first + n - 1}"


def same_actions(
    policy: Any, values: np.ndarray, found: np.ndarray, wanted: np.ndarray, allowed: np.ndarray
) -> np.ndarray:
    """(B,) whether actions are the same, or worth the same to that precision.

    Args:
        policy: whose.
        values: (B, A).
        found, wanted: (B,) actions of the model and the policy.
        allowed: (B,) what a value may differ by.
    """
    rows = np.arange(len(values))
    chosen = found - policy.first_action
    known = (chosen >= 0) & (chosen < values.shape[1])
    lost = values[rows, wanted - policy.first_action] - values[rows, np.where(known, chosen, 0)]
    return np.array((found == wanted) | (known & (np.abs(lost) <= 2.0 * allowed)))
