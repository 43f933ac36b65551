"""A network as a graph: what `QNetwork.q` computes in NumPy, in the operations of ONNX.

Images go through convolutions with their channels first, as ONNX has them, and are turned back before they become a
vector. All that comes after the last rectifier is linear but for the softmax of c51. So it is one layer here:

    dueling    W = W_v + W_a - mean_a W_a
    qr         W = mean_k W_k
    iqn        h ↦ mean_k W (h ∘ e_k) = W (h ∘ mean_k e_k),    e_k = relu(W' cos(π i τ_k) + b') at the fixed levels τ

Noise of noisy layers is not part of the policy, and not of the graph. The state of a recurrent network goes in and
comes out: zeros where an episode begins, and then what came out of the step before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from qfix.deep.layers import EPSILON, linear, output_size, relu
from qfix.deep.network import COSINES
from qfix.deep.normaliser import LARGEST, TINY
from qfix.deep.observations import Input, codec_for
from qfix.deep.policy import NetworkPolicy
from qfix.deep.torsos import CONVOLUTIONS, IMPALA_CHANNELS, Convolution, choose_torso
from qfix.export.graph import STATE, STATE_AFTER, Graph
from qfix.export.greedy import VALUES_NAME as VALUES_NAME
from qfix.export.greedy import add_action as add_action
from qfix.export.greedy import same_actions as same_actions
from qfix.export.greedy import values_of as values_of

VALUES = np.float32
"""Type of the action values."""

_TO_FIRST, _TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def n_actions(policy: NetworkPolicy) -> int:
    """A."""
    return policy.network.n_actions


def n_state(policy: NetworkPolicy) -> int:
    """H, of a recurrent network; else 0."""
    return policy.network.n_state


def input_of(space: gymnasium.Space[Any]) -> tuple[Any, tuple[int, ...]]:
    """Type and shape of one input: those of the space; a Tuple or Dict is the vector that qfix flattens it to."""
    if isinstance(space, gymnasium.spaces.Tuple | gymnasium.spaces.Dict):
        return np.float32, codec_for(space).input.shape
    assert space.shape is not None
    return space.dtype, space.shape


def as_input(space: gymnasium.Space[Any], observations: Sequence[Any]) -> np.ndarray:
    """(B, *shape) input of observations."""
    dtype, _ = input_of(space)
    if isinstance(space, gymnasium.spaces.Tuple | gymnasium.spaces.Dict):
        observations = [codec_for(space).encode(one) for one in observations]
    return np.array(observations, dtype)


def arrays(policy: Any) -> dict[str, np.ndarray]:
    """All that acting takes, by name: the network's arrays, and the fixed numbers of what it was trained with."""
    network = policy.network
    found = {name: np.asarray(array) for name, array in policy.weights.items()}
    if (seen := seen_by(policy)) is not None:
        found["normaliser.mean"], found["normaliser.deviation"] = seen
    if network.distribution == "c51":
        found["support"] = network.support
    if network.distribution == "iqn":
        found["levels"] = network.levels
    return found


