"""Lane in JAX follows the Gymnasium environment from the same state, in float64, and starts as it does."""

from functools import lru_cache

import gymnasium
import jax
import numpy as np
import pytest
import scipy.stats

from qfix.envs.jax.lane import Lane
from qfix.envs.lane import LaneRules, LaneState

KEY = jax.random.key(0)
OPTIONS = [{}, {"speed": 31.0, "half_width": 4.0, "max_curvature": 0.05}]


def flat(state):
    return np.concatenate([np.array(state[:4], np.float64), np.asarray(state.phases, np.float64)])


@lru_cache
def compiled(ours):
    return jax.jit(ours.step)


def follow(options, start, actions):
    """Drive both from a common state until they leave the road; steps, and whether they did."""
    env = gymnasium.make("qfix/Lane-v0", **options).unwrapped
    step = compiled(Lane(rules=LaneRules(**options)))
    env.reset(seed=0)
    env.state = start
    with jax.enable_x64(True):
        state = LaneState(*(jax.numpy.asarray(part, jax.numpy.float64) for part in start))
        for n, action in enumerate(actions):
            observation, reward, terminated, _, _ = env.step(action)
            state, seen, paid, end, cut = step(state, action, KEY)
            assert all(part.dtype == np.float64 for part in state)
            np.testing.assert_allclose(flat(state), flat(env.state), rtol=0, atol=1e-9)
            np.testing.assert_allclose(seen, observation, rtol=1e-6, atol=1e-6)
            assert seen.dtype == observation.dtype == np.float32
            assert float(paid) == pytest.approx(reward, abs=1e-9)
            assert (bool(end), bool(cut)) == (terminated, False)
            if terminated:
                return n, True
    return n, False


@pytest.mark.parametrize("options", OPTIONS, ids=["as it is", "other options"])
def test_it_follows_gymnasium_from_the_same_state(options):
    """Random driving from starts until the road is left; actions beyond the limits among them."""
    rng = np.random.default_rng(1)
    env = gymnasium.make("qfix/Lane-v0", **options).unwrapped
    steps = 0
    for seed in range(10):
        env.reset(seed=seed)
        n, left = follow(options, env.state, rng.uniform(-1.3, 1.3, (300, 1)))
        assert left
        steps += n
    assert steps > 100


def test_it_follows_gymnasium_to_the_limit():
    start = LaneState(*np.zeros(4), np.zeros(5))
    env = gymnasium.make("qfix/Lane-v0").unwrapped
    env.reset(seed=0)
    env.state = start
    actions = []
    for t in range(600):
        seen = env.rules.observe(env.state)
        actions.append(np.array([0.3 * seen[4] - 0.5 * seen[0] - 2.5 * seen[1] + 0.3 * np.sin(0.2 * t)]))
        env.step(actions[-1])
    assert follow({}, start, actions) == (599, False)


def test_it_follows_gymnasium_from_anywhere():
    """Single steps from all over, every way to end among them."""
    rng = np.random.default_rng(2)
    ends = 0
    for _ in range(300):
        car = rng.uniform(-1, 1, 4) * [0, 2.5, 1.57, 1] + [rng.uniform(0, 600), 0, 0, 0]
        ends += follow({}, LaneState(*car, rng.uniform(-4, 4, 5)), rng.uniform(-1, 1, (1, 1)))[1]
    assert 15 < ends < 150


def test_spaces_and_limits_are_the_same():
    env = gymnasium.make("qfix/Lane-v0")
    ours = Lane()
    assert ours.observation_space == env.observation_space
    assert ours.action_space == env.action_space
    assert ours.max_episode_steps == env.spec.max_episode_steps == 600
    assert hash(Lane(rules=LaneRules(speed=20.0))) == hash(ours)
    assert Lane(rules=LaneRules(speed=21.0)) != ours


def test_it_starts_as_gymnasium_does():
    """Kolmogorov-Smirnov against the uniform, 4,000 starts a number, at 1e-6: 7 numbers, so that a sound start fails
    with probability 7e-6. One seed."""
    state, observation = jax.vmap(Lane().reset)(jax.random.split(jax.random.key(5), 4_000))
    assert observation.shape == (4_000, 8)
    assert observation.dtype == np.float32
    drawn = [(state.offset, 0.5), (state.heading, 0.1), *((phase, np.pi) for phase in state.phases.T)]
    for part, most in drawn:
        assert part.dtype == np.float32
        part = np.asarray(part, np.float64)
        assert scipy.stats.kstest(part, "uniform", (-most, 2 * most)).pvalue > 1e-6
    assert not state.distance.any()
    assert not state.steering.any()
    assert all(Lane().observation_space.contains(np.asarray(seen)) for seen in observation[:50])


def test_it_stays_in_float32_under_x64():
    with jax.enable_x64(True):
        state, seen = Lane().reset(KEY)
        step = Lane().step(state, np.float32([0.5]), KEY)
    for part in (*state, *step.state, seen, step.observation, step.reward):
        assert part.dtype == np.float32


def test_a_scan_of_many_compiles_and_keeps_its_types():
    state, _ = jax.vmap(Lane().reset)(jax.random.split(KEY, 3))

    def advance(state, key):
        step = jax.vmap(Lane().step)(state, np.zeros((3, 1), np.float32), jax.random.split(key, 3))
        return step.state, (step.reward, step.terminated, step.truncated)

    _, (reward, terminated, truncated) = jax.lax.scan(advance, state, jax.random.split(KEY, 5))
    assert reward.dtype == np.float32
    assert terminated.shape == truncated.shape == (5, 3)
    assert terminated.dtype == truncated.dtype == bool
