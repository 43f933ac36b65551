"""Sequences of steps: rows that follow one another, from every beginning there is, on host and device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qfix.errors import OptionError
from qfix.replay import Transition
from qfix.replay.device import DeviceReplay
from qfix.replay.host import HostReplay
from replay.twins import random_bits, random_steps

L, N, H = 3, 2, 4


def with_states(steps, seed=0):
    rng = np.random.default_rng(seed)
    return [s._replace(state=rng.normal(size=(N, H)).astype(np.float32)) for s in steps]


def expected(steps, rows, index):
    """The steps of one sequence, from the list of all rows that were ever added."""
    row, env = divmod(int(index), N)
    held = range(max(0, len(steps) - rows), len(steps))
    (start,) = [t for t in held if t % rows == row]
    assert start + L <= len(steps)
    return [Transition(*(x if x is None else x[env] for x in steps[start + k])) for k in range(L)]


def check(sample, steps, rows):
    found = sample.batch
    for b, index in enumerate(np.asarray(sample.index)):
        wanted = expected(steps, rows, index)
        np.testing.assert_array_equal(found.state[b], wanted[0].state)
        for k, step in enumerate(wanted):
            for name in ("obs", "action", "reward", "terminated", "ended", "next_obs"):
                np.testing.assert_array_equal(
                    np.asarray(getattr(found, name))[k, b], getattr(step, name), name
                )


def host(capacity, exponent=None, **more):
    options = {"n_actions": 5, "priority_exponent": exponent, "sequence": L, "n_state": H}
    return HostReplay(capacity, N, ((2,), np.float32), **options | more)


@pytest.mark.parametrize("exponent", [None, 0.7])
@pytest.mark.parametrize("count", [3, 5, 10, 11, 23])
def test_host_and_device_draw_the_same_rows_in_order(exponent, count):
    steps = with_states(random_steps(np.random.default_rng(count), N, count, n_actions=5))
    memory = host(19, exponent)
    device = DeviceReplay(19, N, priority_exponent=exponent, sequence=L)
    on_device = device.start(jax.tree.map(jnp.asarray, steps[0]))
    add = jax.jit(device.add)
    for step in steps:
        memory.add(*step)
        on_device = add(on_device, step)
    bits = random_bits(np.random.default_rng(1), 400)
    one, other = memory.sample(bits), jax.jit(device.sample)(on_device, bits)
    check(one, steps, 10)
    np.testing.assert_array_equal(one.index, other.index)
    np.testing.assert_allclose(one.probability, other.probability, rtol=1e-6)
    for a, b in zip(one.batch, other.batch, strict=True):
        np.testing.assert_array_equal(a, b)
    held = min(count, 10)
    assert len(set(one.index.tolist())) == (held - L + 1) * N  # every beginning there is


def test_priorities_choose_among_beginnings_alone():
    rng = np.random.default_rng(5)
    steps = with_states(random_steps(rng, N, 40, n_actions=5))
    memory = host(20, 1.0)
    device = DeviceReplay(20, N, priority_exponent=1.0, sequence=L)
    on_device = device.start(jax.tree.map(jnp.asarray, steps[0]))
    for t, step in enumerate(steps):
        memory.add(*step)
        on_device = device.add(on_device, step)
        if t < L:
            continue
        bits = random_bits(rng, 8)
        one, other = memory.sample(bits), device.sample(on_device, bits)
        check(one, steps[: t + 1], 10)
        np.testing.assert_array_equal(one.index, other.index)
        priority = rng.random(8).astype(np.float32) * 5
        memory.update_priorities(one.index, priority)
        on_device = device.update_priorities(on_device, other.index, jnp.asarray(priority))


def test_frames_are_stacked_in_sequences_too():
    """Against a memory that keeps whole stacks."""
    rng = np.random.default_rng(2)
    frames = rng.integers(0, 255, (60, N, 3), dtype=np.uint8)
    stack = np.repeat(frames[0][:, None], 4, 1)
    one = HostReplay(20, N, ((4, 3), np.uint8), frame_stack=4, frames_first=True, sequence=L)
    other = HostReplay(20, N, ((4, 3), np.uint8), sequence=L)
    flags = np.zeros(N, bool)
    for t in range(1, 35):
        following = np.concatenate([stack[:, 1:], frames[t][:, None]], 1)
        ended = np.array([t % 5 == 0, t % 7 == 0])
        for memory in (one, other):
            memory.add(stack, np.zeros(N, int), np.zeros(N), flags, ended, following)
        fresh = np.repeat(frames[t][:, None], 4, 1)
        stack = np.where(ended[:, None, None], fresh, following)
    bits = random_bits(rng)
    for a, b in zip(one.sample(bits).batch, other.sample(bits).batch, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("count", [2, 7, 10, 14])
def test_pack_and_unpack_go_on_to_the_bit(count):
    steps = with_states(random_steps(np.random.default_rng(3), N, count + 5, n_actions=5))
    memory, again = host(20, 0.6), host(20, 0.6)
    for step in steps[:count]:
        memory.add(*step)
    if count > L:
        sample = memory.sample(random_bits(np.random.default_rng(0), 6))
        memory.update_priorities(sample.index, np.arange(6.0) + 0.5)
    again.unpack({name: array.copy() for name, array in memory.pack().items()})
    for step in steps[count:]:
        memory.add(*step)
        again.add(*step)
    bits = random_bits(np.random.default_rng(4))
    one, other = memory.sample(bits), again.sample(bits)
    np.testing.assert_array_equal(one.index, other.index)
    np.testing.assert_array_equal(one.batch.state, other.batch.state)


def test_what_cannot_be_is_refused():
    with pytest.raises(OptionError, match=r"'sequence'.*0\.\.2.*Got 3"):
        HostReplay(4, 2, ((2,), np.float32), sequence=3)
    with pytest.raises(OptionError, match="'sequence'"):
        DeviceReplay(4, 2, sequence=3)
    memory = host(20, 0.6)
    steps = with_states(random_steps(np.random.default_rng(0), N, 6, n_actions=5))
    with pytest.raises(OptionError, match="'transition'"):
        memory.add(*steps[0]._replace(state=steps[0].state[:, :1]))
    memory.add(*steps[0])
    with pytest.raises(OptionError, match=r"at least 6\. Got 2"):
        memory.sample(np.zeros(1, np.uint32))
    for step in steps[1:]:
        memory.add(*step)
    arrays = {name: array.copy() for name, array in memory.pack().items()}
    hostile = arrays["priorities"].copy()
    hostile[-1] = 1.0  # the newest row begins no sequence
    with pytest.raises(OptionError, match=r"'priorities'.*cannot begin yet"):
        host(20, 0.6).unpack(arrays | {"priorities": hostile})
    with pytest.raises(OptionError, match="'state'"):
        host(20, 0.6).unpack(arrays | {"state": arrays["state"][:, :2]})
