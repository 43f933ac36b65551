"""What a user can get wrong, as exceptions with a remedy.

Every message names the parameter, its owner, the rule it broke, the value and what to do instead.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any, TypeGuard


class QfixError(Exception):
    """Root of every error qfix raises on purpose: `except qfix.QfixError` catches them all and no bug."""


class OptionError(QfixError, ValueError):
    """A parameter is out of range, of the wrong kind, or not known."""


class ModelError(QfixError, ValueError):
    """A finite model is not a Markov decision process, or cannot be solved as asked."""


class SpaceError(QfixError, ValueError):
    """An observation or action space does not fit the learner."""


class UnknownNameError(QfixError, LookupError):
    """No environment, algorithm or option of that name."""


class EnvironmentFault(QfixError, RuntimeError):
    """An environment broke its contract while a run was going on.

    Attributes:
        run: what had been learned up to the fault, readable like any finished run; None before the first step.
        records: the episodes finished since the run was last advanced.
    """

    run: Any = None
    records: Any = None


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM ended a training; a KeyboardInterrupt, so that a script ends with it.

    Attributes:
        run: what had been learned, readable like any finished run.
    """

    def __init__(self, run: Any) -> None:
        super().__init__(
            f"Interrupted after {run.steps:,} steps; what was learned is in the `run` of this exception."
        )
        self.run = run


class FolderError(QfixError, OSError):
    """The folder of a run is missing, damaged, or not what it says, or cannot be written.

    Attributes:
        run: where a disk refused to keep a training: what had been learned, which `run.save` may keep elsewhere.
    """

    run: Any = None


class CheckpointError(FolderError):
    """A checkpoint is missing or damaged."""


class LockedError(FolderError):
    """Another process is writing the run."""


def is_whole(x: Any) -> TypeGuard[int]:
    """A whole number, NumPy's included; True and False are not meant as numbers."""
    return isinstance(x, Integral) and not isinstance(x, bool)


def option_error(owner: str, name: str, rule: str, value: object, remedy: str) -> OptionError:
    """The house's sentence for a bad parameter.

    >>> print(option_error("q_learning", "gamma", "must be in [0, 1]", 1.2, "Use gamma=0.99 for long horizons."))
    The 'gamma' parameter of q_learning must be in [0, 1]. Got 1.2. Use gamma=0.99 for long horizons.
    """
    return OptionError(f"The '{name}' parameter of {owner} {rule}. Got {value!r}. {remedy}")


def counted(n: int, noun: str) -> str:
    """So many of something.

    >>> counted(1, "seed"), counted(1_000, "seed")
    ('1 seed', '1,000 seeds')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """An error for a name that is not in a table; suggests the nearest known one.

    >>> print(unknown_name("algorithm", "qlearning", ["q_learning", "sarsa"]))
    There is no algorithm 'qlearning'. Did you mean 'q_learning'?
    """
    names = sorted(known)
    near = nearest(name, names)
    hint = f"Known: {', '.join(names)}." if near is None else f"Did you mean '{near}'?"
    return UnknownNameError(f"There is no {kind} '{name}'. {hint}")


# options of other libraries, and what they are called here: the first of these that there is
_ELSEWHERE = {
    "lr": ("alpha", "learning_rate"),
    "learning_rate": ("alpha",),
    "alpha": ("learning_rate",),
    "step_size": ("alpha", "learning_rate"),
    "discount": ("gamma",),
    "discount_factor": ("gamma",),
    "eps": ("epsilon",),
    "exploration": ("epsilon",),
    "n_envs": ("num_envs",),
    "n_steps": ("num_steps",),
    "n_epochs": ("num_epochs",),
    "update_epochs": ("num_epochs",),
    "buffer": ("buffer_size",),
    "memory_size": ("buffer_size",),
    "batch": ("batch_size", "num_minibatches"),
    "batch_size": ("num_minibatches",),
    "minibatch_size": ("num_minibatches", "batch_size"),
    "train_freq": ("train_every",),
    "target_update_interval": ("target_every",),
    "gae_lambda": ("lambda_",),
    "clip_range_vf": ("value_clip",),
    "ent_coef": ("entropy_coefficient",),
    "vf_coef": ("value_coefficient",),
    "net_arch": ("hidden",),
    "total_timesteps": ("total_steps",),
    "timesteps": ("total_steps",),
    "steps": ("total_steps",),
    "seed": ("seeds",),
}


# those that are several here, each with the same value
_IN_PARTS = {"clip_range": ("clip_low", "clip_high"), "clip_coef": ("clip_low", "clip_high")}


def parts_of(option: str, known: Collection[str]) -> tuple[str, ...]:
    """The options that stand here for one of another library, if they are several and there are all of them.

    >>> parts_of("clip_range", ["gamma", "clip_low", "clip_high"]), parts_of("clip_range", ["gamma"])
    (('clip_low', 'clip_high'), ())
    """
    parts = _IN_PARTS.get(option, ())
    return parts if set(parts) <= set(known) else ()


def from_elsewhere(option: str, known: Collection[str]) -> str | None:
    """What an option of other libraries is called here, of the options there are; None where it is none of theirs.

    >>> from_elsewhere("lr", ["gamma", "learning_rate"]), from_elsewhere("lr", ["gamma"])
    ('learning_rate', None)
    """
    return next((name for name in _ELSEWHERE.get(option, ()) if name in known), None)


def nearest(name: str, known: Iterable[str], least: float = 0.6) -> str | None:
    """The known name that is most like another, at least so much; None where none is.

    >>> nearest("--sede", ["--seeds", "--out"]), nearest("--folder", ["--seeds", "--out"])
    ('--seeds', None)
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=least)
    return near[0] if near else None


@contextmanager
def naming(owner: str, name: str) -> Iterator[None]:
    """Errors of what is read from a value, with the parameter that has the value.

    >>> with naming("dqn", "learning_rate"):
    ...     raise UnknownNameError("There is no schedule 'abc'.")
    Traceback (most recent call last):
    qfix.errors.UnknownNameError: The 'learning_rate' parameter of dqn cannot be used. There is no schedule 'abc'.
    """
    try:
        yield
    except (OptionError, UnknownNameError) as fault:
        raise type(fault)(f"The '{name}' parameter of {owner} cannot be used. {fault}") from fault
