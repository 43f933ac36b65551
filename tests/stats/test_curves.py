"""Learning curves in numbers: by hand, and Kaplan and Meier on the data that every textbook works out."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qfix.errors import OptionError
from qfix.stats.curves import area_under_curve, final, kaplan_meier, steps_to_threshold, summarise_curves

NAN = math.nan

# Remission of leukaemia with 6-MP in weeks; Freireich et al. (1963), as in Kalbfleisch and Prentice and many others
WEEKS = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
STILL_WELL = [0, 0, 0, 1, 0, 1, 0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1]


def test_kaplan_and_meier_of_the_textbooks():
    times, survival = kaplan_meier(WEEKS, STILL_WELL)
    assert times.tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert survival == pytest.approx([0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482], abs=5e-5)


def test_kaplan_and_meier_agree_with_scipy():
    rng = np.random.default_rng(2)
    for _ in range(20):
        times, censored = rng.integers(1, 9, 12).astype(float), rng.random(12) < 0.4
        if censored.all():
            continue
        ours = kaplan_meier(times, censored)
        peer = stats.ecdf(stats.CensoredData.right_censored(times, censored)).sf
        assert ours[1] == pytest.approx(peer.evaluate(ours[0]))


def curve(when: float, steps: np.ndarray, watched: float = math.inf) -> list[float]:
    """0 before a step, 1 from it on, NaN after it was watched."""
    return [NAN if t > watched else float(t >= when) for t in steps]


def test_median_and_restricted_mean_of_the_textbook_data():
    steps = np.arange(36.0)
    values = [
        curve(math.inf, steps, w) if well else curve(w, steps)
        for w, well in zip(WEEKS, STILL_WELL, strict=True)
    ]
    told = steps_to_threshold(steps, values, threshold=1.0)
    assert told.median == 23
    assert told.n_censored == 12
    assert told.steps.tolist() == WEEKS
    # 6 + 0.8571 + 3 · 0.8067 + 3 · 0.7529 + 3 · 0.6902 + 6 · 0.6275 + 0.5378 + 12 · 0.4482
    assert told.restricted_mean == pytest.approx(23.287, abs=2e-3)


def test_without_censoring_it_is_the_sample():
    told = steps_to_threshold([10, 20, 30, 40], [[0, 5, 5, 5], [0, 0, 5, 5], [5, 0, 0, 0]], threshold=5)
    assert told.steps.tolist() == [20, 30, 10]
    assert told.median == 20
    assert told.restricted_mean == pytest.approx(20)
    assert told.n_censored == 0
    assert told.survival == pytest.approx([2 / 3, 1 / 3, 0])


def test_seeds_that_never_get_there_are_censored_at_the_budget():
    told = steps_to_threshold([100, 200, 300], [[0, 7, 9], [0, 1, 2], [0, 0, 0]], threshold=7)
    assert told.censored.tolist() == [False, True, True]
    assert told.steps.tolist() == [200, 300, 300]
    assert told.median == math.inf
    assert told.restricted_mean == pytest.approx((200 + 300 + 300) / 3)
    assert repr(told) == (
        "StepsToThreshold(7 reached by 1 of 3 seeds, median over 300, mean up to 300: 267, 2 censored)"
    )
    nobody = steps_to_threshold([100, 200], [[0, 0]], threshold=7)
    assert (nobody.median, nobody.restricted_mean) == (math.inf, 200)


def test_a_seed_that_crashed_is_censored_where_it_stopped():
    """One passes at 20, one crashes at 10, one passes at 30: S = 1/2 from 20 (two at risk), 0 from 30."""
    told = steps_to_threshold([10, 20, 30], [[0, 1, 1], [0, NAN, NAN], [0, 0, 1]], threshold=1)
    assert told.steps.tolist() == [20, 10, 30]
    assert told.survival == pytest.approx([0.5, 0])
    assert told.restricted_mean == pytest.approx(20 + 0.5 * 10)


def test_a_threshold_can_be_asked_to_hold():
    values = [[0, 9, 0, 9, 9], [0, 9, NAN, 9, 0]]
    assert steps_to_threshold(range(5), values, 9).steps.tolist() == [1, 1]
    held = steps_to_threshold(range(5), values, 9, hold=2)
    assert held.steps.tolist() == [3, 1]  # what is absent breaks no row
    assert steps_to_threshold(range(5), values, 9, hold=3).n_censored == 2


@given(
    when=st.lists(st.integers(0, 30), min_size=1, max_size=12),
    budget=st.integers(5, 20),
)
def test_the_restricted_mean_is_that_of_the_smaller(when, budget):
    """With every seed watched to the budget: the mean of min(steps needed, budget)."""
    steps = np.arange(budget + 1.0)
    told = steps_to_threshold(steps, [curve(w, steps) for w in when], threshold=0.5)
    assert told.restricted_mean == pytest.approx(np.minimum(when, budget).mean())
    assert told.n_censored == sum(w > budget for w in when)


def test_final_by_hand():
    steps = [10, 20, 30, 40, 50]
    values = [[0, 1, 2, 4, 6], [0, 1, 2, NAN, 5], [0, 1, 2, NAN, NAN]]
    assert final(steps, values, last_fraction=0.25) == pytest.approx(
        [5, 5, NAN], nan_ok=True
    )  # from step 40 on
    assert final(steps, values, last_fraction=0.2) == pytest.approx(
        [6, 5, NAN], nan_ok=True
    )  # from step 42 on
    assert final([7], [[3.0]]) == pytest.approx([3.0])


def test_area_by_hand():
    """(0, 0), (10, 4), (40, 4): 20 + 120 over 40."""
    assert area_under_curve([0, 10, 40], [[0, 4, 4]]) == pytest.approx([3.5])
    absent = [[0, NAN, 4], [0, 4, NAN], [NAN, 4, 4], [NAN, NAN, 1]]
    assert area_under_curve([0, 10, 40], absent, least_cover=0.75) == pytest.approx(
        [2, NAN, 4, NAN], nan_ok=True
    )
    assert area_under_curve([0, 10, 40], absent) == pytest.approx([2, NAN, NAN, NAN], nan_ok=True)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20), st.floats(-1e3, 1e3), st.floats(0.1, 10))
def test_area_keeps_lines_units_and_shifts(values, shift, stretch):
    steps = np.cumsum(np.linspace(1, 3, len(values)))
    area = area_under_curve(steps, [values])[0]
    assert min(values) - 1e-6 <= area <= max(values) + 1e-6
    moved = area_under_curve(steps * stretch + 5, [np.array(values) + shift])[0]
    assert moved == pytest.approx(area + shift, abs=1e-6)
    assert area_under_curve(steps, [2 * steps])[0] == pytest.approx(steps[0] + steps[-1])


def test_summary_in_words():
    steps, values = [0, 50, 100], [[0, 4, 6], [0, 2, 2], [0, NAN, NAN]]
    told = summarise_curves(steps, values, threshold=4)
    assert repr(told) == (
        "CurveSummary(final 4 of 2 seeds, 1 absent, area 2.5 of 2 seeds, 1 absent, "
        "StepsToThreshold(4 reached by 1 of 3 seeds, median 50, mean up to 100: 75, 2 censored))"
    )
    assert summarise_curves(steps, values).to_threshold is None
    with pytest.raises(FrozenInstanceError):
        told.area = None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: final([1, 2], [[1, 2, 3]]),
            r"must be \(seeds, n\) for \(n,\) steps. Got '\(2,\) and \(1, 3\)'",
        ),
        (lambda: final([], np.empty((2, 0))), "must be"),
        (lambda: final([2, 1], [[1, 2]]), "must increase"),
        (lambda: final([1, 2], [[1, 2]], last_fraction=0), "'last_fraction'"),
        (lambda: final([1, 2], [[1, math.inf]]), "seed 0 at step 2"),
        (lambda: area_under_curve([1], [[1]]), "at least two"),
        (lambda: area_under_curve([1, 2], [[1, 1]], least_cover=1.2), "'least_cover'"),
        (lambda: steps_to_threshold([1, 2], [[1, 1], [NAN, NAN]], 1), "none of seed 1"),
        (lambda: steps_to_threshold([1, 2], [[1, 1]], NAN), "'threshold'"),
        (lambda: steps_to_threshold([1, 2], [[1, 1]], 1, hold=0), "'hold'"),
        (lambda: steps_to_threshold([-1, 2], [[1, 1]], 1), "must not be negative"),
    ],
)
def test_what_is_no_curve_is_refused(call, message):
    with pytest.raises(OptionError, match=message):
        call()