def seen_by(policy: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean and standard deviation that observations are normalised by; None where they are not."""
    count, mean, squares = policy.moments
    if not (mean.size and count > 0):
        return None
    return mean, np.sqrt(squares / np.maximum(count, np.float32(1.0)) + TINY)


def draw(graph: Graph, policy: NetworkPolicy, space: gymnasium.Space[Any]) -> str:
    """Add what computes the action values of the graph's input; returns the name of their array."""
    network, w = policy.network, policy.weights
    x = prepared(graph, policy, space)
    i = 0
    while f"torso.{i}.weight" in w:
        x = _rectified(graph, dense(graph, w, f"torso.{i}", x))
        i += 1
    if network.n_state:
        x = recurrent(graph, w, x, network.n_state)
    weight, bias = folded_head(policy)
    name = "logits" if network.distribution == "c51" else ""
    at = (graph.constant("head.weight", weight), graph.constant("head.bias", bias))
    x = graph.add("Gemm", x, *at, output=name)
    if network.distribution == "c51":
        chances = graph.add("Softmax", graph.reshape(x, network.n_actions, network.atoms), axis=-1)
        x = graph.add("MatMul", chances, graph.constant("support", network.support))
    return x


# What goes in


def prepared(graph: Graph, policy: Any, space: gymnasium.Space[Any]) -> str:
    """(batch, n) of the graph's input, as the first fully connected layer of a policy's network takes it."""
    given = policy.network.given
    if given.kind == "image":
        x = graph.cast(graph.input, np.float32)
        x = graph.add("Div", x, graph.constant("highest", np.float32(given.scale)))
        return _image(graph, policy, x, given, "conv")
    x = _vector(graph, policy, space)
    return _parts(graph, policy, x) if given.images else x


def _vector(graph: Graph, policy: Any, space: gymnasium.Space[Any]) -> str:
    """(batch, size) of numbers and vectors, as the first layer takes them."""
    if isinstance(space, gymnasium.spaces.Discrete | gymnasium.spaces.MultiDiscrete):
        return _one_hot(graph, space)
    x = graph.reshape(graph.cast(graph.input, np.float32), policy.network.given.size)
    seen = seen_by(policy)
    if seen is None:
        return x
    mean, deviation = seen
    x = graph.add("Sub", x, graph.constant("normaliser.mean", mean))
    x = graph.add("Div", x, graph.constant("normaliser.deviation", deviation))
    least = graph.constant("normaliser.least", -LARGEST)
    most = graph.constant("normaliser.most", LARGEST)
    return graph.add("Clip", x, least, most)


def _one_hot(graph: Graph, space: gymnasium.Space[Any]) -> str:
    """(batch, Σ n) with a one for each number, in the stretch of its own."""
    discrete = isinstance(space, gymnasium.spaces.Discrete)
    counts = np.ravel(space.n if discrete else space.nvec).astype(np.int64)  # type: ignore[attr-defined]
    starts = np.ravel(space.start).astype(np.int64)  # type: ignore[attr-defined]
    offsets = np.cumsum(counts) - counts - starts
    x = graph.reshape(graph.cast(graph.input, np.int64), len(counts), 1)
    x = graph.add("Add", x, graph.constant("offsets", offsets[:, None]))
    hit = graph.add("Equal", x, graph.constant("places", np.arange(counts.sum())))
    axis = graph.constant("axis", np.array([1], np.int64))
    return graph.add("ReduceSum", graph.cast(hit, np.float32), axis, keepdims=0)


def _parts(graph: Graph, policy: Any, x: str) -> str:
    """(batch, n) of vectors with images in them: what their convolutions make of these, and all other numbers."""
    given = policy.network.given
    x = graph.add("Div", x, graph.constant("highest", given.scales))
    if policy.network.torso == "mlp":
        return x
    found = []
    for part in given.images:
        image = graph.reshape(graph.columns(x, part.place), *part.input.shape)
        found.append(_image(graph, policy, image, part.input, f"conv.{part.name}"))
    found += [graph.columns(x, place) for place in given.others]
    return graph.add("Concat", *found, axis=1)


def _image(graph: Graph, policy: Any, x: str, given: Input, name: str) -> str:
    """(batch, features) of images, through the convolutions of that name if there are any."""
    torso = choose_torso(policy.network.torso, given)
    if torso == "mlp":
        x = graph.add("Transpose", x, perm=_TO_LAST) if given.channels_first else x
        return graph.reshape(x, given.size)
    x = x if given.channels_first else graph.add("Transpose", x, perm=_TO_FIRST)
    sides = given.shape[1:] if given.channels_first else given.shape[:2]
    if torso == "impala":
        x, sides = _impala(graph, policy.weights, x, sides, name)
        channels = IMPALA_CHANNELS[-1]
    else:
        x, sides = _stack(graph, policy.weights, x, sides, name, CONVOLUTIONS[torso])
        channels = CONVOLUTIONS[torso][-1].channels
    return graph.reshape(graph.add("Transpose", x, perm=_TO_LAST), sides[0] * sides[1] * channels)


Sides = tuple[int, ...]


def _stack(
    graph: Graph, w: Any, x: str, sides: Sides, name: str, steps: Sequence[Convolution]
) -> tuple[str, Sides]:
    for i, step in enumerate(steps):
        x = _conv(graph, w, f"{name}.{i}", x, step.stride)
        sides = tuple(output_size(n, step.side, step.stride) for n in sides)
        if f"{name}.{i}.scale" in w:
            x = _layer_norm(graph, w, f"{name}.{i}", graph.add("Transpose", x, perm=_TO_LAST))
            x = graph.add("Transpose", x, perm=_TO_FIRST)
        x = _rectified(graph, x)
    return x, sides


def _impala(graph: Graph, w: Any, x: str, sides: Sides, name: str) -> tuple[str, Sides]:
    for i in range(len(IMPALA_CHANNELS)):
        x = _conv(graph, w, f"{name}.{i}", x, 1, same=True)
        pads = [max((-(-n // 2) - 1) * 2 + 3 - n, 0) for n in sides]  # to ⌈n/2⌉ windows
        around = [p // 2 for p in pads] + [p - p // 2 for p in pads]
        x = graph.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=around)
        sides = tuple(-(-n // 2) for n in sides)
        for k in (0, 2):
            y = _conv(graph, w, f"{name}.{i}.{k}", _rectified(graph, x), 1, same=True)
            y = _conv(graph, w, f"{name}.{i}.{k + 1}", _rectified(graph, y), 1, same=True)
            x = graph.add("Add", x, y)
    return _rectified(graph, x), sides


# Layers


def dense(graph: Graph, w: Any, name: str, x: str) -> str:
    """A linear layer, normalised if it has a scale."""
    kept = [graph.constant(f"{name}.{part}", w[f"{name}.{part}"]) for part in ("weight", "bias")]
    x = graph.add("Gemm", x, *kept)
    return _layer_norm(graph, w, name, x) if f"{name}.scale" in w else x


def recurrent(graph: Graph, w: Any, x: str, size: int) -> str:
    """The state behind a recurrent layer, as `qfix.deep.layers.gru` has it; also put out, as `STATE_AFTER`."""
    state = graph.also_given(STATE, np.float32, (size,))
    given, own = dense(graph, w, "gru.input", x), dense(graph, w, "gru.state", state)

    def part(of: str, k: int) -> str:
        return graph.columns(of, slice(k * size, (k + 1) * size))

    r, z = (graph.add("Sigmoid", graph.add("Add", part(given, k), part(own, k))) for k in (0, 1))
    n = graph.add("Tanh", graph.add("Add", part(given, 2), graph.add("Mul", r, part(own, 2))))
    kept = graph.add("Mul", z, graph.add("Sub", state, n))
    return graph.add("Add", n, kept, output=STATE_AFTER)


def _layer_norm(graph: Graph, w: Any, name: str, x: str) -> str:
    kept = [graph.constant(f"{name}.{part}", w[f"{name}.{part}"]) for part in ("scale", "shift")]
    return graph.add("LayerNormalization", x, *kept, axis=-1, epsilon=float(EPSILON))


def _rectified(graph: Graph, x: str) -> str:
    return graph.add("Relu", x)


def _conv(graph: Graph, w: Any, name: str, x: str, stride: int, same: bool = False) -> str:
    """A convolution of (batch, C, H, W); `same`: of stride 1 and an odd side, with an output of the same size."""
    kernel = w[f"{name}.weight"].transpose(3, 2, 0, 1)
    kept = graph.constant(f"{name}.weight", kernel), graph.constant(f"{name}.bias", w[f"{name}.bias"])
    pads = [kernel.shape[-1] // 2 if same else 0] * 4
    return graph.add("Conv", x, *kept, strides=[stride, stride], pads=pads)


def folded_head(policy: NetworkPolicy) -> tuple[np.ndarray, np.ndarray]:
    """(F, n) weight and (n,) bias of the last layer: n = A values, or A·K logits of c51.

    Summed in double precision, so that nothing is lost but the last rounding.
    """
    network, w = policy.network, policy.weights
    shape = (network.n_actions, network.atoms)
    weight = w["head.weight"].astype(np.float64).reshape(-1, *shape)
    bias = w["head.bias"].astype(np.float64).reshape(shape)
    if network.dueling:
        weight = weight - weight.mean(axis=1, keepdims=True) + w["value.weight"][:, None, :]
        bias = bias - bias.mean(axis=0) + w["value.bias"]
    if network.distribution == "iqn":
        turns = np.arange(COSINES, dtype=np.float32) * np.float32(np.pi)
        level = relu(np, linear(np, policy.weights, "level", np.cos(turns * network.levels[:, None])))  # type: ignore[arg-type]
        weight = weight * level.mean(axis=0, dtype=np.float64)[:, None, None]
    if network.distribution != "c51":
        weight, bias = weight.mean(axis=-1), bias.mean(axis=-1)
    return weight.reshape(len(weight), -1).astype(np.float32), bias.ravel().astype(np.float32)
