"""A JAX environment as an ordinary one: Gymnasium's contract, episodes by their seed, pictures."""

import copy
import warnings
from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from qfix.envs.jax.acrobot import Acrobot
from qfix.envs.jax.asterix import asterix
from qfix.envs.jax.cart_pole import CartPole
from qfix.envs.jax.finite import FiniteMDPEnv
from qfix.envs.jax.mountain_car import MountainCar
from qfix.envs.jax.protocol import Step
from qfix.envs.jax.view import JaxEnvView
from qfix.errors import OptionError
from qfix.mdp import garnet


class Noise(NamedTuple):
    seen: object


class Noises:
    """Shows a fresh number each step and cuts itself off above 0.9."""

    observation_space = gymnasium.spaces.Box(0, 1, ())
    action_space = gymnasium.spaces.Discrete(2)
    max_episode_steps = None

    def reset(self, key):
        u = jax.random.uniform(key)
        return Noise(u), u

    def step(self, state, action, key):
        u = jax.random.uniform(key)
        return Step(Noise(u), u, u * action, jnp.zeros((), bool), u > 0.9)


@pytest.mark.parametrize(
    "env",
    [CartPole(), MountainCar(), Acrobot(), FiniteMDPEnv(garnet(5, 2, 2, 0))],
    ids=lambda e: type(e).__name__,
)
@pytest.mark.parametrize("mode", [None, "ansi"])
def test_it_passes_gymnasiums_checker(env, mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*infinity")  # as Gymnasium's own CartPole has it
        check_env(JaxEnvView(env, mode), skip_render_check=True)


def test_an_episode_is_a_pure_function_of_its_seed():
    env, other = JaxEnvView(Noises()), JaxEnvView(Noises())
    assert env.observation_space is not other.observation_space
    seeds = [0, 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1]
    firsts = []
    for seed in seeds:
        firsts.append(float(env.reset(seed=seed)[0]))
        run = [float(env.step(1)[1]) for _ in range(5)]
        other.reset(seed=5)
        other.step(0)
        other.reset(seed=seed)
        assert run == [other.step(1)[1] for _ in range(5)]
        assert len({firsts[-1], *run}) == 6
    assert len(set(firsts)) == len(seeds)


def test_its_draws_are_where_the_page_says():
    """Episode 2**32 + 7: fold in 7, then 1; reset draws by 0, step t by t."""
    env = JaxEnvView(Noises())
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 7), 1)
    assert env.reset(seed=2**32 + 7)[0] == jax.random.uniform(jax.random.fold_in(key, 0))
    for t in (1, 2, 3):
        assert env.step(0)[0] == jax.random.uniform(jax.random.fold_in(key, t))


def test_resets_without_a_seed_go_on_from_the_last_one():
    env = JaxEnvView(Noises())
    env.reset(seed=3)
    one = [float(env.reset()[0]) for _ in range(3)]
    env.reset(seed=3)
    assert [float(env.reset()[0]) for _ in range(3)] == one
    assert len(set(one)) == 3


def test_its_own_truncation_comes_through():
    env = JaxEnvView(Noises())
    env.reset(seed=0)
    steps = [env.step(1) for _ in range(200)]
    assert all(truncated == (seen > 0.9) for seen, _, _, truncated, _ in steps)
    assert any(step[3] for step in steps)
    assert not any(step[2] for step in steps)


def test_a_copy_goes_its_own_way():
    env = JaxEnvView(CartPole())
    env.reset(seed=1)
    twin = copy.deepcopy(env)
    np.testing.assert_array_equal(env.step(1)[0], twin.step(1)[0])
    env.step(0)
    assert not np.array_equal(env.step(0)[0], twin.step(1)[0])


def test_pictures_of_those_that_have_one():
    env = asterix(render_mode="rgb_array")
    assert env.render() is None
    env.reset(seed=0)
    assert env.render().shape == (160, 160, 3)
    env = asterix(render_mode="ansi")
    env.reset(seed=0)
    assert env.render().splitlines()[5].split()[5] == "p"
    env = JaxEnvView(CartPole(), "ansi")
    env.reset(seed=0)
    assert "theta_dot" in env.render()
    assert JaxEnvView(CartPole()).render() is None
    with pytest.raises(OptionError, match="'ansi'"):
        JaxEnvView(CartPole(), "rgb_array")


def test_wrong_calls():
    env = JaxEnvView(CartPole())
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    for action in (-1, 2):
        with pytest.raises(OptionError, match="action"):
            env.step(action)


@pytest.mark.parametrize("name", ["Breakout", "Asterix", "Freeway", "SpaceInvaders", "Seaquest"])
def test_games_are_registered_with_a_time_limit(name):
    env = gymnasium.make(f"qfix/{name}-v0", sticky_action_prob=0.0, max_episode_steps=20)
    env.reset(seed=0)
    cut = [env.step(0)[2:4] for _ in range(20)]
    assert cut[-1] == (False, True)
    assert env.unwrapped.jax_env.sticky_action_prob == 0.0
