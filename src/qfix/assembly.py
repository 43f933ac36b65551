"""What a run is assembled from, given what a user asks for or the spec of a run that is kept.

The environment and what makes it, the options of the algorithm, the finite model, the trainer, and what makes the
trainer of a single seed elsewhere.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from qfix.algorithms import algorithm as find_algorithm
from qfix.envs.make import TRANSPARENT, find_spec, make_env
from qfix.errors import (
    CheckpointError,
    FolderError,
    ModelError,
    OptionError,
    QfixError,
    from_elsewhere,
    nearest,
    option_error,
    parts_of,
)
from qfix.explore import Linear, as_schedule
from qfix.mdp import FiniteMDP
from qfix.presets import preset
from qfix.runs import RunSpec

STEP_TIME_LIMIT = 60.0  # seconds
FEATURES = "0.store.encoder.table"  # where a packed state has them


# the parameters of `train` beside the algorithm's
_OF_TRAIN = (
    "total_steps",
    "seeds",
    "env_kwargs",
    "driver",
    "progress",
    "features",
    "step_time_limit",
    "workers",
)


# Algorithms and models


def choose_algorithm(space: gymnasium.Space[Any], actions: gymnasium.Space[Any] | None = None) -> str:
    """The default algorithm for the spaces of observations and, if given, actions.

    Q-learning in a table where observations are discrete, else DQN; PPO where actions are no single number.
    """
    if actions is not None and not isinstance(actions, gymnasium.spaces.Discrete):
        return "ppo"
    parts = [space]
    while parts:
        part = parts.pop()
        if isinstance(part, gymnasium.spaces.Box):
            return "dqn"
        if isinstance(part, gymnasium.spaces.Tuple | gymnasium.spaces.Dict):
            parts += part.spaces.values() if isinstance(part, gymnasium.spaces.Dict) else part.spaces
    return "q_learning"


def make_config(name: str, options: Mapping[str, Any]) -> Any:
    """The checked options of an algorithm.

    Raises:
        OptionError: an option is unknown (suggests the nearest) or out of range.
    """
    config_class = importlib.import_module(find_algorithm(name).module).Config
    known = [f.name for f in dataclasses.fields(config_class)]
    for option in options:
        if option not in known:
            offered = [*known, *_OF_TRAIN]
            near = from_elsewhere(option, offered) or nearest(option, offered, 0.7)
            listed = f"Its options: {', '.join(known)}. Options of the environment go into env_kwargs."
            hint = f"Did you mean '{near}'?" if near else listed
            if parts := parts_of(option, known):
                hint = f"Use {', '.join(f'{part}={options[option]!r}' for part in parts)}."
            raise OptionError(f"{name} has no option '{option}'. {hint}")
    return config_class(**options)


def planned_steps(spec: RunSpec) -> int:
    """The budget over which the defaults of a run were laid, as far as its options tell.

    It is less than its `total_steps` where the run was extended since, or rounded up to whole units.
    """
    kept = {name: _as_option(value) for name, value in spec.config.items() if name != "features"}
    total, far = spec.total_steps, 10**12

    def laid_over(steps: int, options: Mapping[str, Any]) -> dict[str, Any]:
        told: dict[str, Any] = make_config(spec.algorithm, options).settled_as(spec.config, steps).to_dict()
        return told

    try:
        usual = preset(spec.env, spec.algorithm)
        one, other = laid_over(total, usual), laid_over(far, usual)
        free = [name for name in one if one[name] != other[name]]
        options = {name: value for name, value in kept.items() if name not in free}
        other = laid_over(far, options)
        for name in free:
            fall, longest = (_duration(config.get(name)) for config in (spec.config, other))
            if fall and longest:
                first, last = fall * far // longest - 1, (fall + 1) * far // longest + 1
                for steps in range(min(last, total), max(first, 1) - 1, -1):
                    if all(laid_over(steps, options)[n] == spec.config.get(n) for n in free):
                        return steps
    except QfixError:
        pass
    return total


def _duration(text: Any) -> int:
    """Of a linear schedule; 0 of anything else."""
    schedule = as_schedule(text) if isinstance(text, str) else None
    return int(schedule.duration) if isinstance(schedule, Linear) else 0


def preset_of(spec: RunSpec) -> dict[str, Any]:
    """The options of a run that are as the table of presets has them, and not as they are without, in JSON form."""
    rows = preset(spec.env, spec.algorithm)
    if not rows:
        return {}
    given, usual = make_config(spec.algorithm, rows).to_dict(), make_config(spec.algorithm, {}).to_dict()
    return {name: given[name] for name in rows if spec.config.get(name) == given[name] != usual[name]}


def preset_span(spec: RunSpec) -> int:
    """Steps over which the learning rate falls that a run has from the table of presets; 0 where none does."""
    return _duration(preset_of(spec).get("learning_rate"))


def known_model(env: gymnasium.Env[Any, Any], gamma: float) -> FiniteMDP | None:
    """The finite model of an environment, or None.

    An environment has one if it carries a table of transitions, no wrapper changes what is seen of it, and its spaces
    number as many states and actions as the table has.

    Raises:
        ModelError: the table is no model; names the state and the action at fault.
    """
    layer = env
    while isinstance(layer, gymnasium.Wrapper):
        if type(layer).__name__ not in TRANSPARENT:
            return None
        layer = layer.env
    states, actions = env.observation_space, env.action_space
    discrete = gymnasium.spaces.Discrete
    if not isinstance(states, discrete) or not isinstance(actions, discrete):
        return None
    world = env.unwrapped
    if not isinstance(getattr(world, "mdp", None), FiniteMDP) and getattr(world, "P", None) is None:
        return None
    if getattr(world, "fickle_passenger", False):
        return None  # Taxi's fickle passenger changes his mind beside the table
    model = FiniteMDP.from_env(env, gamma)
    return model if (states.n, actions.n) == (model.n_states, model.n_actions) else None


def model_for(env: gymnasium.Env[Any, Any], gamma: float, driver: str) -> FiniteMDP | None:
    """The model to train on. A table that is no model is an error, unless it need not be looked at."""
    try:
        return known_model(env, gamma)
    except ModelError as fault:
        if driver == "compiled":
            raise
        if driver == "auto":
            said = f"The environment's table of transitions cannot be used, so it is stepped live. {fault}"
            warnings.warn(said, stacklevel=3)
        return None


# Trainers


def trainer_for(
    spec: RunSpec,
    env: Any = None,
    seeds: Sequence[int] | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
    owner: str = "load",
    step_time_limit: float | None = STEP_TIME_LIMIT,
) -> tuple[Any, gymnasium.Env[Any, Any], FiniteMDP | None, Callable[[], Any]]:
    """A trainer like that of a run.

    Args:
        spec: of the run.
        env: the environment, or what makes it, if it was given to `train` as an object.
        seeds: those to train; by default all of the run's.
        arrays: of one of its checkpoints; looked at where the run has features, which its spec does not hold.
        owner: whom the user has called, for messages.
        step_time_limit: seconds that a step of a live environment may take, as in `train`.

    Returns:
        The trainer, an environment, its model or None, and what makes environments for the trainer.

    Raises:
        OptionError: the environment has to be given, or does not fit the run.
        FolderError: the spec is none of this version's.
        CheckpointError: there are no features.
    """
    make = _kept_env_maker(spec, env, owner, len(spec.seeds if seeds is None else seeds))
    made = _checked_env(spec, env if isinstance(env, gymnasium.Env) else make(), owner)
    options = dict(spec.config)
    features = None
    if options.pop("features", None) is not None:
        features = (arrays or {}).get(FEATURES)
        if features is None or described_features(features)["features"] != spec.config["features"]:
            raise CheckpointError("Its checkpoint lacks the features it was trained with.")
    config = make_config(spec.algorithm, {name: _as_option(value) for name, value in options.items()})
    model = model_for(made, config.gamma, spec.driver)
    trainer = trainer_class(spec.algorithm)(
        config,
        made,
        make,
        model,
        spec.seeds if seeds is None else tuple(seeds),
        spec.driver,
        spec.snapshot_episodes,
        features,
        spec.total_steps,
        step_time_limit,
    )
    if trainer.config.to_dict() | described_features(features) != spec.config:
        raise FolderError("Its spec.json has options that this version of qfix understands differently.")
    return trainer, made, model, make


def trainer_class(name: str) -> Any:
    """The class of trainers of an algorithm."""
    module, _, kind = find_algorithm(name).trainer.partition(":")
    return getattr(importlib.import_module(module), kind)


def _as_option(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def described_features(features: np.ndarray | None) -> dict[str, str]:
    """Features by their hash, so that runs on other features have another digest."""
    if features is None:
        return {}
    raw = np.ascontiguousarray(features, dtype=np.float64)
    return {"features": f"{raw.shape} sha256 {hashlib.sha256(raw.tobytes()).hexdigest()[:16]}"}


@dataclasses.dataclass(frozen=True)
class _SeedTrainer:
    """Makes the trainer of one seed; see `qfix.workers.Build`."""

    spec: RunSpec
    make: Callable[[], gymnasium.Env[Any, Any]]
    features: np.ndarray | None
    step_time_limit: float | None
    by_id: bool

    @property
    def modules(self) -> tuple[str, ...]:
        """What is worth importing once, before there are processes."""
        row = find_algorithm(self.spec.algorithm)
        family = row.module.rpartition(".")[0]
        return (__name__, row.module, row.trainer.partition(":")[0], f"{family}.warm")

    def __call__(self, seed: int) -> Any:
        arrays = {} if self.features is None else {FEATURES: self.features}
        return trainer_for(self.spec, self.make, [seed], arrays, "train", self.step_time_limit)[0]


def seed_trainer_for(
    spec: RunSpec,
    env: Any,
    env_kwargs: Mapping[str, Any] | None,
    features: np.ndarray | None,
    step_time_limit: float | None,
) -> _SeedTrainer | None:
    """What makes the trainer of a seed in another process; None where the environment is an object."""
    if isinstance(env, gymnasium.Env):
        return None
    if not isinstance(env, str):
        return _SeedTrainer(spec, env, features, step_time_limit, by_id=False)
    # what is registered, not the id: the module that registered it need not be known there
    make = functools.partial(make_env, find_spec(env), dict(env_kwargs or {}))
    return _SeedTrainer(spec, make, features, step_time_limit, by_id=True)


# Environments


def env_for(
    spec: RunSpec, env: Any = None, render_mode: str | None = None, owner: str = "play"
) -> gymnasium.Env[Any, Any]:
    """The environment of a run, to be looked at.

    Args:
        spec: of the run.
        env: the environment, or what makes it, if it was given to `train` as an object; it is made as it is to be
            looked at then.
        render_mode: None, or one of its own.
        owner: whom the user has called, for messages.

    Raises:
        OptionError: the environment has to be given, or does not fit the run.
    """
    if isinstance(env, gymnasium.Env):
        return _checked_env(spec, env, owner)
    if render_mode is not None and (env is None or isinstance(env, str)):
        spec = dataclasses.replace(spec, env_kwargs={**spec.env_kwargs, "render_mode": render_mode})
    return _checked_env(spec, _kept_env_maker(spec, env, owner)(), owner)


def _checked_env(spec: RunSpec, env: gymnasium.Env[Any, Any], owner: str) -> gymnasium.Env[Any, Any]:
    if env.spec is not None and env.spec.id != spec.env:
        rule = f"must be '{spec.env}', as the run was trained in"
        raise option_error(owner, "env", rule, env.spec.id, "Give the environment of the run.")
    return env


def _kept_env_maker(spec: RunSpec, env: Any, owner: str = "load", n_seeds: int = 1) -> Callable[[], Any]:
    """What makes the environment of a kept run. A stranger's run may name an id, not a module to be imported."""
    if env is not None:
        return env_maker(env, spec.env_kwargs if isinstance(env, str) else None, n_seeds)
    if spec.env_given != "id":
        rule = "must be given: this run was trained in an environment that was passed as an object"
        raise option_error(owner, "env", rule, None, f"Use {owner}(folder, ..., env=lambda: MyEnv()).")
    outside = [name for name, value in spec.env_kwargs.items() if _has_path(value)]
    unknown = spec.env_module and spec.env not in gymnasium.registry
    if ":" in spec.env or outside or unknown:
        what = f"'{spec.typed_env}', which imports a module"
        if outside:
            what = f"the options {outside} of '{spec.env}'"
        raise OptionError(
            f"The 'env' parameter of {owner} must be given for {what}: a run's folder alone is not trusted with "
            f"that. Use {owner}(folder, ..., env={spec.typed_env!r}) if you trust it."
        )
    return env_maker(spec.env, spec.env_kwargs, n_seeds)


