"""Expected SARSA with a network: the value of the behaviour, by an expectation. A preset of `dqn`.

    y = r + γ Σ_a π(a|s') q_θ'(s', a)

Source: van Seijen et al. (2009), A theoretical and empirical analysis of expected Sarsa; replay and target network are
those of Mnih et al. (2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qfix.deep import dqn
from qfix.deep.dqn import init, update

__all__ = ["Config", "init", "update"]


@dataclass(frozen=True)
class Config(dqn.Config):
    """Options: those of DQN, with another target."""

    target: Literal["q_learning", "sarsa", "expected_sarsa"] = "expected_sarsa"
    """Whose values are learned: of the greedy policy, or of the behaviour (one next action, or the expectation)."""
