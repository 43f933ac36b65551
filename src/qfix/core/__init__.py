"""The equations of reinforcement learning, each written once and run by every backend.

- `td`: targets from one step; `returns`: targets from many; `traces`: the same looking back.
- `policies`: action probabilities; `distributions`: of actions, as logarithms.
- `surrogates`: what an actor descends; `losses`: what a critic descends.
- `bellman`: operators on a dense model.

Functions take NumPy, JAX or torch arrays, or any other of the Python array API standard, and return their
like.
"""

from qfix.core import bellman, distributions, losses, policies, returns, surrogates, td, traces

__all__ = ["bellman", "distributions", "losses", "policies", "returns", "surrogates", "td", "traces"]
