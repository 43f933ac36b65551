"""The command line in one rule: `--name value`, `--name=value`, or a flag that takes nothing.

An option that is true or false may stand alone, too. Whether one is, its algorithm says, and the algorithm is a
word of the same line: `split` takes the word after an unknown option for its value, `give_back` returns it to
the positional words where it is none.

Options are rows of a table. Those of an algorithm are read off its `Config`: a field is an option, its
annotation says how the text is read, the docstring under it is the help. So a new field needs no line here.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import re
import shlex
import shutil
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from qfix.errors import OptionError, from_elsewhere, nearest, parts_of

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


class Option(NamedTuple):
    """One option of a command."""

    name: str
    """As typed, without the two hyphens."""
    summary: str
    """What it does, for help."""
    read: Callable[[str, str], Any] | None = None
    """From the option's name and the text to a value; None for a flag, which is off unless it is given."""
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

    @property
    def may_stand_alone(self) -> bool:
        """Whether it is true where no value follows."""
        return self.read in (None, truth, truth_or_none)


class Words(NamedTuple):
    """A command line taken apart, not yet understood."""

    positional: list[str]
    options: dict[str, str | None]
    """Names as typed, with hyphens for underscores; None where no value followed."""
    taken: dict[str, int]
    """The options whose value is a word of its own, and how many positional words stand before it."""


def split(arguments: Sequence[str], flags: Iterable[str]) -> Words:
    """Take a command line apart. All that starts with two hyphens is an option; all but flags take a value.

    >>> split(["Taxi", "--seeds", "8", "--json", "--gamma=0.9", "sarsa"], ["json"])
    Words(positional=['Taxi', 'sarsa'], options={'seeds': '8', 'json': '', 'gamma': '0.9'}, taken={'seeds': 1})

    Raises:
        OptionError: an option is given twice.
    """
    flags = set(flags)
    positional: list[str] = []
    options: dict[str, str | None] = {}
    taken: dict[str, int] = {}
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
            taken[name] = len(positional)
        else:
            options[name] = None
    return Words(positional, options, taken)


def give_back(words: Words, options: Sequence[Option]) -> Words:
    """The words with those positional again that `split` took for values of options which may stand alone.

    >>> fast = Option("fast", "Hurry.", truth)
    >>> give_back(split(["--fast", "Taxi", "sarsa"], []), [fast])
    Words(positional=['Taxi', 'sarsa'], options={'fast': None}, taken={})
    >>> give_back(split(["--fast", "no", "Taxi", "sarsa"], []), [fast]).options
    {'fast': 'no'}
    """
    truths = (*_TRUE, *_FALSE)
    alone = {
        option.name: (*truths, "none") if option.read is truth_or_none else truths
        for option in options
        if option.may_stand_alone
    }
    positional, given, taken = list(words.positional), dict(words.options), {}
    for name, place in words.taken.items():
        place += len(positional) - len(words.positional)
        text = given[name]
        assert text is not None
        if name in alone and text.lower() not in alone[name]:
            positional.insert(place, text)
            given[name] = None
        else:
            taken[name] = place
    return Words(positional, given, taken)


def understand(words: Mapping[str, str | None], options: Sequence[Option], command: str) -> dict[str, Any]:
    """The values of the options that were given, by their names in Python.

    Raises:
        OptionError: there is no such option (suggests the nearest), it lacks its value or cannot have it.
    """
    rows = {option.name: option for option in options}
    values = {}
    for name, text in words.items():
        if name not in rows:
            raise OptionError(f"There is no option '--{name}'. {_hint(name, text, options, command)}")
        row = rows[name]
        if row.read is None:
            if text and text.lower() not in (*_TRUE, *_FALSE):
                raise OptionError(f"The '--{name}' option takes no value. Got {text!r}. Leave it out.")
            values[row.parameter] = not text or text.lower() in _TRUE
            continue
        if text is None and row.may_stand_alone:
            values[row.parameter] = True
            continue
        if text is None:
            example = f"--{name} {row.default or row.value}"
            raise OptionError(f"The '--{name}' option needs a value. Got none. Write {example}.")
        values[row.parameter] = row.read(name, text)
    return values


def likely(name: str, options: Sequence[Option]) -> str | None:
    """The name of the option that may be meant: as other libraries call it, the beginning of one, or the nearest."""
    names = {option.parameter: option.name for option in options}
    if theirs := from_elsewhere(name.replace("-", "_"), names):
        return names[theirs]
    begins = next((known for known in names.values() if known.startswith(name)), None)
    return begins or nearest(name, names.values())


def _hint(name: str, text: str | None, options: Sequence[Option], command: str) -> str:
    if parts := parts_of(name.replace("-", "_"), [option.parameter for option in options]):
        return f"Write {' '.join(f'--{part} {text or 0.2}' for part in parts).replace('_', '-')}."
    if near := likely(name, options):
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


def truth(name: str, text: str) -> bool:
    """True or false."""
    if text.lower() not in (*_TRUE, *_FALSE):
        raise OptionError(f"The '--{name}' option must be true or false. Got {text!r}. Write --{name} true.")
    return text.lower() in _TRUE


def truth_or_none(name: str, text: str) -> bool | None:
    """True, false or none."""
    return None if text.lower() == "none" else truth(name, text)


def word(name: str, text: str) -> str:
    """Any text."""
    return text


def literal(name: str, text: str) -> Any:
    """A number, true or false, none, a list; any other text stands for itself."""
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


