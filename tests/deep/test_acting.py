"""How learners behave: probabilities, draws from them, and actions that are forbidden."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from qfix.core import policies
from qfix.deep.acting import chances_at, draw, probabilities
from qfix.deep.policy import BehaviourPolicy
from qfix.explore import Boltzmann, EpsilonGreedy, Greedy

EPSILON = EpsilonGreedy(0.2)
Q = jnp.array([[1.0, 3.0, 2.0, 0.0], [-1.0, -5.0, -2.0, -3.0]])
MASK = jnp.array([[True, False, True, True], [False, True, False, True]])


def test_probabilities_are_core_s_where_everything_is_allowed():
    rate = jnp.float32(0.2)
    np.testing.assert_allclose(probabilities(EPSILON, Q, rate), policies.epsilon_greedy(Q, rate), rtol=1e-6)
    np.testing.assert_allclose(probabilities(Boltzmann(1.0), Q, rate), policies.boltzmann(Q, rate), rtol=1e-5)
    np.testing.assert_allclose(probabilities(Greedy(), Q, rate), policies.greedy(Q))


def test_epsilon_is_spread_over_what_is_allowed():
    """0.2 over three actions, the best of them the third; then over two, the best the fourth."""
    found = probabilities(EPSILON, Q, jnp.float32(0.2), MASK)
    third = 0.2 / 3
    np.testing.assert_allclose(found, [[third, 0, 0.8 + third, third], [0, 0.1, 0, 0.9]], rtol=1e-5)
    np.testing.assert_allclose(probabilities(Greedy(), Q, 0.0, MASK), [[0, 0, 1, 0], [0, 0, 0, 1]])
    # softmax of (1, 2, 0) and of (-5, -3) at temperature 1
    e = np.exp
    z, y = e(1) + e(2) + 1, e(-5) + e(-3)
    expected = [[e(1) / z, 0, e(2) / z, 1 / z], [0, e(-5) / y, 0, e(-3) / y]]
    np.testing.assert_allclose(probabilities(Boltzmann(1.0), Q, jnp.float32(1.0), MASK), expected, rtol=1e-5)


weights = st.lists(st.sampled_from([0.0, 1e-30, 1e-7, 0.1, 0.3, 1.0, 7.0]), min_size=6, max_size=6)
uniforms = st.one_of(
    st.sampled_from([0.0, float(np.nextafter(np.float32(1), np.float32(0))), 0.5]),
    st.floats(0, 1, exclude_max=True, width=32),
)
drawn = jax.jit(draw)


@settings(deadline=None, max_examples=300)
@given(weights.filter(any), uniforms)
def test_an_action_of_probability_nought_is_never_drawn(chances, u):
    chances = np.array([chances], np.float32)
    chances /= chances.sum()
    action = int(drawn(chances, np.array([u], np.float32))[0])
    assert chances[0, action] > 0


def test_rounding_draws_no_action_of_probability_nought():
    """Sums of probabilities round to a little more than 1, and a number just below 1 times that to all of it."""
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.ones(6), 20_000).astype(np.float32)
    chances = np.pad(chances, ((0, 0), (0, 2)))
    below_one = np.full(len(chances), np.nextafter(np.float32(1), np.float32(0)))
    actions = np.asarray(drawn(chances, below_one))
    assert (chances[np.arange(len(chances)), actions] > 0).all()


def test_a_draw_by_hand():
    """Of (0.2, 0, 0.5, 0.3): up to 0.2 the first, up to 0.7 the third."""
    u = np.array([0.0, 0.19, 0.21, 0.69, 0.71, 0.999], np.float32)
    chances = np.tile(np.array([0.2, 0, 0.5, 0.3], np.float32), (6, 1))
    np.testing.assert_array_equal(draw(chances, u), [0, 0, 2, 2, 3, 3])


def test_actions_come_as_often_as_they_should():
    """40,000 draws of each of two rows, with the random numbers that learners have. Chi-square, 2 and 1 degrees of
    freedom; false alarm 1e-6 each, for another stream than this fixed one."""
    n = 40_000
    chances = probabilities(EPSILON, Q, jnp.float32(0.4), MASK)
    u = chances_at(jnp.array([0, 3], jnp.uint32), jnp.arange(4), n // 4).u.reshape(-1)
    for row in np.asarray(chances):
        actions = np.asarray(draw(jnp.tile(row, (n, 1)), u))
        seen = np.bincount(actions, minlength=4)
        assert (seen[row == 0] == 0).all()
        expected = n * row[row > 0]
        assert ((seen[row > 0] - expected) ** 2 / expected).sum() < chi2.isf(1e-6, (row > 0).sum() - 1)


def test_random_numbers_are_functions_of_seed_and_count():
    words = jnp.array([0, 3], jnp.uint32)
    whole, later = chances_at(words, jnp.arange(5), 3), chances_at(words, jnp.array([3]), 3)
    np.testing.assert_array_equal(whole.u[3], later.u[0])
    assert len(np.unique(whole.u)) == 15
    other = chances_at(jnp.array([1, 3], jnp.uint32), jnp.arange(5), 3)
    assert not np.isin(other.u, whole.u).any()


# The behaviour as a policy, in NumPy


class Known:
    """A greedy policy whose values are known."""

    first_action = 0

    def __init__(self, q):
        self.q = np.asarray(q)

    def action_values(self, obs):
        return self.q

    observe = action_values


class Always(np.random.Generator):
    """A stream of one number."""

    def __init__(self):
        super().__init__(np.random.PCG64(0))

    def random(self, shape):
        return np.full(shape, np.nextafter(1.0, 0.0))


@pytest.mark.parametrize(
    ("strategy", "rate"), [(EPSILON, 0.2), (Greedy(), 0.0), (Boltzmann(0.7), 0.7)], ids=str
)
def test_a_behaviour_as_a_policy_is_that_of_the_learner(strategy, rate):
    q = np.asarray(Q, np.float64)
    behaviour = BehaviourPolicy(Known(q), strategy, 10)
    np.testing.assert_allclose(behaviour.probabilities(None), probabilities(strategy, Q, rate), rtol=1e-5)
    expected = np.asarray(probabilities(strategy, Q, rate, MASK))
    rng, n = np.random.default_rng(0), 4_000
    counts = np.zeros((2, 4))
    for _ in range(n):
        counts[[0, 1], behaviour.predict(None, False, rng, np.asarray(MASK))] += 1
    # 8 frequencies, 5 standard deviations of each: false alarm 5e-6
    assert (np.abs(counts / n - expected) <= 5 * np.sqrt(expected * (1 - expected) / n) + 1e-9).all()
    np.testing.assert_array_equal(behaviour.predict(None, action_mask=np.asarray(MASK)), expected.argmax(-1))


def test_rounding_draws_no_forbidden_action():
    q = np.array([0.3, 0.1, 0.2, 0.0, 0.7, 0.6, -1.0])
    mask = np.array([True] * 6 + [False])
    behaviour = BehaviourPolicy(Known(q), Boltzmann(1.0), 0)
    assert behaviour.predict(None, False, Always(), mask) == 5
