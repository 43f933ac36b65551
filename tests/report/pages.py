"""A page taken apart, and what must be true of every page."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "img", "col", "source", "input", "link", "hr"}
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "h1", "h2", "p"),
    *("span", "b", "strong", "i", "div", "ul", "li", "figure", "figcaption", "table", "caption", "thead", "tbody"),
    *("tr", "th", "td", "details", "summary", "pre", "code", "picture", "source", "img"), *("a",),
    *("svg", "path", "g", "rect", "circle", "text"),
}  # fmt: skip
LOADING = ("src", "href", "srcset", "action", "data", "poster", "background", "formaction", "xlink:href")


@dataclass
class Element:
    """A tag with its attributes and all text inside."""

    tag: str
    attributes: dict[str, str | None]
    text: str = ""
    inside: list[Element] = field(default_factory=list)

    def all(self, tag: str) -> list[Element]:
        """Elements of a kind below this one."""
        return [e for e in self.inside if e.tag == tag] + [f for e in self.inside for f in e.all(tag)]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice"
        element = Element(tag, dict(attrs))
        self.open[-1].inside.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.open[-1].inside.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data):
        for element in self.open:
            element.text += data

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")


def parsed(html: str) -> Element:
    """The root of a page whose tags are balanced."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == [reader.root], "an element is not closed"
    return reader.root


def everything(root: Element) -> list[Element]:
    return [root, *(e for child in root.inside for e in everything(child))]


def checked(html: str) -> Element:
    """A page that is safe, self-contained and can be read by machines for the blind; returns its root."""
    assert html.startswith("<!DOCTYPE html>\n")
    root = parsed(html)
    elements = everything(root)[1:]
    assert {e.tag for e in elements} <= ALLOWED
    ids = [e.attributes["id"] for e in elements if "id" in e.attributes]
    assert len(set(ids)) == len(ids)
    for element in elements:
        for name, value in element.attributes.items():
            assert not name.startswith("on"), f"{name} runs a script"
            if element.tag == "a" and name == "href":  # followed by hand, to a file beside the page
                assert value in ("figures/stages.mp4", "figures/stages.gif")
            elif name in LOADING:
                assert (value or "").startswith("data:image/png;base64,"), f"{name}={value!r} loads something"
            if name == "style":
                assert re.fullmatch(r"[a-z-]+:[\d.]+(px|%)(;[a-z-]+:[\d.]+(px|%))*", value or ""), value
    (policy,) = [e for e in elements if e.attributes.get("http-equiv") == "Content-Security-Policy"]
    assert policy.attributes["content"].startswith("default-src 'none';")
    (style,) = root.all("style")
    for loading in ("url(", "@import", "http", "//"):
        assert loading not in style.text
    for svg in root.all("svg"):
        hidden = svg.attributes.get("aria-hidden") == "true"
        assert hidden or (svg.attributes["role"] == "img" and svg.attributes["aria-label"])
    assert all(image.attributes["alt"] for image in root.all("img"))
    for table in root.all("table"):
        assert table.all("caption")
        assert all(th.attributes["scope"] in ("row", "col") for th in table.all("th"))
        (head,) = table.all("thead")
        columns = len(head.all("th"))
        for row in table.all("tbody")[0].all("tr"):
            assert len(row.inside) == columns
    assert len(root.all("h1")) == 1
    assert root.all("html")[0].attributes["lang"] == "en"
    for element in elements:
        for name in ("d", "viewbox", "transform", "cx", "x"):
            assert "nan" not in (element.attributes.get(name) or "").lower()
            assert "inf" not in (element.attributes.get(name) or "").lower()
    return root


def sections(root: Element) -> dict[str, str]:
    """The text of each section by its key."""
    return {e.attributes["id"]: e.text for e in root.all("section")}
