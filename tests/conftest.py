"""Compilers: workers share Numba's cache on disk without getting in each other's way, and JAX optimises less where a
program runs for a moment."""

import fcntl
import sys
from pathlib import Path

import pytest
from numba.core.caching import IndexDataCacheFile

ROOT = Path(__file__).parent


def _save_alone(self, key, data, save=IndexDataCacheFile.save):
    """Numba picks the name of a new entry from the index it has read. Two processes that add different signatures of a
    function at once pick the same name, and one signature then finds the code of the other."""
    with open(f"{self._index_path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        save(self, key, data)


IndexDataCacheFile.save = _save_alone


AS_USERS_COMPILE = {"test_examples.py", "deep", "contracts"}
"""Tests of how much is learned; and those that share programs, which set the compiler themselves."""


def pytest_collection_modifyitems(items):
    for item in items:
        as_users = AS_USERS_COMPILE & set(item.path.relative_to(ROOT).parts)
        if not as_users and not item.get_closest_marker("optimised"):
            item.add_marker(pytest.mark.usefixtures("quick_programs"))


@pytest.fixture
def quick_programs(monkeypatch):
    """Programs of JAX are optimised less, in this process and in those it starts: compiling takes longer than they."""

    def optimise(wanted):
        if "jax" in sys.modules:
            sys.modules["jax"].config.update("jax_disable_most_optimizations", not wanted)

    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    optimise(False)
    yield
    optimise(True)
