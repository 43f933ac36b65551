"""The memory on the device against that on the host: the same steps and bits give the same batches."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qfix.errors import OptionError
from qfix.replay import Transition, importance_weights
from qfix.replay.device import DeviceReplay
from qfix.replay.host import HostReplay
from replay.twins import Twin, random_bits, random_steps

GAMMA = 0.9


def same_sample(device, host):
    np.testing.assert_array_equal(device.index, host.index)
    np.testing.assert_allclose(device.probability, host.probability, rtol=2e-6)
    for name in ("obs", "action", "next_obs"):
        found, wanted = getattr(device.batch, name), getattr(host.batch, name)
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
    for name in ("reward", "discount"):
        np.testing.assert_allclose(getattr(device.batch, name), getattr(host.batch, name), 1e-6, 1e-6)
    assert (device.batch.mask_next is None) == (host.batch.mask_next is None)
    if host.batch.mask_next is not None:
        np.testing.assert_array_equal(device.batch.mask_next, host.batch.mask_next)


KINDS = list(itertools.product([1, 7, 10, 100], [1, 3], [None, 0.6], [1, 3]))


def is_quick(capacity, n_envs, priority_exponent, n_step):
    """Half of all, in which every two options still meet in every way; the others are slow tests."""
    return ((capacity in (7, 100)) + (n_envs == 3) + (priority_exponent is None) + (n_step == 3)) % 2 == 0


@pytest.mark.parametrize(
    ("capacity", "n_envs", "priority_exponent", "n_step"),
    [kind if is_quick(*kind) else pytest.param(*kind, marks=pytest.mark.slow) for kind in KINDS],
)
def test_host_and_device_give_the_same_batches(capacity, n_envs, priority_exponent, n_step):
    rng = np.random.default_rng([capacity, n_envs, n_step])
    n_actions = 3 if n_envs == 3 else None
    host = HostReplay(capacity, n_envs, ((2,), np.float32), n_step, GAMMA, priority_exponent, n_actions)
    device = DeviceReplay(capacity, n_envs, n_step, GAMMA, priority_exponent)
    add, draw, update = jax.jit(device.add), jax.jit(device.sample), jax.jit(device.update_priorities)
    twin = Twin(capacity, n_envs, n_step, GAMMA)
    steps = random_steps(rng, n_envs, 60 if capacity < 100 else 130, n_actions=n_actions)
    memory = device.start(steps[0])
    for step in steps:
        host.add(*step)
        memory = add(memory, step)
        twin.steps.append(step)
        bits = random_bits(rng, 16)
        sample, wanted = draw(memory, bits), host.sample(bits)
        assert int(device.size(memory)) == host.size == twin.size
        same_sample(sample, wanted)
        twin.check(sample)
        if priority_exponent is not None:
            priority = rng.exponential(size=16).astype(np.float32)
            host.update_priorities(wanted.index, priority)
            memory = update(memory, sample.index, priority)


def test_a_loop_carries_a_memory():
    device = DeviceReplay(10, 2, 2, GAMMA, 0.6)
    steps = random_steps(np.random.default_rng(4), 2, 12)
    stacked = jax.tree.map(lambda *rows: jnp.stack(rows), *steps)
    bits = random_bits(np.random.default_rng(5), 12 * 8).reshape(12, 8)

    def step(memory, given):
        row, bits = given
        memory = device.add(memory, row)
        sample = device.sample(memory, bits)
        priority = jnp.abs(sample.batch.reward)
        return device.update_priorities(memory, sample.index, priority), sample

    memory, samples = jax.jit(partial(jax.lax.scan, step))(device.start(steps[0]), (stacked, bits))
    host = HostReplay(10, 2, ((2,), np.float32), 2, GAMMA, 0.6)
    for t, row in enumerate(steps):
        host.add(*row)
        wanted = host.sample(bits[t])
        host.update_priorities(wanted.index, np.abs(wanted.batch.reward))
        same_sample(jax.tree.map(lambda x, t=t: x[t], samples), wanted)
    assert int(memory.position) == 12 % 5


@pytest.mark.optimised
def test_a_step_writes_a_donated_memory_in_place():
    """Nothing as large as the memory is copied, though the weights are wanted for what no priority waits for."""
    device = DeviceReplay(100_003, 1, 3, GAMMA, 0.6)
    row = Transition(*(jax.ShapeDtypeStruct((1, *shape), dtype) for shape, dtype in FIELDS))
    carry = jax.eval_shape(lambda: (device.start(row), jnp.zeros(64)))

    def body(i, carry):
        memory, learned = carry
        memory = device.add(memory, jax.tree.map(lambda x: jnp.full(x.shape, i, x.dtype), row))
        sample = device.sample(memory, jnp.arange(64, dtype=jnp.uint32) * i.astype(jnp.uint32))
        learned += importance_weights(sample.probability, device.size(memory), 0.4) * sample.batch.obs[:, 0]
        return device.update_priorities(memory, sample.index, jnp.abs(sample.batch.reward)), learned

    loop = jax.jit(lambda carry: jax.lax.fori_loop(0, 10, body, carry), donate_argnums=0)
    compiled = loop.lower(carry).compile()
    used = compiled.memory_analysis()
    assert used.alias_size_in_bytes >= 0.99 * used.argument_size_in_bytes
    assert used.temp_size_in_bytes < 100_000  # one array of a byte for each transition


FIELDS = [((4,), np.float32), ((), np.int32), ((), np.float32), ((), bool), ((), bool), ((4,), np.float32)]


def test_seeds_may_be_mapped_over():
    device = DeviceReplay(7, 1, 3, GAMMA, 0.6)
    runs = [random_steps(np.random.default_rng(seed), 1, 9) for seed in (6, 7)]
    bits = random_bits(np.random.default_rng(8), 16)

    def run(steps):
        memory, _ = jax.lax.scan(lambda m, s: (device.add(m, s), None), device.start(runs[0][0]), steps)
        return device.sample(memory, bits)

    stacked = [jax.tree.map(lambda *rows: jnp.stack(rows), *steps) for steps in runs]
    both = jax.jit(jax.vmap(run))(jax.tree.map(lambda *two: jnp.stack(two), *stacked))
    for i, steps in enumerate(stacked):
        same_sample(jax.tree.map(lambda x, i=i: x[i], both), jax.jit(run)(steps))


def test_what_cannot_be_is_refused():
    with pytest.raises(OptionError, match="'gamma'"):
        DeviceReplay(10, 1, gamma=2.0)
    device = DeviceReplay(10, 2)
    row = random_steps(np.random.default_rng(1), 2, 1)[0]
    with pytest.raises(OptionError, match="'reward'"):
        device.start(row._replace(reward=np.zeros(3)))
    with pytest.raises(OptionError, match="'priority_exponent'"):
        device.update_priorities(device.start(row), jnp.zeros(1, jnp.int32), jnp.ones(1))
