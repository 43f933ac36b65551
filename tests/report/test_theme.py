"""Colours that can be told apart and read, by day and by night."""

import io
import re
from importlib import resources

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfix.report.theme import (
    COUNT_LEVELS,
    SIDE,
    VALUE_LEVELS,
    _png,
    contrast,
    count_colours,
    count_level,
    ink,
    level_of,
    picture,
    style_sheet,
    value_colours,
)

from .pages import parsed

THEMES = ("day", "night")
SHEET = resources.files("qfix.report").joinpath("page.css").read_text(encoding="utf-8")
LEAST = 4.5  # WCAG 2.1, criterion 1.4.3


def variables(theme):
    day, night = re.findall(r":root\{([^}]*)\}", SHEET)
    found = dict(pair.split(":") for pair in day.removeprefix("--").split(";--"))
    if theme == "night":
        found |= dict(pair.split(":") for pair in night.removeprefix("--").split(";--"))
    return {name: f"#{''.join(2 * c for c in v[1:])}" if len(v) == 4 else v for name, v in found.items()}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("paper", ["paper", "card"])
@pytest.mark.parametrize("text", ["ink", "soft", "accent", "good", "bad", "warn"])
def test_text_can_be_read(theme, paper, text):
    found = variables(theme)
    assert contrast(found[text], found[paper]) >= LEAST


@pytest.mark.parametrize("theme", THEMES)
def test_marked_options_can_be_read(theme):
    found = variables(theme)
    assert contrast(found["ink"], found["mark"]) >= LEAST


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("colours", [value_colours, count_colours])
def test_numbers_on_maps_can_be_read(theme, colours):
    assert min(contrast(colour, ink(colour)) for colour in colours(theme)) >= LEAST


@pytest.mark.parametrize("theme", THEMES)
def test_levels_are_all_different_and_zero_is_the_paper(theme):
    assert len(set(value_colours(theme))) == VALUE_LEVELS
    assert len(set(count_colours(theme))) == COUNT_LEVELS
    middle = value_colours(theme)[SIDE]
    assert middle == count_colours(theme)[0]
    dark = contrast(middle, "#000000") < 2
    assert dark == (theme == "night")


def test_contrast_is_that_of_the_guidelines():
    """Published examples: #777777 on white is 4.48, #767676 is 4.54."""
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert contrast("#123456", "#123456") == 1.0


@given(st.floats(-1e300, 1e300), st.floats(1e-3, 1e300))
def test_levels_keep_order_and_sign(value, size):
    level = level_of(value, size)
    assert 0 <= level < VALUE_LEVELS
    assert np.sign(level - SIDE) == np.sign(value)
    assert level_of(-value, size) - SIDE == SIDE - level


def test_nan_is_paper():
    assert level_of(np.nan, 1.0) == level_of(np.inf, 1.0) == SIDE


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_counts_have_a_level_and_only_none_has_none(count, other):
    low, high = sorted((count, other))
    assert 0 <= count_level(low, high) <= count_level(high, high) <= SIDE
    assert (count_level(low, high) == 0) == (low == 0)


def test_the_sheet_has_a_rule_for_every_level_in_both_themes():
    sheet = style_sheet()
    for letter, n in (("v", VALUE_LEVELS), ("w", COUNT_LEVELS)):
        for k in range(n):
            assert sheet.count(f".{letter}{k}{{") == 2


def test_pictures_hold_what_was_painted():
    levels = np.arange(24).reshape(4, 6)
    image = matplotlib.image.imread(io.BytesIO(_png(levels, value_colours("day"))), format="png")
    colours = [[f"#{''.join(f'{round(255 * x):02x}' for x in pixel[:3])}" for pixel in row] for row in image]
    assert colours == [[value_colours("day")[k] for k in row] for row in levels]


def test_a_picture_has_a_dark_twin_and_a_text():
    (found,) = parsed(picture(np.zeros((2, 2), np.int64), "w", "counts")).inside
    source, image = found.inside
    assert "dark" in source.attributes["media"]
    assert image.attributes["alt"] == "counts"
    assert image.attributes["src"] != source.attributes["srcset"]
