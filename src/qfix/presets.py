"""Options that suit an environment, where the defaults of an algorithm do not reach far: a literal table.

`qfix.train` and `qfix train` begin with these, and whatever the user says wins. What a run was trained with stands
in its spec.json, so a later change of this table changes no run that is kept. docs/presets.md has the table with its
sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PRESETS: dict[tuple[str, str], dict[str, Any]] = {}


def preset(env_id: str | None, algorithm: str) -> Mapping[str, Any]:
    """The options for an algorithm on an environment; empty where the defaults are as good as any."""
    return PRESETS.get((env_id or "", algorithm), {})
