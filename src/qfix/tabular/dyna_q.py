"""Dyna-Q: Q-learning that also learns from steps it remembers.

After each real step, `planning_steps` times: take a pair seen before, at random, and learn from one of its
outcomes, drawn as often as it was seen, as if it happened again.

Source: Sutton (1990); Sutton & Barto (2018), section 8.2, whose box is for deterministic worlds; the sample
model for the others is that of section 8.1, see `outcomes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qfix.core import td
from qfix.explore.options import require_whole
from qfix.mdp.inline import inlined
from qfix.mdp.simulate import next_bits
from qfix.tabular.behaviour import improve
from qfix.tabular.check import Bounds
from qfix.tabular.config import TabularConfig
from qfix.tabular.outcomes import CAPACITY, Outcomes, drawn_outcome, lacks_node, remember, target_of
from qfix.tabular.store import best_value, pick

_one_step = inlined(td.one_step)


class Memory(NamedTuple):
    """What was seen."""

    model: Outcomes
    planning_steps: int

    def check(self, name: str, bounds: Bounds) -> None:
        """The model."""
        self.model.check(f"{name}model.", bounds)

    def lacks_room(self):
        """The model has no node left."""
        return lacks_node(self.model)

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
            # The lower half of the bits chose the pair, the upper half chooses the outcome.
            target = target_of(model, store, drawn_outcome(model, x, a, bits))
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

    @property
    def history(self) -> int:
        """Outcomes there is room for; the driver lets them grow."""
        return CAPACITY

    def memory(self, weights: np.ndarray, history: int) -> Memory:
        """Nothing seen."""
        return Memory(Outcomes.of(weights, history), self.planning_steps)
