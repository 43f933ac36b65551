"""From a prepared observation to features: multi-layer perceptron, and the usual convolutional networks for images."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qfix.deep.layers import (
    ACTIVATIONS,
    Array,
    Layout,
    Torso,
    Weights,
    conv,
    layer_norm,
    linear,
    max_pool,
    output_size,
    relu,
)
from qfix.deep.observations import Input
from qfix.errors import OptionError

TORSOS = ("auto", "mlp", "minatar", "nature", "impala")

_SMALL_IMAGE = 20  # pixels a side up to which "auto" takes the small network


def choose_torso(name: str, given: Input) -> str:
    """The torso that "auto" means for an input.

    Raises:
        OptionError: a convolutional network, and no image.
    """
    if name == "auto":
        if given.kind != "image":
            return "mlp"
        return "minatar" if min(_image_shape(given)[:2]) <= _SMALL_IMAGE else "nature"
    if name != "mlp" and given.kind != "image":
        raise OptionError(
            f"The 'network' parameter can be '{name}' only where observations are images: a Box of three "
            f"dimensions and dtype uint8. Got observations of shape {given.shape}. Use network='mlp'."
        )
    return name


def build_torso(
    layout: Layout,
    name: str,
    given: Input,
    hidden: Sequence[int],
    normalised: bool,
    noisy: bool,
    activation: str = "relu",
) -> tuple[Torso, int]:
    """Lay out the weights of a torso; gives the function, and how many features come out.

    Args:
        layout: takes the weights.
        name: one of `TORSOS`, "auto" resolved.
        given: what comes in.
        hidden: widths of the fully connected layers; behind a convolutional network only the last counts.
        normalised: whether layers are normalised before their rectifier (Ba et al. 2016), as in PQN.
        noisy: whether the fully connected layers are noisy.
        activation: behind the fully connected layers, "relu" or "tanh".
    """
    if name == "mlp":
        dense = _dense(layout, "torso", given.size, hidden, normalised, noisy, activation)
        if given.kind != "image":
            return dense, hidden[-1] if hidden else given.size
        return lambda xp, w, x: dense(xp, w, x.reshape((*x.shape[:-3], -1))), hidden[
            -1
        ] if hidden else given.size
    build = {"minatar": _minatar, "nature": _nature, "impala": _impala}[name]
    convolutions, size = build(layout, _image_shape(given), normalised)
    width = hidden[-1:] or (512,)
    dense = _dense(layout, "torso", size, width, normalised, noisy, activation)
    return (
        lambda xp, w, x: dense(xp, w, convolutions(xp, w, x).reshape((*x.shape[:-3], size))),
        width[-1],
    )


def _dense(
    layout: Layout,
    name: str,
    n_in: int,
    hidden: Sequence[int],
    normalised: bool,
    noisy: bool,
    activation: str,
) -> Torso:
    active = ACTIVATIONS[activation]
    for i, n_out in enumerate(hidden):
        layout.linear(f"{name}.{i}", n_in, n_out, noisy)
        if normalised:
            layout.layer_norm(f"{name}.{i}", n_out)
        n_in = n_out

    def forward(xp, w: Weights, x: Array) -> Array:  # type: ignore[no-untyped-def]
        for i in range(len(hidden)):
            x = linear(xp, w, f"{name}.{i}", x)
            if normalised:
                x = layer_norm(xp, w, f"{name}.{i}", x)
            x = active(xp, x)
        return x

    return forward


def _minatar(layout: Layout, image: tuple[int, int, int], normalised: bool) -> tuple[Torso, int]:
    """One 3 x 3 convolution of 16. Source: Young & Tian (2019), MinAtar, section 4."""
    return _stack(layout, image, ((3, 1, 16),), normalised)


def _nature(layout: Layout, image: tuple[int, int, int], normalised: bool) -> tuple[Torso, int]:
    """Three convolutions. Source: Mnih et al. (2015), Human-level control through deep reinforcement learning."""
    return _stack(layout, image, ((8, 4, 32), (4, 2, 64), (3, 1, 64)), normalised)


def _stack(
    layout: Layout, image: tuple[int, int, int], steps: Sequence[tuple[int, int, int]], normalised: bool
) -> tuple[Torso, int]:
    height, width, channels = image
    for i, (side, stride, n_out) in enumerate(steps):
        height, width = output_size(height, side, stride), output_size(width, side, stride)
        if min(height, width) < 1:
            raise OptionError(
                f"The 'network' parameter asks for a network that images of {image[0]} x {image[1]} are too small "
                f"for. Use network='minatar' or network='impala'."
            )
        layout.conv(f"conv.{i}", side, channels, n_out, height * width)
        if normalised:
            layout.layer_norm(f"conv.{i}", n_out)
        channels = n_out

    def forward(xp, w: Weights, x: Array) -> Array:  # type: ignore[no-untyped-def]
        for i, (_, stride, _) in enumerate(steps):
            x = conv(xp, w, f"conv.{i}", x, stride)
            if normalised:
                x = layer_norm(xp, w, f"conv.{i}", x)
            x = relu(xp, x)
        return x

    return forward, height * width * channels


def _impala(layout: Layout, image: tuple[int, int, int], normalised: bool) -> tuple[Torso, int]:
    """Three blocks of a convolution, a pooling and two residual blocks.

    Source: Espeholt et al. (2018), IMPALA, figure 3, right.
    """
    height, width, channels = image
    depths = (16, 32, 32)
    for i, n_out in enumerate(depths):
        layout.conv(f"conv.{i}", 3, channels, n_out, height * width)
        height, width = math.ceil(height / 2), math.ceil(width / 2)
        for k in range(4):
            layout.conv(f"conv.{i}.{k}", 3, n_out, n_out, height * width)
        channels = n_out

    def forward(xp, w: Weights, x: Array) -> Array:  # type: ignore[no-untyped-def]
        for i in range(len(depths)):
            x = max_pool(xp, conv(xp, w, f"conv.{i}", x, 1, same=True), 3, 2)
            for k in (0, 2):
                y = conv(xp, w, f"conv.{i}.{k}", relu(xp, x), 1, same=True)
                x = x + conv(xp, w, f"conv.{i}.{k + 1}", relu(xp, y), 1, same=True)
        return relu(xp, x)

    return forward, height * width * channels


def _image_shape(given: Input) -> tuple[int, int, int]:
    """(height, width, channels)."""
    a, b, c = given.shape
    return (b, c, a) if given.channels_first else (a, b, c)
