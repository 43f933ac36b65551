"""Running moments of observations."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deep.running import shared_trainer
from qfix.deep import normaliser
from qfix.deep.normaliser import no_moments, normalised, updated_moments

X = np.random.default_rng(0).normal([3.0, -200.0, 0.0], [0.1, 40.0, 5.0], (60, 3)).astype(np.float32)


@settings(deadline=None)
@given(st.lists(st.integers(1, 59), max_size=6))
def test_moments_are_those_of_everything_seen_in_whatever_batches(cuts):
    moments = no_moments(3)
    for part in np.split(X, sorted(set(cuts))):
        moments = updated_moments(np, moments, part)
    assert moments.count == 60
    np.testing.assert_allclose(moments.mean, X.mean(axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(moments.squares / 60, X.var(axis=0), rtol=1e-3)


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_beyond_the_most_that_counts_old_observations_weigh_less(xp, monkeypatch):
    """As weighted moments: once more than 20 have been seen, all before a batch weigh 20 together."""
    monkeypatch.setattr(normaliser, "_MOST", np.float32(20))
    moments, weights, known = no_moments(3), np.zeros(0), np.zeros((0, 3))
    for part in np.split(X.astype(np.float64), (15, 40)):
        moments = updated_moments(xp, moments, xp.asarray(part, xp.float32))
        if weights.sum() > 20:
            weights *= 20 / weights.sum()
        weights, known = np.append(weights, np.ones(len(part))), np.append(known, part, axis=0)
    mean = np.average(known, axis=0, weights=weights)
    assert moments.count == weights.sum() == 40
    np.testing.assert_allclose(moments.mean, mean, rtol=1e-4, atol=1e-4)
    variance = np.average((known - mean) ** 2, axis=0, weights=weights)
    np.testing.assert_allclose(moments.squares / 40, variance, rtol=1e-3)


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_normalised_by_hand(xp):
    """Of 1 and 5, and of 0 and 0: mean 3 and 0, deviation 2 and (floored) 1e-4; ten deviations are the most."""
    moments = updated_moments(
        xp, updated_moments(xp, no_moments(2), xp.asarray([[1.0, 0.0]])), xp.asarray([[5.0, 0.0]])
    )
    x = xp.asarray([[4.0, 0.0], [100.0, 1.0], [-100.0, -1.0]])
    np.testing.assert_allclose(normalised(xp, moments, x), [[0.5, 0], [10, 10], [-10, -10]], atol=1e-6)
    np.testing.assert_array_equal(normalised(xp, no_moments(2), x), x)


@pytest.mark.parametrize("driver", ["device", "host"])
def test_a_policy_s_moments_are_frozen_and_the_learner_s_are_of_all_that_was_seen(driver):
    trainer = shared_trainer("normalised", "cart", driver)
    state, _ = trainer.advance(trainer.start(), 60)
    policy = trainer.policy(state)
    obs = np.array([0.1, -0.4, 0.05, 0.3], np.float32)
    before, count = policy.action_values(obs), float(policy.moments.count)
    # each of 3 environments has been looked at once a step; on the host the next actions are chosen already
    assert count == 60 + (3 if driver == "host" else 0)
    packed = trainer.pack(state)
    kept = packed["0.memory.steps.obs" if driver == "device" else "0.memory.obs"].reshape(-1, 4)[:60]
    if driver == "device":
        np.testing.assert_allclose(policy.moments.mean, kept.mean(axis=0), atol=1e-4)
        np.testing.assert_allclose(policy.moments.squares / 60, kept.var(axis=0), rtol=1e-3)
    policy.predict(obs + 3)
    state, _ = trainer.advance(state, 60)
    np.testing.assert_array_equal(policy.action_values(obs), before)
    assert float(policy.moments.count) == count
    assert trainer.policy(state).moments.count > count
    assert not np.array_equal(trainer.policy(state).action_values(obs), before)
