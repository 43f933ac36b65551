"""A memory that was packed goes on to the bit; what a stranger packed is not believed."""

import numpy as np
import pytest

from qfix.errors import OptionError
from qfix.replay.host import HostReplay
from replay.test_frames import assert_same, wrapped_steps
from replay.twins import random_bits, random_steps


def kept(arrays):
    """As a file would keep them."""
    return {name: array.copy() for name, array in arrays.items()}


def vectors(capacity=11):
    return HostReplay(capacity, 2, ((2,), np.float32), 3, 0.9, 0.7, n_actions=4)


def stacks(capacity=11):
    return HostReplay(capacity, 2, ((3, 2, 3), np.uint8), 3, 0.9, frame_stack=3)


def rows_for_vectors(count):
    return random_steps(np.random.default_rng(1), 2, count, n_actions=4)


def rows_for_stacks(count):
    return list(wrapped_steps(2, 3, count, 5))


KINDS = [(vectors, rows_for_vectors), (stacks, rows_for_stacks)]


@pytest.mark.parametrize("before", [0, 1, 5, 6, 7, 8, 30])
@pytest.mark.parametrize(("kind", "rows"), KINDS, ids=["vectors", "stacks"])
def test_a_memory_that_was_packed_goes_on_to_the_bit(kind, rows, before):
    rng = np.random.default_rng(2)
    one, other = kind(), kind()
    for row in rows(9):  # what it held is gone after unpack
        other.add(*row)
    steps = rows(before + 40)
    for row in steps[:before]:
        one.add(*row)
        turn(one, rng)
    other.unpack(kept(one.pack()))
    for row in steps[before:]:
        one.add(*row)
        other.add(*row)
        bits = random_bits(rng, 16)
        assert_same(other.sample(bits), one.sample(bits))
        state = rng.bit_generator.state
        turn(one, rng)
        rng.bit_generator.state = state
        turn(other, rng)
    packed = other.pack()
    for name, array in one.pack().items():
        np.testing.assert_array_equal(packed[name], array, err_msg=name)


def turn(memory, rng):
    sample = memory.sample(random_bits(rng, 8))
    if "priorities" in memory.pack():
        memory.update_priorities(sample.index, rng.exponential(size=8))


def changed(array, index, value):
    array = array.copy()
    array[index] = value
    return array


def not_a_flag(array):
    array = array.copy()
    array.view(np.uint8)[0] = 7
    return array


SHARED = {
    "position": [lambda x: x + 100, lambda x: x - 100, lambda x: x.astype(np.int32), lambda x: x[None]],
    "filled": [lambda x: x + 1, lambda x: x - 1, lambda x: x * 0 - 1],
    "reward": [lambda x: x[1:], lambda x: x.astype(np.float64), lambda x: list(x)],
    "action": [lambda x: x.astype(np.int64)],
    "terminated": [not_a_flag, lambda x: x | True],
    "ended": [not_a_flag, lambda x: x.view(np.uint8)],
}
OF_VECTORS = {
    "obs": [lambda x: x[:, :1], lambda x: x.astype(np.float64)],
    "next_obs": [lambda x: x[:-1]],
    "action": [lambda x: changed(x, 3, 4), lambda x: changed(x, 3, -1)],
    "mask_next": [not_a_flag, lambda x: x[:, 1:]],
    "priorities": [
        lambda x: changed(x, 2, np.nan),
        lambda x: changed(x, 2, -1.0),
        lambda x: changed(x, 2, 0.0),
        lambda x: changed(x, 2, np.inf),
        lambda x: x.astype(np.float32),
    ],
    "largest": [lambda x: x * np.nan, lambda x: x * 0, lambda x: x * np.inf],
}
OF_STACKS = {
    "frames": [lambda x: x[1:], lambda x: x.astype(np.int8)],
    "frames_position": [lambda x: x + 100, lambda x: x * 0 - 1],
    "frames_filled": [lambda x: x + 100, lambda x: x * 0],
    "newest": [lambda x: x[:1]],
    "earlier": [lambda x: x + 1, lambda x: x * 0 + 200, lambda x: x.astype(np.int64)],
    "finals": [lambda x: x[1:], lambda x: np.concatenate([x, x])],
    "ended": [lambda x: x & False],
}
DAMAGES = [
    pytest.param(kind, rows, name, spoil, id=f"{kind.__name__}-{name}-{i}")
    for (kind, rows), own in zip(KINDS, (OF_VECTORS, OF_STACKS))
    for damages in (SHARED, own)
    for name, spoils in damages.items()
    for i, spoil in enumerate(spoils)
]


@pytest.mark.parametrize(("kind", "rows", "name", "spoil"), DAMAGES)
@pytest.mark.parametrize("count", [4, 20])
def test_damaged_arrays_are_refused_and_change_nothing(kind, rows, name, spoil, count):
    memory = kind()
    for row in rows(count):
        memory.add(*row)
    before = kept(memory.pack())
    with pytest.raises(OptionError, match="unpack"):
        memory.unpack(before | {name: spoil(before[name])})
    for key, array in memory.pack().items():
        np.testing.assert_array_equal(array, before[key], err_msg=key)


@pytest.mark.parametrize(("kind", "rows"), KINDS, ids=["vectors", "stacks"])
def test_missing_and_extra_arrays_are_refused(kind, rows):
    memory = kind()
    for row in rows(9):
        memory.add(*row)
    arrays = kept(memory.pack())
    for name in arrays:
        with pytest.raises(OptionError, match=f"'{name}'"):
            memory.unpack({key: array for key, array in arrays.items() if key != name})
    with pytest.raises(OptionError, match="extra"):
        memory.unpack(arrays | {"extra": np.zeros(1)})
    with pytest.raises(OptionError, match="unpack"):
        kind(40).unpack(arrays)
