"""Schedules: values by hand, the shape each promises, text and JSON, compiled and plain agreement."""

import json
import math

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfix.errors import OptionError, UnknownNameError
from qfix.explore import (
    Constant,
    Decay,
    Exponential,
    Inverse,
    Linear,
    Piecewise,
    Polynomial,
    as_schedule,
    pick_counter,
    schedule_from,
    schedule_value,
    scheduled_within,
)

compiled_value = numba.njit(schedule_value)
compiled_counter = numba.njit(pick_counter)

BY = st.sampled_from(["step", "episode", "visit", "step_in_episode"])
LEVEL = st.floats(1e-6, 10.0)
COUNT = st.one_of(st.integers(1, 10**12), st.floats(1e-3, 1e12))
N = st.one_of(st.integers(0, 1000), st.integers(0, 10**12))


@st.composite
def schedules(draw):
    by = draw(BY)
    low, high = sorted((draw(LEVEL), draw(LEVEL)))
    start, end = draw(st.sampled_from([(low, high), (high, low)]))
    floor = draw(st.sampled_from([0.0, low]))
    boundaries = sorted(draw(st.sets(st.integers(1, 10**12), min_size=1, max_size=5)))
    values = draw(st.lists(LEVEL, min_size=len(boundaries) + 1, max_size=len(boundaries) + 1))
    power = draw(st.floats(0.01, 3.0))
    kind = draw(st.integers(0, 6))
    return [
        lambda: Constant(start, by=by),
        lambda: Linear(start, end, draw(COUNT), by=by),
        lambda: Exponential(start, end, draw(COUNT), by=by),
        lambda: Decay(high, draw(st.floats(1e-3, 1 - 1e-9)), floor, by=by),
        lambda: Inverse(high, draw(COUNT), floor, by=by),
        lambda: Polynomial(high, power, draw(st.floats(0.1, 10.0)), by=by),
        lambda: Piecewise(boundaries, values, by=by),
    ][kind]()


# --- exact: values worked by hand ---


@pytest.mark.parametrize(
    ("schedule", "n", "value"),
    [
        (Constant(0.3), 10**9, 0.3),
        (Linear(1.0, 0.2, 10), 0, 1.0),
        (Linear(1.0, 0.2, 10), 5, 0.6),
        (Linear(1.0, 0.2, 10), 10, 0.2),
        (Linear(1.0, 0.2, 10), 11, 0.2),
        (Linear(0.0, 0.8, 4), 1, 0.2),
        (Exponential(1.0, 0.01, 10), 0, 1.0),
        (Exponential(1.0, 0.01, 10), 5, 0.1),
        (Exponential(1.0, 0.01, 10), 10, 0.01),
        (Exponential(1.0, 0.01, 10), 10**12, 0.01),
        (Exponential(0.25, 4.0, 4), 2, 1.0),
        (Decay(0.8, 0.5), 3, 0.1),
        (Decay(0.8, 0.5, 0.15), 2, 0.2),
        (Decay(0.8, 0.5, 0.15), 3, 0.15),
        (Decay(0.8, 0.5), 10**12, 0.0),
        (Inverse(0.6, 3), 0, 0.6),
        (Inverse(0.6, 3), 3, 0.3),
        (Inverse(0.6, 3), 6, 0.2),
        (Inverse(0.6, 3, 0.25), 6, 0.25),
        (Polynomial(1.0, 0.5), 0, 1.0),
        (Polynomial(1.0, 0.5), 3, 0.5),
        (Polynomial(3.0, 2.0, 4.0), 1, 0.12),
        (Polynomial(3.0, 2.0, 4.0, 0.11), 2, 0.11),
        (Piecewise([10, 20], [0.9, 0.5, 0.1]), 9, 0.9),
        (Piecewise([10, 20], [0.9, 0.5, 0.1]), 10, 0.5),
        (Piecewise([10, 20], [0.9, 0.5, 0.1]), 19, 0.5),
        (Piecewise([10, 20], [0.9, 0.5, 0.1]), 20, 0.1),
    ],
)
def test_value_by_hand(schedule, n, value):
    assert schedule(n) == pytest.approx(value, rel=1e-15, abs=1e-300)


def test_power_one_by_visits_is_the_sample_average():
    rewards = np.array([3.0, -1.0, 7.0, 2.0])
    for schedule in (Polynomial(1.0, 1.0, by="visit"), Inverse(1.0, 1, by="visit")):
        estimate = 100.0
        for n, reward in enumerate(rewards):
            estimate += schedule(n) * (reward - estimate)
        assert estimate == pytest.approx(rewards.mean(), rel=1e-14)


def test_an_array_of_counts_gives_an_array_of_the_same_shape():
    counts = np.arange(24).reshape(2, 3, 4)
    schedule = Linear(1.0, 0.05, 17)
    values = schedule(counts)
    assert values.shape == counts.shape
    assert values.dtype == np.float64
    assert [schedule(int(n)) for n in counts.ravel()] == values.ravel().tolist()


