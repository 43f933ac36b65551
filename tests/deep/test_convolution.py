"""The gradients of a convolution against those the compiler derives."""

import jax
import numpy as np
import pytest

from qfix.deep.convolution import convolved


@pytest.mark.parametrize(
    ("height", "width", "channels", "out", "side", "stride"),
    # the last three leave rows or columns over that no window reaches
    [
        (20, 20, 3, 5, 4, 2),
        (9, 8, 4, 3, 3, 1),
        (11, 10, 2, 3, 3, 2),
        (10, 13, 2, 3, 4, 3),
        (7, 7, 1, 2, 2, 4),
    ],
)
def test_gradients_are_the_compilers(height, width, channels, out, side, stride):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, height, width, channels)).astype(np.float32)
    w = rng.normal(size=(side, side, channels, out)).astype(np.float32)

    def plain(x, w):
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, w, (stride, stride), "VALID", dimension_numbers=layout)

    y, gradients = jax.vjp(plain, x, w)
    mine, my_gradients = jax.vjp(lambda x, w: convolved(x, w, stride), x, w)
    g = rng.normal(size=y.shape).astype(np.float32)
    np.testing.assert_array_equal(mine, y)
    for one, other in zip(my_gradients(g), gradients(g), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
