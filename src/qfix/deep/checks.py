"""What the arrays of a seed must hold before they are believed: nothing that a program would index with goes by.

Compiled programs and the memory on the device look at no index. Floating-point numbers may be anything: a network that
has diverged is kept and looked at like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qfix.deep.data import Replay
from qfix.deep.distributions import Numbers
from qfix.deep.network import QNetwork
from qfix.deep.policy_network import PolicyNetwork
from qfix.replay.priorities import FAN_OUT
from qfix.runs.arrays import require, require_counts, require_flags, require_indices

_MOST_STEPS = 1 << 30  # counts on the device have 32 bits, and go on from there

Arrays = Mapping[str, np.ndarray]


def check_numbers(prefix: str, named: Arrays, network: QNetwork | PolicyNetwork) -> None:
    """Counts from 0 on, truths that are 0 or 1, actions and numbered observations that there are.

    Args:
        prefix: of the names, for messages.
        named: the arrays of a seed; states of environments, which only these understand, may be negative.
        network: says what observations and actions there are.
    """
    for name, array in named.items():
        last = name.rpartition(".")[2]
        if array.dtype == np.bool_:
            require_flags(prefix + name, array)
        elif last == "action":
            _check_actions(prefix + name, array, network)
        elif last in ("obs", "next_obs"):
            if network.given.kind == "number":
                require_indices(prefix + name, array, network.given.n)
        elif array.dtype.kind == "i" and not name.startswith("worlds.state"):
            require_counts(prefix + name, array)


def _check_actions(name: str, array: np.ndarray, network: QNetwork | PolicyNetwork) -> None:
    if isinstance(network.actions, Numbers):
        for k, n in enumerate(network.actions.sizes):
            require_indices(name, array if network.actions.single else array[..., k], n)


def check_units(name: str, units: int, data: Any) -> None:
    """As many units as can be counted on from."""
    each = max(data.steps, data.gradient_steps if isinstance(data, Replay) else 1)
    require(units * each < _MOST_STEPS, name, f"must be below {_MOST_STEPS} steps", units)


def check_device_memory(prefix: str, memory: Any, units: int, data: Replay, n_envs: int) -> None:
    """The ring stands where so many units leave it, and no priority lies where there is no step.

    Args:
        prefix: of the names, for messages.
        memory: a `qfix.replay.device.Memory` of NumPy arrays.
        units: made so far.
        data: how many steps a unit has.
        n_envs: N.
    """
    size = len(memory.steps.action)
    rows, made = size // n_envs, units * data.steps
    for name, expected in (("filled", min(rows, made)), ("position", made % rows)):
        found = int(getattr(memory, name))
        require(found == expected, f"{prefix}memory.{name}", f"must be {expected} after so many steps", found)
    steps = memory.steps
    rule = "must hold wherever terminated does"
    require((steps.ended >= steps.terminated).all(), f"{prefix}memory.steps.ended", rule, "terminated alone")
    if memory.tree is None:
        return
    beyond = size
    for k, level in enumerate(memory.tree.levels):
        name = f"{prefix}memory.tree.levels.{k}"
        require(not (level < 0).any(), name, "must be at least 0", level.min())
        require(not np.any(level[beyond:] != 0), name, "must be 0 where there are no steps", level[beyond:])
        beyond = -(-beyond // FAN_OUT)
