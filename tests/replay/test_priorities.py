"""Prioritised sampling on both sides: who is drawn how often, and sums that stay sums."""

import jax
import jax.numpy as jnp
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from qfix.errors import OptionError
from qfix.replay import device_tree, importance_weights, sum_tree
from qfix.replay.device import DeviceReplay
from qfix.replay.host import HostReplay
from qfix.replay.priorities import LEAST, MOST, level_lengths
from replay.twins import random_bits, random_steps


class Host:
    def __init__(self, capacity, exponent):
        self.memory = HostReplay(capacity, 1, ((2,), np.float32), priority_exponent=exponent)

    def add(self, step):
        self.memory.add(*step)

    def draw(self, bits):
        return self.memory.sample(bits)

    def update(self, index, priority):
        self.memory.update_priorities(index, priority)

    def leaves(self):
        return self.memory.pack()["priorities"]


class Device:
    def __init__(self, capacity, exponent):
        replay = DeviceReplay(capacity, 1, priority_exponent=exponent)
        self.memory = replay.start(random_steps(np.random.default_rng(0), 1, 1)[0])
        self._add, self._draw = jax.jit(replay.add), jax.jit(replay.sample)
        self._update, self._size = jax.jit(replay.update_priorities), replay.size

    def add(self, step):
        self.memory = self._add(self.memory, step)

    def draw(self, bits):
        return self._draw(self.memory, bits)

    def update(self, index, priority):
        priority = np.asarray(priority, np.float32)
        self.memory = self._update(self.memory, jnp.asarray(index, jnp.int32), priority)

    def leaves(self):
        return np.asarray(self.memory.tree.levels[0])[: int(self._size(self.memory))]


@pytest.fixture(params=[Host, Device], ids=["host", "device"])
def side(request):
    return request.param


def filled(side, capacity, exponent, count=None):
    memory = side(capacity, exponent)
    for step in random_steps(np.random.default_rng(1), 1, count or capacity):
        memory.add(step)
    return memory


def test_transitions_are_drawn_in_proportion_to_their_priorities_to_the_exponent(side):
    """Chi-square over 1000 · 64 draws. Stratified draws vary less than independent ones, for which the false-alarm
    probability would be 1e-6. A wrong exponent (0.5 in place of 0.6) is found with certainty."""
    n, alpha = 37, 0.6
    rng = np.random.default_rng(2)
    memory = filled(side, n, alpha)
    priority = rng.lognormal(0.0, 1.5, n)
    memory.update(np.arange(n), priority)
    counts = np.zeros(n)
    for _ in range(1000):
        sample = memory.draw(random_bits(rng))
        counts += np.bincount(sample.index, minlength=n)
    expected = priority**alpha / np.sum(priority**alpha)
    np.testing.assert_allclose(sample.probability, expected[np.asarray(sample.index)], rtol=1e-5)
    limit = chi2.isf(1e-6, n - 1)
    assert np.sum((counts - counts.sum() * expected) ** 2 / (counts.sum() * expected)) < limit
    other = priority**0.5 / np.sum(priority**0.5)
    assert np.sum((counts - counts.sum() * other) ** 2 / (counts.sum() * other)) > 2 * limit


def test_draws_are_stratified_as_the_equation_says(side):
    memory = filled(side, 50, 1.0)
    priority = np.random.default_rng(3).integers(1, 9, 50).astype(float)
    memory.update(np.arange(50), priority)
    bits = random_bits(np.random.default_rng(4), 16)
    u = (np.arange(16) + bits / 2**32) / 16 * priority.sum()
    np.testing.assert_array_equal(memory.draw(bits).index, np.searchsorted(np.cumsum(priority), u, "right"))


