"""Random generators beside the one that `reset(seed=...)` seeds: found, read and set, without pickle.

A wrapper that draws noise from a generator of its own is not brought back by seed and actions alone. Where an
attribute of the environment or of a wrapper around it is a `numpy.random.Generator`, a `RandomState`, a
`random.Random` or a space that has been sampled from, its state at the beginning of the running episode is kept.
"""

from __future__ import annotations

import gc
import json
import random
from typing import Any, NamedTuple, TypeAlias

import gymnasium
import numpy as np

Source: TypeAlias = np.random.Generator | np.random.RandomState | random.Random

LONGEST = 1 << 20  # bytes of the states of one environment

_U32, _U64, _U128 = (1 << 32) - 1, (1 << 64) - 1, (1 << 128) - 1

# What a state is made of: the largest value of a whole number, (how many, the largest) of a list of them, or parts
Form: TypeAlias = "int | tuple[int, int] | dict[str, Form]"
_HALF: dict[str, Form] = {"has_uint32": 1, "uinteger": _U32}
_PCG: dict[str, Form] = {"state": {"state": _U128, "inc": _U128}, **_HALF}
_TWISTER: dict[str, Form] = {"state": {"key": (624, _U32), "pos": 624}}
_FORMS: dict[str, dict[str, Form]] = {
    "PCG64": _PCG,
    "PCG64DXSM": _PCG,
    "MT19937": _TWISTER,
    "Philox": {
        "state": {"counter": (4, _U64), "key": (2, _U64)},
        "buffer": (4, _U64),
        "buffer_pos": 4,
        **_HALF,
    },
    "SFC64": {"state": {"state": (4, _U64)}, **_HALF},
}


class Place(NamedTuple):
    """Where a generator is: how many wrappers lie around its owner, and the owner's attribute."""

    layer: int
    name: str


class Kept(NamedTuple):
    """A generator's state."""

    place: Place
    kind: str  # of the bit generator; "RandomState" and "Random" are kinds of their own
    state: Any


def places(env: gymnasium.Env[Any, Any]) -> list[Place]:
    """Where there are generators."""
    found = []
    for depth, layer in enumerate(_layers(env)):
        if not _may_hold_any(layer):
            continue
        for name, value in vars(layer).items():
            # the generator that every environment has is the one that reset seeds
            if name != "_np_random" and _source(value) is not None:
                found.append(Place(depth, name))
    return found


def read(env: gymnasium.Env[Any, Any], where: list[Place]) -> list[Kept]:
    """The states of the generators at these places, as they are now."""
    layers = _layers(env)
    kept = []
    for place in where:
        source = _source(vars(layers[place.layer]).get(place.name))
        if source is not None:
            kept.append(Kept(place, *_state(source)))
    return kept


def write(env: gymnasium.Env[Any, Any], kept: list[Kept]) -> bool:
    """Set the generators to these states; False, and nothing set, if one is not there or is of another kind."""
    layers = _layers(env)
    todo = []
    for place, kind, state in kept:
        owner = vars(layers[place.layer]) if 0 <= place.layer < len(layers) else {}
        value = owner.get(place.name)
        if isinstance(value, gymnasium.Space):
            value.np_random  # noqa: B018  a space makes its generator when it is asked for it
        source = _source(value)
        if source is None or place.name == "_np_random" or _state(source)[0] != kind:
            return False
        todo.append((source, state))
    for source, state in todo:
        if isinstance(source, np.random.Generator):
            source.bit_generator.state = state
        elif isinstance(source, np.random.RandomState):
            source.set_state(state)
        else:
            source.setstate(state)
    return True


def to_bytes(kept: list[Kept]) -> np.ndarray:
    """States as JSON in an array of bytes."""
    if not kept:
        return np.zeros(0, np.uint8)
    text = json.dumps([[*one.place, one.kind, one.state] for one in kept], default=np.ndarray.tolist)
    return np.frombuffer(text.encode(), np.uint8).copy()


