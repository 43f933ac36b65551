"""Any environment by its id, with errors that say what to type instead."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import warnings
from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator, parse_env_id

from qfix.envs import atari
from qfix.envs.catalogue import definition_of, entry
from qfix.envs.registration import register_worlds
from qfix.envs.table_env import TableEnv
from qfix.envs.world import make_world, model_of
from qfix.errors import EnvironmentFault, OptionError, UnknownNameError, nearest, unknown_name

_ATARI = "ale_py"  # a package that registers more environments when it is imported
_ATARI_IDS = re.compile(r"ALE/|\w+NoFrameskip-v\d+$")

# what to install for the environments of a package, by the module that has them
_INSTALL = {
    _ATARI: "qfix[atari]",
    "gymnasium.envs.box2d": "gymnasium[box2d]",
    "gymnasium.envs.mujoco": "gymnasium[mujoco]",
    "gymnasium.envs.phys2d": "gymnasium[jax]",
    "gymnasium.envs.tabular": "gymnasium[jax]",
}


TRANSPARENT = ("TimeLimit", "OrderEnforcing", "PassiveEnvChecker", "RecordEpisodeStatistics")
"""Wrappers that leave observations, and transitions, as the environment itself has them."""


def world_env(world: str, render_mode: str | None = None, **options: Any) -> TableEnv:
    """A finite world of the catalogue as a Gymnasium environment, without wrappers: what its id stands for.

    Args:
        world: its name.
        render_mode: None, "ansi" or "rgb_array".
        options: of the world; see its definition.
    """
    definition = make_world(world, **options)
    # without the time limit of its id, which Gymnasium puts around it, or another one, or none
    return TableEnv(model_of(definition), definition, render_mode)


# Gymnasium reads the render modes off the entry point, to offer its own window around them
world_env.metadata = TableEnv.metadata  # type: ignore[attr-defined]


def make_env(
    env: str | EnvSpec | gymnasium.Env[Any, Any], env_kwargs: Mapping[str, Any] | None = None
) -> gymnasium.Env[Any, Any]:
    """An environment, ready to reset.

    Args:
        env: an id of Gymnasium's registry, with or without its version (the newest then), an Atari game's where
            ale-py is installed, "module:Id-v0" to import a module first, an EnvSpec, or an environment, which is
            returned as it is. An Atari game is preprocessed as the field does it (`qfix.envs.atari`) unless
            `env_kwargs` has preprocessing=False.
        env_kwargs: options of the environment; only with an id.

    Raises:
        UnknownNameError: no environment of that id; suggests the nearest, or the package that has it.
        OptionError: the environment has no such option, or refuses its value.
        EnvironmentFault: the environment cannot be made at all, for instance for want of a package.
    """
    kwargs = dict(env_kwargs or {})
    if isinstance(env, gymnasium.Env):
        if kwargs:
            raise OptionError(
                f"The 'env_kwargs' parameter of make_env needs the id of an environment. Got "
                f"{sorted(kwargs)} with {env}, which is made already. Pass them where it is made."
            )
        return env
    register_worlds()
    spec = find_spec(env) if isinstance(env, str) else env
    _check_kwargs(spec, kwargs)
    try:
        return atari.make_game(spec, kwargs) if atari.is_game(spec) else gymnasium.make(spec, **kwargs)
    except (gymnasium.error.DependencyNotInstalled, ModuleNotFoundError) as fault:
        raise EnvironmentFault(
            f"The environment '{spec.id}' needs a package that is not installed. {_remedy(spec, fault)}"
        ) from fault
    except (OptionError, UnknownNameError):
        raise
    except Exception as fault:
        reason = f"{type(fault).__name__}: {fault}"
        if kwargs:
            raise OptionError(
                f"The environment '{spec.id}' cannot be made with {kwargs}. It says: {reason}. "
                f"Correct the option, or leave it out for its default."
            ) from fault
        raise EnvironmentFault(f"The environment '{spec.id}' cannot be made. It says: {reason}.") from fault


def find_spec(env_id: str) -> EnvSpec:
    """The registered environment of an id.

    Raises:
        UnknownNameError: there is none; suggests the nearest.
        EnvironmentFault: the module before the colon cannot be imported.
    """
    register_worlds()
    module, colon, name = env_id.rpartition(":")
    if colon:
        _import(module, env_id)
    if _ATARI_IDS.match(name) and name not in gymnasium.registry:
        if importlib.util.find_spec(_ATARI) is None:
            raise UnknownNameError(
                f"There is no environment '{name}' yet: Atari games come with a package of their own. "
                f"Install it: pip install '{_INSTALL[_ATARI]}'."
            )
        _import(_ATARI, env_id)
    if name in gymnasium.registry:
        return gymnasium.registry[name]
    if name in (newest := _newest_versions()):
        return gymnasium.registry[newest[name]]
    bare = name.rsplit("-v", 1)[0]
    if bare in newest:
        raise UnknownNameError(f"There is no environment '{name}'. Did you mean '{newest[bare]}'?")
    near = nearest(name, gymnasium.registry)
    hint = f"Did you mean '{near}'?" if near else "See `qfix list` for those there are."
    raise UnknownNameError(f"There is no environment '{name}'. {hint}")


def options_of(env_id: str | EnvSpec) -> dict[str, Any]:
    """The options an environment takes with their defaults, in order; `inspect.Parameter.empty` where there
    is none.

    Raises:
        UnknownNameError: no environment of that id.
    """
    spec = find_spec(env_id) if isinstance(env_id, str) else env_id
    parameters = _parameters(spec)
    named = {p.name: p.default for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return {name: spec.kwargs.get(name, default) for name, default in named.items()}


def _newest_versions() -> dict[str, str]:
    """Ids without a version to the newest id that has one."""
    newest: dict[str, tuple[int, str]] = {}
    for known in gymnasium.registry:
        namespace, name, version = parse_env_id(known)
        bare = name if namespace is None else f"{namespace}/{name}"
        if version is not None:
            newest[bare] = max(newest.get(bare, (-1, "")), (version, known))
    return {bare: known for bare, (_, known) in newest.items()}


def _remedy(spec: EnvSpec, fault: Exception) -> str:
    """What to install, for an environment that cannot be made for want of it."""
    module = str(spec.entry_point).partition(":")[0]
    for begins, package in _INSTALL.items():
        if module == begins or module.startswith(f"{begins}."):
            return f"Install it: pip install '{package}'."
    return str(fault)


def _import(module: str, env_id: str) -> None:
    try:
        importlib.import_module(module)
    except Exception as fault:
        raise EnvironmentFault(
            f"The module '{module}' of the environment '{env_id}' cannot be imported. It says: "
            f"{type(fault).__name__}: {fault}. Install it, or correct what stands before the colon."
        ) from fault


def _parameters(spec: EnvSpec) -> list[inspect.Parameter]:
    """The parameters of what makes the environment; for our worlds those of the definition."""
    if spec.kwargs.get("world") is not None and spec.entry_point == "qfix.envs.make:world_env":
        own = inspect.signature(definition_of(entry(spec.kwargs["world"]))).parameters
        render_mode = inspect.Parameter("render_mode", inspect.Parameter.KEYWORD_ONLY, default=None)
        return [*own.values(), render_mode]
    creator: Any = spec.entry_point
    try:
        if isinstance(creator, str):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                creator = load_env_creator(creator)
        found = [] if creator is None else list(inspect.signature(creator).parameters.values())
        return [*found, *atari.parameters()] if atari.is_game(spec) else found
    except (ImportError, gymnasium.error.Error, TypeError, ValueError):
        # it cannot be looked into; making it will tell what is wrong
        return [inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)]


def _check_kwargs(spec: EnvSpec, kwargs: Mapping[str, Any]) -> None:
    parameters = _parameters(spec)
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    # `gymnasium.make` takes these itself
    known = {p.name for p in parameters} | {"max_episode_steps", "disable_env_checker"}
    for name in kwargs:
        if name not in known:
            near = str(unknown_name("option", name, sorted(known))).split("'. ", 1)[1]
            raise OptionError(
                f"The environment '{spec.id}' has no option '{name}'. {near} "
                f"Its options: {', '.join(sorted(known)) or 'none'}."
            )