@pytest.mark.parametrize("n", [200_000, 1_100_000])
def test_each_of_a_million_is_drawn_as_often_as_it_should_be(side, n):
    """A position in float32 has 2^24 places for 10^6 transitions: too few to give each its share, unless made finer.

    Draw b of 1 has u = bits / 2^32 · n, so evenly spaced bits must find every transition equally often, to within one.
    """
    each = 2
    nodes, begins = sum_tree.new_tree(n)
    sum_tree.assign_block(nodes, begins, 0, n, 1.0)
    tree = device_tree.assign_block(device_tree.start(n), jnp.int32(0), n, jnp.float32(1))
    bits = ((np.arange(each * n) + 0.5) / (each * n) * 2**32).astype(np.uint32)
    if side is Host:
        found = _draw_one_by_one(nodes, begins, bits)
    else:
        found = np.asarray(jax.vmap(lambda one: device_tree.draw(tree, one[None])[0][0])(jnp.asarray(bits)))
    counts = np.bincount(found, minlength=n)
    assert counts.min() >= each - 1
    assert counts.max() <= each + 1


@numba.njit
def _draw_one_by_one(nodes, begins, bits):
    found = np.empty(len(bits), np.int32)
    probability = np.empty(1, np.float32)
    for i in range(len(bits)):
        sum_tree.draw(nodes, begins, bits[i : i + 1], found[i : i + 1], probability)
    return found


def test_new_transitions_get_the_largest_priority_so_far(side):
    memory = side(5, 0.5)
    first, *others = random_steps(np.random.default_rng(5), 1, 8)
    memory.add(first)
    np.testing.assert_allclose(memory.leaves(), [1.0])
    memory.update([0], [9.0])
    memory.update([0], [0.25])
    for step in others[:4]:
        memory.add(step)
    np.testing.assert_allclose(memory.leaves(), [0.5, 3, 3, 3, 3], rtol=1e-6)
    memory.add(others[4])  # over the oldest
    np.testing.assert_allclose(memory.leaves(), [3, 3, 3, 3, 3], rtol=1e-6)


def test_of_duplicates_the_last_counts(side):
    memory = filled(side, 20, 1.0)
    index = np.array([3, 7, 3, 3, 7, 19])
    memory.update(index, np.array([10.0, 20, 30, 5, 2, 4]))
    leaves = memory.leaves()
    np.testing.assert_array_equal(leaves[[3, 7, 19, 0]], [5, 2, 4, 1])
    sample = memory.draw(np.zeros(4, np.uint32))
    np.testing.assert_allclose(sample.probability, leaves[np.asarray(sample.index)] / leaves.sum(), rtol=1e-6)
    memory.add(random_steps(np.random.default_rng(6), 1, 1)[0])
    assert memory.leaves()[0] == 30  # given once, even if it was not the last


@pytest.mark.parametrize("n", [1, 15, 16, 17, 100, 1000])
def test_sums_are_those_of_the_leaves_after_thousands_of_updates(n):
    """To the bit on the host, where one function adds; to rounding on the device, where each loop adds in its order."""
    rng = np.random.default_rng(n)
    nodes, begins = sum_tree.new_tree(n)
    tree = device_tree.start(n)
    assign, block = jax.jit(device_tree.assign), jax.jit(device_tree.assign_block, static_argnums=2)
    for turn in range(2000 if n == 1000 else 200):
        index = rng.integers(0, n, 32).astype(np.int32)
        value = rng.lognormal(0.0, 4.0, 32).astype(np.float32)
        sum_tree.assign(nodes, begins, n, index, value, 1.0)
        tree = assign(tree, index, value)
        if turn % 3 == 0:
            first = int(rng.integers(0, n))
            count = min(3, n - first)
            sum_tree.assign_block(nodes, begins, first, count, 2.5)
            tree = block(tree, first, count, 2.5)
    anew = nodes.copy()
    sum_tree.rebuild(anew, begins)
    np.testing.assert_array_equal(nodes, anew)
    np.testing.assert_allclose(nodes[begins[-1] :].sum(), nodes[:n].sum(), rtol=1e-13)
    for below, level in zip(tree.levels, tree.levels[1:]):
        sums = np.asarray(below, float).reshape(-1, 16).sum(1)
        np.testing.assert_allclose(level[: len(sums)], sums, rtol=1e-6)
        assert not np.any(level[len(sums) :])
    np.testing.assert_allclose(tree.levels[0][:n], nodes[:n], rtol=1e-6)


