"""What is to be exported, and where to: checked before any work starts."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import gymnasium

from qfix import __version__
from qfix.errors import OptionError, option_error
from qfix.run import Run

# class of policies -> the module that knows what they are made of; so a table is written without importing JAX
_FAMILIES = {
    "qfix.deep.policy.NetworkPolicy": "qfix.export.network",
    "qfix.deep.actor_policy.ActorPolicy": "qfix.export.actor",
    "qfix.tabular.policy.TablePolicy": "qfix.export.table",
}


class Source(NamedTuple):
    """A policy and what is known of it."""

    policy: Any
    family: ModuleType
    """Of `_FAMILIES`: has `VALUES`, `VALUES_NAME`, `n_actions`, `n_state`, `values_of`, `input_of`, `as_input`,
    `seen_by`, `arrays`, `draw`, `add_action` and `same_actions`."""
    space: gymnasium.Space[Any]
    """Of observations."""
    told: dict[str, str]
    """What the policy is, in words, by key."""
    run: Run | None
    """The run that learned it, if it was given."""


def source_of(owner: str, given: Any, seed: int | None) -> Source:
    """The policy of a run's seed, or a policy as it was given.

    Args:
        owner: whom the user has called, for messages.
        given: a Run, or a greedy policy.
        seed: one of the run's; None for its first.

    Raises:
        OptionError: it is neither, or the run has no such seed.
    """
    run = given if isinstance(given, Run) else None
    if run is None and seed is not None:
        raise option_error(owner, "seed", "goes with a run, not with a policy", seed, "Leave it out.")
    policy: Any = given if run is None else run.policy(seed)
    kind = f"{type(policy).__module__}.{type(policy).__qualname__}"
    if kind not in _FAMILIES:
        rule = "must be a run or its greedy policy"
        raise option_error(owner, "source", rule, given, "Give qfix.load(folder), or run.policy().")
    told = {"qfix_version": __version__, "policy": repr(policy)}
    if run is not None:
        told |= {
            "environment": run.spec.env,
            "algorithm": run.spec.algorithm,
            "digest": run.spec.digest,
            "seed": str(run.spec.seeds[0] if seed is None else seed),
            "step": str(run.steps),
        }
    return Source(policy, importlib.import_module(_FAMILIES[kind]), policy.observation_space, told, run)


def checked_target(owner: str, name: str, target: str | Path, endings: tuple[str, ...], force: bool) -> Path:
    """The path of the file to be written.

    Raises:
        OptionError: it ends in something else, there is no such folder, or the file is there already.
    """
    path = Path(target)
    if path.suffix.lower() not in endings:
        rule = f"must end in {' or '.join(endings)}"
        remedy = f"Use {name}={f'policy{endings[0]}'!r}."
        raise option_error(owner, name, rule, str(target), remedy)
    if path.is_dir() or not path.parent.is_dir():
        rule = "must be a file in a folder that exists"
        raise option_error(owner, name, rule, str(target), "Make the folder, or choose another name.")
    if path.exists() and not force:
        raise OptionError(
            f"The file {path} is there already. Choose another name, or use force=True to replace it."
        )
    return path