def from_bytes(raw: np.ndarray) -> list[Kept]:
    """The states that `to_bytes` was given.

    Raises:
        ValueError: the bytes are not what it writes.
    """
    if raw.dtype != np.uint8 or raw.ndim != 1 or raw.size > LONGEST:
        raise ValueError("no bytes, or too many")
    if raw.size == 0:
        return []
    try:
        rows = json.loads(raw.tobytes().decode(), parse_constant=_refuse)
    except RecursionError as fault:
        raise ValueError("nested too deep") from fault
    if not isinstance(rows, list):
        raise ValueError("no list")
    kept = []
    for row in rows:
        if not isinstance(row, list) or len(row) != 4:
            raise ValueError("no place, kind and state")
        layer, name, kind, state = row
        if type(layer) is not int or not 0 <= layer < 1000 or type(name) is not str or type(kind) is not str:
            raise ValueError("no place and kind")
        kept.append(Kept(Place(layer, name), kind, _parsed(kind, state)))
    return kept


def _layers(env: gymnasium.Env[Any, Any]) -> list[gymnasium.Env[Any, Any]]:
    layers = [env]
    while isinstance(env, gymnasium.Wrapper):
        env = env.env
        layers.append(env)
    return layers


def _may_hold_any(layer: gymnasium.Env[Any, Any]) -> bool:
    """Whether a layer has a generator, found without its `vars`: an object whose dict was asked for is slower after."""
    seeded = getattr(layer.unwrapped, "_np_random", None)
    for held in gc.get_referents(layer):
        values = held.values() if isinstance(held, dict) else (held,)
        if any(value is not seeded and _source(value) is not None for value in values):
            return True
    return False


def _source(value: Any) -> Source | None:
    if isinstance(value, gymnasium.Space):
        value = value._np_random
    if isinstance(value, np.random.Generator):
        return value if type(value.bit_generator).__name__ in _FORMS else None
    # a subclass of random.Random may keep more than the twister's words
    return value if isinstance(value, np.random.RandomState) or type(value) is random.Random else None


def _state(source: Source) -> tuple[str, Any]:
    if isinstance(source, random.Random):
        return "Random", source.getstate()
    if isinstance(source, np.random.RandomState):
        state: Any = source.get_state(legacy=False)
        return f"RandomState {state['bit_generator']}", state
    return str(source.bit_generator.state["bit_generator"]), source.bit_generator.state


def _parsed(kind: str, state: Any) -> Any:
    if kind == "Random":
        if not isinstance(state, list) or len(state) != 3 or state[0] != 3:
            raise ValueError("no state of random.Random")
        words = _fitting(state[1], (625, _U32))
        if words[-1] > 624 or not (state[2] is None or type(state[2]) is float):
            raise ValueError("no state of random.Random")
        return 3, tuple(words.tolist()), state[2]
    bits = kind.removeprefix("RandomState ")
    if bits not in _FORMS or not isinstance(state, dict) or state.get("bit_generator") != bits:
        raise ValueError("no state of NumPy's")
    rest = {name: part for name, part in state.items() if name != "bit_generator"}
    gauss: dict[str, Any] = {}
    if bits != kind:
        gauss = {"has_gauss": _fitting(rest.pop("has_gauss", None), 1), "gauss": rest.pop("gauss", None)}
        if type(gauss["gauss"]) is not float:
            raise ValueError("no state of RandomState")
    return {"bit_generator": bits} | _fitting(rest, _FORMS[bits]) | gauss


def _fitting(value: Any, form: Form) -> Any:
    """A value if it has the form, lists as arrays."""
    if isinstance(form, dict):
        if not isinstance(value, dict) or value.keys() != form.keys():
            raise ValueError("other parts")
        return {name: _fitting(value[name], part) for name, part in form.items()}
    if isinstance(form, tuple):
        n, largest = form
        if not isinstance(value, list) or len(value) != n:
            raise ValueError("another length")
        return np.array([_fitting(x, largest) for x in value], np.uint32 if largest == _U32 else np.uint64)
    if type(value) is not int or not 0 <= value <= form:
        raise ValueError("no whole number in range")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"no number: {constant}")
