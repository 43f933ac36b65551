"""Options from a TOML file: `qfix train ENV --config settings.toml`.

A value means what the same text means on the command line, which has the last word. The file is data: nothing in
it is executed, and it names no other file that is read.
"""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from qfix.cli import arguments as read
from qfix.cli.arguments import Option, likely
from qfix.errors import OptionError

ENV = "env"  # the table with options of the environment
_ELSEWHERE = ("help", "config")  # options that mean nothing in a file
_POSITIONAL = (
    "algorithm",
    "algo",
    "environment",
    "env-id",
)  # other words for what has no name on a command line
_TYPED = (
    "Environment and algorithm are typed on the command line, `qfix train ENV ALGORITHM --config FILE`; options of "
    "the environment stand under [env]."
)


class Settings(NamedTuple):
    """What a file says, not yet understood."""

    path: str
    options: dict[str, Any]
    """By names as they are typed, with hyphens."""
    env: dict[str, Any]
    """By names in Python."""
    written: dict[str, str]
    """Names as typed on the command line to names as they stand in the file."""


NOTHING = Settings("", {}, {}, {})


def read_settings(path: str) -> Settings:
    """The options in a file.

    Raises:
        OptionError: it cannot be read, is no TOML, or gives an option twice.
    """
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as fault:
        remedy = "Name a TOML file that is there, such as --config settings.toml."
        raise OptionError(
            f"The '--config' option must be a file that can be read. Got {path!r}: {fault.strerror}. {remedy}"
        ) from fault
    except (ValueError, RecursionError) as fault:  # no TOML, no UTF-8, no path, nested without end
        why = "nested too deep" if isinstance(fault, RecursionError) else str(fault)
        remedy = 'A line is such as gamma = 0.99 or epsilon = "Linear(1, 0.05, 100_000)".'
        raise OptionError(f"The file '{path}' is no TOML: {why}. {remedy}") from fault
    of_env = document.pop(ENV, {})
    if not isinstance(of_env, dict):
        raise OptionError(
            f"In '{path}', 'env' must be a table of the environment's options. Got {of_env!r}. {_TYPED}"
        )
    settings = Settings(path, {}, {}, {})
    for key, value in document.items():
        name = key.rstrip("_").replace("_", "-")
        _note(settings, name, key)
        if name in _POSITIONAL:
            raise OptionError(f"In '{path}', '{key}' is not an option. {_TYPED}")
        if isinstance(value, dict):
            raise OptionError(
                f"In '{path}', '{key}' must be a value, not a table. Options of the algorithm and of train stand "
                f"above all tables; only the environment has one, [env]."
            )
        settings.options[name] = value
    for key, value in of_env.items():
        name = key.replace("-", "_")
        _note(settings, f"{ENV}.{name.replace('_', '-')}", f"{ENV}.{key}")
        if name == "gamma":
            raise OptionError(
                f"In '{path}', 'env.gamma' is not the environment's to choose. Write gamma above [env]."
            )
        if _holds_time(value):
            raise OptionError(
                f"In '{path}', 'env.{key}' must be a number, a text, true or false, a list or a table of such. "
                f"Got {value}. Write it in quotes."
            )
        settings.env[name] = value
    return settings


def understand(settings: Settings, options: Sequence[Option]) -> dict[str, Any]:
    """The values that a file gives, by their names in Python.

    Raises:
        OptionError: names the file, the option and the remedy.
    """
    rows = {option.name: option for option in options if option.name not in _ELSEWHERE}
    values = {}
    for name, value in settings.options.items():
        key = settings.written[name]
        if name not in rows:
            near = likely(name, list(rows.values()))
            hint = f"Did you mean '{near.replace('-', '_')}'?" if near else _known(list(rows))
            raise OptionError(f"In '{settings.path}', there is no option '{key}'. {hint}")
        row = rows[name]
        if row.read is None:
            if not isinstance(value, bool):
                rule = f"must be true or false. Got {value!r}. Write {key} = true."
                raise OptionError(f"In '{settings.path}', '{key}' {rule}")
            values[row.parameter] = value
            continue
        try:
            values[row.parameter] = row.read(name, _as_text(value))
        except OptionError as error:
            raise OptionError(in_file(str(error), settings)) from error
    return values


def in_file(message: str, settings: Settings) -> str:
    """An error in the words of the command line, in those of the file if it is about an option of the file.

    >>> settings = Settings("my.toml", {"alpha": 2}, {}, {"alpha": "alpha"})
    >>> print(in_file("The '--alpha' option of sarsa must be in [0, 1]. Got 2. Use --alpha 0.1.", settings))
    In 'my.toml', 'alpha' of sarsa must be in [0, 1]. Got 2. Use alpha = 0.1.
    """
    for name, key in settings.written.items():
        if f"'--{name}'" not in message:
            continue
        start = f"In '{settings.path}'"
        message = message.replace(f"The '--{name}' option", f"{start}, '{key}'").replace(
            f"'--{name}'", f"'{key}'"
        )
        message = re.sub(r"\b(Use|Write) --([\w.-]+) ('[^']*'|\S*\w)", _as_line, message)
        message = re.sub(r"--([a-z][\w.-]*\w)", lambda m: m[1].replace("-", "_"), message)
        return message if message.startswith(start) else f"{start}: {message}"
    return message


def _as_line(found: re.Match[str]) -> str:
    """What to type on the command line, as a line of the file."""
    value = found[3]
    try:
        tomllib.loads(f"x = {value}")
    except tomllib.TOMLDecodeError:
        value = f'"{value}"'
    return f"{found[1]} {found[2].replace('-', '_')} = {value}"


def without(settings: Settings, typed: Collection[str]) -> Settings:
    """The settings less what is typed on the command line, whose names these are."""
    return settings._replace(
        options={name: value for name, value in settings.options.items() if name not in typed},
        env={
            name: value
            for name, value in settings.env.items()
            if f"{ENV}.{name.replace('_', '-')}" not in typed
        },
        written={name: key for name, key in settings.written.items() if name not in typed},
    )


def _note(settings: Settings, name: str, key: str) -> None:
    if name in settings.written:
        raise OptionError(
            f"In '{settings.path}', '{settings.written[name]}' and '{key}' are the same option. Leave one out."
        )
    settings.written[name] = key


def _as_text(value: Any) -> str:
    """A value as it is typed on the command line."""
    if isinstance(value, list) and not any(isinstance(part, (list, dict)) for part in value):
        # a comma after a single number: seeds = [8] is seed 8, and not eight seeds
        return ",".join(map(_as_text, value)) + "," * (len(value) == 1 and not isinstance(value[0], str))
    return read.typed(value)


def _holds_time(value: Any) -> bool:
    """Whether there is a date or a time in it, which no run can keep."""
    if isinstance(value, (list, dict)):
        return any(map(_holds_time, value.values() if isinstance(value, dict) else value))
    return isinstance(value, (datetime.date, datetime.time))


def _known(names: list[str]) -> str:
    return f"There are: {', '.join(name.replace('-', '_') for name in names)}."
