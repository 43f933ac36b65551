"""Options of an environment: `--env.map-name 8x8` becomes `map_name="8x8"`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from qfix.cli import arguments as read
from qfix.cli.arguments import Option
from qfix.errors import OptionError, QfixError

PREFIX = "env."


def split_env_words(
    words: Mapping[str, str | None],
) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """The options of the environment, without their prefix, and the others."""
    of_env = {name.removeprefix(PREFIX): text for name, text in words.items() if name.startswith(PREFIX)}
    return of_env, {name: text for name, text in words.items() if not name.startswith(PREFIX)}


def env_options(env: str, words: Mapping[str, str | None]) -> dict[str, Any]:
    """Keyword arguments of the environment; `make_env` refuses those it does not know.

    Raises:
        OptionError: an option has no value.
    """
    kwargs = {}
    for name, text in words.items():
        if text is None:
            raise OptionError(
                f"The '--{PREFIX}{name}' option needs a value. Got none. Write --{PREFIX}{name} VALUE."
            )
        kwargs[name.replace("-", "_")] = read.literal(name, text)
    return kwargs


def environment_options(env: str) -> list[Option]:
    """What an environment takes, for help."""
    from qfix.envs.make import options_of

    rows = []
    for name, default in options_of(env).items():
        if name in ("render_mode", "world"):
            continue
        shown = "" if default is inspect.Parameter.empty else read.typed(default)
        said = f"By default {shown}." if shown else "By default the environment's own."
        rows.append(Option(PREFIX + name.replace("_", "-"), said, read.word, "VALUE"))
    return rows


def as_typed(error: QfixError, env_words: Mapping[str, str | None]) -> QfixError:
    """An error about an option of the environment in the words of the command line."""
    message = str(error)
    for name in env_words:
        message = message.replace(f"option '{name.replace('-', '_')}'", f"option '--{PREFIX}{name}'")
    return type(error)(message)
