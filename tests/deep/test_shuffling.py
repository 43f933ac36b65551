"""Orders of the steps of a rollout."""

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from qfix.deep.shuffling import shuffled


@settings(deadline=None, max_examples=5)
@given(st.integers(1, 221), st.integers(0, 2**32 - 1))
def test_every_step_comes_up_exactly_once(n, seed):
    orders = np.asarray(jax.jit(lambda key: shuffled(key, 2, n))(jax.random.key(seed)))
    assert orders.dtype == np.int32
    np.testing.assert_array_equal(np.sort(orders, axis=-1), np.tile(np.arange(n), (2, 1)))


def test_a_step_may_come_up_anywhere():
    """6,000 orders of 12 steps: every step in every place equally often, and every step after every other one.

    Chi-square of 12 x 12 counts that add up to 6,000 in each row and column, (12 - 1)² degrees of freedom, and of the
    12 x 11 pairs that follow one another, at most 131. False alarm 1e-6 each for another key than this fixed one, were
    the orders drawn evenly.
    """
    n, times = 12, 6_000
    orders = np.asarray(jax.jit(lambda key: shuffled(key, times, n))(jax.random.key(1)))
    places = np.stack([np.bincount(orders[:, i], minlength=n) for i in range(n)])
    assert ((places - times / n) ** 2 / (times / n)).sum() < chi2.isf(1e-6, (n - 1) ** 2)
    first, second = orders[:, 0], orders[:, 1]
    pairs = np.zeros((n, n))
    np.add.at(pairs, (first, second), 1)
    assert (np.diag(pairs) == 0).all()
    expected = times / (n * (n - 1))
    off = pairs[~np.eye(n, dtype=bool)]
    assert ((off - expected) ** 2 / expected).sum() < chi2.isf(1e-6, n * (n - 1) - 1)


def test_another_key_gives_another_order():
    one, other = (np.asarray(shuffled(jax.random.key(i), 2, 32)) for i in (0, 1))
    assert not np.array_equal(one, other)
    assert not np.array_equal(one[0], one[1])
