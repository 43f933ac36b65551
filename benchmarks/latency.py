"""How long one decision takes: a policy in NumPy, its ONNX model, and the matrix products alone as the limit.

    python benchmarks/latency.py [--calls 2000]

A network of three layers of 256 on an observation of 8 numbers, with 4 actions; one observation a call, on one core.
The contenders take turns, call by call, so that a machine that slows down for a while slows all of them.
"""

from __future__ import annotations

import argparse
import os

# before NumPy starts its threads
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from gymnasium import spaces

from qfix.deep.network import QNetwork
from qfix.deep.normaliser import no_moments
from qfix.deep.observations import codec_for
from qfix.deep.policy import NetworkPolicy
from qfix.export import to_onnx
from qfix.export.agreement import session_of

GOAL_MS = 2.0
WARM_UP = 200
OBSERVATION = spaces.Box(-np.inf, np.inf, (8,), np.float32)
ACTIONS = spaces.Discrete(4)


def untrained() -> NetworkPolicy:
    network = QNetwork(codec_for(OBSERVATION).input, int(ACTIONS.n), hidden=(256, 256, 256))
    uniforms = np.random.default_rng(0).uniform(-1.0, 1.0, network.layout.size).astype(np.float32)
    return NetworkPolicy(network, network.layout.start(uniforms), no_moments(0), OBSERVATION, ACTIONS)


def by_the_model(policy: NetworkPolicy) -> Callable[[np.ndarray], int]:
    with tempfile.TemporaryDirectory() as folder:
        session = session_of(to_onnx(policy, Path(folder) / "policy.onnx").read_bytes())
    return lambda observation: int(session.run(["action"], {"observation": observation[None]})[0][0])


def by_products_alone(policy: NetworkPolicy) -> Callable[[np.ndarray], np.ndarray]:
    """The four matrix products; no bias, no rectifier."""
    one, two, three, head = (array for name, array in policy.weights.items() if name.endswith("weight"))
    return lambda observation: observation @ one @ two @ three @ head


def milliseconds(contenders: list[Callable], observations: np.ndarray) -> np.ndarray:
    """(calls, contenders)."""
    taken = np.empty((len(observations), len(contenders)))
    for i, observation in enumerate(observations):
        for k, decide in enumerate(contenders):
            begun = time.perf_counter_ns()
            decide(observation)
            taken[i, k] = (time.perf_counter_ns() - begun) / 1e6
    return taken[WARM_UP:]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=2_000)
    calls = parser.parse_args().calls
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    policy = untrained()
    observations = np.random.default_rng(1).normal(size=(WARM_UP + calls, 8)).astype(np.float32)
    model = by_the_model(policy)
    assert [model(x) for x in observations[:50]] == policy.predict(observations[:50]).tolist()
    taken = milliseconds([policy.predict, model, by_products_alone(policy)], observations)
    print(f"{policy.network.layout.size:,} parameters, {policy.network.operations:,} FLOP a decision\n")
    print(f"{'milliseconds a decision':<28}{'median':>8}{'99 %':>8}{'to the limit':>14}{'GFLOP/s':>9}")
    limit = float(np.median(taken[:, -1]))
    for name, column in zip(("policy.predict", "ONNX model, onnxruntime", "matrix products alone"), taken.T):
        middle = float(np.median(column))
        rate = policy.network.operations / middle / 1e6
        print(f"{name:<28}{middle:8.4f}{np.quantile(column, 0.99):8.4f}{middle / limit:14.2f}{rate:9.2f}")
    print(
        f"\ngoal: {GOAL_MS:g} ms, {GOAL_MS / float(np.median(taken[:, 0])):.0f} times what policy.predict takes"
    )


if __name__ == "__main__":
    main()
