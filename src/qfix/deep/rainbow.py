"""Rainbow: DQN with six improvements at once, a preset of `dqn`.

Double targets, a dueling network, three rewards a target, prioritised replay, noisy layers in place of epsilon, and a
distribution of returns on atoms.

Source: Hessel et al. (2018), Rainbow: combining improvements in deep reinforcement learning, table 1.
1. The priority of a step is its absolute TD error, the difference of two means, and not the divergence of the two
   distributions.
2. The range of the atoms suits discounted returns up to 100 in size; the paper clips rewards and uses 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qfix.deep import dqn
from qfix.deep.dqn import init, update

__all__ = ["Config", "init", "update"]


@dataclass(frozen=True)
class Config(dqn.Config):
    """Options of Rainbow: those of DQN, with other defaults."""

    double: bool = True
    """q_learning without munchausen only: the network chooses the next action, the target network gives its value."""
    dueling: bool = True
    """Predict the value of a state and the advantages of its actions apart."""
    n_step: int = 3
    """Rewards in a target."""
    prioritized: bool = True
    """Draw steps by the size of their last TD error."""
    priority_exponent: float = 0.5
    """prioritized: how much of the priority counts, in [0, 1]; 0 draws uniformly."""
    noisy: bool = True
    """Learned noise in the fully connected layers, in place of epsilon."""
    distribution: Literal["none", "c51", "qr", "iqn"] = "c51"
    """What of the return is predicted: its expectation, or a distribution on atoms or by quantiles."""
    value_range: tuple[float, ...] = (-100.0, 100.0)
    """c51: lowest and highest atom, which the discounted return should not leave."""