def _has_path(value: Any) -> bool:
    """Whether a text that may name a file or a module is somewhere in an option."""
    if isinstance(value, dict):
        return any(map(_has_path, (*value, *value.values())))
    if isinstance(value, list | tuple):
        return any(map(_has_path, value))
    return isinstance(value, str) and (value == ".." or any(part in value for part in "/\\:"))


def env_maker(env: Any, env_kwargs: Mapping[str, Any] | None, n_seeds: int) -> Callable[[], Any]:
    """What gives every seed an environment of its own: seeds take turns in the middle of their episodes."""
    if isinstance(env, str):
        return lambda: make_env(env, env_kwargs)
    other_class = isinstance(env, type) and not issubclass(env, gymnasium.Env)
    if not isinstance(env, gymnasium.Env) and (other_class or not callable(env)):
        raise _no_environment(env)
    if env_kwargs:
        rule = "needs the id of an environment; this one is made elsewhere"
        raise option_error("train", "env_kwargs", rule, dict(env_kwargs), "Pass them where it is made.")
    if not isinstance(env, gymnasium.Env):
        return lambda: make_env(_made_by(env))
    return Copies(env, n_seeds)


def _made_by(function: Callable[[], Any]) -> Any:
    made = function()
    if not isinstance(made, gymnasium.Env | EnvSpec | str):
        raise _no_environment(made)
    return made


