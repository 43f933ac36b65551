"""What a run is, before anything happens: enough to do it again, to the bit."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import platform
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from qfix.errors import FolderError, OptionError, is_whole, option_error
from qfix.runs.files import read_regular, strict_json, write_atomically

SPEC = "spec.json"
STORE = "metrics.db"
FILMS = "figures/stages.mp4", "figures/stages.gif"  # with ffmpeg, and without
FORMAT = 1
LONGEST_SPEC = 4 << 20
MOST_SEEDS = 100_000
MOST_SNAPSHOTS = 10_000
MOST_VALUES = 1_000_000  # in the options of an environment or an algorithm
DEEPEST = 16
LONGEST_TEXT = 1_000_000
LARGEST_WHOLE = 2**128


COMPUTING = ("qfix", "numpy", "numba", "gymnasium")
"""What computes the results of every run."""


def versions(names: Iterable[str] = COMPUTING) -> dict[str, str]:
    """Versions of what computes the result: of Python, and of these packages."""
    found = {"python": platform.python_version()}
    for name in names:
        if name == "python":
            continue
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


@dataclass(frozen=True)
class RunSpec:
    """A run, described. JSON round trip.

    Two specs of one `digest` give the same results if the environment was given by its id: of an environment passed
    as an object they hold what its id and its options say, not its wrappers or its own code.
    """

    env: str
    """Id of the environment."""
    env_kwargs: dict[str, Any]
    """Its options."""
    algorithm: str
    """Name of the algorithm."""
    config: dict[str, Any]
    """Its options in JSON form, every default filled in."""
    seeds: tuple[int, ...]
    """Seeds of the independent runs."""
    total_steps: int
    """Environment steps of each seed."""
    driver: str
    """How the environment is stepped."""
    versions: dict[str, str] = field(default_factory=versions)
    """Versions of what computes the result."""
    metrics_every: int = 1_000
    """Environment steps of a seed between two rows of metrics."""
    snapshot_episodes: tuple[int, ...] = (1, 50, 500)
    """Episodes of the first seed after which its action values are kept."""
    eval_episodes: int = 0
    """Episodes of each evaluation while training; 0 for none."""
    env_given: str = "id"
    """Whether the environment can be made again from its id and options ("id") or was passed as an "object"."""
    env_module: str = ""
    """The module that was named with the id, which registers it: told to people, never imported on a file's word."""

    @property
    def typed_env(self) -> str:
        """The environment as it is typed: with its module, if one was named."""
        return f"{self.env_module}:{self.env}" if self.env_module else self.env

    @property
    def digest(self) -> str:
        """Hash of the content, 16 hexadecimal digits; where the environment is registered is none of it."""
        told = self.to_dict()
        told.pop("env_module", None)
        text = json.dumps(told, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form. What JSON does not have is described: it can be compared, not made again."""
        told = {f.name: as_json(getattr(self, f.name)) for f in dataclasses.fields(self)}
        if not self.env_module:
            del told["env_module"]  # as it was before there was such a field
        return told

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RunSpec:
        """The inverse of `to_dict`, of what may be a stranger's.

        Raises:
            OptionError: a field is missing, unknown, or not what it should be; names it.
        """
        if not isinstance(data, dict):
            raise OptionError(f"A RunSpec must be made of a table of its fields. Got {type(data).__name__}.")
        names = [f.name for f in dataclasses.fields(cls)]
        data = {"env_module": "", **data}
        for name in names:
            if name not in data:
                raise OptionError(f"The '{name}' parameter of RunSpec is missing. Give every field.")
        for name in data:
            if name not in names:
                raise OptionError(f"RunSpec has no field {name[:80]!r}. Its fields: {', '.join(names)}.")
        for name, (fits, rule) in _RULES.items():
            if not fits(data[name]):
                said = repr(data[name])
                raise OptionError(
                    f"The '{name}' parameter of RunSpec must be {rule}. Got {said[:80]}"
                    f"{' ...' if len(said) > 80 else ''}. Describe the run anew."
                )
        lists = {name: tuple(data[name]) for name in ("seeds", "snapshot_episodes")}
        return cls(**(data | lists))

    # In a run's folder

    def save(self, folder: str | Path) -> Path:
        """Write spec.json; returns its path.

        Raises:
            OptionError: a field is not what it should be, so that it could not be read again.
            FolderError: the folder cannot be written.
        """
        plain = self.to_dict()
        RunSpec.from_dict(plain)
        path = Path(folder) / SPEC
        text = json.dumps({"format": FORMAT} | plain, indent=1, allow_nan=False).encode() + b"\n"
        if len(text) > LONGEST_SPEC:
            rule = f"must fit in {LONGEST_SPEC:,} bytes of JSON"
            raise option_error("RunSpec", "env_kwargs", rule, f"{len(text):,} bytes", "Name a file instead.")
        write_atomically(path, text)
        return path

    @classmethod
    def load(cls, folder: str | Path) -> RunSpec:
        """Read spec.json, which may be a stranger's.

        Raises:
            FolderError: it is not there, damaged, or of a later version of qfix.
        """
        path = Path(folder) / SPEC
        text = read_regular(folder, SPEC, LONGEST_SPEC)
        try:
            data = strict_json(text, path)
        except FolderError as fault:
            raise FolderError(f"{fault} Restore it from a copy.") from fault
        form = data.pop("format", None) if isinstance(data, dict) else None
        if not _is_within(form, 1, 10**9):
            raise FolderError(
                f"{path} is no description of a run: it has no 'format'. Restore it from a copy."
            )
        if form != FORMAT:
            raise FolderError(f"{path} has format {form}; this version of qfix reads {FORMAT}. Update qfix.")
        try:
            return cls.from_dict(data)
        except OptionError as fault:
            raise FolderError(f"{path} does not describe a run. {fault}") from fault

    # Against another

    def with_total_steps(self, total_steps: int) -> RunSpec:
        """The same run, longer or shorter.

        Raises:
            OptionError: no whole number of steps above 0.
        """
        if not _is_within(total_steps, 1, 2**62):
            rule = "must be a whole number in [1, 2**62]"
            raise option_error("RunSpec", "total_steps", rule, total_steps, "Use 100_000.")
        return dataclasses.replace(self, total_steps=int(total_steps))

    def differences(self, other: RunSpec) -> list[str]:
        """Names of the fields that differ, such as "seeds" and "config.gamma"; versions are compared apart."""
        found: list[str] = []
        mine, its = self.to_dict(), other.to_dict()
        for name in mine:
            if name in ("versions", "env_module") or _same(mine[name], its[name]):
                continue
            if isinstance(mine[name], dict):
                keys = sorted(mine[name].keys() | its[name].keys())
                absent = object()
                found += [
                    f"{name}.{key}"
                    for key in keys
                    if not _same(mine[name].get(key, absent), its[name].get(key, absent))
                ]
            else:
                found.append(name)
        return found

    def version_differences(self, other: RunSpec) -> list[str]:
        """What computes the result and is not the same, such as "numpy 2.1.0, there 2.3.1"."""
        names = sorted(self.versions.keys() | other.versions.keys())
        pairs = [(name, self.versions.get(name, "none"), other.versions.get(name, "none")) for name in names]
        return [f"{name} {mine}, there {its}" for name, mine, its in pairs if mine != its]


def as_json(value: Any) -> Any:
    """A value in JSON form: NumPy's numbers as Python's, tuples as lists.

    What JSON does not have becomes a description, of which no two are alike unless the values are.

    >>> as_json({"size": np.int64(4), "span": (0.5, float("inf")), 3: None})
    {'size': 4, 'span': [0.5, {'float': 'inf'}], 'int 3': None}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict):
        return {_key(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    return {type(value).__name__: _described(value)}


def _key(key: Any) -> str:
    return str.__str__(key) if isinstance(key, str) else f"{type(key).__name__} {key!r}"


def _described(value: Any) -> str:
    """A text that tells a value from others: of an array and of what has a long `repr` by a hash."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return f"{value.dtype.str} {value.shape} sha256 {digest[:32]}"
    text = repr(value.tolist() if isinstance(value, np.ndarray) else value)
    if len(text) <= 1_000:
        return text
    return f"{text[:200]} ... sha256 {hashlib.sha256(text.encode(errors='replace')).hexdigest()[:32]}"


def survives_json(value: Any) -> bool:
    """Whether a value is the same again after it was written to a file and read: options of an environment may not be.

    >>> survives_json({"map_name": "8x8", "slip": 0.1}), survives_json({"size": (4, 4)})
    (True, False)
    """
    return _same(value, as_json(value)) and _is_plain(as_json(value))


def _same(one: Any, other: Any) -> bool:
    """Equal in value and in kind: 1, 1.0 and True are three things, and what is equal to everything is not."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


# What each field may be


def _is_within(value: Any, low: int, high: int) -> bool:
    return is_whole(value) and low <= value <= high


def _is_line(value: Any, longest: int = 1_000) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest and value.isprintable()


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[a-z][a-z0-9_]{0,63}", value) is not None


def is_module(value: Any) -> bool:
    """Whether a value may be the name of a module: "mypack" or "mypack.worlds"; "" is none."""
    dotted = r"([^\W\d]\w*(\.[^\W\d]\w*)*)?"
    return isinstance(value, str) and len(value) <= 200 and re.fullmatch(dotted, value) is not None


def _are_whole(value: Any, low: int, high: int, fewest: int, most: int) -> bool:
    return (
        isinstance(value, list | tuple)
        and fewest <= len(value) <= most
        and all(_is_within(x, low, high) for x in value)
        and len(set(value)) == len(value)
    )


def _is_plain(value: Any) -> bool:
    """A table of plain values, not too deep and not too large."""
    if not isinstance(value, dict):
        return False
    seen, level = 0, [value]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for item in level:
            seen += 1
            if isinstance(item, dict):
                if not all(isinstance(key, str) and len(key) <= LONGEST_TEXT for key in item):
                    return False
                below.extend(item.values())
            elif isinstance(item, list | tuple):
                below.extend(item)
            elif isinstance(item, str):
                if len(item) > LONGEST_TEXT:
                    return False
            elif isinstance(item, float):
                if not math.isfinite(item):
                    return False
            elif isinstance(item, int):
                if abs(item) > LARGEST_WHOLE:
                    return False
            elif item is not None:
                return False
        if seen + len(below) > MOST_VALUES:
            return False
        if not below:
            return True
        level = below
    return False


def _are_versions(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= 100
        and all(_is_line(x, 200) for pair in value.items() for x in pair)
    )


_PLAIN = (
    f"a table of plain values: at most {MOST_VALUES:,}, {DEEPEST} levels deep, "
    f"texts of {LONGEST_TEXT:,} characters"
)
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "env": (_is_line, "a text of at most 1,000 printable characters"),
    "env_kwargs": (_is_plain, _PLAIN),
    "algorithm": (_is_name, "a name of small letters, digits and underscores"),
    "config": (_is_plain, _PLAIN),
    "seeds": (
        lambda x: _are_whole(x, 0, 2**63 - 1, 1, MOST_SEEDS),
        f"1 to {MOST_SEEDS:,} different whole numbers in [0, 2**63)",
    ),
    "total_steps": (lambda x: _is_within(x, 1, 2**62), "a whole number in [1, 2**62]"),
    "driver": (_is_name, "a name of small letters, digits and underscores"),
    "versions": (_are_versions, "a table of names and versions"),
    "metrics_every": (lambda x: _is_within(x, 1, 2**62), "a whole number in [1, 2**62]"),
    "snapshot_episodes": (
        lambda x: _are_whole(x, 1, 2**62, 0, MOST_SNAPSHOTS),
        f"at most {MOST_SNAPSHOTS:,} different whole numbers in [1, 2**62]",
    ),
    "eval_episodes": (lambda x: _is_within(x, 0, 10**9), "a whole number in [0, 10**9]"),
    "env_given": (lambda x: x in ("id", "object"), '"id" or "object"'),
    "env_module": (is_module, "the name of a module, such as mypack.worlds"),
}
