"""The command line in one rule: `--name value`, `--name=value`, or a flag that takes nothing.

Options are rows of a table. Those of an algorithm are read off its `Config`: a field is an option, its
annotation says how the text is read, the docstring under it is the help. So a new field needs no line here.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import shlex
import shutil
import textwrap
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from qfix.errors import OptionError, nearest

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


class Option(NamedTuple):
    """One option of a command."""

    name: str
    """As typed, without the two hyphens."""
    summary: str
    """What it does, for help."""
    read: Callable[[str, str], Any] | None = None
    """From the option's name and the text to a value; None for a flag."""
    value: str = ""
    """What stands for the value in help, such as N."""
    default: str = ""
    """The default as it would be typed; empty where there is nothing to say."""
    key: str = ""
    """Name in Python; by default `name` with underscores."""

    @property
    def parameter(self) -> str:
        """Name in Python."""
        return self.key or self.name.replace("-", "_")


class Words(NamedTuple):
    """A command line taken apart, not yet understood."""

    positional: list[str]
    options: dict[str, str | None]
    """Names as typed, with hyphens for underscores; None where no value followed."""


def split(arguments: Sequence[str], flags: Iterable[str]) -> Words:
    """Take a command line apart. All that starts with two hyphens is an option; all but flags take a value.

    >>> split(["Taxi", "--seeds", "8", "--json", "--gamma=0.9", "sarsa"], ["json"])
    Words(positional=['Taxi', 'sarsa'], options={'seeds': '8', 'json': '', 'gamma': '0.9'})

    Raises:
        OptionError: an option is given twice.
    """
    flags = set(flags)
    positional: list[str] = []
    options: dict[str, str | None] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "-h":
            word = "--help"
        if not word.startswith("-") or _is_number(word):
            positional.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        name = name.replace("_", "-")
        if name in options:
            raise OptionError(f"The '--{name}' option is given twice. Leave one out.")
        if equals or name in flags:
            options[name] = value
        elif rest and (not rest[0].startswith("-") or _is_number(rest[0].split(",")[0])):
            options[name] = rest.pop(0)
        else:
            options[name] = None
    return Words(positional, options)


def understand(words: Mapping[str, str | None], options: Sequence[Option], command: str) -> dict[str, Any]:
    """The values of the options that were given, by their names in Python.

    Raises:
        OptionError: there is no such option (suggests the nearest), it lacks its value or cannot have it.
    """
    rows = {option.name: option for option in options}
    values = {}
    for name, text in words.items():
        if name not in rows:
            raise OptionError(f"There is no option '--{name}'. {_hint(name, list(rows), command)}")
        row = rows[name]
        if row.read is None:
            if text:
                raise OptionError(f"The '--{name}' option takes no value. Got {text!r}. Leave it out.")
            values[row.parameter] = True
            continue
        if text is None:
            example = f"--{name} {row.default or row.value}"
            raise OptionError(f"The '--{name}' option needs a value. Got none. Write {example}.")
        values[row.parameter] = row.read(name, text)
    return values


def _hint(name: str, known: list[str], command: str) -> str:
    begins = next((k for k in known if k.startswith(name)), None)
    if near := begins or nearest(name, known):
        return f"Did you mean '--{near}'?"
    return f"`{command} --help` lists those there are."


def opening(
    arguments: Sequence[str], options: Sequence[Option], usage: str, about: str, **usual: Any
) -> tuple[list[str], dict[str, Any]] | None:
    """The positional words and the values of a command's options; None if help was asked for, and is printed.

    Args:
        arguments: after the command.
        options: of the command; of those not given, flags are False and the others None, or as in `usual`.
        usage: "qfix COMMAND ...", for help and messages.
        about: what it does, for help.
        usual: defaults that are not None.

    Raises:
        OptionError: as `split` and `understand`.
    """
    flags = {option.name: option.parameter for option in options if option.read is None}
    words = split(arguments, flags)
    if "help" in words.options:
        print(help_text(usage, about, {"Options": options}))
        return None
    own: dict[str, Any] = {option.parameter: None for option in options}
    own |= dict.fromkeys(flags.values(), False)
    command = " ".join(usage.split()[:2])
    return words.positional, own | usual | understand(words.options, options, command)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# How a value is read from its text


def whole(name: str, text: str) -> int:
    """A whole number: 2000000, 2_000_000 or 2e6."""
    try:
        number = float(text)
        if number == int(number):
            return int(number) if "e" in text.lower() or "." in text else int(text)
    except (ValueError, OverflowError):
        pass
    raise OptionError(f"The '--{name}' option must be a whole number. Got {text!r}. Write 100_000 or 1e5.")


def number(name: str, text: str) -> float:
    """A number."""
    try:
        return float(text)
    except ValueError:
        raise OptionError(f"The '--{name}' option must be a number. Got {text!r}. Write 0.1.") from None