# --- properties ---


@settings(deadline=None)
@given(schedules(), N, N)
def test_every_schedule_but_piecewise_is_monotone(schedule, first, second):
    early, late = sorted((first, second))
    if isinstance(schedule, Piecewise):
        return
    falls = schedule(0) >= schedule(10**15)
    change = schedule(early) - schedule(late) if falls else schedule(late) - schedule(early)
    assert change >= -4e-16 * schedule.bounds()[1]


@settings(deadline=None)
@given(schedules(), N)
def test_values_stay_within_the_bounds(schedule, n):
    low, high = schedule.bounds()
    assert low * (1 - 1e-15) <= schedule(n) <= high * (1 + 1e-15)


@settings(deadline=None)
@given(LEVEL, LEVEL, COUNT)
def test_both_ends_are_reached_exactly(start, end, duration):
    for schedule in (Linear(start, end, duration), Exponential(start, end, duration)):
        assert schedule(0) == start
        assert schedule(duration) == end
        assert schedule(duration * 7) == end


@settings(deadline=None)
@given(schedules())
def test_text_and_json_lead_back_to_the_same_schedule(schedule):
    assert as_schedule(repr(schedule)) == schedule
    assert eval(repr(schedule)) == schedule  # the repr is Python as well as the command line's syntax
    assert as_schedule(repr(schedule).lower()) == schedule
    assert schedule_from(json.loads(json.dumps(schedule.to_dict()))) == schedule
    assert as_schedule(schedule.to_dict()) == schedule
    assert hash(as_schedule(repr(schedule))) == hash(schedule)


@settings(max_examples=400, deadline=None)
@given(schedules(), N)
def test_compiled_and_plain_values_agree(schedule, n):
    code = schedule.encode()
    assert code.dtype == np.float64
    plain = schedule(n)
    ulps = 1 if isinstance(schedule, (Exponential, Decay, Polynomial)) else 0
    for counter in (n, float(n)):
        assert abs(compiled_value(code, counter) - plain) <= ulps * math.ulp(plain)
    assert abs(schedule_value(code, n) - plain) <= ulps * math.ulp(plain)


@settings(deadline=None)
@given(schedules())
def test_the_counter_of_the_schedule_is_picked(schedule):
    counters = {"step": 11, "episode": 22, "visit": 33, "step_in_episode": 44}
    code = schedule.encode()
    for pick in (pick_counter, compiled_counter):
        assert pick(code, **counters) == counters[schedule.by]


def test_the_layout_that_kernels_rely_on():
    assert Linear(1.0, 0.05, 100, by="episode").encode().tolist() == [1, 1, 1.0, 0.05, 100, 0, 0]
    assert Exponential(2.0, 1.0, 100).encode().tolist() == [2, 0, 2.0, 1.0, 100, 0.5, 0]
    assert Polynomial(0.9, 0.8, 2.0, 0.1).encode().tolist() == [5, 0, 0.9, 0.8, 2.0, 0.1, 0]
    piecewise = Piecewise([10, 20], [0.9, 0.5, 0.1], by="visit")
    assert piecewise.encode().tolist() == [6, 2, 0, 0, 0, 0, 2, 10, 20, 0.9, 0.5, 0.1]


# --- what a user writes ---


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("0.1", Constant(0.1)),
        (" 1e-3 ", Constant(0.001)),
        ("1", Constant(1.0)),
        ("Linear(1.0, 0.05, 100_000)", Linear(1.0, 0.05, 100_000)),
        ("linear(1,0.05,1e5)", Linear(1.0, 0.05, 100_000)),
        ("linear(1, end=0.05, duration=1e5, by=episode)", Linear(1.0, 0.05, 100_000, by="episode")),
        ("polynomial(1, 0.8, by='visit')", Polynomial(1.0, 0.8, by="visit")),
        ("piecewise([10, 20], (1, 0.5, 0.1))", Piecewise((10, 20), (1.0, 0.5, 0.1))),
        (np.float32(0.5), Constant(0.5)),
        (np.int64(1), Constant(1.0)),
        (Decay(1.0, 0.9), Decay(1.0, 0.9)),
        ({"kind": "inverse", "start": 1, "scale": 5}, Inverse(1.0, 5)),
    ],
)
def test_as_schedule_reads(text, schedule):
    assert as_schedule(text) == schedule


