"""Observations as the arrays that networks take and memories keep.

An observation is kept as it comes where it is a number, a vector or an image, and is prepared inside the network:
numbers become one-hot rows, bytes of an image fractions of its range. A compound of spaces is flattened into one vector
before it is kept, in the order of its parts; where images lie in it is known, and the network looks at them as such.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import gymnasium
import numpy as np

from qfix.errors import SpaceError

Kind = Literal["number", "vector", "image"]

_SMALLEST_IMAGE = 8  # pixels a side; what is smaller is a vector of bytes
_MOST_CHANNELS = 32


@dataclass(frozen=True)
class Input:
    """What a network is given."""

    kind: Kind
    shape: tuple[int, ...]
    """Of an observation as it is kept: () of a number, (size,) of a vector, that of the space of an image."""
    dtype: np.dtype[Any]
    n: int = 0
    """Numbers: how many there are, from 0 on."""
    scale: float = 1.0
    """Images: the highest value."""
    channels_first: bool = False
    """Images: whether the channels are the first axis, and not the last."""
    images: tuple[Part, ...] = ()
    """Vectors: the images among the parts they are made of, in their order."""

    @property
    def size(self) -> int:
        """Numbers that the network sees."""
        return self.n if self.kind == "number" else math.prod(self.shape)

    @property
    def others(self) -> list[slice]:
        """Vectors: the stretches in which there is no image."""
        ends = [0, *(end for part in self.images for end in (part.place.start, part.place.stop)), self.size]
        return [slice(a, b) for a, b in zip(ends[::2], ends[1::2]) if a < b]

    @cached_property
    def scales(self) -> np.ndarray:
        """(size,) vectors: the highest value of the image that each number belongs to; else 1."""
        found = np.ones(self.size, np.float32)
        for part in self.images:
            found[part.place] = part.input.scale
        return found

    def prepared(self, xp: Any, observation: Any) -> Any:
        """(..., size) or (..., height, width, channels) float32 of observations (..., *shape).

        Args:
            xp: numpy or jax.numpy.
            observation: as they are kept.
        """
        if self.kind == "number":
            return xp.astype(observation[..., None] == xp.arange(self.n), np.float32)
        x = xp.astype(observation, np.float32)
        if self.kind == "vector":
            return x / self.scales if self.images else x
        x = x / np.float32(self.scale)
        return xp.moveaxis(x, -3, -1) if self.channels_first else x


class Part(NamedTuple):
    """An image in a vector."""

    name: str
    """Its keys in the compound with dots between them, as in "sensors.camera"; no other image's begins so."""
    start: int
    """Where its stretch of the vector begins; there its bytes are, as float32."""
    input: Input
    """What it would be by itself."""

    @property
    def place(self) -> slice:
        """Its stretch."""
        return slice(self.start, self.start + self.input.size)

    def of(self, xp: Any, x: Any) -> Any:
        """(..., height, width, channels) of prepared vectors (..., size)."""
        image = x[..., self.place].reshape((*x.shape[:-1], *self.input.shape))
        return xp.moveaxis(image, -3, -1) if self.input.channels_first else image


@dataclass(frozen=True)
class Codec:
    """Observations of a space as arrays to be kept."""

    input: Input
    encode: Callable[[Any], np.ndarray]
    """From an observation to its array, of the input's shape and type."""


