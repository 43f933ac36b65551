"""The backend file, and what it costs to import the equations."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from qfix.core._array import like, namespace, scan_reverse

from .conftest import Backend


def test_scan_reverse_runs_from_the_end_and_keeps_the_order_of_rows(backend: Backend):
    x, weight = backend.array(np.array([1.0, 2.0, 3.0])), backend.array(np.array([2.0, 3.0, 5.0]))

    def step(carry, row):
        x, weight = row
        carry = x + weight * carry
        return carry, carry

    last, ys = scan_reverse(step, backend.array(np.asarray(10.0)), (x, weight))
    # 3 + 5·10 = 53, 2 + 3·53 = 161, 1 + 2·161 = 323.
    np.testing.assert_array_equal(np.asarray(ys), [323.0, 161.0, 53.0])
    assert float(last) == 323.0


def test_scan_reverse_may_give_nothing_but_its_carry(backend: Backend):
    last, ys = scan_reverse(
        lambda carry, row: (2.0 * carry + row[0], None),
        backend.array(np.asarray(1.0)),
        (backend.array(np.array([1.0, 2.0])),),
    )
    assert ys is None
    assert float(last) == 9.0


def test_like_turns_flags_and_numbers_into_numbers_of_that_shape(backend: Backend):
    xp = namespace(backend.array(np.ones(2)))
    reference = backend.array(np.ones(2))
    for x in (True, 1, 1.0, np.array([True, True]), np.array([1, 1]), np.asarray(1.0), np.asarray(True)):
        y = like(xp, backend.array(x), reference)
        assert y.dtype == reference.dtype
        np.testing.assert_array_equal(np.asarray(y), [1.0, 1.0])


def test_importing_the_equations_loads_no_array_library():
    heavy = ("numpy", "jax", "torch", "numba", "gymnasium", "scipy", "array_api_compat")
    code = f"import sys, qfix.core; print([name for name in {heavy} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("T", [1, 2])
def test_numpy_returns_need_no_other_library(T):
    code = (
        "import sys, numpy as np; from qfix.core import returns;"
        f"x = np.ones({T}); returns.lambda_returns(x, 0.9, x, 1, 0.8);"
        "print([name for name in ('jax', 'torch', 'numba') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
