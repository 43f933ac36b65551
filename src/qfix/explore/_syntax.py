"""One line of text for a frozen dataclass: `Linear(1.0, 0.05, 100_000)`, read without evaluating anything.

The text is the `repr` of the object, so what a run prints can be pasted into Python or on a command line.
Names are taken without regard to case, hyphens and underscores (`epsilon-greedy`, `EpsilonGreedy`), and a
bare word counts as text (`by=episode`), because quotes are awkward in a shell.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from qfix.errors import OptionError, option_error, unknown_name

_LONGEST_TEXT = 10_000  # far above any real schedule; keeps the parser away from texts built to exhaust it


T = TypeVar("T")


class Call(NamedTuple):
    """A name and its arguments as read, before anything is built from them."""

    name: str
    args: tuple[Any, ...]
    options: dict[str, Any]


def snake(name: str) -> str:
    """`EpsilonGreedy` to `epsilon_greedy`; an acronym stays one word (`UCB` to `ucb`)."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def read(text: str, owner: str, example: str) -> Any:
    """Read a number, a literal or a `Call` from text; nothing is executed.

    Raises:
        OptionError: the text is not of this form.
    """
    remedy = f"Write it like {example}."
    if len(text) > _LONGEST_TEXT:
        rule = f"must be at most {_LONGEST_TEXT} characters"
        raise option_error(owner, "text", rule, _short(text), remedy)
    head = re.match(r"\s*[A-Za-z][\w-]*", text)
    plain = text if head is None else head.group().replace("-", "_") + text[head.end() :]
    try:
        return _node(ast.parse(plain.strip(), mode="eval").body)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        pass
    rule = "must be a number or a name with its arguments in brackets"
    raise option_error(owner, "text", rule, _short(text), remedy)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _node(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        options = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise ValueError("a star is not an option")
            options[keyword.arg] = _argument(keyword.value)
        return Call(node.func.id, tuple(_argument(value) for value in node.args), options)
    if isinstance(node, ast.Name):
        return Call(node.id, (), {})
    return ast.literal_eval(node)


def _argument(node: ast.expr) -> Any:
    return node.id if isinstance(node, ast.Name) else _node(node)


def find(name: str, classes: Iterable[type[T]]) -> type[T] | None:
    """The class of that name, whatever its case, hyphens and underscores."""
    wanted = name.replace("_", "").replace("-", "").lower()
    return next((cls for cls in classes if cls.__name__.lower() == wanted), None)


def lookup(name: str, classes: Iterable[type[T]], kind: str) -> type[T]:
    """Like `find`, with an error that suggests the nearest name in the spelling of the asker."""
    classes = list(classes)
    found = find(name, classes)
    if found is None:
        spell = snake if name == name.lower() else str
        raise unknown_name(kind, name, [spell(cls.__name__) for cls in classes])
    return found


def build(cls: type[T], args: Iterable[Any], options: Mapping[str, Any]) -> T:
    """Build a dataclass from read arguments; too many, too few or unknown ones are errors of the user's."""
    fields = _fields(cls)
    positional = [field.name for field in fields if not field.kw_only]
    args = list(args)
    usage = f"Usage: {signature(cls)}."
    if len(args) > len(positional):
        rule = f"takes at most {len(positional)} values in order"
        raise OptionError(f"{cls.__name__} {rule}. Got {len(args)}. {usage}")
    given = dict(zip(positional, args))
    for name, value in options.items():
        if name not in {field.name for field in fields}:
            raise unknown_name(f"option of {cls.__name__}", name, [field.name for field in fields])
        if name in given:
            raise OptionError(f"The '{name}' parameter of {cls.__name__} is given twice. {usage}")
        given[name] = value
    missing = [field.name for field in fields if field.name not in given and _required(field)]
    if missing:
        raise OptionError(f"{cls.__name__} needs {' and '.join(repr(name) for name in missing)}. {usage}")
    return cls(**given)


def from_mapping(
    data: Mapping[str, Any], classes: Iterable[type[T]], kind: str, owner: str, example: str
) -> T:
    """Build what a JSON object describes: its "kind" names the class, the rest are its fields."""
    name = data.get("kind")
    if not isinstance(name, str):
        raise option_error(owner, "kind", f"must name the {kind}", name, f"Use {example}.")
    return build(lookup(name, classes, kind), (), {key: data[key] for key in data if key != "kind"})


def signature(cls: type) -> str:
    """How to write an object of this class: `Linear(start, end, duration, by='step')`."""
    parts = [field.name if _required(field) else f"{field.name}={field.default!r}" for field in _fields(cls)]
    return f"{cls.__name__}({', '.join(parts)})"


def _fields(cls_or_object: Any) -> list[dataclasses.Field[Any]]:
    """In the order in which values are given: positional ones, then those given by name."""
    return sorted(dataclasses.fields(cls_or_object), key=lambda field: bool(field.kw_only))


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def written(obj: Any, values: Mapping[str, Any] | None = None) -> str:
    """The text that `read` and `build` turn back into an equal object.

    The first value and the required ones stand in order; others by name, where they differ from the default.

    Args:
        obj: a dataclass object.
        values: shorter forms of its field values, where it has them.
    """
    parts = []
    for index, field in enumerate(_fields(obj)):
        value = getattr(obj, field.name) if values is None else values[field.name]
        if _required(field) or (index == 0 and not field.kw_only):
            parts.append(_literal(value))
        elif value != field.default:
            parts.append(f"{field.name}={_literal(value)}")
    return f"{type(obj).__name__}({', '.join(parts)})"


def _literal(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:_}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, tuple):
        inside = ", ".join(_literal(item) for item in value)
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return repr(value)
