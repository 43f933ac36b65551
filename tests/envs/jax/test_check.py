"""What is wrong with an environment in JAX is said before anything is compiled, and in words of the environment."""

from dataclasses import dataclass

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qfix
from qfix.envs.jax.check import check_jax_env
from qfix.envs.jax.protocol import Step
from qfix.envs.jax.view import JaxEnvView

NEVER = np.zeros((), bool)


@dataclass(frozen=True)
class Room:
    """Sound, but for what a test changes."""

    observation_space = gymnasium.spaces.Box(-9.0, 9.0, (2,))
    action_space = gymnasium.spaces.Discrete(3)
    max_episode_steps = 7

    def reset(self, key):
        state = {"at": jax.random.uniform(key, (2,)), "n": jnp.int32(0)}
        return state, state["at"]

    def step(self, state, action, key):
        at = state["at"] + action
        return self.given(Step({"at": at, "n": state["n"] + 1}, at, -jnp.abs(at[0]), NEVER, NEVER))

    def given(self, step):
        return step


class Tuple_(Room):
    def given(self, step):
        return tuple(step)


class Wide(Room):
    def given(self, step):
        return step._replace(observation=step.observation[:1])


class Shown(Room):
    def reset(self, key):
        state, _ = super().reset(key)
        return state, state


class Shape(Room):
    def given(self, step):
        return step._replace(state=step.state | {"at": step.state["at"][None]})


class Kind(Room):
    def given(self, step):
        return step._replace(state=step.state | {"n": step.state["n"] * 1.0})


class Structure(Room):
    def given(self, step):
        return step._replace(state=(step.state,))


class Branch(Room):
    def step(self, state, action, key):
        return super().step(state, 1 if action > 0 else 2, key)


class Numpy(Room):
    def step(self, state, action, key):
        return super().step(state, np.asarray(action), key)


class Mistake(Room):
    def step(self, state, action, key):
        return super().step(state["where"], action, key)


class Rows(Room):
    def given(self, step):
        return step._replace(reward=step.reward[None])


class Flag(Room):
    def given(self, step):
        return step._replace(terminated=jnp.int32(0))


class Half(Room):
    def reset(self, key):
        return super().reset(key)[0]


class Spaceless(Room):
    observation_space = None


@dataclass
class Changing:
    observation_space = Room.observation_space
    action_space = Room.action_space


FAULTS = {
    Tuple_: r"step must return a Step\(state, .*\)\. Got a plain tuple of 5\. Import Step",
    Wide: r"the observation of step must have shape \(2,\), as observation_space has it\. Got \(1,\) float32",
    Shown: r"the observation of reset must have shape \(2,\).* Got a dict",
    Shape: r"the state\['at'\] after step must be as reset gives it, \(2,\) float32\. Got \(1, 2\) float32",
    Kind: r"the state\['n'\] after step must be as reset gives it, \(\) int32\. Got \(\) float32",
    Structure: r"the state after step must have the structure of that of reset",
    Branch: r"step must be JAX alone.*`if`.*Use jnp\.where, jax\.lax\.cond",
    Numpy: r"step must be JAX alone.*NumPy",
    Mistake: r"step\(state, action, key\) must be traced by JAX\. Got KeyError: 'where'",
    Rows: r"the reward of step must be one number, \(\) float32\. Got \(1,\) float32",
    Flag: r"the terminated of step must be one truth, \(\) bool\. Got \(\) int32",
    Half: r"reset must return two things, \(state, observation\)\. Got a dict",
    Spaceless: r"must have an observation_space of Gymnasium\. Got None",
    Changing: r"must be hashable.*frozen dataclass",
}


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_a_mistake_is_named_by_its_method(kind):
    with pytest.raises(qfix.EnvironmentFault, match=f"The JAX environment {kind.__name__}: {FAULTS[kind]}"):
        check_jax_env(kind())


def test_a_mistake_is_told_on_both_drivers():
    for driver in ("auto", "host"):
        with pytest.raises(qfix.EnvironmentFault, match="The JAX environment Wide: the observation of step"):
            qfix.train(lambda: JaxEnvView(Wide()), "pqn", total_steps=8, driver=driver, hidden=4)


def test_a_sound_one_passes():
    check_jax_env(Room())
    observation, _ = JaxEnvView(Room()).reset(seed=1)
    assert observation.shape == (2,)


@pytest.mark.parametrize("given", [Room(), Room])
def test_what_is_no_environment_of_gymnasium_is_told_how_to_become_one(given):
    with pytest.raises(
        qfix.OptionError, match=r"'env' parameter of train must be an id.*JaxEnvView\(Room\(\.\.\.\)\)"
    ):
        qfix.train(given, "pqn", total_steps=8)
    with pytest.raises(qfix.OptionError, match=r"JaxEnvView\(Room\(\.\.\.\)\)"):
        qfix.train(lambda: Room(), "pqn", total_steps=8)
    with pytest.raises(qfix.OptionError, match=r"a function that makes one\. Got None"):
        qfix.train(lambda: None, total_steps=8)
