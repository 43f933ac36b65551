"""Exact answers: finite Markov decision processes, solved with certified bounds."""

from qfix.mdp.evaluate import evaluate_policy, expected_return, policy_value, start_value
from qfix.mdp.horizon import FiniteHorizon, finite_horizon
from qfix.mdp.model import FiniteMDP
from qfix.mdp.random_mdp import garnet
from qfix.mdp.soft import soft_value_iteration
from qfix.mdp.solution import SoftSolution, Solution
from qfix.mdp.solve import METHODS, solve

__all__ = [
    "METHODS",
    "FiniteHorizon",
    "FiniteMDP",
    "SoftSolution",
    "Solution",
    "evaluate_policy",
    "expected_return",
    "finite_horizon",
    "garnet",
    "policy_value",
    "soft_value_iteration",
    "solve",
    "start_value",
]
