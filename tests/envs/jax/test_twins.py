"""Which Gymnasium environments have a twin on the device, and that no other is taken for one."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest

from qfix.envs.jax import jax_env_of
from qfix.envs.jax.acrobot import Acrobot
from qfix.envs.jax.cart_pole import CartPole
from qfix.envs.jax.finite import FiniteMDPEnv
from qfix.envs.jax.lane import Lane
from qfix.envs.jax.minatar import MinAtar
from qfix.envs.jax.mountain_car import MountainCar
from qfix.envs.jax.pendulum import Pendulum
from qfix.envs.jax.rock_paper_scissors import RockPaperScissors
from qfix.envs.jax.twins import TimeLimited
from qfix.envs.lane import LaneRules
from qfix.mdp import FiniteMDP


@pytest.mark.parametrize(
    ("env_id", "options", "twin"),
    [
        ("CartPole-v1", {}, CartPole()),
        ("CartPole-v0", {}, CartPole(200)),
        ("CartPole-v1", {"max_episode_steps": 77}, CartPole(77)),
        ("CartPole-v1", {"sutton_barto_reward": True}, None),
        ("MountainCar-v0", {}, MountainCar()),
        ("MountainCar-v0", {"goal_velocity": 0.01}, MountainCar(goal_velocity=0.01)),
        ("Acrobot-v1", {}, Acrobot()),
        ("Pendulum-v1", {"g": 9.81}, Pendulum(g=9.81)),
        ("qfix/Lane-v0", {}, Lane()),
        ("qfix/Lane-v0", {"speed": 12.0}, Lane(rules=LaneRules(speed=12.0))),
        ("qfix/Lane-v0", {"max_episode_steps": 99}, Lane(99)),
        ("qfix/RockPaperScissors-v0", {}, RockPaperScissors()),
        ("MountainCarContinuous-v0", {}, None),
        ("FrozenLake-v1", {}, None),
    ],
)
@pytest.mark.filterwarnings("ignore:.*out of date")
def test_who_has_a_twin(env_id, options, twin):
    assert jax_env_of(gymnasium.make(env_id, **options), None) == twin


@pytest.mark.parametrize(
    ("env_id", "attribute", "value"),
    [
        ("CartPole-v1", "length", 0.6),
        ("CartPole-v1", "kinematics_integrator", "semi-implicit"),
        ("CartPole-v1", "theta_threshold_radians", 0.3),
        ("MountainCar-v0", "force", 0.002),
        ("Acrobot-v1", "dt", 0.05),
        ("Acrobot-v1", "book_or_nips", "nips"),
        ("Acrobot-v1", "torque_noise_max", 1.0),
        ("Acrobot-v1", "AVAIL_TORQUE", [-2.0, 0.0, 2.0]),
        ("Pendulum-v1", "m", 2.0),
    ],
)
def test_changed_parameters_leave_it_without(env_id, attribute, value):
    env = gymnasium.make(env_id)
    assert jax_env_of(env, None) is not None
    setattr(env.unwrapped, attribute, value)
    assert jax_env_of(env, None) is None


def test_a_subclass_is_another_environment():
    class Mine(gymnasium.envs.classic_control.CartPoleEnv):
        pass

    assert jax_env_of(Mine(), None) is None


def test_wrappers_that_change_what_is_seen_leave_it_without():
    env = gymnasium.make("CartPole-v1")
    counted = gymnasium.wrappers.RecordEpisodeStatistics(env)
    assert jax_env_of(counted, None) == CartPole()
    assert jax_env_of(gymnasium.wrappers.TransformReward(env, np.sign), None) is None
    assert jax_env_of(gymnasium.wrappers.TimeAwareObservation(counted), None) is None


def test_the_limit_of_an_environment_made_by_hand():
    bare = gymnasium.envs.classic_control.CartPoleEnv()
    assert jax_env_of(bare, None) == CartPole(None)
    assert jax_env_of(gymnasium.wrappers.TimeLimit(bare, 33), None) == CartPole(33)


def test_a_model_is_a_twin():
    env = gymnasium.make("FrozenLake-v1")
    model = FiniteMDP.from_env(env, 0.9)
    twin = jax_env_of(env, model)
    assert isinstance(twin, FiniteMDPEnv)
    assert twin.model is model
    assert twin.max_episode_steps == 100
    assert jax_env_of(gymnasium.make("FrozenLake-v1", max_episode_steps=9), model).max_episode_steps == 9


def test_an_environment_brings_its_own():
    env = gymnasium.make("qfix/Asterix-v0", difficulty_ramping=False)
    twin = jax_env_of(env, None)
    assert twin == TimeLimited(env.unwrapped.jax_env, 5_000)
    assert isinstance(twin.env, MinAtar)
    assert not twin.env.game.difficulty_ramping
    assert (twin.observation_space, twin.action_space) == (env.observation_space, env.action_space)
    assert jax_env_of(env.unwrapped.__class__(twin), None) is twin


@pytest.mark.parametrize(
    "program",
    [
        "import qfix.envs.jax",
        "import qfix, gymnasium; gymnasium.make('qfix/Lane-v0').reset(seed=0)",
        "import qfix.envs.jax, gymnasium; qfix.envs.jax.jax_env_of(gymnasium.make('FrozenLake-v1'), None)",
        "import qfix.envs.jax, qfix.envs.catalogue, qfix.envs; qfix.envs.register_worlds()",
    ],
)
def test_jax_is_imported_for_a_twin_only(program):
    told = f"{program}\nimport sys; print('jax' in sys.modules, 'jaxlib' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert answer.stdout == "False False\n"
