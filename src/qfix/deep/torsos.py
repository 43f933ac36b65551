"""From a prepared observation to features: multi-layer perceptron, and the usual convolutional networks for images.

An image by itself goes through its convolutions, and then fully connected layers. Where images are among the parts of
an observation each has convolutions of its own, and the fully connected layers are given

    [features of the first image, ..., features of the last, all other numbers]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

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


class Convolution(NamedTuple):
    """Of a square window, without padding."""

    side: int
    stride: int
    channels: int
    """That come out."""


CONVOLUTIONS = {
    "minatar": (Convolution(3, 1, 16),),
    "nature": (Convolution(8, 4, 32), Convolution(4, 2, 64), Convolution(3, 1, 64)),
}
"""By torso, one after the other. Sources: Young & Tian (2019), MinAtar, section 4; Mnih et al. (2015), Human-level
control through deep reinforcement learning."""

IMPALA_CHANNELS = (16, 32, 32)
"""Of each block: a convolution, a pooling and two residual blocks of two convolutions.

Source: Espeholt et al. (2018), IMPALA, figure 3, right."""

_SMALL_IMAGE = (
    35  # pixels a side up to which "auto" takes the small network: the windows of the other do not fit
)


def choose_torso(name: str, given: Input) -> str:
    """The torso that "auto" means for an input; "auto" still where images of several sizes have several.

    Raises:
        OptionError: a convolutional network, and no image.
    """
    if name == "auto" and given.images:
        chosen = {choose_torso(name, part.input) for part in given.images}
        return chosen.pop() if len(chosen) == 1 else name
    if name == "auto":
        if given.kind != "image":
            return "mlp"
        return "minatar" if min(_image_shape(given)[:2]) <= _SMALL_IMAGE else "nature"
    if name != "mlp" and given.kind != "image" and not given.images:
        raise OptionError(
            f"The 'network' parameter can be '{name}' only where observations are images, or have images among their "
            f"parts: a Box of three dimensions and dtype uint8. Got observations of shape {given.shape}. Use "
            f"network='mlp'."
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
        layout: takes the weights. Convolutions are called `conv.0` and so on, of an image among other parts
            `conv.NAME.0`.
        name: what `choose_torso` gave.
        given: what comes in.
        hidden: widths of the fully connected layers; behind a convolutional network only the last counts.
        normalised: whether layers are normalised before their rectifier (Ba et al. 2016), as in PQN.
        noisy: whether the fully connected layers are noisy.
        activation: behind the fully connected layers, "relu" or "tanh".
    """
    if name == "mlp":
        flat, size, widths = _laid_flat(given), given.size, tuple(hidden)
    else:
        flat, size = _convolved(layout, name, given, normalised)
        widths = tuple(hidden[-1:]) or (512,)
    dense = _dense(layout, "torso", size, widths, normalised, noisy, activation)
    return lambda xp, w, x: dense(xp, w, flat(xp, w, x)), widths[-1] if widths else size


def _laid_flat(given: Input) -> Torso:
    if given.kind != "image":
        return lambda xp, w, x: x
    return lambda xp, w, x: x.reshape((*x.shape[:-3], given.size))


def _convolved(layout: Layout, name: str, given: Input, normalised: bool) -> tuple[Torso, int]:
    """What goes into the fully connected layers, and how many numbers it is."""
    if given.kind == "image":
        return _convolutions(layout, "conv", name, given, normalised)
    each = [
        (
            part,
            *_convolutions(
                layout, f"conv.{part.name}", choose_torso(name, part.input), part.input, normalised
            ),
        )
        for part in given.images
    ]

    def joined(xp, w: Weights, x: Array) -> Array:  # type: ignore[no-untyped-def]
        found = [forward(xp, w, part.of(xp, x)) for part, forward, _ in each]
        return xp.concatenate([*found, *(x[..., place] for place in given.others)], axis=-1)

    return joined, sum(size for *_, size in each) + sum(p.stop - p.start for p in given.others)


def _convolutions(
    layout: Layout, prefix: str, name: str, given: Input, normalised: bool
) -> tuple[Torso, int]:
    """(..., n) features of images (..., height, width, channels), and n."""
    image = _image_shape(given)
    if name == "impala":
        forward, size = _impala(layout, prefix, image)
    else:
        forward, size = _stack(layout, prefix, image, CONVOLUTIONS[name], normalised)
    return lambda xp, w, x: forward(xp, w, x).reshape((*x.shape[:-3], size)), size


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


def _stack(
    layout: Layout,
    prefix: str,
    image: tuple[int, int, int],
    steps: Sequence[Convolution],
    normalised: bool,
) -> tuple[Torso, int]:
    height, width, channels = image
    for i, (side, stride, n_out) in enumerate(steps):
        height, width = output_size(height, side, stride), output_size(width, side, stride)
        if min(height, width) < 1:
            raise OptionError(
                f"The 'network' parameter asks for a network that images of {image[0]} x {image[1]} are too small "
                f"for. Use network='minatar' or network='impala'."
            )
        layout.conv(f"{prefix}.{i}", side, channels, n_out, height * width)
        if normalised:
            layout.layer_norm(f"{prefix}.{i}", n_out)
        channels = n_out

    def forward(xp, w: Weights, x: Array) -> Array:  # type: ignore[no-untyped-def]
        for i, (_, stride, _) in enumerate(steps):
            x = conv(xp, w, f"{prefix}.{i}", x, stride)
            if normalised:
                x = layer_norm(xp, w, f"{prefix}.{i}", x)
            x = relu(xp, x)
        return x

    return forward, height * width * channels


def _impala(layout: Layout, prefix: str, image: tuple[int, int, int]) -> tuple[Torso, int]:
    height, width, channels = image
    for i, n_out in enumerate(IMPALA_CHANNELS):
        layout.conv(f"{prefix}.{i}", 3, channels, n_out, height * width)
        height, width = math.ceil(height / 2), math.ceil(width / 2)
        for k in range(4):
            layout.conv(f"{prefix}.{i}.{k}", 3, n_out, n_out, height * width)
        channels = n_out

    def forward(xp, w: Weights, x: Array) -> Array:  # type: ignore[no-untyped-def]
        for i in range(len(IMPALA_CHANNELS)):
            x = max_pool(xp, conv(xp, w, f"{prefix}.{i}", x, 1, same=True), 3, 2)
            for k in (0, 2):
                y = conv(xp, w, f"{prefix}.{i}.{k}", relu(xp, x), 1, same=True)
                x = x + conv(xp, w, f"{prefix}.{i}.{k + 1}", relu(xp, y), 1, same=True)
        return relu(xp, x)

    return forward, height * width * channels


def _image_shape(given: Input) -> tuple[int, int, int]:
    """(height, width, channels)."""
    a, b, c = given.shape
    return (b, c, a) if given.channels_first else (a, b, c)
