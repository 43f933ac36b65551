"""The twins of Gymnasium's classic control follow it from the same state, in float64, and start as it does."""

import gymnasium
import jax
import numpy as np
import pytest
import scipy.stats

from qfix.envs.jax.acrobot import Acrobot, AcrobotState
from qfix.envs.jax.cart_pole import CartPole, CartPoleState
from qfix.envs.jax.mountain_car import MountainCar, MountainCarState
from qfix.envs.jax.pendulum import Pendulum, PendulumState

KEY = jax.random.key(0)
# id, twin, its state, actions in a row (from an unstable balance rounding grows: fewer where there is one),
# and start: low and high of each number
TWINS = {
    "CartPole": ("CartPole-v1", CartPole(), CartPoleState, 500, [(-0.05, 0.05)] * 4),
    "MountainCar": ("MountainCar-v0", MountainCar(), MountainCarState, 500, [(-0.6, -0.4), (0, 0)]),
    "Acrobot": ("Acrobot-v1", Acrobot(), AcrobotState, 20, [(-0.1, 0.1)] * 4),
    "Pendulum": ("Pendulum-v1", Pendulum(), PendulumState, 100, [(-np.pi, np.pi), (-1, 1)]),
}


@pytest.fixture(params=TWINS)
def twin(request):
    return TWINS[request.param]


def _wide(action):
    """Torques in float64, in which Gymnasium computes then too."""
    return np.asarray(action, np.float64) if np.ndim(action) else int(action)


def follow(env, twin, kind, starts, actions, together):
    """Drive both with the same actions, from a common state whenever one terminates or `together` steps are over."""
    env = env.unwrapped
    step = jax.jit(twin.step)
    ends = 0
    since = together
    starts = iter(starts)
    with jax.enable_x64(True):
        for action in actions:
            if since == together:
                env.reset(seed=0)
                env.state = next(starts).copy()
                state = kind(*(jax.numpy.float64(x) for x in env.state))
                since = 0
            observation, reward, terminated, truncated, _ = env.step(action)
            state, seen, paid, end, cut = step(state, action, KEY)
            since += 1
            assert all(part.dtype == np.float64 and part.shape == () for part in state)
            np.testing.assert_allclose(np.array(state), env.state, rtol=0, atol=1e-9)
            np.testing.assert_allclose(seen, observation, rtol=1e-6, atol=1e-6)
            assert seen.dtype == observation.dtype == np.float32
            assert float(paid) == pytest.approx(float(reward), abs=1e-9)
            assert (bool(end), bool(cut)) == (terminated, truncated)
            if terminated:
                ends += 1
                since = together
    return ends


def test_it_follows_gymnasium_from_the_same_state(twin):
    name, ours, kind, together, bounds = twin
    rng = np.random.default_rng(1)
    env = gymnasium.make(name)
    starts = (rng.uniform(*np.transpose(bounds)) for _ in iter(int, 1))
    env.action_space.seed(1)
    actions = [_wide(env.action_space.sample()) for _ in range(600)]
    ends = follow(env, ours, kind, starts, actions, together)
    assert ends > 10 or name != "CartPole-v1"
    env.close()


@pytest.mark.parametrize(
    ("name", "spread", "terminates"),
    [
        ("CartPole", [2.4, 3.0, 0.21, 3.0], True),
        ("MountainCar", [0.6, 0.07], True),
        ("Acrobot", [np.pi, np.pi, 4 * np.pi, 9 * np.pi], True),
        ("Pendulum", [10.0, 8.0], False),
    ],
)
def test_it_follows_gymnasium_from_anywhere(name, spread, terminates):
    """Single steps from all over the state space: walls, wrapped angles, clipped velocities and every way to end."""
    env_id, ours, kind, _, _ = TWINS[name]
    rng = np.random.default_rng(2)
    env = gymnasium.make(env_id)
    env.action_space.seed(2)
    starts = [rng.uniform(-1, 1, len(spread)) * spread for _ in range(1_500)]
    actions = [_wide(env.action_space.sample()) for _ in starts]
    ends = follow(env, ours, kind, starts, actions, 1)
    assert (ends > 20) == terminates
    env.close()


@pytest.mark.parametrize("velocity", [0.0, 0.03])
def test_the_goal_velocity_of_the_car(velocity):
    env = gymnasium.make("MountainCar-v0", goal_velocity=velocity)
    starts = [np.array([0.47, v]) for v in np.linspace(0.0, 0.07, 30)]
    ends = follow(env, MountainCar(goal_velocity=velocity), MountainCarState, starts, [2] * 30, 1)
    assert 0 < ends < len(starts)


@pytest.mark.parametrize("gravity", [9.81, 3.7])
def test_the_gravity_of_the_pendulum(gravity):
    env = gymnasium.make("Pendulum-v1", g=gravity)
    actions = np.random.default_rng(4).uniform(-3, 3, (200, 1))
    follow(env, Pendulum(g=gravity), PendulumState, [np.array([3.0, 0.5])], actions, 500)


def test_spaces_and_limits_are_gymnasiums(twin):
    name, ours, *_ = twin
    env = gymnasium.make(name)
    assert ours.observation_space == env.observation_space
    assert ours.action_space == env.action_space
    assert ours.max_episode_steps == env.spec.max_episode_steps


def test_it_starts_as_gymnasium_does(twin):
    """Kolmogorov-Smirnov against the uniform, 4,000 starts a number, at 1e-6: 10 numbers in all, so that a sound start
    fails with probability 1e-5; and the ends of the range are not left. One seed."""
    _, ours, _, _, bounds = twin
    keys = jax.random.split(jax.random.key(5), 4_000)
    state, observation = jax.vmap(ours.reset)(keys)
    assert observation.shape == (4_000, *ours.observation_space.shape)
    assert observation.dtype == np.float32
    for part, (low, high) in zip(state, bounds):
        assert part.dtype == np.float32
        part = np.asarray(part, np.float64)
        if low == high:
            assert (part == low).all()
            continue
        assert low <= part.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < part.max() <= high
        assert scipy.stats.kstest(part, "uniform", (low, high - low)).pvalue > 1e-6
    assert ours.observation_space.contains(np.asarray(observation[0]))


def test_it_stays_in_float32_under_x64(twin):
    _, ours, _, _, _ = twin
    action = np.float32([1.0]) if isinstance(ours, Pendulum) else 1
    with jax.enable_x64(True):
        state, _ = ours.reset(KEY)
        step = ours.step(state, action, KEY)
    for part in (*state, *step.state, step.observation, step.reward):
        assert part.dtype == np.float32


def test_a_scan_of_many_compiles_and_keeps_its_types(twin):
    """The state goes round a scan: structure, shapes and dtypes come out as they went in."""
    _, ours, _, _, _ = twin
    state, _ = jax.vmap(ours.reset)(jax.random.split(KEY, 3))
    action = np.ones((3, 1), np.float32) if isinstance(ours, Pendulum) else np.ones(3, np.int32)

    def advance(state, key):
        step = jax.vmap(ours.step)(state, action, jax.random.split(key, 3))
        return step.state, (step.reward, step.terminated, step.truncated)

    _, (reward, terminated, truncated) = jax.lax.scan(advance, state, jax.random.split(KEY, 5))
    assert reward.dtype == np.float32
    assert terminated.shape == truncated.shape == (5, 3)
    assert terminated.dtype == truncated.dtype == bool
