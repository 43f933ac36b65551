"""Whether an environment written in JAX keeps to `JaxEnv`, found out from its shapes alone: nothing is computed."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp

from qfix.envs.jax.protocol import Step
from qfix.errors import EnvironmentFault

_FIELDS = "Step(state, observation, reward, terminated, truncated)"
_CONCRETE = (
    jax.errors.ConcretizationTypeError,  # and with it a truth value, of `if`, `and`, `while`
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


def check_jax_env(env: Any) -> None:
    """Trace `reset` and `step` once, and hold what they give against the spaces and each other.

    Raises:
        EnvironmentFault: a method raises, or gives what a driver cannot use; says which, what is expected, and what
            there is.
    """
    try:
        hash(env)
    except TypeError as fault:
        raise _fault(env, "must be hashable", "one that is not", "Make it a frozen dataclass") from fault
    _check(env)


@lru_cache(maxsize=64)
def _check(env: Any) -> None:
    for name in ("observation_space", "action_space"):
        space = getattr(env, name, None)
        if not isinstance(space, gymnasium.Space):
            raise _fault(env, f"must have an {name} of Gymnasium", repr(space), "Use one of gymnasium.spaces")
    key = jax.eval_shape(jax.random.key, 0)
    begun = _traced(env, "reset", key)
    if not isinstance(begun, tuple) or len(begun) != 2:
        raise _fault(env, "reset must return two things, (state, observation)", _kind(begun), "Return both")
    state, observation = begun
    _check_observation(env, "reset", observation)
    step = _traced(env, "step", state, _action(env.action_space), key)
    if not isinstance(step, Step):
        raise _fault(
            env, f"step must return a {_FIELDS}", _kind(step), "Import Step from qfix.envs.jax.protocol"
        )
    _check_state(env, state, step.state)
    _check_observation(env, "step", step.observation)
    for name in ("reward", "terminated", "truncated"):
        flag = name != "reward"
        found = getattr(step, name)
        fits = isinstance(found, jax.ShapeDtypeStruct) and found.shape == ()
        if not fits or (found.dtype == bool) != flag:
            expected = "one truth, () bool" if flag else "one number, () float32"
            remedy = f"Use jnp.asarray({name}, {'bool' if flag else 'jnp.float32'})"
            raise _fault(env, f"the {name} of step must be {expected}", _kind(found), remedy)


def _traced(env: Any, name: str, *arguments: Any) -> Any:
    try:
        return jax.eval_shape(getattr(env, name), *arguments)
    except _CONCRETE as fault:
        raise _fault(
            env,
            f"{name} must be JAX alone, and cannot depend on the value of an array in Python (`if`, `while`, `and`, "
            f"int(), NumPy)",
            _first_line(fault),
            "Use jnp.where, jax.lax.cond or jnp",
        ) from fault
    except EnvironmentFault:
        raise
    except Exception as fault:
        signature = "reset(key)" if name == "reset" else "step(state, action, key)"
        said = f"{type(fault).__name__}: {_first_line(fault)}"
        raise _fault(env, f"{signature} must be traced by JAX", said, "Mend it") from fault


def _check_state(env: Any, before: Any, after: Any) -> None:
    paths, _ = jax.tree_util.tree_flatten_with_path(before)
    structure: Any = jax.tree.structure(before)
    if jax.tree.structure(after) != structure:
        rule = f"the state after step must have the structure of that of reset, {structure}"
        raise _fault(env, rule, str(jax.tree.structure(after)), "Return the same kind of state")
    for (path, was), now in zip(paths, jax.tree.leaves(after), strict=True):
        if (was.shape, was.dtype) != (now.shape, now.dtype):
            rule = f"the state{jax.tree_util.keystr(path)} after step must be as reset gives it, {_kind(was)}"
            raise _fault(env, rule, _kind(now), f"Use jnp.asarray(..., jnp.{was.dtype}) and keep its shape")


def _check_observation(env: Any, name: str, observation: Any) -> None:
    shape = env.observation_space.shape
    if shape is None:
        return  # of a compound
    if not isinstance(observation, jax.ShapeDtypeStruct) or observation.shape != shape:
        rule = f"the observation of {name} must have shape {shape}, as observation_space has it"
        raise _fault(env, rule, _kind(observation), "Correct one of them")


def _action(space: gymnasium.Space[Any]) -> jax.ShapeDtypeStruct:
    """An action as the drivers give it."""
    number = not isinstance(space, gymnasium.spaces.Box)
    return jax.ShapeDtypeStruct(space.shape or (), jnp.int32 if number else jnp.float32)


def _kind(found: Any) -> str:
    """What something is, in a few words."""
    if isinstance(found, jax.ShapeDtypeStruct):
        return f"{found.shape} {found.dtype}"
    if type(found) is tuple:
        return f"a plain tuple of {len(found)}"
    return f"a {type(found).__name__}" if found is not None else "None"


def _first_line(fault: BaseException) -> str:
    return (str(fault).strip().splitlines() or [""])[0].rstrip(".")[:300]


def _fault(env: Any, rule: str, got: str, remedy: str) -> EnvironmentFault:
    return EnvironmentFault(f"The JAX environment {type(env).__name__}: {rule}. Got {got}. {remedy}.")
