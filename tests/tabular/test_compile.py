import fcntl
import importlib
import sys
from pathlib import Path
from textwrap import dedent

import gymnasium
import numpy as np
import pytest

from qfix.mdp import FiniteMDP
from qfix.mdp.cached import LOCK, _locked
from qfix.tabular._compile import kernel
from qfix.tabular.trainer import TabularTrainer

SOURCE = """
    from dataclasses import dataclass
    from typing import NamedTuple

    from qfix.tabular.behaviour import improve
    from qfix.tabular.config import TabularConfig


    class Memory(NamedTuple):
        def learn(self, store, behaviour, alpha, t, clock, stream):
            improve(store, behaviour, alpha, clock, t.x, t.a, TARGET)
            return stream


    @dataclass(frozen=True)
    class Config(TabularConfig):
        def memory(self, weights, history):
            return Memory()
"""


def learned(target, folder, monkeypatch):
    """What an algorithm of the user's, whose only idea is a constant target, makes of all values."""
    (folder / "constant_target.py").write_text(dedent(SOURCE).replace("TARGET", target))
    monkeypatch.syspath_prepend(str(folder))
    sys.modules.pop("constant_target", None)
    importlib.invalidate_caches()
    config = importlib.import_module("constant_target").Config(alpha=0.5, epsilon=1.0)
    env = gymnasium.make("qfix/Grid4x3-v0")
    trainer = TabularTrainer(config, env, lambda: env, FiniteMDP.from_env(env, 0.9), [0])
    state, _ = trainer.advance(trainer.start(), 5_000)
    values = trainer.action_values(state)
    return values[values != 0.0]


def test_a_changed_algorithm_of_the_users_is_compiled_anew(tmp_path, monkeypatch):
    for target in ("1.0", "2.0"):
        folder = tmp_path / target
        folder.mkdir()
        assert np.allclose(learned(target, folder, monkeypatch).max(), float(target), atol=1e-3)


def test_a_kernel_is_saved_by_one_process_at_a_time(tmp_path, monkeypatch):
    (tmp_path / "summed.py").write_text("def summed(values):\n    return values[0] + values[1]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    loop = kernel(importlib.import_module("summed").summed, "alone")
    store, seen = loop._cache._cache_file, []

    def save(key, data, save=store.save):
        with open(Path(loop._cache.cache_path) / LOCK) as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        seen.append(key)
        save(key, data)

    monkeypatch.setattr(store, "save", save)
    assert loop(np.array([1, 2])) == 3
    assert loop(np.array([1.5, 2.0])) == 3.5
    assert len(seen) == len(set(seen)) == 2
    with open(Path(loop._cache.cache_path) / LOCK) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    again = kernel.__wrapped__(importlib.import_module("summed").summed, "alone")
    assert again(np.array([1.5, 2.0])) == 3.5
    assert sum(again.stats.cache_hits.values()) == 1


def test_a_folder_that_takes_no_lock_does_without(tmp_path):
    (tmp_path / "file").touch()
    with _locked(str(tmp_path / "file" / "folder")):
        assert not (tmp_path / "file").is_dir()
