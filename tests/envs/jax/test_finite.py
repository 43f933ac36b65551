"""Any finite model on the device: its frequencies, its exact outcomes, its ends and its starts."""

import jax
import numpy as np
import pytest
import scipy.stats

from qfix.envs.jax.finite import FiniteMDPEnv, FiniteState
from qfix.envs.world import make_world, model_of
from qfix.mdp import FiniteMDP, garnet


def drawn(env, state, action, n, seed):
    """Next states, rewards and ends of n draws of what follows (state, action)."""
    keys = jax.random.split(jax.random.key(seed), n)
    step = jax.vmap(lambda key: env.step(FiniteState(np.int32(state)), action, key))(keys)
    assert not step.truncated.any()
    return np.asarray(step.observation), np.asarray(step.reward), np.asarray(step.terminated)


def test_outcomes_come_with_the_models_probabilities():
    """A chi-squared test for each of 6 x 2 rows at 1e-7: a sound sampler fails with probability 1.2e-6. One seed."""
    model = garnet(6, 2, 4, 7, terminal_fraction=0.2)
    env = FiniteMDPEnv(model)
    for row in range(12):
        s, a = divmod(row, 2)
        following, reward, terminated = drawn(env, s, a, 20_000, row)
        span = slice(*model.indptr[row : row + 2])
        support, p = model.next_state[span], model.probability[span]
        counts = np.array([(following == s_next).sum() for s_next in support])
        assert counts.sum() == 20_000
        if len(support) > 1:
            assert scipy.stats.chisquare(counts, p * 20_000).pvalue > 1e-7
        for s_next, ends in zip(support, model.terminated[span]):
            assert (terminated[following == s_next] == ends).all()
        assert reward == pytest.approx(model.reward[s, a], abs=1e-6)


def test_rewards_of_outcomes_come_with_them():
    """Two outcomes to the same state with different rewards, 0.25 and 0.75. 6 standard deviations: 2e-9. One seed."""
    model = FiniteMDP.from_function(
        lambda s, a: [(0.25, 1, 3.0, False), (0.75, 1, -1.0, True)], 2, 1, 0.9, start=0
    )
    following, reward, terminated = drawn(FiniteMDPEnv(model), 0, 0, 40_000, 1)
    assert (following == 1).all()
    assert set(reward.tolist()) == {3.0, -1.0}
    assert (terminated == (reward == -1.0)).all()
    assert terminated.mean() == pytest.approx(0.75, abs=6 * np.sqrt(0.25 * 0.75 / 40_000))


def test_a_deterministic_world_does_what_its_table_says():
    world = make_world("Grid4x3")
    model = model_of(world, 100)
    env = FiniteMDPEnv(model)
    assert env.max_episode_steps == 100
    for s in range(world.n_states):
        for a in range(world.n_actions):
            following, reward, terminated = drawn(env, s, a, 3, 0)
            if s in world.terminal:
                expected = (s, 0.0, True)
            else:
                ((_, *expected),) = world.outcomes(s, a)
            assert (following == expected[0]).all()
            assert reward == pytest.approx(expected[1], abs=1e-7)
            assert (terminated == expected[2]).all()


def test_episodes_start_where_the_model_says():
    """Chi-squared at 1e-7 over the support; outside it nothing starts. One seed."""
    start = np.array([0.5, 0.0, 0.125, 0.375])
    model = FiniteMDP.from_arrays(np.full((4, 1, 4), 0.25), np.zeros((4, 1)), 0.9, start=start)
    state, observation = jax.vmap(FiniteMDPEnv(model).reset)(jax.random.split(jax.random.key(2), 20_000))
    counts = np.bincount(observation, minlength=4)
    assert (np.asarray(state.number) == np.asarray(observation)).all()
    assert observation.dtype == np.int32
    assert counts[1] == 0
    kept = start > 0
    assert scipy.stats.chisquare(counts[kept], start[kept] * 20_000).pvalue > 1e-7


def test_spaces_and_types():
    model = garnet(5, 3, 2, 1)
    env = FiniteMDPEnv(model)
    assert (env.observation_space.n, env.action_space.n, env.max_episode_steps) == (5, 3, None)
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    step = jax.jit(env.step)(state, np.int32(2), jax.random.key(1))
    assert step.state.number.dtype == step.observation.dtype == np.int32
    assert step.reward.dtype == np.float32
    assert step.terminated.dtype == step.truncated.dtype == bool
