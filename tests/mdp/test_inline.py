"""Parts of kernels: compiled for kernels alone, and still to be called from Python."""

import numba
import numpy as np
import pytest

from qfix.mdp.inline import inlined, outlined


@pytest.mark.parametrize("first", ["Python", "kernel"])
@pytest.mark.parametrize("made", [inlined, outlined])
def test_python_calls_a_part_as_a_kernel_does(made, first):
    @made
    def share(x, n=4.0):
        """Of n equal ones."""
        return x / n

    @numba.njit
    def shares(x):
        return share(x), share(x, 0.0), share(x, 3)

    if first == "kernel":
        assert shares(6.0) == (1.5, np.inf, 2.0)
    assert (share(6.0), share(6.0, n=0.0), share(6.0, 3)) == (1.5, np.inf, 2.0)
    assert share(np.float32(6)) == share(6) == 1.5
    assert shares(6.0) == (1.5, np.inf, 2.0)
    assert share.__doc__ == "Of n equal ones."
