"""What was run: every option beside its default, and the command that does it again."""

from __future__ import annotations

import ast
import json
import shlex
from typing import Any

from qfix.algorithms import ALGORITHMS, names_of
from qfix.assembly import make_config, planned_steps, preset_of
from qfix.errors import QfixError
from qfix.presets import preset
from qfix.report.dossier import Dossier
from qfix.report.markup import Child, Html, escaped, joined, section, table, tag
from qfix.runs import RunSpec

_MOST_SEEDS = 40  # numbers that are listed; a row 0, 1, 2, ... is told by its ends
_ABSENT = object()
MOST_OPTIONS, LONGEST_LINE = 100, 20_000
"""Options that are listed, and characters of a command."""


def settings(dossier: Dossier) -> Html:
    """The section."""
    spec = dossier.spec
    usual = default_options(spec, planned_steps(spec) if spec.algorithm in ALGORITHMS else None)
    of_preset = preset_of(spec) if spec.algorithm in ALGORITHMS else {}
    rows: list[list[Child]] = []
    classes = []
    for name, value in list(spec.config.items())[:MOST_OPTIONS]:
        default = usual.get(name, _ABSENT)
        changed = default is not _ABSENT and default != value
        shown = tag("strong", option_text(value)) if changed else option_text(value)
        known = "" if default is _ABSENT else option_text(default) or "–"
        mark = " (changed)" if changed else " (preset)" if name in of_preset else ""
        rows.append([name.rstrip("_"), shown or "–", tag("span", known, mark) if mark else known])
        classes.append("changed" if changed else "")
    more = f", the first {MOST_OPTIONS} of {len(spec.config):,}" if len(spec.config) > MOST_OPTIONS else ""
    options = table(["option", "value", "default"], rows, f"Options of {spec.algorithm}{more}", classes)
    of_env: list[list[Child]] = [
        [f"environment: {name}", option_text(value)]
        for name, value in list(spec.env_kwargs.items())[:MOST_OPTIONS]
    ]
    moments = ", ".join(f"{n:,}" for n in spec.snapshot_episodes[:20]) or "none"
    of_network = spec.algorithm in names_of("deep")  # no values are kept of it
    kept: list[list[Child]] = [] if of_network else [["values kept after episodes", moments]]
    about: list[list[Child]] = [
        ["environment", spec.typed_env],
        *of_env,
        ["algorithm", spec.algorithm],
        ["seeds", seeds_text(spec.seeds)],
        ["steps of each seed", f"{spec.total_steps:,}"],
        ["stepped", spec.driver],
        ["measured every", f"{spec.metrics_every:,} steps"],
        *kept,
        ["episodes of an evaluation", f"{spec.eval_episodes:,}"],
        ["versions", ", ".join(f"{name} {version}" for name, version in spec.versions.items())],
        ["digest of all this", tag("code", spec.digest)],
    ]
    both = tag("div", options, table(["what", "value"], about, "The run"), class_="columns")
    return section("settings", "Settings", both)


def reproduce(dossier: Dossier) -> Html:
    """The section with the command."""
    spec = dossier.spec
    parts: list[Child] = []
    command = command_line(spec)
    if command is not None:
        parts += [tag("p", "The same run again, to the bit with the same versions:"), _code(command)]
    else:
        why = (
            "The environment was passed as an object: give it again, as `env`."
            if spec.env_given != "id"
            else "The options of this run cannot be typed on a command line."
        )
        parts += [tag("p", why), _code(program(spec))]
    folder, named = str(dossier.folder.path), spec.typed_env != spec.env
    env = ["--env", spec.typed_env] if named else []
    if dossier.status in ("interrupted", "killed"):
        parts += [tag("p", "To go on where it stopped:"), _code(shlex.join(["qfix", "resume", folder, *env]))]
    parts.append(tag("p", "To ask what was learned, in Python:"))
    given = f", env={spec.typed_env!r}" if named else ""
    if spec.env_given != "id":
        given = ", env=make_env"
    ask = f"run = qfix.load({folder!r}{given})\nrun.evaluate(); run.policy(seed={spec.seeds[0]})"
    parts.append(_code(ask))
    return section("reproduce", "How to do it again", *parts)


def _code(text: str) -> Html:
    # the lines of a program are its own; what is quoted in them has none
    lines = (escaped(line, LONGEST_LINE) for line in text.split("\n"))
    return tag("pre", tag("code", joined(lines, "\n")), tabindex="0")


