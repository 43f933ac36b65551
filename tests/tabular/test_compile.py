import importlib
import sys
from textwrap import dedent

import gymnasium
import numpy as np

from qfix.mdp import FiniteMDP
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
