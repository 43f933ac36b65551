"""What is measured of a learner, against what can be read off its arrays."""

import math

import numpy as np
import pytest

import qfix
from qfix.tabular.measure import NAMES, SAMPLED_ROWS, measured


def now(run, i=0):
    return dict(zip(NAMES, measured(run.state.agents[i], run.trainer.blueprint), strict=True))


@pytest.fixture(scope="module")
def lake():
    return qfix.train(
        "FrozenLake-v1", total_steps=3_000, seeds=2, alpha=0.3, epsilon=0.2, metrics_every=10**6
    )


def test_values_are_those_of_the_table(lake):
    found = now(lake, 1)
    q = lake.q[1]
    assert found["q_min"] == q.min()
    assert found["q_max"] == q.max()
    assert found["q_mean"] == pytest.approx(q.mean(), rel=1e-12)
    assert found["q_std"] == pytest.approx(q.std(), rel=1e-12)


def test_errors_are_those_of_the_latest_updates(lake):
    found = now(lake)
    updates = lake.state.agents[0].behaviour.watch.updates
    errors = updates[:, 2]
    assert found["td_error"] == pytest.approx(np.abs(errors).mean(), rel=1e-12)
    quantiles = [found[f"td_error_p{p}"] for p in ("05", "50", "95")]
    np.testing.assert_allclose(quantiles, np.quantile(errors, [0.05, 0.5, 0.95]), rtol=1e-12)
    assert found["step_size"] == pytest.approx(0.3)


def test_an_update_is_noted_as_it_was():
    # the corridor of a random walk: one step, one update; q = 0 before, r = 0, γ max q' = 0.9 · 0
    run = qfix.train("qfix/Grid4x3-v0", total_steps=1, alpha=0.25, gamma=0.9, initial=2.0)
    q, rate, error = run.state.agents[0].behaviour.watch.updates[0]
    assert (q, rate) == (2.0, 0.25)
    reward = run.model.outcome_reward[0] if run.model.outcome_reward is not None else run.model.reward[0, 0]
    assert error == pytest.approx(reward + 0.9 * 2.0 - 2.0)
    assert np.isnan(run.state.agents[0].behaviour.watch.updates[1:]).all()


def test_coverage_leaves_terminal_states_aside(lake):
    run = lake
    counts = run.state.agents[0].store.counts
    going = ~run.model.terminal
    assert now(run)["coverage"] == pytest.approx((counts[going] > 0).mean())
    assert not counts[~going].any()


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_the_share_of_exploratory_actions_is_that_of_random_ones(epsilon):
    n = 40_000
    run = qfix.train("FrozenLake-v1", total_steps=n, alpha=0.1, epsilon=epsilon, metrics_every=n // 2)
    shares = run.metrics("exploratory_share").values[0]
    assert len(shares) == 2
    # within 5 standard errors: false alarm 6e-7 each, were the seed fresh
    assert np.abs(shares - epsilon).max() <= 5 * math.sqrt(epsilon * (1 - epsilon) / (n // 2))
    assert run.metrics("exploration_rate").values[0].tolist() == [epsilon, epsilon]


def test_boltzmann_explores_where_it_takes_less_than_the_best():
    run = qfix.train("FrozenLake-v1", total_steps=20_000, explore="boltzmann(0.01)", metrics_every=20_000)
    assert 0.0 < run.metrics("exploratory_share").values[0, 0] < 0.5


def test_the_exploration_rate_follows_its_schedule():
    run = qfix.train(
        "FrozenLake-v1", total_steps=1_000, epsilon=qfix.Linear(1.0, 0.2, 800), metrics_every=200
    )
    np.testing.assert_allclose(run.metrics("exploration_rate").values[0], [0.8, 0.6, 0.4, 0.2, 0.2])


def test_a_state_of_its_own_rate_has_no_one_rate():
    run = qfix.train("FrozenLake-v1", total_steps=100, explore="vdbe(1)", metrics_every=100)
    assert np.isnan(run.metrics("exploration_rate").values).all()


@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_the_bound_of_values(gamma):
    run = qfix.train("CliffWalking-v1", total_steps=100, gamma=gamma, metrics_every=100)
    assert run.metrics("q_bound").values[0, 0] == (200.0 if gamma == 0.5 else math.inf)


def test_the_bound_of_a_live_world_is_of_the_rewards_seen():
    run = qfix.train(
        "CliffWalking-v1", total_steps=30, gamma=0.5, driver="live", epsilon=0.0, metrics_every=30
    )
    largest = np.abs(run.state.agents[0].behaviour.watch.rewards).max()
    assert run.metrics("q_bound").values[0, 0] >= 2 * largest >= 2.0


def test_large_tables_are_sampled_evenly(monkeypatch):
    run = qfix.train("Taxi-v4", total_steps=20_000)
    agent, blueprint = run.state.agents[0], run.trainer.blueprint
    whole = dict(zip(NAMES, measured(agent, blueprint), strict=True))
    agent = agent._replace(store=agent.store._replace(weights=np.tile(agent.store.weights, (40, 1))))
    assert len(agent.store.weights) > 4 * SAMPLED_ROWS
    sampled = dict(zip(NAMES, measured(agent, blueprint), strict=True))
    # every fifth row of forty copies, 500 rows each: every fifth of the 500, eight times over
    some = run.q[0][::5]
    assert sampled["q_mean"] == pytest.approx(some.mean(), rel=1e-12)
    assert sampled["q_std"] == pytest.approx(some.std(), rel=1e-12)
    assert sampled["q_min"] == some.min() >= whole["q_min"]


def test_measuring_changes_nothing_that_is_learned(lake):
    often = qfix.train("FrozenLake-v1", total_steps=3_000, seeds=2, alpha=0.3, epsilon=0.2, metrics_every=7)
    assert np.array_equal(often.q, lake.q)
    assert len(often.metrics("return").steps) == 3_000 // 7