class Reading(NamedTuple):
    """How the text of an option is read."""

    read: Callable[[str, str], Any]
    shown: str
    """What stands for the value in help."""


_READINGS: dict[Any, Reading] = {
    int: Reading(whole, "N"),
    float: Reading(number, "X"),
    bool: Reading(truth, "[true|false]"),
    str: Reading(word, "TEXT"),
}


def reading_of(kind: Any) -> Reading:
    """How a text becomes a value of an annotation.

    >>> reading_of(int | None).read("n", "none"), reading_of(tuple[int, ...]).read("sizes", "64,64")
    (None, (64, 64))

    What is no number, truth, tuple or choice is a text: schedules and strategies are written so.
    """
    origin, members = typing.get_origin(kind), typing.get_args(kind)
    if kind in _READINGS:
        return _READINGS[kind]
    if origin is typing.Literal:
        return Reading(functools.partial(_choice, members), "|".join(map(_said, members)))
    if origin is tuple and members:
        part = reading_of(members[0])
        if members[-1] is Ellipsis:
            return Reading(functools.partial(_several, part, None), f"{part.shown},{part.shown},...")
        return Reading(functools.partial(_several, part, len(members)), ",".join([part.shown] * len(members)))
    if origin not in (typing.Union, types.UnionType):
        return _READINGS[str]
    some = [member for member in members if member is not types.NoneType]
    inner = reading_of(some[0]) if len(some) == 1 else _reading_of_union(some)
    if len(some) == len(members):
        return inner
    if inner.read is truth:
        return Reading(truth_or_none, "[true|false|none]")
    # a text names what stands in place of none, and its help says what none is
    shown = inner.shown if str in some else f"{inner.shown}|none"
    return Reading(functools.partial(_optional, inner.read), shown)


def _reading_of_union(kinds: Sequence[Any]) -> Reading:
    """As the strictest member that can read it, so that 2 of `float | int` is whole."""
    strictest = (typing.Literal, int, float, bool, tuple)
    strict = [kind for kind in kinds if (typing.get_origin(kind) or kind) in strictest]
    strict.sort(key=lambda kind: strictest.index(typing.get_origin(kind) or kind))
    readings = [reading_of(kind) for kind in strict]
    if len(strict) < len(kinds):  # there is a text among them
        return Reading(functools.partial(_first, readings, True), readings[0].shown if readings else "TEXT")
    return Reading(functools.partial(_first, readings, False), "|".join(r.shown for r in readings))


def _choice(members: tuple[Any, ...], name: str, text: str) -> Any:
    """One of a few."""
    for member in members:
        if text == member or (not isinstance(member, str) and text.lower() == _said(member)):
            return member
    listed = list(map(_said, members))
    near = nearest(text, listed)
    remedy = f"Did you mean '{near}'?" if near else f"Write --{name} {listed[0]}."
    raise OptionError(f"The '--{name}' option must be one of {', '.join(listed)}. Got {text!r}. {remedy}")


def _several(part: Reading, length: int | None, name: str, text: str) -> tuple[Any, ...]:
    """Values with commas between them, with or without brackets."""
    parts = [one.strip() for one in text.strip("()[] ").split(",") if one.strip()]
    if length is not None and len(parts) != length:
        example = ",".join([part.shown] * length)
        raise OptionError(
            f"The '--{name}' option must have {length} values. Got {text!r}. Write --{name} {example}."
        )
    try:
        return tuple(part.read(name, one) for one in parts)
    except OptionError as error:
        numbers = re.findall(r"\d+", text) if part.read is whole else []
        if part.read is not whole or length is not None:
            raise
        example = ",".join(numbers) if len(numbers) > 1 else "64,64"
        raise OptionError(
            f"The '--{name}' option takes whole numbers with commas between them. Got {text!r}. "
            f"Write --{name} {example}."
        ) from error


def _first(readings: Sequence[Reading], or_text: bool, name: str, text: str) -> Any:
    """As the first that can read it."""
    for reading in readings:
        with suppress(OptionError):
            return reading.read(name, text)
    if or_text:
        return text
    shown = " or ".join(reading.shown for reading in readings)
    raise OptionError(f"The '--{name}' option must be {shown}. Got {text!r}.")


def _optional(read: Callable[[str, str], Any], name: str, text: str) -> Any:
    """None, or as another reader has it."""
    return None if text.lower() == "none" else read(name, text)


def _said(member: Any) -> str:
    return "none" if member is None else typed(member)


# Options of an algorithm


def options_of_config(config: type) -> list[Option]:
    """An option for every field of a config dataclass; `lambda_` becomes `--lambda`."""
    hints = typing.get_type_hints(config)
    texts = field_docstrings(config)
    rows = []
    for field in dataclasses.fields(config):
        read, value = reading_of(hints[field.name])
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
    from qfix.explore.initial import INITIALS
    from qfix.explore.schedules import SCHEDULES
    from qfix.explore.strategies import STRATEGIES

    # a schedule has parameters of its own, that may be called as an option is
    others = "|".join(kind.__name__ for kind in (*SCHEDULES, *STRATEGIES, *INITIALS))
    values = r"\([^)]*\)|\[[^]]*\]|'[^']*'|[\w.]+\([^)]*\)|[\w.+-]*\w"
    for option in options:
        own = rf"The '{option.parameter}' parameter (?!of (?:{others})\b)"
        message = re.sub(own, f"The '--{option.name}' option ", message)
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
