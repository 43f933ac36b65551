"""Layers of a network, as functions of weights that lie one after the other in a single vector.

One vector, not a tree of arrays: an optimiser's step, a target's update and a norm are then one operation each, and a
call of a compiled program hands over four arrays, not forty. `Layout` says which stretch of the vector is what.

Every function takes the array namespace first, `numpy` or `jax.numpy`: what learns in JAX acts in NumPy, by the same
lines. Only `conv` and `max_pool` differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

Array = Any

FORBIDDEN = np.float32(-1e9)
"""Value of an action that is not allowed; finite, as it is multiplied by a discount of 0."""

GRU = "gru"
"""Name of the recurrent layer of a network."""

EPSILON = np.float32(1e-5)  # added to the variance of a normalised row


class Entry(NamedTuple):
    """A named array among the weights."""

    offset: int
    shape: tuple[int, ...]
    spread: float
    """Weights start uniformly in [-spread, spread] around `centre`."""
    centre: float


@dataclass
class Layout:
    """Where each array lies in the vector. Built once, layer by layer, and then only read."""

    entries: dict[str, Entry] = field(default_factory=dict)
    size: int = 0
    """Length of the vector: the number of parameters."""
    noise: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """Of noisy layers, by name: where the noise lies in a vector of noise, and how much goes in and out."""
    noise_size: int = 0
    operations: int = 0
    """Floating-point operations of one observation's way through: two a weight that is used."""

    def add(self, name: str, shape: tuple[int, ...], spread: float, centre: float = 0.0) -> None:
        """One more array."""
        self.entries[name] = Entry(self.size, shape, spread, centre)
        self.size += math.prod(shape)

    def linear(self, name: str, n_in: int, n_out: int, noisy: bool = False, gain: float = 1.0) -> None:
        """x W + b. Weights and biases start as PyTorch's do, uniformly within ±gain/√n_in.

        A noisy layer's parameters start within ±1/√n_in, the size of their noise at 0.5/√n_in.
        Source: Fortunato et al. (2018), Noisy networks for exploration, section 3.2 (factorised noise).
        """
        spread = gain / math.sqrt(n_in)
        self.add(f"{name}.weight", (n_in, n_out), spread)
        self.add(f"{name}.bias", (n_out,), spread)
        if noisy:
            self.add(f"{name}.weight_noise", (n_in, n_out), 0.0, 0.5 / math.sqrt(n_in))
            self.add(f"{name}.bias_noise", (n_out,), 0.0, 0.5 / math.sqrt(n_in))
            self.noise[name] = (self.noise_size, n_in, n_out)
            self.noise_size += n_in + n_out
        self.operations += 2 * n_in * n_out * (2 if noisy else 1)

    def gru(self, name: str, n_in: int, n_out: int) -> None:
        """A gated recurrent layer. Weights and biases start as PyTorch's do, uniformly within ±1/√n_out."""
        self.linear(f"{name}.input", n_in, 3 * n_out, gain=math.sqrt(n_in / n_out))
        self.linear(f"{name}.state", n_out, 3 * n_out)

    def layer_norm(self, name: str, n: int) -> None:
        """Scale and shift of a normalised layer."""
        self.add(f"{name}.scale", (n,), 0.0, 1.0)
        self.add(f"{name}.shift", (n,), 0.0)

    def conv(self, name: str, side: int, n_in: int, n_out: int, positions: int) -> None:
        """A square convolution, applied at so many positions."""
        spread = 1.0 / math.sqrt(side * side * n_in)
        self.add(f"{name}.weight", (side, side, n_in, n_out), spread)
        self.add(f"{name}.bias", (n_out,), spread)
        self.operations += 2 * side * side * n_in * n_out * positions

    def absorb(self, prefix: str, other: Layout) -> None:
        """All arrays of another layout behind those that are here, their names prefixed."""
        assert not other.noise
        for name, entry in other.entries.items():
            self.entries[prefix + name] = entry._replace(offset=self.size + entry.offset)
        self.size += other.size
        self.operations += other.operations

    def start(self, uniforms: Array) -> Array:
        """Weights before learning, from (size,) uniform numbers in [-1, 1)."""
        spread = np.empty(self.size, np.float32)
        centre = np.empty(self.size, np.float32)
        for entry in self.entries.values():
            stretch = slice(entry.offset, entry.offset + math.prod(entry.shape))
            spread[stretch], centre[stretch] = entry.spread, entry.centre
        return centre + spread * uniforms

    def split(self, vector: Array) -> dict[str, Array]:
        """The named arrays of a vector (size,), as views of it in NumPy."""
        return {
            name: vector[entry.offset : entry.offset + math.prod(entry.shape)].reshape(entry.shape)
            for name, entry in self.entries.items()
        }

    def joined(self, xp: Any, arrays: Mapping[str, Array]) -> Array:
        """The vector of named arrays; the inverse of `split`."""
        return xp.concatenate([arrays[name].reshape(-1) for name in self.entries])


