"""SARSA with a network: the value of the behaviour, by one next action drawn from it. A preset of `dqn`.

    y = r + γ q_θ'(s', a'),   a' drawn from the behaviour at s'

Source: Rummery & Niranjan (1994), On-line Q-learning using connectionist systems; the replay and the target network
are those of Mnih et al. (2015).
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

    target: Literal["q_learning", "sarsa", "expected_sarsa"] = "sarsa"
    """Whose values are learned: of the greedy policy, or of the behaviour (one next action, or the expectation)."""