def numbers(name: str, text: str) -> tuple[float, ...]:
    """Numbers with commas between them, with or without brackets."""
    return tuple(number(name, part) for part in text.strip("()[] ").split(",") if part.strip())


def truth(name: str, text: str) -> bool:
    """True or false."""
    if text.lower() not in (*_TRUE, *_FALSE):
        raise OptionError(f"The '--{name}' option must be true or false. Got {text!r}.")
    return text.lower() in _TRUE


def word(name: str, text: str) -> str:
    """Any text."""
    return text


def number_or_text(name: str, text: str) -> Any:
    """A number where it is one; "none" is None."""
    if text.lower() == "none":
        return None
    return float(text) if _is_number(text) else text


def literal(name: str, text: str) -> Any:
    """A number, true or false, none, a list; any other text stands for itself."""
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


_READERS: dict[Any, tuple[Callable[[str, str], Any], str]] = {
    int: (whole, "N"),
    float: (number, "X"),
    bool: (truth, "true|false"),
    str: (word, "TEXT"),
    tuple[float, ...]: (numbers, "X,X,..."),
}


# Options of an algorithm


def options_of_config(config: type) -> list[Option]:
    """An option for every field of a config dataclass; `lambda_` becomes `--lambda`."""
    hints = typing.get_type_hints(config)
    texts = field_docstrings(config)
    rows = []
    for field in dataclasses.fields(config):
        kind = hints[field.name]
        read, value = _READERS.get(kind, (number_or_text, "X"))
        if typing.get_origin(kind) is typing.Literal:
            read, value = word, "|".join(typing.get_args(kind))
        name = field.name.rstrip("_").replace("_", "-")
        rows.append(Option(name, texts.get(field.name, ""), read, value, typed(field.default), field.name))
    return rows


def field_docstrings(config: type) -> dict[str, str]:
    """The text under each field of a class, inherited ones first."""
    texts: dict[str, str] = {}
    for owner in reversed(config.__mro__):
        if not dataclasses.is_dataclass(owner):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        assert isinstance(body, ast.ClassDef)
        for before, after in zip(body.body, body.body[1:], strict=False):
            if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name):
                match after:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        texts[before.target.id] = " ".join(text.split())
    return texts


def typed(value: Any) -> str:
    """A Python value as it would be typed on the command line; nothing for None."""
    if value is None or value is dataclasses.MISSING or value == ():
        return ""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


# Errors


def as_typed(message: str, options: Sequence[Option]) -> str:
    """An error that speaks of Python parameters, in the words of the command line.

    >>> print(as_typed("The 'total_steps' parameter of train must be above 0. Got 0. Use total_steps=100.",
    ...                [Option("total-steps", "")]))
    The '--total-steps' option of train must be above 0. Got 0. Use --total-steps 100.
    """
    values = r"\([^)]*\)|\[[^]]*\]|'[^']*'|[\w.]+\([^)]*\)|[\w.+-]*\w"
    for option in options:
        message = message.replace(
            f"The '{option.parameter}' parameter of", f"The '--{option.name}' option of"
        )
        for found in reversed(list(re.finditer(rf"\b{option.parameter}=({values})", message))):
            option_text = f"--{option.name} {_as_word(found[1])}"
            message = message[: found.start()] + option_text + message[found.end() :]
    return re.sub(r"a list such as \[([\d, ]+)\]", lambda m: f"a list such as {_as_word(m[1])}", message)


def _as_word(value: str) -> str:
    """A Python literal as it is typed in a shell."""
    bare = value.strip("'\"[]") if value[0] != "(" else value[1:-1]
    text = "none" if bare == "None" else bare.replace(", ", ",")
    return shlex.quote(text) if re.search(r"[ ()]", text) else text


# Help


def help_text(usage: str, about: str, groups: Mapping[str, Sequence[Option]], ending: str = "") -> str:
    """Help of a command: usage, what it does, its options in groups."""
    width = min(100, shutil.get_terminal_size().columns)
    parts = [f"Usage: {usage}", textwrap.fill(about, width)]
    for title, options in groups.items():
        if options:
            parts.append("\n".join([f"{title}:", *(_row(option, width) for option in options)]))
    if ending:
        parts.append(ending)
    return "\n\n".join(parts)


def _row(option: Option, width: int) -> str:
    left = f"  --{option.name} {option.value}".rstrip()
    said = f"{option.summary} [{option.default}]" if option.default else option.summary
    column = 26
    gap = " " * (column - len(left)) if len(left) < column - 1 else "\n" + " " * column
    lines = textwrap.wrap(said, max(30, width - column)) or [""]
    return left + gap + ("\n" + " " * column).join(lines)