class Weights(Mapping[str, Array]):
    """The named arrays of a network.

    Args:
        arrays: by name, as `Layout.split` gives them.
        layout: what lies where in the vector of them all.
        noise: (noise_size,) standard normal numbers of a layout with noisy layers; None: without noise.
    """

    def __init__(self, arrays: Mapping[str, Array], layout: Layout, noise: Array = None) -> None:
        self._arrays = arrays
        self.layout = layout
        self.noise = noise

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def linear(xp: Any, w: Weights, name: str, x: Array) -> Array:
    """y = x W + b; of a noisy layer y = x (W + W' ∘ ε) + b + b' ∘ ε_out, with ε = f(ε_in) f(ε_out)ᵀ and
    f(e) = sign(e)·√|e|."""
    weight, bias = w[f"{name}.weight"], w[f"{name}.bias"]
    if xp is np:
        y = x @ weight + bias
    else:
        from qfix.deep.gradients import affine

        y = affine(x, weight, bias)
    if w.noise is None or name not in w.layout.noise:
        return y
    at, n_in, n_out = w.layout.noise[name]
    scaled = xp.sign(w.noise) * xp.sqrt(xp.abs(w.noise))
    e_in, e_out = scaled[at : at + n_in], scaled[at + n_in : at + n_in + n_out]
    return y + ((x * e_in) @ w[f"{name}.weight_noise"] + w[f"{name}.bias_noise"]) * e_out


def layer_norm(xp: Any, w: Weights, name: str, x: Array) -> Array:
    """Each row to mean 0 and variance 1, then scale and shift. Source: Ba et al. (2016), Layer normalization."""
    if xp is not np:
        from qfix.deep.gradients import scaled_rows

        return scaled_rows(x, w[f"{name}.scale"], w[f"{name}.shift"])
    centred = x - np.mean(x, axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    return centred / np.sqrt(variance + EPSILON) * w[f"{name}.scale"] + w[f"{name}.shift"]


def gru(xp: Any, w: Weights, name: str, given: Array, state: Array) -> Array:
    """The state (..., H) of a gated recurrent layer after one more step.

        r = σ(x_r + h_r)    z = σ(x_z + h_z)    n = tanh(x_n + r ∘ h_n)    h' = (1 - z) ∘ n + z ∘ h

    Args:
        xp: numpy or jax.numpy.
        w: the weights.
        name: of the layer.
        given: (..., 3 H) x = W x_t + b of its input: `linear` of the layer `name.input`.
        state: (..., H) h before.

    Source: Cho et al. (2014), Learning phrase representations using RNN encoder-decoder; the reset gate acts behind
    the product, as in cuDNN and PyTorch.
    """
    x_r, x_z, x_n = xp.split(given, 3, axis=-1)
    h_r, h_z, h_n = xp.split(linear(xp, w, f"{name}.state", state), 3, axis=-1)
    r, z = _sigmoid(xp, x_r + h_r), _sigmoid(xp, x_z + h_z)
    n = xp.tanh(x_n + r * h_n)
    return n + z * (state - n)


def _sigmoid(xp: Any, x: Array) -> Array:
    """1 / (1 + e^-x), without an overflow."""
    half = np.float32(0.5)
    return half * xp.tanh(half * x) + half


def relu(xp: Any, x: Array) -> Array:
    """max(x, 0)."""
    return xp.maximum(x, np.float32(0.0))


def tanh(xp: Any, x: Array) -> Array:
    """tanh x."""
    return xp.tanh(x)


ACTIVATIONS: dict[str, Callable[[Any, Array], Array]] = {"relu": relu, "tanh": tanh}
"""What stands between fully connected layers, by name."""


def conv(xp: Any, w: Weights, name: str, x: Array, stride: int, same: bool = False) -> Array:
    """A convolution of (..., H, W, C), "valid", or with an output of the same size."""
    kernel, bias = w[f"{name}.weight"], w[f"{name}.bias"]
    if xp is not np:
        from qfix.deep.convolution import convolved

        flat = x.reshape((-1, *x.shape[-3:]))
        if same:
            flat = xp.pad(flat, [(0, 0), *_pads(flat, kernel.shape[0], stride), (0, 0)])
        y = convolved(flat, kernel, stride)
        return y.reshape((*x.shape[:-3], *y.shape[1:])) + bias
    side = kernel.shape[0]
    windows = _windows(x, side, stride, same, 0.0)
    return np.tensordot(windows, kernel.transpose(2, 0, 1, 3), 3) + bias


def max_pool(xp: Any, x: Array, side: int, stride: int) -> Array:
    """The largest of each window, the output padded to ceil(size / stride)."""
    if xp is not np:
        from jax import lax

        ones = (1,) * (x.ndim - 3)
        return lax.reduce_window(
            x, -np.inf, lax.max, (*ones, side, side, 1), (*ones, stride, stride, 1), "SAME"
        )
    return _windows(x, side, stride, True, -np.inf).max(axis=(-2, -1))


def _windows(x: np.ndarray, side: int, stride: int, same: bool, fill: float) -> np.ndarray:
    """(..., H', W', C, side, side) windows of (..., H, W, C)."""
    if same:
        pads = [(0, 0)] * (x.ndim - 3) + _pads(x, side, stride)
        x = np.pad(x, [*pads, (0, 0)], constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(-3, -2))
    return windows[..., ::stride, ::stride, :, :, :]


def _pads(x: Array, side: int, stride: int) -> list[tuple[int, int]]:
    """Padding before and after height and width of (..., H, W, C) for an output of ceil(size / stride)."""
    totals = [max((-(-size // stride) - 1) * stride + side - size, 0) for size in x.shape[-3:-1]]
    return [(total // 2, total - total // 2) for total in totals]


def output_size(size: int, side: int, stride: int) -> int:
    """Positions of a "valid" window along an axis."""
    return (size - side) // stride + 1


Torso = Callable[[Any, Weights, Array], Array]
