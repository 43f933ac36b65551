"""Discrete spaces of any shape as one number: keys for learners on tables.

A compound of discrete parts is a number with one digit a part, each digit in the base of its part (mixed
radix), the last part the lowest digit:

    key = (...(d_0 n_1 + d_1) n_2 + d_2 ...)        0 <= key < n_0 n_1 n_2 ...

Encoding is a bijection, so that two observations share a key only if they are the same observation. The
number of keys is a Python int: it may be far beyond what any table holds, and learners with a sparse store
do not mind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from qfix.errors import SpaceError


@dataclass(frozen=True)
class Codec:
    """Keys of the observations of one space."""

    space: gymnasium.Space[Any]
    """The space."""
    n_states: int
    """How many observations it has: keys are 0..n_states-1."""
    encode: Callable[[Any], int]
    """The key of an observation; SpaceError names an observation outside the space."""
    decode: Callable[[int], Any]
    """The observation of a key, as the space gives them."""


def discrete_codec(space: gymnasium.Space[Any]) -> Codec:
    """Number the observations of a discrete space.

    Args:
        space: Discrete (with any start), MultiDiscrete, MultiBinary, or a Tuple or Dict of such, nested as
            you like.

    Raises:
        SpaceError: the space, or a part of it, is not discrete; says what to do instead.
    """
    digits, read, write = _parts(space, "")
    n_states = math.prod(digits)

    def encode(observation: Any) -> int:
        key = 0
        try:
            for digit, base in zip(read(observation), digits, strict=True):
                if not 0 <= digit < base:
                    raise _outside(observation, space)
                key = key * base + digit
        except (TypeError, ValueError, KeyError, IndexError, OverflowError) as fault:
            if isinstance(fault, SpaceError):
                raise
            raise _outside(observation, space) from fault
        return key

    def decode(key: int) -> Any:
        if not 0 <= key < n_states:
            raise SpaceError(
                f"The key of {space} must be in 0..{n_states - 1}. Got {key}. Pass what encode returned."
            )
        found = []
        for base in reversed(digits):
            key, digit = divmod(int(key), base)
            found.append(digit)
        return write(found[::-1])

    if isinstance(space, gymnasium.spaces.Discrete):
        return Codec(space, n_states, _discrete_encoder(space), decode)
    return Codec(space, n_states, encode, decode)


Read = Callable[[Any], list[int]]
Write = Callable[[list[int]], Any]


def _parts(space: gymnasium.Space[Any], path: str) -> tuple[list[int], Read, Write]:
    """(bases, from observation to digits, from digits to observation) of a space."""
    if isinstance(space, gymnasium.spaces.Discrete):
        start, kind = int(space.start), space.dtype
        return [int(space.n)], lambda x: [_whole(x) - start], lambda digits: kind.type(digits[0] + start)
    if isinstance(space, gymnasium.spaces.MultiDiscrete | gymnasium.spaces.MultiBinary):
        return _array_parts(space)
    if isinstance(space, gymnasium.spaces.Tuple):
        return _compound(
            [(_parts(part, f"{path}[{i}]")) for i, part in enumerate(space.spaces)],
            list,
            tuple,
        )
    if isinstance(space, gymnasium.spaces.Dict):
        names = list(space.spaces)

        def values_of(x: Any) -> list[Any]:
            if len(x) != len(names):
                raise KeyError("other keys")
            return [x[name] for name in names]

        return _compound(
            [_parts(part, f"{path}[{name!r}]") for name, part in space.spaces.items()],
            values_of,
            lambda values: dict(zip(names, values)),
        )
    where = f"Its part {path}" if path else "It"
    if isinstance(space, gymnasium.spaces.Box):
        raise SpaceError(
            f"A table needs a discrete space. {where} is {space}, whose observations are real numbers. Use "
            f"tile coding, which turns them into a few active features (the tiled store), or discretise them "
            f"in a wrapper."
        )
    raise SpaceError(
        f"A table needs a discrete space. {where} is {space}. Use Discrete, MultiDiscrete, MultiBinary, or a "
        f"Tuple or Dict of such."
    )


def _array_parts(space: Any) -> tuple[list[int], Read, Write]:
    """Digits of an array of whole numbers, in C order."""
    if isinstance(space, gymnasium.spaces.MultiBinary):
        bases, starts = np.full(space.shape, 2), np.zeros(space.shape, np.int64)
    else:
        bases, starts = space.nvec, space.start
    offset = [int(x) for x in np.ravel(starts)]

    def read(x: Any) -> list[int]:
        array = np.asarray(x)
        if array.shape != space.shape:
            raise ValueError("other shape")
        return [_whole(v) - start for v, start in zip(array.ravel().tolist(), offset)]

    def write(digits: list[int]) -> Any:
        return np.array([d + start for d, start in zip(digits, offset)], space.dtype).reshape(space.shape)

    return [int(n) for n in np.ravel(bases)], read, write


def _compound(
    parts: list[tuple[list[int], Read, Write]],
    split: Callable[[Any], list[Any]],
    join: Callable[[list[Any]], Any],
) -> tuple[list[int], Read, Write]:
    """Digits of several parts one after the other."""

    def read(x: Any) -> list[int]:
        return [digit for (_, part, _), value in zip(parts, split(x), strict=True) for digit in part(value)]

    def write(digits: list[int]) -> Any:
        values, at = [], 0
        for bases, _, part in parts:
            values.append(part(digits[at : at + len(bases)]))
            at += len(bases)
        return join(values)

    return [base for bases, _, _ in parts for base in bases], read, write


def _discrete_encoder(space: gymnasium.spaces.Discrete) -> Callable[[Any], int]:
    """The fast path: no digits, one comparison."""
    start, n = int(space.start), int(space.n)

    def encode(observation: Any) -> int:
        try:
            key = _whole(observation) - start
        except (TypeError, ValueError, OverflowError) as fault:
            raise _outside(observation, space) from fault
        if 0 <= key < n:
            return key
        raise _outside(observation, space)

    return encode


def _whole(x: Any) -> int:
    """A whole number as int; 1.5, NaN and text are errors, not 1."""
    if type(x) is int:
        return x
    number = int(x)
    if number != x:
        raise ValueError("no whole number")
    return number


def _outside(observation: Any, space: gymnasium.Space[Any]) -> SpaceError:
    return SpaceError(
        f"The environment gave the observation {observation!r}, which is not in its space {space}. "
        f"Correct the environment's observation_space, or what it returns from reset and step."
    )