def test_the_repr_is_what_one_would_type():
    assert repr(Linear(1, 0.05, 1e5)) == "Linear(1.0, 0.05, 100_000)"
    assert repr(Polynomial(1, 0.8, by="visit")) == "Polynomial(1.0, 0.8, by='visit')"
    assert repr(Piecewise([3], [1, 0.5])) == "Piecewise((3,), (1.0, 0.5))"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("linar(1, 0.05, 10)", "There is no schedule 'linar'. Did you mean 'linear'?"),
        ("Linar(1, 0.05, 10)", "There is no schedule 'Linar'. Did you mean 'Linear'?"),
        ("linear(1, 0.05, durration=10)", "no option of Linear 'durration'. Did you mean 'duration'?"),
    ],
)
def test_a_typo_suggests_the_nearest_name(text, message):
    with pytest.raises(UnknownNameError) as error:
        as_schedule(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("linear(1, 0.05)", "Linear needs 'duration'. Usage: Linear(start, end, duration, by='step')."),
        ("linear(1, 2, 3, 4)", "Linear takes at most 3 values in order. Got 4."),
        ("linear(1, 2, 3, start=4)", "The 'start' parameter of Linear is given twice."),
        (
            "linear(1, 2, 3, by=epsode)",
            "The 'by' parameter of Linear must be one of step, episode, visit, step_in",
        ),
        ("linear(1, 2, 3, by=[1])", "The 'by' parameter of Linear must be one of"),
        ("linear(1, -2, 3)", "The 'end' parameter of Linear must be a finite number, 0 or above. Got -2."),
        ("linear(1, 2, 0)", "The 'duration' parameter of Linear must be a finite number above 0. Got 0."),
        ("linear(1, nan, 3)", "The 'end' parameter of Linear must be a finite number"),
        ("1e999", "The 'value' parameter of Constant must be a finite number"),
        ("exponential(1, 0, 10)", "The 'end' parameter of Exponential must be above 0. Got 0.0. Use Decay"),
        ("exponential(1e-300, 1e300, 10)", "must make end / start a float64 above 0"),
        ("decay(1, 1)", "The 'rate' parameter of Decay must be in (0, 1). Got 1.0."),
        ("decay(0.1, 0.9, 0.2)", "The 'end' parameter of Decay must be at most start = 0.1. Got 0.2."),
        ("inverse(1, 0)", "The 'scale' parameter of Inverse must be a finite number above 0."),
        ("polynomial(1, 0)", "The 'power' parameter of Polynomial must be above 0."),
        ("polynomial(1, 1, 0)", "The 'offset' parameter of Polynomial must be above 0."),
        ("polynomial(1, 5, 1e-300)", "must leave start / offset^power finite"),
        ("polynomial(1, 1, end=2)", "The 'end' parameter of Polynomial must be at most f(0) = 1.0."),
        ("piecewise([], [1])", "The 'boundaries' parameter of Piecewise must not be empty."),
        ("piecewise([2, 2], [1, 2, 3])", "must be strictly increasing. Got (2, 2)."),
        ("piecewise([2], [1, 2, 3])", "must have one more entry than the 1 boundaries"),
        ("piecewise([2], [1, -2])", "The 'values[1]' parameter of Piecewise must be a finite number"),
        ("piecewise(2, 1)", "The 'boundaries' parameter of Piecewise must be a list of numbers. Got 2."),
        ("constant(True)", "The 'value' parameter of Constant must be a finite number"),
        ("True", "must be a number, a schedule, its text or its JSON form"),
    ],
)
def test_a_bad_parameter_is_named_with_rule_value_and_remedy(text, message):
    with pytest.raises(OptionError) as error:
        as_schedule(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "(lambda: 0.1)()",
        "linear(*[1, 2, 3])",
        "linear(**{'start': 1})",
        "0.1 if 1 else 0.2",
        "[0.1 for _ in range(3)]",
        "1 + 1",
        "",
        "linear(1, 2",
        "(" * 9_000,
        "-" * 9_000 + "1",
        "1" * 20_000,
        "\0",
    ],
)
def test_text_is_never_evaluated(text):
    with pytest.raises(OptionError, match="parameter of as_schedule must be"):
        as_schedule(text)


def test_json_without_a_kind_is_an_error():
    with pytest.raises(OptionError, match="The 'kind' parameter of schedule_from must name the schedule"):
        schedule_from({"value": 0.1})


@pytest.mark.parametrize("n", [-1, math.nan, np.array([3, -1])])
def test_a_count_below_zero_is_an_error(n):
    with pytest.raises(OptionError, match="must be 0 or above"):
        Linear(1.0, 0.0, 10)(n)


def test_a_range_is_checked_over_all_counts():
    assert scheduled_within("linear(1, 0, 10)", "q_learning", "alpha", 0.0, 1.0, "") == Linear(1.0, 0.0, 10)
    with pytest.raises(
        OptionError, match=r"'alpha' parameter of q_learning must stay in \[0, 1\]. Got 1.5. Use 0.1."
    ):
        scheduled_within(1.5, "q_learning", "alpha", 0.0, 1.0, "Use 0.1.")
    with pytest.raises(OptionError, match="must stay at or above 1"):
        scheduled_within(Linear(2.0, 0.5, 10), "x", "y", 1.0, math.inf, "")
