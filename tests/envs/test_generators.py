"""How states of random generators are written, and what is refused of what a stranger wrote."""

import numpy as np
import pytest

from envs.walks import SOURCES, Noise, Walk
from qfix.envs import generators


def states():
    env = Noise(Walk(), None)
    for make in SOURCES.values():
        env.source = make()
        yield generators.read(env, generators.places(env))


def test_states_come_back_as_they_were():
    for kept in states():
        raw = generators.to_bytes(kept)
        np.testing.assert_array_equal(generators.to_bytes(generators.from_bytes(raw)), raw)


def test_damaged_states_of_generators_are_refused_or_harmless():
    """2,000 mutations: from_bytes raises ValueError, or what it gives can be set and drawn from."""
    rng = np.random.default_rng(7)
    env = Noise(Walk(), None)
    kept = list(states())
    refused = 0
    for case in range(2_000):
        raw = generators.to_bytes(kept[case % len(kept)])
        for _ in range(rng.integers(1, 4)):
            at = rng.integers(len(raw))
            raw[at] = rng.choice(np.frombuffer(b'0123456789-.,:[]{}"eE nt', np.uint8))
        env.source = list(SOURCES.values())[case % len(kept)]()
        try:
            if generators.write(env, generators.from_bytes(raw)):
                env.source.random()
        except ValueError:
            refused += 1
    assert refused > 500


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b"[1]",
        b"[[0, 1, 2, 3]]",
        b'[[-1, "x", "PCG64", {}]]',
        b'[[0, "x", "PCG64", {"bit_generator": "PCG64", "state": NaN}]]',
        b'[[0, "x", "Evil", {"bit_generator": "Evil"}]]',
        b"[" * 100_000,
        b"[[0, " + b"9" * 5_000 + b"]]",
        b"\xff\xfe",
        b" " * ((1 << 20) + 1),
    ],
    ids=range(10),
)
def test_what_is_no_state_of_generators(text):
    with pytest.raises(ValueError, match=r".+"):
        generators.from_bytes(np.frombuffer(text, np.uint8))


@pytest.mark.parametrize("kind", ["MT19937", "Philox", "RandomState", "random.Random"])
def test_a_place_beyond_the_words_is_refused(kind):
    """NumPy would read there: it believes what it is given."""
    env = Noise(Walk(), SOURCES[kind]())
    ((place, name, state),) = generators.read(env, generators.places(env))
    if kind == "random.Random":
        state = (state[0], (*state[1][:-1], 625), state[2])
    elif kind == "Philox":
        state["buffer_pos"] = 5
    else:
        state["state"]["pos"] = 625
    with pytest.raises(ValueError, match=r".+"):
        generators.from_bytes(generators.to_bytes([generators.Kept(place, name, state)]))
