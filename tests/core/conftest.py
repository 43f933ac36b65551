"""One source, four backends: a fixture that builds arrays of each and reads them back."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest

BACKENDS = ("numpy", "array_api_strict", "jax.numpy", "torch")


@dataclass(frozen=True)
class Backend:
    name: str
    module: ModuleType

    @property
    def rtol(self) -> float:
        return (
            2e-5 if self.name == "jax.numpy" else 1e-12
        )  # JAX computes in single precision unless told otherwise

    def array(self, x: Any) -> Any:
        """`x` on this backend if it is an array; numbers stay numbers."""
        return self.module.asarray(x) if isinstance(x, np.ndarray) else x

    def call(self, function: Any, arguments: dict[str, Any]) -> Any:
        """The function on this backend; on JAX it is compiled, with its Python numbers as constants."""
        arrays = {k: self.array(x) for k, x in arguments.items() if isinstance(x, np.ndarray)}
        numbers = {k: x for k, x in arguments.items() if k not in arrays}
        if self.name != "jax.numpy":
            return function(**arrays, **numbers)
        import jax

        return jax.jit(lambda arrays: function(**arrays, **numbers))(arrays)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    name = request.param
    package = name.split(".")[0]
    pytest.importorskip(package, reason=f"{package} is a test-only dependency and is not installed")
    return Backend(name, importlib.import_module(name))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240731)


@dataclass(frozen=True)
class Rollout:
    """T rows of B environments with terminated and truncated episodes inside; `_next` is the step's own."""

    reward: np.ndarray
    discount: np.ndarray
    continues: np.ndarray
    q_next: np.ndarray
    policy_next: np.ndarray
    action_next: np.ndarray
    ratio: np.ndarray
    value: np.ndarray
    value_next: np.ndarray


def random_rollout(
    rng: np.random.Generator, T: int = 7, B: int = 3, A: int = 4, gamma: float = 0.9
) -> Rollout:
    end = rng.random((T, B))
    terminated, truncated = end < 0.15, (end > 0.15) & (end < 0.35)
    q_next = rng.normal(size=(T, B, A))
    greedy = rng.random((T, B)) < 0.6
    value, value_next = rng.normal(size=(2, T, B))
    continues = ~(terminated | truncated)
    # Where the episode goes on, a row's next observation is the observation of the row after.
    value_next[:-1] = np.where(continues[:-1], value[1:], value_next[:-1])
    return Rollout(
        reward=rng.normal(size=(T, B)),
        discount=gamma * (1.0 - terminated),
        continues=continues,
        q_next=q_next,
        policy_next=rng.dirichlet(np.ones(A), (T, B)),
        action_next=np.where(greedy, q_next.argmax(-1), rng.integers(A, size=(T, B))),
        ratio=np.exp(rng.normal(size=(T, B))),
        value=value,
        value_next=value_next,
    )


@pytest.fixture
def rollout(rng: np.random.Generator) -> Rollout:
    return random_rollout(rng)
