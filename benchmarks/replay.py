"""What a memory costs inside the loop that uses it: add one step, sample 64, learn, and set 64 priorities.

    python benchmarks/replay.py [--rounds 7] [--steps 4000] [--capacities 10_000 100_000 1_000_000]

The loop is a double DQN with a [64, 64] network, four numbers an observation, a stand-in for what qfix.deep does: on
the device all of it in one `fori_loop`, on the host the memory in NumPy and the gradient step jitted. "no memory" is
the same loop on one batch that never changes. Memories are full. One environment, one pinned core.

Contenders take turns within a round, so that what else the machine does falls on all; figures are medians over rounds,
of microseconds a step, and of the ratio of prioritised to uniform within a round.
"""

from __future__ import annotations

import os

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from qfix.replay import Batch, Transition, importance_weights
from qfix.replay.device import DeviceReplay
from qfix.replay.host import HostReplay

N_FEATURES, N_ACTIONS, BATCH, WIDTH = 4, 2, 64, 64
ALPHA, BETA = 0.6, 0.4


def network(seed: int):
    sizes = [(N_FEATURES, WIDTH), (WIDTH, WIDTH), (WIDTH, N_ACTIONS)]
    keys = jax.random.split(jax.random.key(seed), 3)
    weights = [(jax.random.normal(k, s) / s[0] ** 0.5, jnp.zeros(s[1])) for k, s in zip(keys, sizes)]
    zeros = jax.tree.map(jnp.zeros_like, weights)
    return weights, jax.tree.map(jnp.copy, weights), zeros, jax.tree.map(jnp.copy, zeros)


def values(weights, obs):
    for w, b in weights[:-1]:
        obs = jax.nn.relu(obs @ w + b)
    w, b = weights[-1]
    return obs @ w + b


def learn(learner, batch: Batch, weight):
    """One step of Adam on the double-DQN error: the learner after it, and |td error| (B,)."""
    weights, target, first, second = learner

    def loss(weights):
        chosen = jnp.argmax(values(weights, batch.next_obs), 1)
        ahead = jnp.take_along_axis(values(target, batch.next_obs), chosen[:, None], 1)[:, 0]
        q = jnp.take_along_axis(values(weights, batch.obs), batch.action[:, None], 1)[:, 0]
        td = lax.stop_gradient(batch.reward + batch.discount * ahead) - q
        return jnp.mean(weight * td**2), jnp.abs(td)

    slope, td = jax.grad(loss, has_aux=True)(weights)
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, slope)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, slope)
    weights = jax.tree.map(lambda w, m, v: w - 1e-4 * m / (jnp.sqrt(v) + 1e-8), weights, first, second)
    target = jax.tree.map(lambda t, w: t + 0.005 * (w - t), target, weights)
    return (weights, target, first, second), td


def some_batch() -> Batch:
    rng = np.random.default_rng(1)
    obs, next_obs = rng.standard_normal((2, BATCH, N_FEATURES)).astype(np.float32)
    reward, discount = np.ones(BATCH, np.float32), np.full(BATCH, 0.99, np.float32)
    return Batch(obs, rng.integers(0, N_ACTIONS, BATCH, np.int32), reward, discount, next_obs, None)


def step_number(i):
    """A row that differs from step to step; every 100th ends an episode."""
    obs = jnp.sin(jnp.arange(N_FEATURES) + i)[None]
    ended = jnp.reshape(i % 100 == 0, 1)
    return Transition(obs, jnp.reshape(i % 2, 1), jnp.ones(1), ended, ended, -obs)


def bits_number(i):
    x = jnp.arange(BATCH, dtype=jnp.uint32) * jnp.uint32(2654435761) + i.astype(jnp.uint32) * jnp.uint32(
        40503
    )
    x = (x ^ (x >> 15)) * jnp.uint32(0x2C1B3C6D)
    return (x ^ (x >> 12)) * jnp.uint32(0x297A2D39)


def on_device(capacity: int, n_step: int, exponent: float | None) -> Callable[[int], None]:
    replay = DeviceReplay(capacity, 1, n_step, 0.99, exponent)

    def fill(i, memory):
        memory = replay.add(memory, step_number(i))
        if exponent is None:
            return memory
        size = replay.size(memory).astype(jnp.uint32)
        index = (bits_number(i)[:1] % size).astype(jnp.int32)
        priority = -jnp.log((bits_number(i)[1:2].astype(jnp.float32) + 1.0) / 2.0**32) + 1e-3
        return replay.update_priorities(memory, index, priority)

    def body(i, carry):
        memory, learner = carry
        memory = replay.add(memory, step_number(i))
        sample = replay.sample(memory, bits_number(i))
        if exponent is None:
            learner, _ = learn(learner, sample.batch, 1.0)
            return memory, learner
        weight = importance_weights(sample.probability, replay.size(memory), BETA)
        learner, td = learn(learner, sample.batch, weight)
        return replay.update_priorities(memory, sample.index, td + 1e-3), learner

    memory = replay.start(jax.eval_shape(lambda: step_number(0)))
    memory = jax.jit(lambda m: lax.fori_loop(0, capacity, fill, m), donate_argnums=0)(memory)
    return _device_loop(body, (memory, network(1)))


