"""HTML that is safe because of how it is made."""

import html

from hypothesis import given
from hypothesis import strategies as st

from qfix.report.markup import Html, details, escaped, joined, plain, section, table, tag

from .pages import parsed


@given(st.text())
def test_text_comes_back_as_text_and_never_as_markup(text):
    root = parsed(tag("p", text, title=text))
    (paragraph,) = root.inside
    assert paragraph.tag == "p"
    assert paragraph.inside == []
    assert paragraph.text == plain(text)
    assert paragraph.attributes == {"title": plain(text)}


@given(st.text())
def test_what_is_shown_is_visible(text):
    assert plain(text).isprintable()


@given(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=200))
def test_ordinary_text_is_unchanged(text):
    assert plain(text) == text
    assert html.unescape(escaped(text)) == text


def test_long_text_is_cut_and_says_so():
    assert plain("x" * 5_000) == "x" * 1_000 + " … (5,000 characters)"


def test_writing_cannot_be_turned_round():
    assert plain("a\u202eb\u2066c\x1b\x00") == "a\\u202eb\\u2066c\\u001b\\u0000"


def test_html_is_not_escaped_twice():
    inner = tag("b", "<")
    assert tag("p", inner, " > ", None) == "<p><b>&lt;</b> &gt; </p>"
    assert joined([inner, "&", None], "|") == "<b>&lt;</b>|&amp;"
    assert escaped(Html("<b>")) == "<b>"


def test_attributes():
    assert tag("details", open_=True, hidden=None, class_=False) == "<details open></details>"
    assert tag("svg", viewBox="0 0 1 1", aria_label="a b") == '<svg viewBox="0 0 1 1" aria-label="a b"></svg>'
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert tag("path", d="M0 0") == '<path d="M0 0"/>'


def test_a_table_has_headers_both_ways_and_a_caption():
    (box,) = parsed(table(["a", "b"], [["1", "<2>"], ["3", "4"]], "numbers", ["hot", ""])).inside
    assert box.attributes["aria-label"] == "numbers"
    assert [(th.text, th.attributes["scope"]) for th in box.all("th")] == [
        ("a", "col"), ("b", "col"), ("1", "row"), ("3", "row"),
    ]  # fmt: skip
    assert [td.text for td in box.all("td")] == ["<2>", "4"]
    assert [tr.attributes.get("class") for tr in box.all("tr")] == [None, "hot", None]


def test_sections_are_named_by_their_headings():
    (part,) = parsed(section("key", "Title", details("more", tag("p", "text")))).inside
    assert part.attributes == {"id": "key", "aria-labelledby": "key-title"}
    assert part.all("h2")[0].attributes["id"] == "key-title"
    assert part.all("summary")[0].text == "more"
