"""HTML that is safe because of how it is made: text is escaped unless it is `Html`, and only `tag` makes that.

What a run's folder says is a stranger's text. It reaches a page as a child or an attribute of a `tag`, so that no
author of a section has to remember to escape it.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

LONGEST = 1_000
"""Characters of a text that are shown."""

_EMPTY = frozenset({"meta", "br", "img", "col", "source", "path", "rect", "circle", "line"})


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | Html | None


def plain(text: object, longest: int = LONGEST) -> str:
    """A stranger's text in one line of characters that can be seen; what is too long is cut, and says so.

    Control characters, the invisible ones and those that turn the direction of writing are spelt out.

    >>> plain("a\\u202eb\\nc"), plain("x" * 9, 4)
    ('a\\\\u202eb c', 'xxxx … (9 characters)')
    """
    given = str(text)
    shown = "".join(
        c if c.isprintable() else " " if c in "\n\t" else f"\\u{ord(c):04x}" for c in given[:longest]
    )
    return shown if len(given) <= longest else f"{shown} … ({len(given):,} characters)"


def escaped(text: str, longest: int = LONGEST) -> Html:
    """Text as HTML, in an element or between quotes; `Html` as it is, the drawings of this package among it."""
    return text if isinstance(text, Html) else Html(html.escape(plain(text, longest), quote=True))


def joined(children: Iterable[Child], between: str = "") -> Html:
    """Children one after the other; None is left out."""
    return Html(between.join(escaped(child) for child in children if child is not None))


def tag(name: str, /, *children: Child, **attributes: object) -> Html:
    """An element.

    Args:
        name: of the element.
        children: text, which is escaped, or Html.
        attributes: `class_` for class, `aria_label` for aria-label; True for one without a value, None or False to
            leave it out.

    >>> tag("p", "a < b", tag("b", "!"), class_="note", title='"')
    '<p class="note" title="&quot;">a &lt; b<b>!</b></p>'
    """
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        written.append(
            f" {attribute}"
            if value is True
            else f' {attribute}="{escaped(value if isinstance(value, str) else str(value))}"'
        )
    start = f"<{name}{''.join(written)}>"
    if name in _EMPTY and not children:
        return Html(start if name in ("meta", "br", "img", "col", "source") else f"{start[:-1]}/>")
    return Html(f"{start}{joined(children)}</{name}>")


def table(
    head: Sequence[Child],
    rows: Iterable[Sequence[Child]],
    caption: str,
    classes: Sequence[str] = (),
    tight: bool = False,
) -> Html:
    """A table that scrolls sideways where it is wider than the page; the first cell of a row is its header.

    Args:
        head: names of the columns.
        rows: cells.
        caption: what it shows, for those who do not see it.
        classes: of the rows, as long as `rows`; empty for none.
        tight: whether no cell may be broken into lines.
    """
    body = []
    for i, row in enumerate(rows):
        first, *others = row
        cells = [tag("th", first, scope="row"), *(tag("td", cell) for cell in others)]
        body.append(tag("tr", *cells, class_=(classes[i] or None) if classes else None))
    columns = tag("tr", *(tag("th", name, scope="col") for name in head))
    parts = (tag("caption", caption), tag("thead", columns), tag("tbody", *body))
    made = tag("table", *parts, class_="tight" if tight else None)
    return tag("div", made, class_="wide", tabindex="0", role="region", aria_label=caption)


def details(summary: str, *children: Child, open_: bool = False) -> Html:
    """What is folded away until it is asked for."""
    return tag("details", tag("summary", summary), *children, open_=open_)


def section(key: str, title: str, *children: Child) -> Html:
    """A part of the page with a heading and an address."""
    heading = tag("h2", title, id_=f"{key}-title")
    return tag("section", heading, *children, id_=key, aria_labelledby=f"{key}-title")
