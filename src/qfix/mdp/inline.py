"""How the parts of a kernel are compiled, so that a loop made of many small functions runs like one big one.

Two settings make the difference, each worth a factor of five where a step costs ten nanoseconds:

- `forceinline`: the parts of a step together are larger than what LLVM inlines on its own account.
- `_nrt=False`: no reference counting. Otherwise each part counts the arrays it is handed, atomically, at
  every step. In return a part may not create arrays: it works in those it is given.

Division by zero gives infinity or NaN as in NumPy and costs no branch.

Kernels call their parts, Python seldom does and C never, so a part is compiled without the code that such calls go
through: a quarter of the compiler's time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba

OPTIONS: dict[str, Any] = {
    "forceinline": True,
    "_nrt": False,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a part that is laid into every kernel that calls it."""
    return _part(function, OPTIONS)


def outlined(function: Callable[..., Any]) -> Any:
    """Compile a part that is called, not laid in: for what happens seldom, so that kernels stay small."""
    return _part(function, OPTIONS | {"forceinline": False})


def _part(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """A part; where Python calls it, it is compiled once more, with what that needs."""
    part = numba.njit(**options)(function)

    @cache
    def callable_part() -> Any:
        return numba.njit(**(options | {"no_cpython_wrapper": False}))(function)

    def keep(compiled: Any) -> None:
        part.overloads[tuple(compiled.signature.args)] = compiled

    # the dispatcher knows no compiled code, so it asks for some at every call: and what it gets, it calls
    part.add_overload = keep
    part._compile_for_args = lambda *args, **names: callable_part()
    return part
