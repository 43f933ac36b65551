"""Options of an environment: `--env.map-name 8x8` becomes `map_name="8x8"`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from qfix.cli import arguments as read
from qfix.cli.arguments import Option
from qfix.errors import OptionError

PREFIX = "env."
# gamma: a world of qfix is made with its own, but what is learned or solved goes by --gamma
_NOT_SHOWN = ("render_mode", "world", "disable_env_checker", "none", "gamma")


def split_env_words(
    words: Mapping[str, str | None],
) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """The options of the environment, without their prefix, and the others."""
    of_env = {name.removeprefix(PREFIX): text for name, text in words.items() if name.startswith(PREFIX)}
    return of_env, {name: text for name, text in words.items() if not name.startswith(PREFIX)}


def env_options(words: Mapping[str, str | None]) -> dict[str, Any]:
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
        if name == "gamma":
            raise OptionError(
                "The discount is not the environment's to choose. Write --gamma in place of --env.gamma."
            )
        kwargs[name.replace("-", "_")] = read.literal(name, text)
    return kwargs


def environment_options(env: str) -> list[Option]:
    """What an environment takes, for help."""
    from qfix.envs.make import options_of

    rows = []
    for name, default in options_of(env).items():
        if name in _NOT_SHOWN:
            continue
        shown = "" if default is inspect.Parameter.empty else read.typed(default)
        said = f"By default {shown}." if shown else "By default the environment's own."
        rows.append(Option(PREFIX + name.replace("_", "-"), said, read.word, "VALUE", key=name))
    return rows


def make_typed_env(env: str, env_kwargs: Mapping[str, Any]) -> Any:
    """The environment; errors about its options are in the words of the command line."""
    from qfix.envs.make import make_env

    try:
        return make_env(env, env_kwargs)
    except OptionError as error:
        message = str(error)
        if "has no option" in message:
            start, _, listed = message.partition(" Its options: ")
            start = re.sub(r"(option|mean) '(\w+)'", lambda m: f"{m[1]} '{_typed(m[2])}'", start)
            names = [name for name in listed.rstrip(".").split(", ") if name not in _NOT_SHOWN]
            message = f"{start} Its options: {', '.join(map(_typed, names)) or 'none'}."
        raise OptionError(read.as_typed(message, environment_options(env))) from error


def with_truths(env: str, env_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Words for true and false read as such where the environment's default is one of them."""
    from qfix.envs.make import options_of

    defaults = options_of(env) if env_kwargs else {}
    kwargs = dict(env_kwargs)
    for name, value in env_kwargs.items():
        if isinstance(defaults.get(name), bool) and not isinstance(value, bool):
            kwargs[name] = read.truth(f"{PREFIX}{name.replace('_', '-')}", str(value))
    return kwargs


def _typed(name: str) -> str:
    return f"--{PREFIX}{name.replace('_', '-')}"