@settings(max_examples=100, deadline=None)
@given(
    weights=st.lists(st.sampled_from([0.0, 1e-30, 1e-3, 1.0, 3.0, 1e7, 1e28]), min_size=1, max_size=40),
    bits=st.lists(st.sampled_from([0, 1, 2**16, 2**31, 2**32 - 1]), min_size=8, max_size=8),
)
def test_a_draw_never_finds_a_leaf_without_weight(weights, bits):
    if not any(weights):
        weights[-1] = 1e-30
    nodes, begins = sum_tree.new_tree(40)
    nodes[: len(weights)] = weights
    sum_tree.rebuild(nodes, begins)
    padded = np.pad(np.asarray(weights, np.float32), (0, 40 - len(weights)))
    tree = device_tree.assign(device_tree.start(40), jnp.arange(40), jnp.asarray(padded))
    bits = np.array(bits, np.uint32)
    index, probability = np.empty(8, np.int32), np.empty(8, np.float32)
    sum_tree.draw(nodes, begins, bits, index, probability)
    on_device, _ = _DRAW(tree, bits)
    for found in (index, np.asarray(on_device)):
        assert np.all(padded[found] > 0)


_DRAW = jax.jit(device_tree.draw)


def test_priorities_are_no_whole_numbers_and_have_no_bounds(side):
    memory = filled(side, 6, 0.6)
    given = np.array([1e-12, 0.3, 0.7, 1e9, 0.0, 1e38])
    memory.update(np.arange(6), given)
    wanted = np.clip(given.astype(np.float32).astype(float) ** 0.6, LEAST, MOST)
    np.testing.assert_allclose(memory.leaves(), wanted, rtol=1e-5)
    memory.update(np.arange(6), np.zeros(6))
    sample = memory.draw(random_bits(np.random.default_rng(7)))
    np.testing.assert_allclose(sample.probability, 1 / 6, rtol=1e-6)
    assert set(np.asarray(sample.index).tolist()) == set(range(6))


def test_an_exponent_of_zero_is_uniform(side):
    memory = filled(side, 6, 0.0)
    memory.update(np.arange(6), np.array([0.1, 1, 2, 3, 4, 500.0]))
    np.testing.assert_allclose(memory.draw(random_bits(np.random.default_rng(8))).probability, 1 / 6, 1e-6)


@pytest.mark.parametrize("priority", [-1.0, np.nan, np.inf])
def test_the_host_refuses_priorities_that_are_none_and_changes_nothing(priority):
    memory = filled(Host, 5, 0.6)
    before = memory.leaves().copy()
    with pytest.raises(OptionError, match="'priority'"):
        memory.update([0, 1], [3.0, priority])
    with pytest.raises(OptionError, match="at index 5"):
        memory.update([0, 5], [3.0, 3.0])
    with pytest.raises(OptionError, match="'priority'"):
        memory.update([0, 1], [3.0])
    np.testing.assert_array_equal(memory.leaves(), before)


# Importance weights


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_importance_weights_worked_by_hand(xp):
    probability = xp.asarray([0.1, 0.4, 0.025], dtype=xp.float32)
    # (8 · P)^−0.5 = 1.118, 0.559, 2.236; over the largest
    found = importance_weights(probability, 8, 0.5)
    np.testing.assert_allclose(found, [0.5, 0.25, 1.0], rtol=1e-6)
    np.testing.assert_array_equal(importance_weights(probability, 8, 0.0), [1, 1, 1])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=8), st.integers(1, 10**6), st.floats(0.0, 1.0))
def test_importance_weights_are_the_equation(probability, size, beta):
    probability = np.array(probability)
    weights = (size * probability) ** -beta
    np.testing.assert_allclose(importance_weights(probability, size, beta), weights / weights.max(), 1e-9)


@pytest.mark.parametrize(("n", "lengths"), [(1, [16]), (16, [16]), (17, [32, 16]), (257, [272, 32, 16])])
def test_levels_of_any_capacity(n, lengths):
    assert level_lengths(n) == lengths
