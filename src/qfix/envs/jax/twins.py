"""Which environment on the device is the twin of a Gymnasium environment: the one table that says so."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import gymnasium

from qfix.envs.jax.protocol import JaxEnv
from qfix.envs.make import TRANSPARENT
from qfix.mdp import FiniteMDP

_MISSING = object()


class _Twin(NamedTuple):
    """A row of the table."""

    definition: str
    """`module:class` of the twin."""
    fixed: Mapping[str, Any]
    """Attributes of Gymnasium's environment, and the values with which the twin is written."""
    passed: Mapping[str, str]
    """Options of the twin, and the attributes they are read from."""


_CLASSIC = "gymnasium.envs.classic_control"
_TWINS = {
    f"{_CLASSIC}.cartpole:CartPoleEnv": _Twin(
        "qfix.envs.jax.cart_pole:CartPole",
        {
            "gravity": 9.8,
            "masscart": 1.0,
            "masspole": 0.1,
            "total_mass": 1.1,
            "length": 0.5,
            "polemass_length": 0.05,
            "force_mag": 10.0,
            "tau": 0.02,
            "kinematics_integrator": "euler",
            "theta_threshold_radians": 12 * 2 * math.pi / 360,
            "x_threshold": 2.4,
            "_sutton_barto_reward": False,
        },
        {},
    ),
    f"{_CLASSIC}.mountain_car:MountainCarEnv": _Twin(
        "qfix.envs.jax.mountain_car:MountainCar",
        {
            "min_position": -1.2,
            "max_position": 0.6,
            "max_speed": 0.07,
            "goal_position": 0.5,
            "force": 0.001,
            "gravity": 0.0025,
        },
        {"goal_velocity": "goal_velocity"},
    ),
    f"{_CLASSIC}.acrobot:AcrobotEnv": _Twin(
        "qfix.envs.jax.acrobot:Acrobot",
        {
            "dt": 0.2,
            "LINK_LENGTH_1": 1.0,
            "LINK_LENGTH_2": 1.0,
            "LINK_MASS_1": 1.0,
            "LINK_MASS_2": 1.0,
            "LINK_COM_POS_1": 0.5,
            "LINK_COM_POS_2": 0.5,
            "LINK_MOI": 1.0,
            "MAX_VEL_1": 4 * math.pi,
            "MAX_VEL_2": 9 * math.pi,
            "AVAIL_TORQUE": [-1.0, 0.0, 1.0],
            "torque_noise_max": 0.0,
            "book_or_nips": "book",
        },
        {},
    ),
    f"{_CLASSIC}.pendulum:PendulumEnv": _Twin(
        "qfix.envs.jax.pendulum:Pendulum",
        {"max_speed": 8, "max_torque": 2.0, "dt": 0.05, "m": 1.0, "l": 1.0},
        {"g": "g"},
    ),
    "qfix.envs.lane:Lane": _Twin("qfix.envs.jax.lane:Lane", {}, {"rules": "rules"}),
    "qfix.envs.rock_paper_scissors:RockPaperScissors": _Twin(
        "qfix.envs.jax.rock_paper_scissors:RockPaperScissors", {}, {}
    ),
}


def jax_env_of(env: gymnasium.Env[Any, Any], model: FiniteMDP | None) -> JaxEnv | None:
    """The twin of an environment: same spaces, starts, dynamics and rewards, as pure functions on the device.

    It is the first of: the environment's own `jax_env`; the twin in the table, of a world of qfix without a finite
    model or of a classic-control environment of Gymnasium that has the parameters the twin is written with; `model` as
    a `FiniteMDPEnv`.

    Args:
        env: with its wrappers. One that may change what is seen (any but TimeLimit, OrderEnforcing, PassiveEnvChecker
            and RecordEpisodeStatistics) leaves it without a twin.
        model: the finite model of the environment, or None if it has none.

    Returns:
        The twin, with the time limit of `env.spec` and of the wrappers, where there is one; or None. JAX is imported
        only for a twin.

    Raises:
        EnvironmentFault: its own `jax_env` is none that can be driven; see `qfix.envs.jax.check`.
    """
    limits = [] if env.spec is None else [env.spec.max_episode_steps]
    layer = env
    while isinstance(layer, gymnasium.Wrapper):
        if type(layer).__name__ not in TRANSPARENT:
            return None
        if isinstance(layer, gymnasium.wrappers.TimeLimit):
            limits.append(layer._max_episode_steps)  # an environment made by hand has no spec
        layer = layer.env
    limit = min((steps for steps in limits if steps is not None), default=None)
    own = getattr(layer, "jax_env", None)
    if own is not None:
        import_module("qfix.envs.jax.check").check_jax_env(own)
        return _with_limit(own, limit)
    row = _TWINS.get(f"{type(layer).__module__}:{type(layer).__name__}")
    if row is not None and all(_is(layer, name, value) for name, value in row.fixed.items()):
        module, _, name = row.definition.partition(":")
        options = {option: getattr(layer, attribute) for option, attribute in row.passed.items()}
        return getattr(import_module(module), name)(max_episode_steps=limit, **options)
    if model is None:
        return None
    if limit is not None and limit != model.max_episode_steps:
        model = dataclasses.replace(model, max_episode_steps=limit)
    return import_module("qfix.envs.jax.finite").FiniteMDPEnv(model)


def _is(world: Any, name: str, value: Any) -> bool:
    """Whether an attribute has the value, up to the rounding of products such as 0.1 * 0.5."""
    given = getattr(world, name, _MISSING)
    if isinstance(value, float):
        return isinstance(given, int | float) and math.isclose(given, value, rel_tol=1e-12)
    return type(given) is type(value) and given == value


@dataclasses.dataclass(frozen=True)
class TimeLimited:
    """A `JaxEnv` with another time limit, kept by whoever drives it."""

    env: Any
    max_episode_steps: int | None

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        """That of the environment."""
        return self.env.observation_space

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """That of the environment."""
        return self.env.action_space

    def reset(self, key: Any) -> tuple[Any, Any]:
        """A start of the environment."""
        return self.env.reset(key)

    def step(self, state: Any, action: Any, key: Any) -> Any:
        """A step of the environment."""
        return self.env.step(state, action, key)


def _with_limit(env: Any, limit: int | None) -> JaxEnv:
    return env if limit in (None, env.max_episode_steps) else TimeLimited(env, limit)
