"""Baird's star: bootstrapping, linear features and off-policy data together diverge; gradient-TD does not.

Sutton & Barto (2018), sections 11.2 and 11.7; Baird (1995). All true values are 0.

The library's learners learn control: they have no fixed target policy. So the book's experiment, the evaluation of
`solid`, is made of core's functions; and Q-learning itself is shown on the star with an action for each state,
where a uniformly random behaviour is the book's: `solid` one time in seven, each state equally often.
"""

import numpy as np
import pytest

from qfix.core import td, traces
from qfix.envs import baird
from qfix.mdp import FiniteMDP
from tabular.running import config_of, named_model, train, trainer_on

GAMMA = 0.99
X = baird.features()


# Policy evaluation in the book's setting


def evaluate(steps, alpha, beta=None, seed=0):
    """Weights after off-policy TD(0) with importance ratios; TDC where there is a beta."""
    rng = np.random.default_rng(seed)
    ratio = baird.target_policy() / baird.behaviour_policy()
    w, h = baird.initial_weights(), np.zeros(8)
    s = rng.integers(7)
    for _ in range(steps):
        a = int(rng.random() < 1 / 7)
        s2 = baird.CENTRE if a == baird.SOLID else int(rng.integers(6))
        rho = ratio[s, a]
        error = td.td_error(td.one_step(0.0, GAMMA, X[s2] @ w), X[s] @ w)
        expected = h @ X[s]
        w = w + rho * alpha * error * X[s]
        if beta is not None:
            w = w + traces.gradient_correction(rho * alpha, GAMMA, expected) * X[s2]
            h = h + rho * traces.gradient_auxiliary_step(beta, error, expected) * X[s]
        s = s2
    return w


def value_error(w):
    return np.sqrt(np.mean((X @ w) ** 2))


@pytest.mark.parametrize("seed", range(5))
def test_semi_gradient_td_diverges(seed):
    """Figure 11.2, left: α = 0.01, 1,000 steps; weights pass 100 and grow on. Measured: 315 to 452."""
    assert np.abs(evaluate(1_000, 0.01, seed=seed)).max() > 100
    assert np.abs(evaluate(3_000, 0.01, seed=seed)).max() > 10_000


def test_semi_gradient_dynamic_programming_diverges():
    """Figure 11.2, right: even expected updates, all states at once, diverge with features ..."""
    w = baird.initial_weights()
    for _ in range(1_000):
        w = w + 0.01 / 7 * X.T @ (GAMMA * X[baird.CENTRE] @ w - X @ w)
    assert np.abs(w).max() > 50


def test_expected_updates_in_a_table_do_not_diverge():
    """... and not in a table: the same sweeps on one-hot features shrink towards 0, at worst by 1 - α (1 - γ) each."""
    v = X @ baird.initial_weights()
    start = np.abs(v).max()
    for k in range(1, 1_001):
        v = v + 0.5 * (GAMMA * v[baird.CENTRE] - v)
        assert np.abs(v).max() <= (1 - 0.5 * (1 - GAMMA)) ** k * start + 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_tdc_does_not_diverge(seed):
    """Figure 11.5: α = 0.005, β = 0.05. The value error starts above 4 and rests near 1.93 on every seed."""
    assert value_error(baird.initial_weights()) > 4
    for steps in (1_000, 10_000):
        assert value_error(evaluate(steps, 0.005, 0.05, seed)) < 2.2


# Q-learning itself


def star():
    """Seven states, an action towards each; the last is `solid`. Nothing is paid and nothing ends."""
    return FiniteMDP.from_function(lambda s, a: [(1.0, a, 0.0, False)], 7, 7, GAMMA, start=np.full(7, 1 / 7))


def largest_value(steps, **options):
    """max |q| of seeds 0..4 after so many steps of random behaviour from weights in [-1, 1)."""
    features = None if options.pop("table", False) else X
    config = config_of("q_learning", gamma=GAMMA, epsilon=1.0, initial="SmallRandom(1)", **options)
    trainer, state, _ = train(star(), config, steps, seeds=range(5), features=features)
    return np.array([np.abs(trainer.policy(state, i).action_values(np.arange(7))).max() for i in range(5)])


def test_q_learning_diverges_with_the_semi_gradient():
    """Measured: 41 to 198 after 10,000 steps, 6e14 to 4e15 after 100,000."""
    assert (largest_value(10_000, alpha=0.01) > 20).all()
    assert (largest_value(100_000, alpha=0.01) > 1e12).all()


def test_q_learning_does_not_diverge_with_the_gradient_correction():
    """Greedy-GQ from the same weights, which give |q| up to 3. Measured: at most 0.54, and at rest from 10,000 on."""
    for steps in (10_000, 100_000, 500_000):
        assert (largest_value(steps, alpha=0.005, gradient="tdc", beta=0.05) < 1.0).all()


def test_q_learning_does_not_diverge_in_a_table():
    """No value ever leaves the range it started in, as γ < 1; and all go to 0."""
    assert (largest_value(100_000, alpha=0.1, table=True) < 0.5).all()
    assert (largest_value(1_000_000, alpha=0.1, table=True) < 1e-3).all()


def test_the_shipped_world_is_the_book_s():
    model = named_model("Baird")
    config = config_of("q_learning", gamma=GAMMA, initial="ConstantValue(1)")
    trainer = trainer_on(model, config, features=X)
    values = trainer.policy(trainer.start()).action_values(np.arange(7))
    np.testing.assert_array_equal(values, 3.0)  # 2 + 1 on the outer states, 1 + 2 at the centre
