"""What a run is, before anything happens: enough to do it again, to the bit."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any


def versions() -> dict[str, str]:
    """Versions of what computes the result."""
    found = {"python": platform.python_version()}
    for name in ("qfix", "numpy", "numba", "gymnasium"):
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

    @property
    def digest(self) -> str:
        """Hash of the content, 16 hexadecimal digits."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return json.loads(json.dumps(plain | {"seeds": list(self.seeds)}, default=repr))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RunSpec:
        """The inverse of `to_dict`."""
        return cls(**(data | {"seeds": tuple(data["seeds"])}))
