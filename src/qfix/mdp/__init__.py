"""Exact answers: finite Markov decision processes and their solution with certified bounds."""

from qfix.mdp.model import FiniteMDP

__all__ = ["FiniteMDP"]