def default_options(spec: RunSpec, steps: int | None = None) -> dict[str, Any]:
    """The options that the algorithm would have had without being told, in JSON form; empty where it is not known.

    Args:
        spec: of the run.
        steps: over which defaults are laid; None for its budget.
    """
    if spec.algorithm not in ALGORITHMS:
        return {}
    config = make_config(spec.algorithm, preset(spec.env, spec.algorithm))
    try:
        usual: dict[str, Any] = config.settled_as(spec.config, steps or spec.total_steps).to_dict()
    except QfixError:
        usual = config.to_dict()
    return usual


def option_text(value: Any) -> str:
    """An option as it is typed.

    >>> [option_text(x) for x in (0.1, True, None, [1, 2.5], "8x8", {"a": None})]
    ['0.1', 'true', 'none', '1,2.5', '8x8', '{"a": null}']
    """
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple) and all(isinstance(x, int | float) for x in value):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def seeds_text(seeds: tuple[int, ...]) -> str:
    """The seeds, shortly.

    >>> seeds_text((0, 1, 2, 3)), seeds_text((5, 1)), seeds_text((7,))
    ('4: 0 to 3', '2: 5, 1', '7')
    """
    n = len(seeds)
    if n == 1:
        return str(seeds[0])
    if n > 2 and seeds == tuple(range(seeds[0], seeds[0] + n)):
        return f"{n:,}: {seeds[0]} to {seeds[-1]}"
    listed = ", ".join(map(str, seeds[:_MOST_SEEDS]))
    return f"{n:,}: {listed}{', ...' if n > _MOST_SEEDS else ''}"


# The command


def command_line(spec: RunSpec) -> str | None:
    """What to type to run it again; None where that cannot be typed."""
    if spec.env_given != "id" or "features" in spec.config or spec.algorithm not in ALGORITHMS:
        return None
    if "gamma" in spec.env_kwargs or spec.typed_env.startswith("-"):
        return None
    n = len(spec.seeds)
    counted = spec.seeds == tuple(range(n))
    seeds = str(n) if counted else ",".join(map(str, spec.seeds))
    if not counted and n == 1:
        seeds += ","  # a list of one; without the comma it would be a count
    words = [
        "qfix",
        "train",
        spec.typed_env,
        spec.algorithm,
        f"--total-steps={spec.total_steps}",
        f"--seeds={seeds}",
    ]
    for name, value in spec.env_kwargs.items():
        text = _literal(value)
        if text is None or not name.isidentifier() or "-" in name:
            return None
        words.append(f"--env.{name.replace('_', '-')}={text}")
    usual = default_options(spec)
    for name, value in spec.config.items():
        if _is_told(name, value, usual):
            if isinstance(value, dict):
                return None
            words.append(f"--{name.rstrip('_').replace('_', '-')}={option_text(value)}")
    if spec.eval_episodes > 0:
        words.append(f"--eval-episodes={spec.eval_episodes}")
    return " ".join(map(shlex.quote, words))


def _is_told(name: str, value: Any, usual: dict[str, Any]) -> bool:
    """Whether an option has to be given; a sparse table is not what every environment has by default."""
    return value != usual.get(name, _ABSENT) or (name == "store" and value == "sparse")


def program(spec: RunSpec) -> str:
    """The same as a program."""
    usual = default_options(spec)
    arguments = [repr(spec.typed_env) if spec.env_given == "id" else "make_env", repr(spec.algorithm)]
    arguments += [f"total_steps={spec.total_steps}", f"seeds={_seeds_code(spec.seeds)}"]
    if spec.env_kwargs and spec.env_given == "id":
        arguments.append(f"env_kwargs={spec.env_kwargs!r}")
    for name, value in spec.config.items():
        if name == "features":
            arguments.append("features=features")
        elif _is_told(name, value, usual):
            arguments.append(f"{name}={tuple(value) if isinstance(value, list) else value!r}")
    return f"import qfix\n\nrun = qfix.train({', '.join(arguments)})"


def _seeds_code(seeds: tuple[int, ...]) -> str:
    n = len(seeds)
    return str(n) if seeds == tuple(range(n)) else str(list(seeds))


def _literal(value: Any) -> str | None:
    """An option of an environment as text that is read as the same value; None where there is no such text."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value if _read(value) == value else repr(value)
    text = repr(value)
    read = _read(text)
    return text if type(read) is type(value) and read == value else None


def _read(text: str) -> Any:
    """What the command line makes of it."""
    if text.lower() in ("true", "false", "none"):
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