def codec_for(space: gymnasium.Space[Any]) -> Codec:
    """How observations of a space are kept.

    Args:
        space: Discrete, Box, MultiDiscrete, MultiBinary, or a Tuple or Dict of such, nested as you like.

    Raises:
        SpaceError: the space, or a part of it, is none of these, or two images in it are not told apart by their keys.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        start, n = int(space.start), int(space.n)
        dtype = np.dtype(np.int32)

        def encode_number(observation: Any) -> np.ndarray:
            number = int(observation)
            if number != observation or not start <= number < start + n:
                raise SpaceError(f"its observation must lie in {space}. Got {observation!r}")
            return np.asarray(number - start, dtype)

        return Codec(Input("number", (), dtype, n=n), encode_number)
    if isinstance(space, gymnasium.spaces.Box) and _is_image(space):
        return Codec(_image(space), lambda x: _checked_image(x, space.shape))
    size, write, images = _flattener(space, ())
    names = [part.name for part in images]
    if len(set(names)) < len(names):
        raise SpaceError(
            f"Images in an observation space must have keys of their own, in which a dot is as good as an underscore. "
            f"Got {', '.join(names)}. Rename them in a wrapper."
        )

    def encode(observation: Any) -> np.ndarray:
        out = np.empty(size, np.float32)
        write(observation, out)
        return out

    if isinstance(space, gymnasium.spaces.Box):
        shape = space.shape

        def encode(observation: Any) -> np.ndarray:  # the common case, without a detour
            found = np.asarray(observation, np.float32)
            return _of_shape(found, shape).reshape(size)

    return Codec(Input("vector", (size,), np.dtype(np.float32), images=images), encode)


def _checked_image(observation: Any, shape: tuple[int, ...]) -> np.ndarray:
    return _of_shape(np.asarray(observation, np.uint8), shape)


def _of_shape(found: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if found.shape != shape:  # what is written to its place in an array would be broadcast
        raise SpaceError(f"its observation must have shape {shape}. Got shape {found.shape}")
    return found


def _is_image(space: gymnasium.spaces.Box) -> bool:
    if space.dtype != np.uint8 or len(space.shape) != 3:
        return False
    sides = sorted(space.shape)[-2:]
    return sides[0] >= _SMALLEST_IMAGE


def _image(space: Any) -> Input:
    first = space.shape[0] < space.shape[-1] and space.shape[0] <= _MOST_CHANNELS
    scale = float(np.max(space.high)) or 1.0
    return Input("image", space.shape, space.dtype, scale=scale, channels_first=first)


class _Flat(NamedTuple):
    """How a space is laid into a vector."""

    size: int
    write: Callable[[Any, np.ndarray], None]  # an observation into its stretch
    images: tuple[Part, ...] = ()


def _flattener(space: gymnasium.Space[Any], path: tuple[Any, ...]) -> _Flat:
    """The vector of a space that is found under these keys."""
    spaces = gymnasium.spaces
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        size = math.prod(space.shape)

        def write_numbers(x: Any, out: np.ndarray) -> None:
            out[:] = _of_shape(np.asarray(x, np.float32), space.shape).reshape(size)

        if isinstance(space, spaces.Box) and path and _is_image(space):
            name = ".".join(str(key).replace(".", "_") for key in path)
            return _Flat(size, write_numbers, (Part(name, 0, _image(space)),))
        return _Flat(size, write_numbers)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        discrete = isinstance(space, spaces.Discrete)
        counts = np.ravel(space.n if discrete else space.nvec).astype(int)  # type: ignore[union-attr]
        starts = np.ravel(space.start).astype(int)
        offsets = np.concatenate([[0], np.cumsum(counts)[:-1]])

        def write_one_hot(x: Any, out: np.ndarray) -> None:
            given = _of_shape(np.asarray(x), space.shape or ()).ravel()
            numbers = given.astype(int) - starts
            if (numbers + starts != given).any() or (numbers < 0).any() or (numbers >= counts).any():
                raise SpaceError(f"its observation must lie in {space}. Got {x!r}")
            out[:] = 0.0
            out[numbers + offsets] = 1.0

        return _Flat(int(counts.sum()), write_one_hot)
    if isinstance(space, spaces.Tuple | spaces.Dict):
        parts = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        return _joined([(key, _flattener(part, (*path, key))) for key, part in parts])
    where = f"Its part {''.join(f'[{key!r}]' for key in path)}" if path else "It"
    raise SpaceError(
        f"A network needs an observation space of numbers. {where} is {space}. Use Box, Discrete, MultiDiscrete, "
        f"MultiBinary, or a Tuple or Dict of such; turn others into these in a wrapper."
    )


def _joined(parts: list[tuple[Any, _Flat]]) -> _Flat:
    ends = np.cumsum([0, *(part.size for _, part in parts)]).tolist()

    def write(x: Any, out: np.ndarray) -> None:
        for (key, part), start in zip(parts, ends):
            part.write(x[key], out[start : start + part.size])

    images = tuple(
        image._replace(start=start + image.start)
        for (_, part), start in zip(parts, ends)
        for image in part.images
    )
    return _Flat(ends[-1], write, images)
