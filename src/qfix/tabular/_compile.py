"""Composition at compile time: how an algorithm, a store and a way of stepping become one loop.

Numba's disk cache is defeated by what composition in Python usually is: a function passed as an argument or
caught in a closure is compiled again in each process. Types are not. So everything that is composed is a
NamedTuple of arrays, its class tells which code belongs to it, and a *method by class* is resolved while the
kernel is compiled:

    class SarsaMemory(NamedTuple):          # an algorithm's arrays ...
        def learn(self, store, ...): ...    # ... and what it does with them

    learn(memory, store, ...)               # in a kernel: the method of memory's class, inlined

The kernel's signature then holds the classes, is the same in every process, and is found on disk.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

import numba
from numba.core import types
from numba.extending import overload

from qfix.mdp.cached import saved_alone
from qfix.mdp.inline import OPTIONS

_ROOT = Path(__file__).resolve().parent.parent

F = TypeVar("F", bound=Callable[..., Any])


def by_class(default: F) -> F:
    """Turn `default(self, ...)` into a method by class: kernels call the method of that name on self's class.

    A class without such a method gets the body of `default`.
    """
    name = default.__name__

    def choose(*args: Any, **kwargs: Any) -> Callable[..., Any] | None:
        owner: Any = args[0]
        is_tuple = isinstance(owner, types.NamedTuple | types.NamedUniTuple)
        return getattr(owner.instance_class, name, default) if is_tuple else None

    choose.__signature__ = inspect.signature(default)  # type: ignore[attr-defined]
    jit_options: Any = OPTIONS
    overload(default, jit_options=jit_options, strict=False)(choose)
    return default


@cache
def kernel(function: Callable[..., Any], label: str) -> Any:
    """Compile an outer loop for the classes it will be called with, or fetch it from disk.

    Args:
        function: the loop; calls methods by class.
        label: names the combination of classes, such as the algorithm and the store.

    Numba notices a change in the file of the loop only. The name of this copy carries the sources of
    everything that is laid into it, so a change anywhere gives a new entry; and each combination of classes
    has an index of its own, so that none needs the modules of another.
    """
    name = f"{function.__name__}_{label}_{_sources()}"
    copy = FunctionType(function.__code__, function.__globals__, name)
    copy.__qualname__ = name
    copy.__module__ = function.__module__
    options: dict[str, Any] = {
        "cache": True,
        "nogil": True,
        "_nrt": False,
        "error_model": "numpy",
        "no_cfunc_wrapper": True,
    }
    try:
        return saved_alone(numba.njit(**options)(copy))
    except RuntimeError:  # no folder for the cache can be written
        return numba.njit(**(options | {"cache": False}))(copy)


def entry(loop: Any, *example: Any) -> Callable[..., Any]:
    """The compiled code of a kernel for arguments like these, without the dispatcher.

    For calls made at every step: the dispatcher takes longer to look at the arguments than the kernel to run.
    Arguments of other types are not noticed: the caller sees to it that they are always like the example.
    """
    return loop.compile(tuple(numba.typeof(x) for x in example))


def foreign_source(kind: type) -> str:
    """Fingerprint of the file of an algorithm that is not one of ours, to go into its kernels' label; else ""."""
    try:
        path = Path(inspect.getfile(kind)).resolve()
        if path.is_relative_to(_ROOT):
            return ""
        return "_" + hashlib.blake2b(path.read_bytes(), digest_size=6).hexdigest()
    except (OSError, TypeError):  # typed at a prompt: there is no file, and nothing that could change in it
        return ""


@cache
def _sources() -> str:
    """Fingerprint of the sources that end up inside kernels."""
    digest = hashlib.blake2b(digest_size=6)
    for folder in ("core", "explore", "mdp", "tabular"):
        for path in sorted((_ROOT / folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
