"""What a learner becomes at the ends of its parameters. To the bit wherever the draws fall alike."""

import gymnasium
import numpy as np
import pytest

import qfix
from tabular.running import (
    ALGORITHMS,
    flat,
    layered_world,
    named_model,
    random_world,
    ring_world,
    separating,
    train,
)

STEPS = 5_000


def assert_identical(one, two, atol=0.0):
    np.testing.assert_array_equal(flat(one[2].lengths[0]), flat(two[2].lengths[0]))
    np.testing.assert_allclose(flat(one[2].returns[0]), flat(two[2].returns[0]), rtol=0, atol=atol)
    q, other = (trainer.action_values(state) for trainer, state, _ in (one, two))
    np.testing.assert_allclose(q, other, rtol=0, atol=atol)
    assert np.abs(q).max() > 0.1


@pytest.mark.parametrize(
    ("algorithm", "options", "limit", "limit_options"),
    [
        ("n_step_sarsa", {"n": 1}, "sarsa", {}),
        ("n_step_tree_backup", {"n": 1, "target_epsilon": 0.0}, "q_learning", {}),
        ("dyna_q", {"planning_steps": 0}, "q_learning", {}),
        ("expected_sarsa", {"explore": "greedy"}, "q_learning", {"explore": "greedy"}),
    ],
)
def test_reduces_to_the_bit(algorithm, options, limit, limit_options):
    model = random_world()
    one = train(model, separating(algorithm, initial="SmallRandom(0.5)", **options), STEPS)
    two = train(model, separating(limit, initial="SmallRandom(0.5)", **limit_options), STEPS)
    assert_identical(one, two)


def test_sarsa_lambda_at_0_is_sarsa():
    """True online SARSA(0) adds and subtracts α (q − q_old), so the last bits differ."""
    model = random_world()
    one = train(model, separating("sarsa_lambda", lambda_=0.0, initial="SmallRandom(0.5)"), STEPS)
    assert_identical(one, train(model, separating("sarsa", initial="SmallRandom(0.5)"), STEPS), atol=1e-12)


def test_watkins_at_0_is_q_learning():
    """It acts before it learns. Where episodes do not end and no step stays in place, that is the same."""
    model = ring_world()
    one = train(model, separating("watkins_q_lambda", lambda_=0.0, initial="SmallRandom(0.5)"), STEPS)
    assert_identical(one, train(model, separating("q_learning", initial="SmallRandom(0.5)"), STEPS))


def test_n_step_sarsa_beyond_the_episode_is_every_visit_monte_carlo():
    """In a world where no pair is met twice in an episode; else the order of updates differs."""
    model = layered_world()
    one = train(model, separating("n_step_sarsa", n=4, initial="SmallRandom(0.5)"), STEPS)
    two = train(model, separating("monte_carlo", initial="SmallRandom(0.5)"), STEPS)
    assert_identical(one, two)
    three = train(model, separating("n_step_sarsa", n=3, initial="SmallRandom(0.5)"), STEPS)
    assert not np.array_equal(three[0].action_values(three[1]), two[0].action_values(two[1]))


def test_sarsa_lambda_at_1_is_monte_carlo_where_no_pair_is_met_twice():
    """True online SARSA(1) equals the constant-α Monte Carlo updates made at the end of an episode, if no pair
    recurs in it (S&B section 12.5); behaviour is random, so that acting on half-made updates does not matter."""
    model = layered_world()
    one = train(model, separating("sarsa_lambda", lambda_=1.0, epsilon=1.0), STEPS)
    assert_identical(one, train(model, separating("monte_carlo", epsilon=1.0), STEPS), atol=1e-12)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_truncation_is_not_termination(algorithm):
    """ProbeTimeLimit pays 1 a step for ever and is cut off every 10 steps: v = 1 / (1 - 0.9) = 10.

    Who takes the cut for an end settles below 6. The world is deterministic, so the fixed point is reached up
    to rounding; Monte Carlo's returns go on from the value of the final observation too.
    """
    model = named_model("ProbeTimeLimit")
    exact = {"theta": 1e-9} if algorithm == "prioritized_sweeping" else {}
    trainer, state, records = train(model, separating(algorithm, gamma=0.9, **exact), 20_000)
    np.testing.assert_allclose(trainer.action_values(state)[0], 10.0, atol=1e-6)
    np.testing.assert_array_equal(flat(records.lengths[0]), 10)


@pytest.mark.parametrize(
    "name", ["ProbeConstant", "ProbeObservation", "ProbeDelay", "ProbeAction", "ProbeBoth"]
)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_probe_worlds_have_their_values(algorithm, name):
    """Deterministic, and whatever is learned about ends with the episode: exact for on-policy learners too."""
    model = named_model(name)
    trainer, state, _ = train(model, separating(algorithm, gamma=0.9, epsilon=1.0), 3_000)
    expected = {
        "ProbeConstant": [[1.0]],
        "ProbeObservation": [[-1.0], [1.0]],
        "ProbeDelay": [[0.9], [1.0]],
        "ProbeAction": [[-1.0, 1.0]],
        "ProbeBoth": [[1.0, -1.0], [-1.0, 1.0]],
    }[name]
    # prioritized sweeping leaves errors up to its theta of 0.01 alone
    atol = 0.02 if algorithm == "prioritized_sweeping" else 1e-6
    np.testing.assert_allclose(trainer.action_values(state)[: len(expected)], expected, atol=atol)


class TwoSteps(gymnasium.Env):
    """Three states in a row, one action, reward 1 a step."""

    observation_space = gymnasium.spaces.Discrete(3)
    action_space = gymnasium.spaces.Discrete(1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = 0
        return 0, {}

    def step(self, action):
        self.state += 1
        return min(self.state, 2), 1.0, self.state >= 2, False, {}


def test_a_dutch_trace_that_cancels_is_gone():
    """Worked by hand at α = γ = λ = 1: e = (1, 1), then eᵀx = 0.5 and e = (1, 1) + 0.5 · (-2, 2.5) = (0, 2.25);
    w = (1, 1), then δ = 1 - 0.5 = 0.5, w = (1, 1) + (0.5 + 0.5 - 0) e - (0.5 - 0) x with q_old = 0."""
    features = np.array([[1.0, 1.0], [-2.0, 2.5], [0.0, 1.0]])
    options = {"alpha": 1.0, "gamma": 1.0, "lambda_": 1.0, "features": features}
    run = qfix.train(TwoSteps, "sarsa_lambda", total_steps=2, **options)
    assert run.q[0][:, 0] == pytest.approx([2.0, 2.0], abs=1e-12)
