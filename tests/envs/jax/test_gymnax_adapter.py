"""Environments of gymnax's make, in both of its manners, told apart by what they give."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qfix.envs.jax.gymnax_adapter import from_gymnax
from qfix.envs.jax.view import JaxEnvView
from qfix.errors import OptionError


class Params(NamedTuple):
    max_steps_in_episode: int = 5
    goal: float = 3.0


class State(NamedTuple):
    x: Any
    time: Any


class Space(NamedTuple):
    low: Any
    high: Any
    shape: tuple[int, ...]
    dtype: Any


class Actions(NamedTuple):
    n: int


class Walk:
    """Walks by the action and ends beyond the goal or when time is out: one flag, and a step that resets by itself."""

    default_params = Params()

    def observation_space(self, params):
        return Space(-1.0, 100.0, (1,), jnp.float32)

    def action_space(self, params):
        return Actions(3)

    def reset_env(self, key, params):
        state = State(jnp.zeros(1), 0)
        return state.x, state

    def step_env(self, key, state, action, params):
        state = State(state.x + action, state.time + 1)
        ended = (state.x[0] >= params.goal) | (state.time >= params.max_steps_in_episode)
        return state.x, state, jnp.sum(state.x), ended, {}

    def step(self, *_):
        raise AssertionError("it would reset by itself")

    reset = step


class WalkOfTwoFlags(Walk):
    """The newer manner: two flags, and nothing but reset and step."""

    reset_env = step_env = None

    def reset(self, key, params):
        return Walk.reset_env(self, key, params)

    def step(self, key, state, action, params):
        observation, state, reward, _, info = Walk.step_env(self, key, state, action, params)
        beyond, late = state.x[0] >= params.goal, state.time >= params.max_steps_in_episode
        return observation, state, reward, beyond, late, info


KEY = jax.random.key(0)


def ends(env, actions):
    state, _ = env.reset(KEY)
    step = jax.jit(env.step)
    told = []
    for action in actions:
        following = step(state, action, KEY)
        state = following.state
        told.append((bool(following.terminated), bool(following.truncated)))
    return told


@pytest.mark.parametrize("kind", [Walk, WalkOfTwoFlags])
def test_termination_and_the_end_of_time_are_told_apart(kind):
    env = from_gymnax(kind())
    assert ends(env, [1, 1, 1]) == [(False, False), (False, False), (True, False)]
    assert ends(env, [0] * 5) == [*[(False, False)] * 4, (False, True)]


def test_both_at_once():
    """One flag cannot say it; two can."""
    actions = [0, 0, 1, 1, 1]
    assert ends(from_gymnax(Walk()), actions)[-1] == (False, True)
    assert ends(from_gymnax(WalkOfTwoFlags()), actions)[-1] == (True, True)


def test_without_a_clock_all_that_ends_is_terminated():
    class Timeless(Walk):
        def step_env(self, key, state, action, params):
            observation, state, reward, ended, info = super().step_env(key, state, action, params)
            return observation, state.x, reward, ended, info

    env = from_gymnax(Timeless())
    step = env.step(State(jnp.zeros(1), 4), 0, KEY)
    assert (bool(step.terminated), bool(step.truncated)) == (True, False)


def test_parameters_spaces_and_limit():
    env = from_gymnax(Walk(), Params(2, 9.0))
    assert env.max_episode_steps == 2
    assert env.action_space.n == 3
    assert env.observation_space.shape == (1,)
    assert env.observation_space.dtype == np.float32
    assert (env.observation_space.low, env.observation_space.high) == (-1.0, 100.0)
    assert ends(env, [1, 1])[-1] == (False, True)
    assert env.step(env.reset(KEY)[0], 2, KEY).reward.dtype == np.float32


def test_no_limit_and_a_space_of_another_kind():
    class Strange(Walk):
        default_params = None

        def action_space(self, params):
            return object()

    class Timeless(Walk):
        default_params = None

    assert from_gymnax(Timeless()).max_episode_steps is None
    with pytest.raises(OptionError, match="action_space"):
        from_gymnax(Strange())


def test_it_can_be_looked_at():
    env = JaxEnvView(from_gymnax(Walk()))
    assert env.reset(seed=0)[0].tolist() == [0.0]
    assert env.step(2)[:4] == (np.float32([2.0]), 2.0, False, False)
