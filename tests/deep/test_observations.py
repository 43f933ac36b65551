"""Observations of every kind of space as arrays, and back out of a network's first layer."""

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, Sequence, Text, Tuple

from qfix.deep.observations import codec_for
from qfix.errors import QfixError, SpaceError

BYTES = (0, 255)


def prepared(space, observation):
    codec = codec_for(space)
    kept = codec.encode(observation)
    assert kept.shape == codec.input.shape
    assert kept.dtype == codec.input.dtype
    return codec.input.prepared(np, kept)


def test_numbers_are_counted_from_their_start():
    space = Discrete(4, start=-1)
    np.testing.assert_array_equal(prepared(space, 1), [0, 0, 1, 0])
    np.testing.assert_array_equal(prepared(space, np.int64(-1)), [1, 0, 0, 0])
    assert codec_for(space).input.size == 4


@pytest.mark.parametrize("shape", [(3,), (2, 3), ()])
def test_boxes_are_laid_flat(shape):
    x = np.arange(np.prod(shape, dtype=int), dtype=np.float64).reshape(shape) / 3
    np.testing.assert_allclose(prepared(Box(-9, 9, shape), x), x.ravel(), rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "first", "scale"),
    [((10, 12, 3), False, 255), ((3, 10, 12), True, 255), ((10, 10, 4), False, 1), ((84, 84, 1), False, 255)],
)
def test_images_keep_their_bytes_and_are_seen_with_channels_last(shape, first, scale):
    x = np.random.default_rng(0).integers(scale + 1, size=shape, dtype=np.uint8)
    space = Box(0, scale, shape, np.uint8)
    codec = codec_for(space)
    assert (codec.input.kind, codec.input.channels_first) == ("image", first)
    np.testing.assert_array_equal(codec.encode(x), x)
    seen = np.moveaxis(x, 0, -1) if first else x
    np.testing.assert_allclose(prepared(space, x), seen / scale, rtol=1e-6)


def test_small_boxes_of_bytes_are_vectors():
    assert codec_for(Box(*BYTES, (3, 3, 3), np.uint8)).input.kind == "vector"
    assert codec_for(Box(*BYTES, (10, 10), np.uint8)).input.kind == "vector"


def test_several_numbers_are_one_row_of_ones():
    np.testing.assert_array_equal(prepared(MultiDiscrete([2, 3]), [1, 2]), [0, 1, 0, 0, 1])
    np.testing.assert_array_equal(prepared(MultiDiscrete([2, 3], start=[5, -1]), [5, 1]), [1, 0, 0, 0, 1])
    np.testing.assert_array_equal(prepared(MultiBinary(3), [1, 0, 1]), [1, 0, 1])


def test_compounds_are_laid_end_to_end():
    space = Dict(
        a=Tuple([Discrete(2, start=1), Box(-1, 1, (2,))]),
        b=Dict(c=MultiBinary([1, 2]), d=MultiDiscrete([2, 2])),
    )
    x = {"b": {"d": [1, 0], "c": [[1, 0]]}, "a": (2, [0.5, -0.5])}
    np.testing.assert_array_equal(prepared(space, x), [0, 1, 0.5, -0.5, 1, 0, 0, 1, 1, 0])
    for sample in (space.sample() for _ in range(5)):
        np.testing.assert_allclose(
            prepared(space, sample), gymnasium.spaces.flatten(space, sample), rtol=1e-6
        )


def test_images_among_other_parts_are_known_by_their_place():
    frame = Box(0, 200, (8, 9, 2), np.uint8)
    space = Dict(
        a=Box(*BYTES, (3, 3, 3), np.uint8), b=Tuple([Discrete(2), frame]), c=Box(*BYTES, (2, 8, 9), np.uint8)
    )
    given = codec_for(space).input
    assert (given.kind, given.size, given.dtype) == ("vector", 27 + 2 + 144 + 144, np.float32)
    assert [(part.name, part.place) for part in given.images] == [
        ("b.1", slice(29, 173)),
        ("c", slice(173, 317)),
    ]
    assert [part.input for part in given.images] == [
        codec_for(space["b"][1]).input,
        codec_for(space["c"]).input,
    ]
    assert given.others == [slice(0, 29)]
    x = space.sample()
    seen = prepared(space, x)
    np.testing.assert_array_equal(seen[:27], x["a"].ravel())
    np.testing.assert_allclose(given.images[0].of(np, seen), x["b"][1] / 200, rtol=1e-6)
    np.testing.assert_allclose(given.images[1].of(np, seen), np.moveaxis(x["c"], 0, -1) / 255, rtol=1e-6)
    assert codec_for(Tuple([frame])).input.others == []
    with pytest.raises(SpaceError, match=r"keys of their own.*Got a_b, a_b\."):
        codec_for(Dict({"a.b": frame, "a_b": frame}))


@pytest.mark.parametrize(
    ("space", "named"),
    [
        (Text(5), r"It is Text"),
        (Sequence(Discrete(2)), r"It is Sequence"),
        (Graph(Box(0, 1, (2,)), None), r"It is Graph"),
        (Dict(a=Box(0, 1, (2,)), b=Tuple([Discrete(2), Text(3)])), r"Its part \['b'\]\[1\] is Text"),
    ],
)
def test_other_spaces_are_named(space, named):
    with pytest.raises(SpaceError, match=named):
        codec_for(space)


@pytest.mark.parametrize(
    ("space", "x"),
    [
        (Box(-1, 1, (3,)), np.zeros(2)),
        (Box(-1, 1, (2, 3)), np.zeros((3, 2))),
        (Box(*BYTES, (10, 10, 3), np.uint8), np.zeros((10, 10, 1), np.uint8)),
        (Box(*BYTES, (10, 10, 3), np.uint8), np.zeros((10, 3), np.uint8)),
        (Discrete(3), 3),
        (Discrete(3, start=1), 0),
        (MultiDiscrete([2, 3]), [2, 0]),
        (MultiDiscrete([2, 3]), [0, -1]),
        (MultiDiscrete([2, 3]), [0]),
        (MultiBinary(3), [1, 0]),
        (Dict(a=Box(-1, 1, (2, 3))), {"a": np.zeros((3, 2))}),
        (Dict(a=Discrete(2), b=Discrete(3)), {"a": 2, "b": 0}),
        (Tuple([Box(-1, 1, (1,)), Box(-1, 1, (2,))]), (np.zeros(2), np.zeros(2))),
    ],
)
def test_what_is_not_of_the_space_is_refused(space, x):
    """Not written somewhere else, and not spread over the place of something larger."""
    with pytest.raises(QfixError):
        codec_for(space).encode(x)
