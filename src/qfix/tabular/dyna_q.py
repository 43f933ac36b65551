"""Dyna-Q: Q-learning that also learns from steps it remembers.

After each real step, `planning_steps` times: take a pair seen before, at random, and learn from what
followed it the last time, as if it happened again.

Source: Sutton (1990); Sutton & Barto (2018), section 8.2. The model is the last outcome of each pair: exact
where the world is deterministic, else a sample that planning repeats until the next visit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qfix.core import td
from qfix.mdp.inline import inlined
from qfix.mdp.simulate import next_bits
from qfix.tabular.behaviour import improve
from qfix.tabular.config import TabularConfig, require_whole
from qfix.tabular.experience import LastOutcomes, remember
from qfix.tabular.store import best_value, pick

_one_step = inlined(td.one_step)


class Memory(NamedTuple):
    """What was seen."""

    model: LastOutcomes
    planning_steps: int

    def learn(self, store, behaviour, alpha, t, clock, stream):
        """Learn from the step, then from remembered ones."""
        model = self.model
        target = _one_step(t.reward, t.discount, best_value(store, t.x_next))
        improve(store, behaviour, alpha, clock, t.x, t.a, target)
        remember(model, t)
        n_actions = store.weights.shape[1]
        for _ in range(self.planning_steps):
            stream, bits = next_bits(stream)
            pair = model.seen[pick(model.n_seen[0], bits)]
            x = pair // n_actions
            a = pair % n_actions
            target = _one_step(
                model.reward[x, a], model.discount[x, a], best_value(store, model.x_next[x, a])
            )
            improve(store, behaviour, alpha, clock, x, a, target)
        return stream


@dataclass(frozen=True)
class Config(TabularConfig):
    """Options of Dyna-Q."""

    planning_steps: int = 10
    """Remembered steps learned from after each real one; 0 is Q-learning."""

    stores = ("dense", "sparse")

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        require_whole("dyna_q", "planning_steps", self.planning_steps, 0, "Use planning_steps=10.")

    def memory(self, weights: np.ndarray, history: int) -> Memory:
        """Nothing seen."""
        return Memory(LastOutcomes.of(*weights.shape), self.planning_steps)
