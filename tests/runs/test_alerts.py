"""Alerts: each tells once when its condition begins, and says nothing of a healthy run."""

import math

import pytest

from qfix.runs import Alert, Watchman
from qfix.runs.alerts import LONG_EPISODE

HEALTHY = {
    "return": 1.0,
    "q_min": 0.0,
    "q_max": 0.9,
    "q_mean": 0.4,
    "q_std": 0.2,
    "td_error": 0.01,
    "step_size": 0.1,
    "q_bound": 100.0,
    "episodes": 7.0,
    "running_length": 12.0,
}


def told(rows, seed=3):
    """Kinds of the alerts at each of several measurements."""
    watchman = Watchman(seed)
    return [[a.kind for a in watchman.observe(1_000 * i, HEALTHY | row)] for i, row in enumerate(rows)]


def test_a_healthy_run_is_left_alone():
    assert told([{}] * 50) == [[]] * 50
    assert told([{"return": float(i)} for i in range(50)]) == [[]] * 50


def test_an_alert_names_its_seed_and_step():
    (alert,) = Watchman(3).observe(120, HEALTHY | {"td_error": math.inf})
    assert alert[:3] == (120, 3, "not_finite")
    assert isinstance(alert, Alert)
    assert "diverged" in alert.message


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("not_finite", {"q_mean": math.nan}),
        ("not_finite", {"q_mean": math.inf}),
        ("not_finite", {"td_error": math.nan}),
        ("not_finite", {"policy_loss": math.nan, "value_loss": 1.0}),
        ("not_finite", {"policy_loss": 0.1, "value_loss": math.inf}),
        ("q_beyond_bound", {"q_max": 100.1}),
        ("q_beyond_bound", {"q_min": -100.1}),
        ("endless_episode", {"running_length": LONG_EPISODE + 1.0}),
    ],
)
def test_each_condition_is_told_when_it_begins_and_again_after_ten_measurements_without(kind, row):
    assert told([{}, row, row, row, {}, row]) == [[], [kind], [], [], [], []]
    for calm, again in ((9, []), (10, [kind])):
        assert told([row, *[{}] * calm, row]) == [[kind], *[[]] * calm, again]


def test_bounds_are_exact():
    assert told([{"q_max": 100.0}, {"running_length": float(LONG_EPISODE)}]) == [[], []]
    assert told([{"q_max": 1e9, "q_bound": math.inf}]) == [[]]


def test_before_the_first_update_there_is_no_error_to_be_finite():
    # tiles before anything was learned; Monte Carlo before an episode ended
    assert told([{"q_mean": math.nan, "td_error": math.nan, "step_size": math.nan}]) == [[]]
    assert told([{"td_error": math.nan, "step_size": math.nan}]) == [[]]


@pytest.mark.parametrize(
    ("usual", "low", "lower"),
    [(10.0, 5.1, 4.9), (-10.0, -14.9, -15.1)],  # below half of it; half as much again below 0
)
def test_a_drop_of_the_return_is_told(usual, low, lower):
    calm = [{"return": usual}] * 10
    assert told([*calm, {"return": low}])[-1] == []
    assert told([*calm, {"return": lower}])[-1] == ["return_drop"]
    watchman = Watchman(3, judges_returns=False)  # where an opponent answers the policy
    assert not any(watchman.observe(i, HEALTHY | row) for i, row in enumerate([*calm, {"return": lower}]))
    assert told([*calm[:9], {"return": lower}])[-1] == []  # too early to know


def test_no_episode_is_no_drop():
    assert told([{}] * 12 + [{"return": math.nan}])[-1] == []


def test_values_that_never_differ_are_told_after_ten_measurements():
    dead = {"q_std": 0.0}
    assert told([dead] * 12) == [[]] * 9 + [["q_dead"]] + [[]] * 2
    assert told([*[dead] * 9, {}, *[dead] * 9])[-1] == []


def test_in_a_very_short_run_nothing_has_to_be_learned_yet():
    watchman = Watchman(0)
    assert not any(watchman.observe(step, HEALTHY | {"q_std": 0.0}) for step in range(10, 1_000, 10))
    assert [a.kind for a in watchman.observe(1_000, HEALTHY | {"q_std": 0.0})] == ["q_dead"]
