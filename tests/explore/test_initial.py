"""Starting values: exact numbers, ranges, streams, text and JSON, errors."""

import json

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfix.errors import OptionError, UnknownNameError
from qfix.explore import ConstantValue, Optimistic, SmallRandom, Zeros, as_initial, initial_value

ALL = [Zeros(), ConstantValue(-2.5), Optimistic(2.0, 0.9), SmallRandom(0.3)]


def test_values_by_hand():
    assert np.array_equal(Zeros().fill((2, 3)), np.zeros((2, 3)))
    assert np.array_equal(ConstantValue(-2.5).fill(4), np.full(4, -2.5))
    assert Optimistic(2.0, 0.9).fill((1, 1))[0, 0] == pytest.approx(20.0, rel=1e-15)
    assert Optimistic(3.0, 0.0).fill(1)[0] == 3.0


@settings(deadline=None)
@given(st.floats(0.0, 10.0, allow_subnormal=False), st.floats(0.0, 0.999), st.integers(1, 400))
def test_optimism_is_above_every_discounted_return(r_max, gamma, length):
    best = sum(r_max * gamma**t for t in range(length))
    assert Optimistic(r_max, gamma).fill(1)[0] >= best * (1 - 1e-12)


def test_small_random_is_uniform_in_its_range_and_follows_its_stream():
    draws = SmallRandom(0.3).fill((200, 50), np.random.default_rng(7))
    assert draws.min() >= -0.3
    assert draws.max() < 0.3
    # Kolmogorov-Smirnov distance of 10 000 draws (seed 7): above 0.0225 with probability 8e-5.
    expected = (np.arange(10_000) + 0.5) / 10_000
    assert np.abs((np.sort(draws.ravel()) + 0.3) / 0.6 - expected).max() < 0.0225
    assert np.array_equal(draws, SmallRandom(0.3).fill((200, 50), np.random.default_rng(7)))
    assert not np.array_equal(draws, SmallRandom(0.3).fill((200, 50), np.random.default_rng(8)))


def test_values_that_are_not_random_leave_the_stream_alone():
    rng = np.random.default_rng(7)
    for initial in (Zeros(), ConstantValue(1.0), Optimistic(1.0, 0.9), SmallRandom(0.0)):
        initial.fill((3, 2), rng)
    assert rng.random() == np.random.default_rng(7).random()


@pytest.mark.parametrize("initial", ALL, ids=repr)
def test_a_store_that_grows_starts_its_rows_in_the_same_way(initial):
    low, width = initial.encode()
    whole = initial.fill((5, 4), np.random.default_rng(3))
    uniform = np.random.default_rng(3).random((5, 4))
    compiled = numba.njit(initial_value)
    for s in range(5):
        for a in range(4):
            assert initial_value(low, width, uniform[s, a]) == whole[s, a]
            assert compiled(low, width, uniform[s, a]) == whole[s, a]


@pytest.mark.parametrize("initial", ALL, ids=repr)
def test_text_and_json_lead_back(initial):
    assert as_initial(repr(initial)) == initial
    assert eval(repr(initial)) == initial
    assert as_initial(json.loads(json.dumps(initial.to_dict()))) == initial


@pytest.mark.parametrize(
    ("text", "initial"),
    [
        ("0", Zeros()),
        (0.0, Zeros()),
        ("-1.5", ConstantValue(-1.5)),
        (2, ConstantValue(2.0)),
        ("zeros", Zeros()),
        ("optimistic(1, gamma=0.99)", Optimistic(1.0, 0.99)),
        ("small_random", SmallRandom()),
        ("small-random(0.1)", SmallRandom(0.1)),
        (SmallRandom(0.1), SmallRandom(0.1)),
    ],
)
def test_as_initial_reads(text, initial):
    assert as_initial(text) == initial


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimistic(1, 1)", "The 'gamma' parameter of Optimistic must be below 1: without discount"),
        ("optimistic(1, 1)", "Use ConstantValue(v)"),
        (
            "optimistic(1, 1.2)",
            "The 'gamma' parameter of Optimistic must be in [0, 1). Got 1.2. Use gamma=0.99.",
        ),
        ("optimistic(1e308, 0.999)", "must leave r_max / (1 - gamma) finite"),
        ("small_random(-1)", "The 'scale' parameter of SmallRandom must be 0 or above. Got -1.0."),
        ("constant_value(nan)", "The 'value' parameter of ConstantValue must be a finite number"),
        ("optimstic(1, 0.9)", "There is no initial value 'optimstic'. Did you mean 'optimistic'?"),
        ("[0]", "The 'x' parameter of as_initial must be a number"),
    ],
)
def test_bad_values_are_named_with_rule_and_remedy(text, message):
    with pytest.raises((OptionError, UnknownNameError)) as error:
        as_initial(text)
    assert message in str(error.value)


def test_random_values_need_a_stream():
    with pytest.raises(OptionError, match="The 'rng' parameter of SmallRandom must be a numpy Generator"):
        SmallRandom(0.1).fill((2, 2))
