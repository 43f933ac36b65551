"""Mean, median, IQM and optimality gap against numbers worked by hand, and against SciPy where it has them."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from qfix.errors import OptionError, UnknownNameError
from qfix.stats import bootstrap, interval, iqm, mean, median, optimality_gap, tolerance
from qfix.stats import estimates as module
from qfix.stats.estimates import ESTIMATES, estimate_of, iqm_error, mean_error, winsorised

TABLE = [[1.0, 20.0], [2.0, 40.0], [6.0, 30.0]]
"""3 seeds, 2 tasks, with means 3 and 30."""

tables = st.tuples(st.integers(1, 9), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-1e6, 1e6).map(lambda x: round(x, 6)))
)


# Worked by hand


@pytest.mark.parametrize(
    ("scores", "worked"),
    [
        ([7.0], 7.0),
        ([1.0, 4.0], 2.5),
        ([0.0, 6.0, 9.0], 0 / 6 + 6 * 4 / 6 + 9 / 6),
        ([8.0, 1.0, 3.0, 100.0], 5.5),  # drops 1 and 100
        ([0.0, 10.0, 20.0, 50.0, 90.0], 0.3 * 10 + 0.4 * 20 + 0.3 * 50),
        ([0.0, 6.0, 12.0, 24.0, 60.0, 90.0], (0.5 * 6 + 12 + 24 + 0.5 * 60) / 3),
        ([1, 2, 3, 4, 5, 6, 7, 80], 4.5),
        (TABLE, (0.5 * 2 + 6 + 20 + 0.5 * 30) / 3),
    ],
)
def test_the_iqm_is_the_mean_of_exactly_half(scores, worked):
    assert iqm(scores) == pytest.approx(worked, rel=1e-15)


def test_the_mean():
    assert mean([1.0, 2.0, 6.0]) == 3.0
    assert mean(TABLE) == 16.5


def test_the_median_of_one_task_is_of_seeds_and_of_several_is_over_tasks_of_means():
    assert median([1.0, 9.0, 2.0]) == 2.0
    assert median([1.0, 9.0, 2.0, 4.0]) == 3.0
    assert median([[1.0], [9.0], [2.0]]) == 2.0
    three = np.column_stack([TABLE, [0.0, 5.0, 10.0]])
    assert median(three) == 5.0  # of 3, 30 and 5; the median of all nine scores is 6
    assert median(TABLE) == 16.5


def test_the_optimality_gap_pays_nothing_for_what_exceeds_the_target():
    assert optimality_gap([0.5, 0.9, 3.0], target=1.0) == pytest.approx(0.2)
    assert optimality_gap([1.0, 2.0], target=1.0) == 0.0
    assert optimality_gap(TABLE, target=21.0) == pytest.approx((20 + 19 + 15 + 1 + 0 + 0) / 6)
    # Agarwal et al. (2021): γ - mean(min(x, γ))
    assert optimality_gap(TABLE, target=21.0) == pytest.approx(21.0 - np.minimum(TABLE, 21.0).mean())


# Against SciPy, and what they reduce to


@pytest.mark.parametrize("shape", [(4,), (20,), (3, 4), (10, 26)])
def test_the_iqm_is_the_trimmed_mean_where_a_quarter_is_whole(shape):
    scores = np.random.default_rng(3).lognormal(size=shape)
    assert iqm(scores) == pytest.approx(stats.trim_mean(scores, 0.25, axis=None), rel=1e-13)


def test_of_three_seeds_the_trimmed_mean_trims_none_and_the_iqm_does():
    scores = [0.0, 1.0, 1.0]
    assert stats.trim_mean(scores, 0.25) == pytest.approx(2 / 3)
    assert iqm(scores) == pytest.approx(5 / 6)


@settings(deadline=None)
@given(tables)
def test_taking_every_seed_twice_changes_nothing(table):
    twice = np.repeat(table, 2, axis=0)
    size = np.abs(table).max()
    for estimate in ESTIMATES.values():
        assert abs(float(estimate.of(twice)) - float(estimate.of(table))) <= 1e-12 * size


@settings(deadline=None)
@given(tables, st.floats(-100, 100), st.floats(0.01, 100), st.randoms(use_true_random=False))
def test_estimates_move_with_the_scores_and_ignore_their_order(table, shift, scale, random):
    order = list(range(len(table)))
    random.shuffle(order)
    size = scale * np.abs(table).max() + abs(shift)
    for estimate in ESTIMATES.values():
        value = float(estimate.of(table))
        assert abs(float(estimate.of(shift + scale * table[order])) - (shift + scale * value)) <= 1e-12 * size
        assert table.min() - 1e-12 * size <= value <= table.max() + 1e-12 * size


@settings(deadline=None)
@given(tables)
def test_a_stack_is_its_tables_one_by_one(table):
    stack = np.stack([table, table[::-1] * 2.0, table + 1.0])
    for estimate in ESTIMATES.values():
        assert np.array_equal(estimate.of(stack), [float(estimate.of(t)) for t in stack])


# Standard errors


def test_the_standard_error_of_the_mean():
    x = np.array([1.0, 2.0, 6.0])
    assert float(mean_error(x[:, None])) == pytest.approx(stats.sem(x), rel=1e-14)
    # tasks of variance 7 and 100 over 3 seeds
    assert float(mean_error(np.array(TABLE))) == pytest.approx(np.sqrt((7 + 100) / 3) / 2, rel=1e-14)


def test_the_standard_error_of_the_iqm_is_tukey_and_mclaughlins():
    x = np.array([0.0, 3.0, 4.0, 5.0, 7.0, 11.0, 50.0, -20.0])[:, None]
    # g = 2, h = 4: sorted -20 0 3 4 5 7 11 50 becomes 3 3 3 4 5 7 7 7
    assert np.sort(winsorised(x), axis=None).tolist() == [3, 3, 3, 4, 5, 7, 7, 7]
    deviations = np.array([3, 3, 3, 4, 5, 7, 7, 7]) - 4.875
    assert float(iqm_error(x)) == pytest.approx(np.sqrt((deviations**2).sum() / (4 * 3)), rel=1e-14)
    # SciPy's, of all but the normalisation: s_w² (n - 1) = SSD_w
    w = stats.mstats.winsorize(x[:, 0], limits=(0.25, 0.25))
    assert float(iqm_error(x)) == pytest.approx(float(np.sqrt(w.var(ddof=1) * 7 / 12)), rel=1e-14)


def test_the_standard_error_of_the_iqm_over_tasks():
    """2 tasks of 4 seeds: g = 2, h = 4; the pool 0 1 2 3 10 11 12 13 is clipped to [2, 11]."""
    table = np.array([[0.0, 10.0], [1.0, 11.0], [2.0, 12.0], [3.0, 13.0]])
    # 2 2 2 3 around 2.25 and 10 11 11 11 around 10.75: SSD is 0.75 in both
    assert float(iqm_error(table)) == pytest.approx(np.sqrt(1.5 / (4 * 3) * (4 * 7) / (3 * 8)), rel=1e-14)


def test_the_standard_errors_are_those_that_many_tables_show():
    """20,000 tables of 40 seeds in 3 tasks: the spread of a standard deviation is 0.5 %, so 3 % is 6 of them."""
    rng = np.random.default_rng(11)
    stack = rng.normal(size=(20_000, 40, 3)) * [1.0, 2.0, 0.5] + [0.0, 1.0, 0.3]
    for name, error in (("mean", mean_error), ("iqm", iqm_error)):
        told = np.sqrt((error(stack) ** 2).mean())
        assert told == pytest.approx(ESTIMATES[name].of(stack).std(), rel=0.03)


# What is refused


@pytest.mark.parametrize(
    "take", [mean, median, iqm, bootstrap, interval, tolerance], ids=lambda f: f.__name__
)
def test_a_score_that_is_no_number_is_refused_and_never_dropped(take):
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(
            OptionError, match=rf"of {take.__name__} must be finite; that of seed 2, task 0 is not"
        ):
            take([1.0, 2.0, bad, 4.0])
    with pytest.raises(OptionError, match="Count failed seeds apart"):
        take([1.0, np.nan])


def test_the_place_of_the_bad_score_is_told():
    with pytest.raises(OptionError, match="seed 1, task 2"):
        iqm([[1.0, 2.0, 3.0], [1.0, 2.0, np.nan]])


@pytest.mark.parametrize(
    "scores", [[], [[]], 3.0, np.zeros((2, 2, 2)), "abc", [[1.0], [1.0, 2.0]], [1 + 2j], None]
)
def test_what_is_no_table_is_refused(scores):
    with pytest.raises(OptionError, match="'scores' parameter of iqm must be"):
        iqm(scores)


def test_a_target_must_be_a_number():
    with pytest.raises(OptionError, match="'target' parameter of optimality_gap must be finite"):
        optimality_gap([1.0], target=np.nan)


def test_another_estimate_is_told_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'median'"):
        estimate_of("medain")


def test_scores_are_not_changed():
    scores = np.array([3.0, 1.0, 2.0])
    for take in (mean, median, iqm):
        take(scores)
    interval(scores)
    assert scores.tolist() == [3.0, 1.0, 2.0]


def test_examples_print_what_they_show():
    for name in ("estimates", "intervals", "tolerance", "bootstrap", "order_statistics"):
        assert doctest.testmod(__import__(f"qfix.stats.{name}", fromlist=["x"])).failed == 0
    assert module.__doc__
