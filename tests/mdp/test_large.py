"""Large worlds in little memory."""

import tracemalloc

from qfix.mdp import solve

from .worlds import walled_grid


def test_a_hundred_thousand_states_in_little_memory():
    """Scaled to a million states the peak of solving is below 400 MB beside the model's own 250 MB."""
    mdp = walled_grid(316, 0.99)
    solve(mdp, tol=1e-2)  # compiled outside the measurement
    tracemalloc.start()
    solution = solve(mdp, tol=1e-6)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert solution.converged
    assert peak < 40e6
