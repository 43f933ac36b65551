"""Keys of discrete spaces: a bijection, and a sentence for what is outside."""

import math

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from hypothesis import given, settings
from hypothesis import strategies as st

from qfix.envs.spaces import discrete_codec
from qfix.errors import SpaceError

LEAVES = st.one_of(
    st.builds(lambda n, start: Discrete(n, start=start), st.integers(1, 7), st.integers(-3, 3)),
    st.builds(
        lambda nvec, start: MultiDiscrete(nvec, start=[start] * len(nvec)),
        st.lists(st.integers(1, 4), min_size=1, max_size=3),
        st.integers(-2, 2),
    ),
    st.builds(lambda n: MultiDiscrete(np.full((2, n), 2)), st.integers(1, 2)),
    st.builds(MultiBinary, st.integers(1, 4)),
    st.builds(MultiBinary, st.just([2, 2])),
)
SPACES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(Tuple),
        st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3).map(Dict),
    ),
    max_leaves=4,
)


def same(a, b):
    return gymnasium.utils.env_checker.data_equivalence(a, b)


@settings(max_examples=150, deadline=None)
@given(SPACES, st.integers(0, 2**31 - 1), st.data())
def test_round_trip(space, seed, data):
    codec = discrete_codec(space)
    space.seed(seed)
    observation = space.sample()
    key = codec.encode(observation)
    assert type(key) is int
    assert 0 <= key < codec.n_states
    assert codec.decode(key) in space
    assert same(codec.decode(key), observation)
    other = data.draw(st.integers(0, codec.n_states - 1))
    assert codec.encode(codec.decode(other)) == other


def test_every_key_once():
    space = Dict(a=Discrete(3, start=-1), b=Tuple((MultiBinary(2), Discrete(2))))
    codec = discrete_codec(space)
    assert codec.n_states == 3 * 4 * 2
    assert len({repr(codec.decode(k)) for k in range(codec.n_states)}) == 24


def test_mixed_radix_by_hand():
    codec = discrete_codec(MultiDiscrete([2, 3, 5]))
    assert codec.encode(np.array([1, 2, 4])) == (1 * 3 + 2) * 5 + 4
    assert codec.encode([0, 1, 0]) == 5
    np.testing.assert_array_equal(codec.decode(22), [1, 1, 2])
    assert codec.decode(22).dtype == np.int64
    assert discrete_codec(Discrete(4, start=10)).encode(np.int64(12)) == 2


def test_as_many_states_as_it_takes():
    codec = discrete_codec(MultiDiscrete([10] * 40))
    assert codec.n_states == 10**40
    top = np.full(40, 9)
    assert codec.encode(top) == 10**40 - 1
    np.testing.assert_array_equal(codec.decode(10**40 - 1), top)
    assert math.log10(codec.n_states) == 40


@pytest.mark.parametrize("bad", [5, -1, 1.5, float("nan"), float("inf"), "one", None, [1, 2]])
def test_outside_discrete(bad):
    with pytest.raises(SpaceError, match="which is not in its space Discrete\\(5\\)") as error:
        discrete_codec(Discrete(5)).encode(bad)
    assert repr(bad) in str(error.value)


@pytest.mark.parametrize(
    ("space", "bad"),
    [
        (MultiDiscrete([2, 3]), [1, 3]),
        (MultiDiscrete([2, 3]), [-1, 0]),
        (MultiDiscrete([2, 3]), [1]),
        (MultiDiscrete([2, 3]), [0.5, 1]),
        (MultiBinary(2), [2, 0]),
        (Tuple((Discrete(2), Discrete(2))), (1,)),
        (Tuple((Discrete(2), Discrete(2))), 1),
        (Dict(a=Discrete(2)), {"b": 1}),
        (Dict(a=Discrete(2)), {"a": 1, "b": 1}),
        (Dict(a=Discrete(2)), {"a": 2}),
    ],
)
def test_outside_compounds(space, bad):
    with pytest.raises(SpaceError, match="The environment gave the observation"):
        discrete_codec(space).encode(bad)


def test_spaces_that_are_not_discrete():
    with pytest.raises(SpaceError, match=r"It is Box.*tile coding"):
        discrete_codec(Box(-1, 1, (2,)))
    with pytest.raises(SpaceError, match=r"Its part \['a'\]\[1\] is Box"):
        discrete_codec(Dict(a=Tuple((Discrete(2), Box(0, 1)))))
    with pytest.raises(SpaceError, match="It is Text"):
        discrete_codec(gymnasium.spaces.Text(3))


@pytest.mark.parametrize("key", [-1, 6])
def test_keys_out_of_range(key):
    with pytest.raises(SpaceError, match=r"must be in 0\.\.5"):
        discrete_codec(MultiDiscrete([2, 3])).decode(key)
