"""Networks that learn Q or a policy: qfix beside rejax, Stable-Baselines3 and SBX, and beside the bare matrix products.

    python benchmarks/deep.py --peers PYTHON [--rounds 5] [WORK ...]

PYTHON is the interpreter of an environment with the peers: `pip install torch==2.13.0`, then `pip install jax
rejax==0.1.3 gymnax==0.0.9 sbx-rl stable-baselines3`.

Every contender runs in a process of its own, pinned to one core with one thread, one after the other within a round;
a figure is the median over rounds of the ratio within a round. Compilation is not in the figures: it is measured
apart, as what a first run of the same shapes takes. Settings are the same on both sides and stand in `WORK`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

PEERS = Path(__file__).with_name("deep_peers.py")

# settings of rejax's own configs/gymnax/cartpole.yaml, in the words of qfix
WORK = {
    "device-dqn": {
        "algorithm": "dqn",
        "driver": "device",
        "steps": 100_000,
        "options": {
            "num_envs": 10,
            "hidden": (64, 64),
            "dueling": True,
            "double": True,
            "buffer_size": 50_000,
            "learning_starts": 5_000,
            "batch_size": 100,
            "gradient_steps": 5,
            "learning_rate": 1e-3,
            "max_grad_norm": 10.0,
            "tau": 0.02,
            "target_every": 5,
            "loss": "squared",
            "epsilon": "Linear(1, 0.05, 50_000)",
        },
        "peers": ("rejax-dqn",),
    },
    "device-pqn": {
        "algorithm": "pqn",
        "driver": "device",
        "steps": 524_288,
        "options": {
            "num_envs": 16,
            "hidden": (64, 64),
            "num_steps": 128,
            "num_minibatches": 16,
            "num_epochs": 5,
            "learning_rate": 3e-4,
            "max_grad_norm": 10.0,
            "lambda_": 0.9,
            "optimizer": "adam",
            "epsilon": "Linear(1, 0.05, 262_144)",
        },
        "peers": ("rejax-pqn",),
    },
    "host-dqn": {
        "algorithm": "dqn",
        "driver": "host",
        "steps": 20_000,
        "options": {
            "hidden": (64, 64),
            "learning_rate": 1e-3,
            "batch_size": 64,
            "buffer_size": 100_000,
            "learning_starts": 1_000,
            "target_every": 500,
            "tau": 1.0,
        },
        "peers": ("sb3-64", "sbx-64"),
    },
    "host-dqn-wide": {
        "algorithm": "dqn",
        "driver": "host",
        "steps": 6_000,
        "options": {
            "hidden": (256, 256),
            "learning_rate": 1e-3,
            "batch_size": 64,
            "buffer_size": 100_000,
            "learning_starts": 1_000,
            "target_every": 500,
            "tau": 1.0,
        },
        "peers": ("sb3-256", "sbx-256", "matmul-256"),
    },
    "device-ppo": {
        "algorithm": "ppo",
        "driver": "device",
        "steps": 500_000,
        "options": {
            "num_envs": 5,
            "num_steps": 100,
            "num_epochs": 5,
            "num_minibatches": 5,
            "learning_rate": 7.5e-4,
            "max_grad_norm": 0.5,
            "lambda_": 0.95,
            "entropy_coefficient": 0.01,
            "value_clip": 0.2,
        },
        "peers": ("rejax-ppo", "matmul-ppo"),
    },
    # the defaults of Stable-Baselines3 and SBX, in eight environments
    "host-ppo": {
        "algorithm": "ppo",
        "driver": "host",
        "steps": 65_536,
        "options": {
            "num_envs": 8,
            "num_steps": 2_048,
            "num_epochs": 10,
            "num_minibatches": 256,
            "learning_rate": 3e-4,
            "max_grad_norm": 0.5,
            "lambda_": 0.95,
        },
        "peers": ("sb3-ppo", "sbx-ppo"),
    },
}


def own(name: str) -> dict[str, float]:
    """Steps a second of qfix, and seconds of the first run of the same shapes."""
    import gymnasium

    from qfix.algorithms import algorithm
    from qfix.assembly import make_config, trainer_class

    work = WORK[name]
    config = make_config(work["algorithm"], work["options"])
    make = lambda: gymnasium.make("CartPole-v1")  # noqa: E731
    kind = trainer_class(work["algorithm"])
    assert algorithm(work["algorithm"])
    trainer = kind(config, make(), make, None, (0,), work["driver"], total_steps=work["steps"])
    begun = time.perf_counter()
    # through the first learning, so that every program is compiled
    trainer.advance(trainer.start(), 6_000 if "num_steps" not in work["options"] else 1)
    first = time.perf_counter() - begun
    state = trainer.start()
    begun = time.perf_counter()
    trainer.advance(state, work["steps"])
    return {"steps_per_s": work["steps"] / (time.perf_counter() - begun), "first_s": first}


# what a gradient step multiplies: rows of a batch, sizes of the networks, whether each has a target beside it, and
# environment steps to a gradient step
PRODUCTS = {
    "matmul-256": (64, ((4, 256, 256, 2),), True, 1),
    "matmul-ppo": (100, ((4, 64, 64, 2), (4, 64, 64, 1)), False, 20),
}


def products_alone(name: str) -> dict[str, float]:
    """Steps a second if a step were nothing but the matrix products of its gradient steps, in JAX, in one program."""
    import jax
    import jax.numpy as jnp

    import qfix.deep  # noqa: F401  sets JAX up

    batch, networks, with_target, steps = PRODUCTS[name]
    key = jax.random.key(0)
    weights = [
        [jax.random.normal(jax.random.fold_in(key, i), (n, m)) / n**0.5 for i, (n, m) in enumerate(pairs)]
        for pairs in map(tuple, map(itertools.pairwise, networks))
    ]
    x = jax.random.normal(key, (batch, networks[0][0]))

    def products(i, total):
        for network in weights:
            h, inputs = x + total * 1e-30, []
            for w in network:  # the network at s
                inputs.append(h)
                h = h @ w
            g = h
            if with_target:
                other = x + total * 1e-30 + 1.0
                for w in network:  # the target network at s'
                    other = other @ w
                g = h + other
            for k in reversed(range(len(network))):
                total = total + jnp.sum((inputs[k].T @ g)[0])  # gradient of the weights
                if k:
                    g = g @ network[k].T  # and of what came in
        return total

    run = jax.jit(lambda n: jax.lax.fori_loop(0, n, products, jnp.float32(0)))
    run(10).block_until_ready()
    begun = time.perf_counter()
    run(3_000).block_until_ready()
    return {"steps_per_s": steps * 3_000 / (time.perf_counter() - begun), "first_s": 0.0}


def measured(command: list[str]) -> dict[str, float]:
    """What a contender printed, run on one core with one thread."""
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
    flags = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"}
    peer = str(PEERS) in command
    env = {**os.environ, **one, **(flags if peer else {})}
    core = max(os.sched_getaffinity(0))
    done = subprocess.run(
        ["taskset", "-c", str(core), *command], env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Run what is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", nargs="*", default=list(WORK))
    parser.add_argument("--peers", help="interpreter of the peers' environment")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--own", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.own:
        print(json.dumps((products_alone if options.own in PRODUCTS else own)(options.own)))
        return
    print(f"{'work':15} {'contender':12} {'steps/s':>10} {'first run, s':>13} {'qfix : it':>10}")
    for name in options.work:
        peers = [p for p in WORK[name]["peers"] if options.peers or p in PRODUCTS]
        rounds: dict[str, list[dict[str, float]]] = {peer: [] for peer in ("qfix", *peers)}
        for _ in range(options.rounds):
            rounds["qfix"].append(measured([sys.executable, __file__, "--own", name]))
            for peer in peers:
                command = [options.peers, str(PEERS), peer, str(WORK[name]["steps"])]
                if peer in PRODUCTS:
                    command = [sys.executable, __file__, "--own", peer]
                rounds[peer].append(measured(command))
        for contender, found in rounds.items():
            speed = statistics.median(x["steps_per_s"] for x in found)
            first = statistics.median(x["first_s"] for x in found)
            ratio = statistics.median(
                a["steps_per_s"] / b["steps_per_s"] for a, b in zip(rounds["qfix"], found, strict=True)
            )
            told = "" if contender == "qfix" else f"{ratio:10.2f}"
            print(f"{name:15} {contender:12} {speed:10,.0f} {first:13.1f} {told:>10}", flush=True)


if __name__ == "__main__":
    main()
