"""How the parts of a kernel are compiled, so that a loop made of many small functions runs like one big one.

Two settings make the difference, each worth a factor of five where a step costs ten nanoseconds:

- `forceinline`: the parts of a step together are larger than what LLVM inlines on its own account.
- `_nrt=False`: no reference counting. Otherwise each part counts the arrays it is handed, atomically, at
  every step. In return a part may not create arrays: it works in those it is given.

Division by zero gives infinity or NaN as in NumPy and costs no branch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

OPTIONS: dict[str, Any] = {"forceinline": True, "_nrt": False, "error_model": "numpy"}


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a part that is laid into every kernel that calls it."""
    return numba.njit(**OPTIONS)(function)


def outlined(function: Callable[..., Any]) -> Any:
    """Compile a part that is called, not laid in: for what happens seldom, so that kernels stay small."""
    return numba.njit(**(OPTIONS | {"forceinline": False}))(function)