def _no_environment(given: Any) -> OptionError:
    rule = "must be an id, an environment of Gymnasium or a function that makes one"
    name = given.__name__ if isinstance(given, type) else type(given).__name__
    remedy = "Use for example 'FrozenLake-v1'."
    if all(callable(getattr(given, method, None)) for method in ("reset", "step")):
        remedy = (
            f"If it is written in JAX, use env=lambda: JaxEnvView({name}(...)), from qfix.envs.jax.view; else derive "
            f"it from gymnasium.Env."
        )
    return option_error("train", "env", rule, given, remedy)


class Copies:
    """Copies of an environment; the environment itself where it cannot be copied and one seed asks for it."""

    def __init__(self, env: gymnasium.Env[Any, Any], n_seeds: int) -> None:
        self._env = env
        self._n_seeds = n_seeds
        self.shared = False  # whether the environment itself was handed out

    def __call__(self) -> gymnasium.Env[Any, Any]:
        """One more."""
        try:
            return copy.deepcopy(self._env)
        except Exception as fault:  # whatever a simulator's own parts raise when they are copied
            if self._n_seeds == 1:
                self.shared = True
                return self._env
            rule = (
                f"must be copied for {self._n_seeds} seeds, and cannot be ({type(fault).__name__}: {fault})"
            )
            remedy = "Give a function that makes one, such as lambda: MyEnv()."
            raise option_error("train", "env", rule, str(self._env), remedy) from fault


def own_options(env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
    """The options with which an environment was made, as far as they are not those of its id."""
    if env.spec is None:
        return {}
    registered = gymnasium.registry.get(env.spec.id)
    usual = {} if registered is None else registered.kwargs
    return {
        name: value for name, value in env.spec.kwargs.items() if usual.get(name, own_options) is not value
    }


def printable_name(text: str) -> str:
    """A name that fits into a line."""
    return "".join(c if c.isprintable() else " " for c in text)[:200] or "?"
