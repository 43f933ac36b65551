"""A policy that was learned directly, as a graph: what its distribution is made of, and its likeliest action.

    numbers     logits (batch, Σ A),  action = start + argmax of each component
    gaussian    mean and log_std (batch, 2D),  action = clip(centre + half·mean, low, high)
    squashed    the same,  action = clip(centre + half·tanh(mean), low, high)

The critic is not part of the graph, nor is what it remembers; its weights are among the arrays.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from qfix.deep.actor_policy import ActorPolicy
from qfix.deep.distributions import Gaussian, Numbers
from qfix.deep.policy_network import LOG_STD_RANGE
from qfix.export import network
from qfix.export.graph import Graph
from qfix.export.network import as_input as as_input
from qfix.export.network import input_of as input_of
from qfix.export.network import seen_by as seen_by

VALUES = np.float32
"""Type of the outputs."""

VALUES_NAME = "outputs"
"""What the graph calls them."""

_ACTIVE = {"tanh": "Tanh", "relu": "Relu"}


def n_actions(policy: ActorPolicy) -> int:
    """How many outputs there are."""
    return policy.actions.n_outputs


def n_state(policy: ActorPolicy) -> int:
    """H, of a recurrent network; else 0. The critic's state is not part of the graph."""
    return policy.network.gru


def values_of(policy: ActorPolicy, observations: Any) -> np.ndarray:
    """(B, n) outputs at a batch."""
    return policy.outputs(observations)


def arrays(policy: ActorPolicy) -> dict[str, np.ndarray]:
    """All that acting takes, by name, and the critic's."""
    found = network.arrays(policy)
    if isinstance(policy.actions, Gaussian):
        found["action.centre"], found["action.half"] = policy.actions.scale
        found["action.low"], found["action.high"] = policy.actions.bounds
    return found


def draw(graph: Graph, policy: ActorPolicy, space: gymnasium.Space[Any]) -> str:
    """Add what computes the outputs of the graph's input; returns the name of their array."""
    w, actions = policy.weights, policy.actions
    x = network.prepared(graph, policy, space)
    i = 0
    while f"torso.{i}.weight" in w:
        x = graph.add(_ACTIVE[policy.network.activation], network.dense(graph, w, f"torso.{i}", x))
        i += 1
    if policy.network.gru:
        x = network.recurrent(graph, w, x, policy.network.gru)
    weight, bias = w["head.weight"], w["head.bias"]
    if "log_std" in w:  # beside the means, a layer that looks at nothing
        weight = np.concatenate([weight, np.zeros_like(weight)], axis=1)
        bias = np.concatenate([bias, w["log_std"]])
    elif isinstance(actions, Gaussian):
        d = actions.shape[0]
        bias = bias + np.repeat(np.array([0.0, policy.network.log_std], np.float32), d)
    at = (graph.constant("head.weight", weight), graph.constant("head.bias", bias))
    x = graph.add("Gemm", x, *at)
    if isinstance(actions, Gaussian) and "log_std" not in w:
        low, high = LOG_STD_RANGE
        least = np.repeat(np.array([-np.inf, low], np.float32), actions.shape[0])
        most = np.repeat(np.array([np.inf, high], np.float32), actions.shape[0])
        x = graph.add("Max", x, graph.constant("outputs.least", least))
        x = graph.add("Min", x, graph.constant("outputs.most", most))
    return x


def add_action(graph: Graph, policy: ActorPolicy, outputs: str, n: int) -> tuple[Any, tuple[int, ...], str]:
    """Add the action of outputs, under the name "action"; its type, its shape, and what it is in words."""
    actions = policy.actions
    told = f"{actions.space}"
    dtype: Any
    shape = tuple(actions.space.shape or ())
    if isinstance(actions, Gaussian):
        centre, half = actions.scale
        low, high = actions.bounds
        x = graph.columns(outputs, slice(0, actions.shape[0]))
        x = graph.add("Tanh", x) if actions.squashed else x
        x = graph.add("Mul", x, graph.constant("action.half", half))
        x = graph.add("Add", x, graph.constant("action.centre", centre))
        x = graph.add("Max", x, graph.constant("action.low", low))
        x = graph.add("Min", x, graph.constant("action.high", high))
        x = graph.add("Round", x) if np.issubdtype(actions.space.dtype, np.integer) else x
        dtype = np.dtype(actions.space.dtype)
        x = graph.add("Cast", x, to=dtype)
        # bounds in double precision may lie between two numbers in single precision
        x = graph.add("Max", x, graph.constant("space.low", np.ravel(actions.space.low)))
        x = graph.add("Min", x, graph.constant("space.high", np.ravel(actions.space.high)))
    else:
        dtype = np.dtype(np.int64) if actions.single else actions.space.dtype
        ends = np.cumsum(actions.sizes).tolist()
        parts = [
            graph.add(
                "ArgMax",
                graph.columns(outputs, slice(end - n, end)),
                axis=1,
                keepdims=0 if actions.single else 1,
            )
            for end, n in zip(ends, actions.sizes, strict=True)
        ]
        x = parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)
        space: Any = actions.space
        first = np.ravel(getattr(space, "start", np.zeros(len(actions.sizes)))).astype(np.int64)
        x = graph.add("Add", x, graph.constant("first_action", first[0] if actions.single else first))
    if not actions.single:
        x = graph.reshape(x, *shape)
    graph.add("Cast", x, output="action", to=np.dtype(dtype))
    return dtype, shape, told


def same_actions(
    policy: ActorPolicy, outputs: np.ndarray, found: np.ndarray, wanted: np.ndarray, allowed: np.ndarray
) -> np.ndarray:
    """(B,) whether actions are the same; numbers may differ where both are as likely to that precision.

    Args:
        policy: whose.
        outputs: (B, n).
        found, wanted: (B, ...) actions of the model and the policy.
        allowed: (B,) what an output may differ by.
    """
    actions, size = policy.actions, len(outputs)
    if not isinstance(actions, Numbers):
        _, half = actions.scale
        near = np.abs(found.astype(np.float64) - wanted).reshape(size, -1) <= allowed[:, None] * half + 1e-6
        whole = np.issubdtype(actions.space.dtype, np.integer)
        return np.array(
            near.all(axis=1) | (whole & (np.abs(found - wanted).reshape(size, -1) <= 1).all(axis=1))
        )
    space: Any = actions.space
    first = np.ravel(getattr(space, "start", 0))
    mine, other = (x.reshape(size, -1).astype(np.int64) - first for x in (found, wanted))
    same = np.ones(size, bool)
    for k, part in enumerate(actions.parts(outputs)):
        known = (mine[:, k] >= 0) & (mine[:, k] < actions.sizes[k])
        rows = np.arange(size)
        lost = part[rows, other[:, k]] - part[rows, np.where(known, mine[:, k], 0)]
        same &= known & ((mine[:, k] == other[:, k]) | (np.abs(lost) <= 2.0 * allowed))
    return same