def device_alone() -> Callable[[int], None]:
    batch = jax.tree.map(jnp.asarray, some_batch())

    def body(i, carry):
        _, learner = carry
        return i, learn(learner, batch._replace(reward=batch.reward + i * 1e-6), 1.0)[0]

    return _device_loop(body, (jnp.int32(0), network(1)))


def _device_loop(body, carry) -> Callable[[int], None]:
    loop = jax.jit(lambda carry, steps: lax.fori_loop(0, steps, body, carry), donate_argnums=0)
    held = [carry]

    def run(steps: int) -> None:
        held[0] = jax.block_until_ready(loop(held[0], steps))

    return run


def on_host(capacity: int, n_step: int, exponent: float | None) -> Callable[[int], None]:
    memory = HostReplay(capacity, 1, ((N_FEATURES,), np.float32), n_step, 0.99, exponent)
    rng = np.random.default_rng(1)
    ended = np.arange(capacity) % 100 == 0
    obs = rng.standard_normal((capacity, N_FEATURES), np.float32)
    arrays = {"obs": obs, "next_obs": -obs, "position": np.array(0), "filled": np.array(capacity)}
    arrays |= {"action": np.zeros(capacity, np.int32), "reward": np.ones(capacity, np.float32)}
    arrays |= {"terminated": ended, "ended": ended}
    if exponent is not None:
        priorities = rng.exponential(size=capacity) ** exponent
        arrays |= {"priorities": priorities, "largest": np.array(max(1.0, priorities.max()))}
    memory.unpack(arrays)
    jitted = jax.jit(learn, donate_argnums=0)
    held = [network(1)]
    row = [np.asarray(x) for x in step_number(jnp.int32(1))[:6]]
    bits = rng.integers(1 << 32, size=(4096, BATCH), dtype=np.uint32)
    even = np.ones(BATCH, np.float32)

    def run(steps: int) -> None:
        learner = held[0]
        for i in range(steps):
            memory.add(*row)
            sample = memory.sample(bits[i % 4096])
            if exponent is None:
                learner, _ = jitted(learner, sample.batch, even)
            else:
                weight = importance_weights(sample.probability, memory.size, BETA)
                learner, td = jitted(learner, sample.batch, weight)
                memory.update_priorities(sample.index, np.asarray(td) + 1e-3)
        held[0] = jax.block_until_ready(learner)

    return run


def host_alone() -> Callable[[int], None]:
    jitted, held, batch = jax.jit(learn, donate_argnums=0), [network(1)], some_batch()
    even = np.ones(BATCH, np.float32)

    def run(steps: int) -> None:
        learner = held[0]
        for _ in range(steps):
            learner, _ = jitted(learner, batch, even)
        held[0] = jax.block_until_ready(learner)

    return run


def microseconds(run: Callable[[int], None], steps: int) -> float:
    begun = time.perf_counter()
    run(steps)
    return 1e6 * (time.perf_counter() - begun) / steps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--n-step", type=int, default=1)
    parser.add_argument("--capacities", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    given = parser.parse_args()
    print(
        f"{'':8} {'capacity':>10} {'no memory':>10} {'uniform':>10} {'prioritised':>12} {'extra':>7} {'ratio':>6}"
    )
    for side, alone, make in (("device", device_alone, on_device), ("host", host_alone, on_host)):
        for capacity in given.capacities:
            made = partial(make, capacity, given.n_step)
            contenders = [alone(), made(None), made(ALPHA)]
            for run in contenders:
                run(given.steps // 4)
            rounds = [[microseconds(run, given.steps) for run in contenders] for _ in range(given.rounds)]
            median = [statistics.median(column) for column in zip(*rounds)]
            extra = statistics.median(r[2] - r[1] for r in rounds)
            ratio = statistics.median(r[2] / r[1] for r in rounds)
            figures = f"{median[0]:10.1f} {median[1]:10.1f} {median[2]:12.1f} {extra:7.1f} {ratio:6.2f}"
            print(f"{side:8} {capacity:10,} {figures}", flush=True)


if __name__ == "__main__":
    main()
