"""Line charts for a page."""

import doctest
import importlib
import math
import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qfix.report.chart import (
    SIZE,
    Axes,
    Band,
    Key,
    Line,
    Mark,
    chart,
    mean_of,
    number_text,
    percent,
    span,
    thinned,
    ticks,
)

from .pages import parsed

MODULES = ("markup", "theme", "chart", "grid_drawing", "learning_curve", "sections.settings", "sections.log")


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name):
    found = doctest.testmod(importlib.import_module(f"qfix.report.{name}"))
    assert found.attempted > 0
    assert found.failed == 0


def drawn(*shapes, x=(0.0, 10.0), y=(0.0, 1.0), keys=()):
    axes = Axes(x, y, number_text, number_text, "steps")
    (figure,) = parsed(chart("Title", "note", "what it shows", axes, shapes, keys)).inside
    return figure


def path_of(figure, style):
    return [p.attributes["d"] for p in figure.all("path") if p.attributes["class"] == style]


def test_lines_are_drawn_to_scale():
    line = Line(np.array([0.0, 5.0, 10.0]), np.array([0.0, 1.0, 0.5]), "mean")
    assert path_of(drawn(line), "mean") == ["M0 1000L500 0 1000 500"]


def test_a_line_skips_what_is_missing():
    line = Line(np.array([0.0, 5.0, 10.0]), np.array([0.0, np.nan, 0.5]), "mean")
    assert path_of(drawn(line), "mean") == ["M0 1000L1000 500"]
    nothing = Line(np.array([0.0]), np.array([np.nan]), "mean")
    assert [
        p for p in drawn(nothing).all("path") if p.attributes["class"] == "mean" and "d" in p.attributes
    ] == []


def test_a_single_point_is_a_dot():
    figure = drawn(Line(np.array([5.0]), np.array([0.5]), "mean"))
    assert path_of(figure, "mean lone") == ["M500 500L500 500"]


def test_a_band_goes_there_and_back():
    band = Band(np.array([0.0, 10.0]), np.array([0.0, 0.2]), np.array([0.5, 1.0]))
    assert path_of(drawn(band), "band") == ["M0 500L1000 0 1000 800 0 1000z"]


def test_marks_names_and_what_is_far_away():
    figure = drawn(Mark(10.0, 0.5, "dot", "seed <3>"), Mark(1e300, -1e300, "dot"))
    assert path_of(figure, "dot") == ["M1000 500h0", "M3000 3000h0"]
    assert figure.all("path")[1].text == "seed <3>"


def test_numbers_stand_where_the_values_are():
    figure = drawn(x=(0.0, 8.0), y=(-1.0, 1.0))
    places = {s.text: s.attributes["style"] for s in figure.all("span") if "style" in s.attributes}
    assert places["0"] in ("top:50%", "left:0%")
    assert places["−1"] == "top:100%"
    assert places["8"] == "left:100%"


def test_the_legend_shows_the_strokes_it_explains():
    figure = drawn(keys=[Key("mean", "mean"), Key("band", "area"), Key("dot", "seed")])
    assert [(li.text, li.all("path")[0].attributes["class"]) for li in figure.all("li")] == [
        ("mean", "mean"), ("area", "band"), ("seed", "dot"),
    ]  # fmt: skip


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(2, 8))
def test_ticks_are_round_inside_and_about_as_many_as_asked(low, width, about):
    assume(width > 1e-6 * abs(low))
    high = low + width
    found = ticks(low, high, about)
    assert len(found) <= about + 1
    assert len(found) >= about // 3
    slack = 1e-6 * width
    assert all(low - slack <= x <= high + slack for x in found)
    steps = np.diff(found)
    if len(steps):
        size = 10 ** math.floor(math.log10(steps[0] * 1.0001))
        assert min(abs(steps[0] / size - k) for k in (1, 2, 2.5, 5, 10)) < 1e-3


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20), st.sampled_from([0.02, 0.06]))
def test_a_span_has_room_for_all_that_can_be_drawn(values, margin):
    low, high = span([values], margin=margin)
    assert math.isfinite(low)
    assert math.isfinite(high)
    assert low < high
    assert all(low <= x <= high for x in values if abs(x) < 1e150)
    assert ticks(low, high, 4)


@given(st.integers(1, 300), st.integers(1, 50), st.integers(0, 2**31))
def test_thinning_keeps_means_and_steps_in_order(n, most, seed):
    rows = np.random.default_rng(seed).normal(size=(2, n))
    x, thin = thinned(np.arange(float(n)), rows, most)
    assert len(x) == min(n, most)
    assert thin.shape == (2, len(x))
    assert (np.diff(x) > 0).all()
    assert thin.min() >= rows.min()
    assert thin.max() <= rows.max()


def test_thinning_by_hand():
    x, rows = thinned(np.array([0.0, 1.0, 2.0, 3.0]), np.array([[1.0, 3.0, np.nan, 5.0]]), 2)
    assert x.tolist() == [0.5, 2.5]
    assert rows.tolist() == [[2.0, 5.0]]
    _, rows = thinned(np.array([0.0, 1.0, 2.0, 3.0]), np.array([[1.0, 3.0, np.nan, np.nan]]), 2)
    assert rows[0, 0] == 2.0
    assert np.isnan(rows[0, 1])


def test_the_mean_is_over_what_is_known():
    rows = np.array([[1.0, np.nan, np.nan], [3.0, 4.0, np.nan]])
    assert mean_of(rows)[:2].tolist() == [2.0, 4.0]
    assert np.isnan(mean_of(rows)[2])
    assert mean_of(np.empty((0, 0))).shape == (0,)


@pytest.mark.parametrize(
    ("value", "text"), [(25.0, "25%"), (0.0, "0%"), (1e-9, "0%"), (-1e-9, "0%"), (33.3333, "33.33%")]
)
def test_places_have_no_negative_zero(value, text):
    assert percent(value, 0.0, 100.0) == text


def test_a_chart_stays_small():
    x = np.arange(10_000.0)
    figure = chart("", "", "said", Axes((0, 1e4), (-1, 1), str, str), [Line(x, np.sin(x / 900))])
    assert len(figure) < 12 * SIZE * 12
    assert not re.search(r"\d\.\d", re.findall(r' d="(M[^"]*)"', figure)[1])
