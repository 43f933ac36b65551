"""Whether a folder holds the very run that a command line asks for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qfix.cli.kept import command_on, load_run
from qfix.errors import ModelError, OptionError, is_whole


def load_same_run(
    folder: Path,
    env: str,
    env_kwargs: Mapping[str, Any],
    name: str,
    options: Mapping[str, Any],
    own: Mapping[str, Any],
    made: Any,
) -> Any:
    """The run in a folder, if it is the one that the command line would begin.

    How often it is measured, and on how many episodes evaluated, is compared only where the command line says it.

    Args:
        folder: which holds a run.
        env, env_kwargs, made: the environment's id, its options, and one of it.
        name, options: of the algorithm.
        own: options of `qfix train`.

    Raises:
        OptionError: it is another run; says in what.
    """
    from qfix.assembly import planned_steps
    from qfix.runs import RunFolder

    spec = RunFolder(folder).spec
    env_id = made.spec.id if made.spec is not None else env
    if (spec.env, spec.algorithm) != (env_id, name):
        raise OptionError(
            f"{folder} holds another run: {spec.algorithm} on {spec.env}, and not {name} on {env_id}. "
            f"{_remedy(folder, spec)}"
        )
    kept = load_run(
        folder, env if ":" in env else None, python=".resume()", step_time_limit=own["step_time_limit"]
    )
    asked = _asked(kept, env_kwargs, options, own, made)
    found = spec.differences(asked)
    if not found:
        return kept
    here = asked.to_dict()
    if "total_steps" in found:
        # what is laid over the budget differs with it, and is told only where it would differ without
        of_that_length = _asked(kept, env_kwargs, options, {**own, "total_steps": planned_steps(spec)}, made)
        differing = spec.differences(dataclasses.replace(of_that_length, total_steps=spec.total_steps))
        found = [*differing, "total_steps"]
        here = of_that_length.to_dict() | {"total_steps": asked.total_steps}
    there = spec.to_dict()
    told = "; ".join(
        f"{_typed(field)} is {_value(there, field)} there and {_value(here, field)} here" for field in found
    )
    longer = found == ["total_steps"] and asked.total_steps > spec.total_steps
    extend = command_on("resume", folder, spec.typed_env, "--total-steps", f"{asked.total_steps:_}")
    more = f" To extend it: `{extend}`." if longer else ""
    raise OptionError(f"{folder} holds another run: {told}. {_remedy(folder, spec)}{more}")


def _asked(
    kept: Any, env_kwargs: Mapping[str, Any], options: Mapping[str, Any], own: Mapping[str, Any], made: Any
) -> Any:
    """The spec of the run that would be begun; its algorithm and environment are those of the kept one."""
    from qfix.assembly import known_model, make_config
    from qfix.envs.make import make_env
    from qfix.presets import preset

    spec = kept.spec
    config = make_config(spec.algorithm, {**preset(spec.env, spec.algorithm), **options})
    try:
        model = known_model(made, config.gamma)
    except ModelError:
        model = None  # as `train` has it: such a table is not looked at
    seeds = 1 if own["seeds"] is None else own["seeds"]
    seeds = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    trainer = type(kept.trainer)(
        config,
        made,
        lambda: make_env(spec.env, env_kwargs),
        model,
        seeds,
        own["driver"] or "auto",
        spec.snapshot_episodes,
        None,
        own["total_steps"],
    )
    named = ("metrics_every", "eval_episodes")
    given = {name: own[name] for name in named if own[name] is not None}
    # `train` rounds a budget up to whole units, and `resume`, which extends it, does not
    wanted = own["total_steps"]
    as_it_is = wanted is not None and (wanted == spec.total_steps or wanted < 1)
    total_steps = wanted if as_it_is else trainer.total_steps
    return dataclasses.replace(
        spec,
        env_kwargs=dict(env_kwargs),
        config=trainer.config.to_dict(),
        seeds=seeds,
        driver=trainer.driver,
        total_steps=total_steps,
        **given,
    )


def _remedy(folder: Path, spec: Any) -> str:
    go_on = command_on("resume", folder, spec.typed_env)
    return f"Begin anew without --resume, or go on with that one: `{go_on}`."


def _typed(field: str) -> str:
    """A field of a spec as it is typed: "config.gamma" is --gamma."""
    table, _, name = field.rpartition(".")
    option = name.rstrip("_").replace("_", "-")
    return f"--env.{option}" if table == "env_kwargs" else f"--{option}"


def _value(spec: Mapping[str, Any], field: str) -> str:
    table, _, name = field.rpartition(".")
    found = spec[table].get(name, "its default") if table else spec[name]
    text = found if isinstance(found, str) else f"{found:,}" if is_whole(found) else json.dumps(found)
    return text if len(text) <= 80 else f"{text[:77]}..."
