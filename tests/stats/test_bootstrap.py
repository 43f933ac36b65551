"""The bootstrap: its draws, and its intervals against SciPy's and against numbers worked by hand."""

import numpy as np
import pytest
from scipy import stats

from qfix.errors import OptionError, UnknownNameError
from qfix.stats import bootstrap, interval
from qfix.stats.bootstrap import acceleration, bca, resampled, studentised
from qfix.stats.estimates import ESTIMATES, iqm_error, mean_error

SCORES = np.array([1.0, 2.0, 4.0, 8.0, 3.0, 5.0, 6.5, 2.5, 7.0, 9.0, 11.0])
TASKS = np.random.default_rng(2).lognormal(size=(5, 3)) + [0.0, 2.0, 4.0]


# Draws


def test_the_same_seed_gives_the_same_bits():
    first = bootstrap(SCORES, "iqm", 500, seed=7)
    assert np.array_equal(first, bootstrap(SCORES, "iqm", 500, seed=7))
    assert np.array_equal(first, bootstrap(SCORES, "iqm", 500, seed=np.random.default_rng(7)))
    assert not np.array_equal(first, bootstrap(SCORES, "iqm", 500, seed=8))


def test_a_generator_moves_on():
    rng = np.random.default_rng(7)
    assert not np.array_equal(bootstrap(SCORES, seed=rng), bootstrap(SCORES, seed=rng))


def test_no_other_source_of_chance_is_touched():
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    bootstrap(SCORES)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("name", ["mean", "median", "iqm"])
@pytest.mark.parametrize("scores", [SCORES[:, None], TASKS], ids=["seeds", "tasks"])
@pytest.mark.parametrize("at_once", [1, 100, 777, 10**9])
def test_how_many_are_held_in_memory_changes_no_bit(name, scores, at_once):
    scales = name != "median"
    whole = resampled(scores[None], ESTIMATES[name], 333, 5, scales)
    cut = resampled(scores[None], ESTIMATES[name], 333, 5, scales, at_once=at_once)
    assert np.array_equal(whole.estimates, cut.estimates)
    assert not scales or np.array_equal(whole.scales, cut.scales)


def test_tables_of_a_stack_share_the_draws():
    stack = np.stack([TASKS, 2.0 * TASKS])
    found = resampled(stack, ESTIMATES["mean"], 50, 1, scales=False).estimates
    assert np.array_equal(found[1], 2.0 * found[0])
    assert np.array_equal(found[0], bootstrap(TASKS, "mean", 50, seed=1))


def test_more_resamples_go_on_where_fewer_end():
    assert np.array_equal(bootstrap(SCORES, resamples=900)[:300], bootstrap(SCORES, resamples=300))


def test_seeds_are_drawn_within_their_task():
    """Each task keeps its own digits, so the sum of means says that every task has n of its own scores."""
    table = np.array([[0.0, 100.0, 10_000.0], [3.0, 300.0, 30_000.0]])
    found = bootstrap(table, "mean", 2_000, seed=0) * 6
    hundreds = [np.round(found % 100), np.round(found / 100 % 100), np.round(found / 10_000 % 100)]
    assert [sorted({*digits.tolist()}) for digits in hundreds] == [[0, 3, 6], [2, 4, 6], [2, 4, 6]]
    # strata are drawn by themselves: all 27 combinations occur
    assert len({*found.tolist()}) == 27


def test_the_spread_is_the_one_that_theory_has():
    """Var θ* = Σ(x - x̄)²/n² for the mean: 40,000 resamples have a standard deviation within 2 % at over 5 sigma."""
    found = bootstrap(SCORES, "mean", 40_000, seed=4)
    assert found.std() == pytest.approx(SCORES.std() / np.sqrt(len(SCORES)), rel=0.02)
    assert found.mean() == pytest.approx(SCORES.mean(), rel=0.01)


# Intervals against SciPy


@pytest.fixture(scope="module")
def from_scipy():
    def of(method, confidence=0.9):
        return stats.bootstrap(
            (SCORES,),
            lambda x, axis: x.mean(axis=axis),
            n_resamples=3_000,
            method=method,
            confidence_level=confidence,
            rng=np.random.default_rng(6),
        )

    return of


def test_bca_is_scipys(from_scipy):
    theirs = from_scipy("BCa")
    table = SCORES[None, :, None]
    a = acceleration(table, ESTIMATES["mean"])
    low, high = bca(theirs.bootstrap_distribution[None], table.mean(axis=(1, 2)), a, 0.05)
    assert (low[0], high[0]) == pytest.approx(tuple(theirs.confidence_interval), rel=1e-12)


@pytest.mark.parametrize("ours", ["percentile", "basic", "bca"])
def test_intervals_agree_with_scipys_but_for_the_draws(from_scipy, ours):
    """A quantile of 3,000 resamples is known to about 0.03 here, so 0.2 is six of them."""
    theirs = from_scipy({"bca": "BCa"}.get(ours, ours)).confidence_interval
    found = interval(SCORES, "mean", 0.9, ours)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.2)


def test_the_acceleration_of_several_tasks_is_scipys_of_several_samples():
    """SciPy's BCa of two samples, for the mean of their means, on its own resamples."""
    tasks = np.round(8 * TASKS[:, :2]) / 8  # sums are exact: SciPy counts ties to the bit
    theirs = stats.bootstrap(
        tuple(tasks.T),
        lambda x, y, axis: 0.5 * (x.mean(axis=axis) + y.mean(axis=axis)),
        n_resamples=2_000,
        method="BCa",
        confidence_level=0.9,
        rng=np.random.default_rng(6),
    )
    a = acceleration(tasks[None], ESTIMATES["mean"])
    low, high = bca(theirs.bootstrap_distribution[None], tasks.mean()[None], a, 0.05)
    assert (low[0], high[0]) == pytest.approx(tuple(theirs.confidence_interval), rel=1e-12)


# By hand


def test_the_acceleration_of_a_mean_is_a_sixth_of_its_skewness_over_root_n():
    skew = stats.skew(SCORES) / (6.0 * np.sqrt(len(SCORES)))
    assert acceleration(SCORES[None, :, None], ESTIMATES["mean"])[0] == pytest.approx(skew, rel=1e-12)


def weighted_iqm(scores: np.ndarray, weights: np.ndarray) -> float:
    """2 ∫ F⁻¹ over the middle half, of scores that do not weigh alike."""
    order = np.argsort(scores)
    ends = np.concatenate([[0.0], np.cumsum(weights[order])])
    inside = np.minimum(ends[1:], 0.75) - np.maximum(ends[:-1], 0.25)
    return float(2.0 * (scores[order] * np.maximum(inside, 0.0)).sum())


def test_the_acceleration_leaves_seeds_out_and_tasks_at_their_weight():
    n, m = TASKS.shape
    left = np.empty((n, m))
    for i in range(n):
        for j in range(m):
            weights = np.full((n, m), 1.0 / (n * m))
            weights[:, j] = 1.0 / ((n - 1) * m)
            weights[i, j] = 0.0
            left[i, j] = weighted_iqm(TASKS.ravel(), weights.ravel())
    off = left.mean(axis=0) - left
    expected = (off**3).sum() / (6.0 * (off**2).sum() ** 1.5)
    assert abs(expected) > 0.01
    assert acceleration(TASKS[None], ESTIMATES["iqm"])[0] == pytest.approx(expected, rel=1e-9)


def test_without_bias_and_skew_bca_is_the_percentile_interval():
    spread = np.arange(1.0, 102.0)[None]
    low, high = bca(spread, np.array([51.0]), np.array([0.0]), 0.1)
    assert (low[0], high[0]) == pytest.approx((11.0, 91.0))


def test_bca_moves_towards_the_tail_that_skew_makes_long():
    spread = np.arange(1.0, 102.0)[None]
    # z0 = 0, a = 0.1, z = ∓Φ⁻¹(0.9): Φ(-1.2816 / 1.12816) = 0.1280, Φ(1.2816 / 0.87184) = 0.9292
    low, high = bca(spread, np.array([51.0]), np.array([0.1]), 0.1)
    assert (low[0], high[0]) == pytest.approx((1 + 12.80, 1 + 92.92), abs=0.01)


def test_studentised_limits_turn_the_quantiles_around():
    """t* = (-4, ..., 4)/1 in nine resamples; 1/8 on either side cuts at -3 and 3; error 2."""
    low, high = studentised(
        np.arange(6.0, 15.0)[None], np.array([[1.0] * 8 + [2.0]]), np.array([10.0]), np.array([2.0]), 0.125
    )
    # the highest, 4/2 = 2, falls behind 3, so the sorted ratios are -4 -3 -2 -1 0 1 2 2 3
    assert (low[0], high[0]) == (10.0 - 2.0 * 2.0, 10.0 + 3.0 * 2.0)


def test_studentised_limits_of_resamples_without_spread_are_infinite():
    low, high = studentised(
        np.array([[0.0, 1.0, 2.0]]), np.array([[1.0, 1.0, 0.0]]), np.array([1.0]), np.array([1.0]), 0.1
    )
    assert low[0] == -np.inf
    assert high[0] == 2.0


def test_basic_mirrors_percentile_at_the_estimate():
    percentile, basic = (interval(SCORES, "iqm", 0.8, method) for method in ("percentile", "basic"))
    assert percentile.low + basic.high == pytest.approx(2.0 * percentile.estimate)
    assert percentile.high + basic.low == pytest.approx(2.0 * percentile.estimate)


def test_expanded_is_the_percentile_interval_of_another_level():
    """n = 11: α' = Φ(-√(11/10) t_{0.95}(10)) = Φ(-1.0488 · 1.8125) = Φ(-1.9009) = 0.02866."""
    expanded = interval(SCORES, "iqm", 0.9, "expanded")
    percentile = interval(
        SCORES, "iqm", 1.0 - 2.0 * stats.norm.cdf(-np.sqrt(1.1) * stats.t.ppf(0.95, 10)), "percentile"
    )
    assert (expanded.low, expanded.high) == pytest.approx((percentile.low, percentile.high), rel=1e-12)
    found = np.quantile(bootstrap(SCORES, "iqm"), [0.02866, 1 - 0.02866])
    assert (expanded.low, expanded.high) == pytest.approx(tuple(found), abs=0.01)
    # of 3 tasks with 5 seeds there are 12 degrees of freedom
    level = 1.0 - 2.0 * stats.norm.cdf(-np.sqrt(5 / 4) * stats.t.ppf(0.95, 12))
    expanded, percentile = (
        interval(TASKS, "iqm", 0.9, "expanded"),
        interval(TASKS, "iqm", level, "percentile"),
    )
    assert (expanded.low, expanded.high) == pytest.approx((percentile.low, percentile.high), rel=1e-12)


def test_a_studentised_interval_divides_by_what_it_says():
    """Of ten scores the winsorised error, of fewer that of the mean."""
    for n, error in ((10, iqm_error), (9, mean_error)):
        table = SCORES[None, :n, None]
        sample = resampled(table, ESTIMATES["iqm"], 400, 0, scales=True)
        assert np.array_equal(ESTIMATES["iqm"].scale(table), error(table))
        ratios = np.sort((sample.estimates[0] - ESTIMATES["iqm"].of(table)[0]) / sample.scales[0])
        found = interval(SCORES[:n], "iqm", 0.9, "studentised", resamples=400)
        assert found.low == pytest.approx(found.estimate - ratios[380] * error(table)[0], rel=1e-9)
        assert found.high == pytest.approx(found.estimate - ratios[19] * error(table)[0], rel=1e-9)


# What is refused


def test_what_is_refused():
    with pytest.raises(OptionError, match="'resamples' parameter of bootstrap must be at least 1"):
        bootstrap(SCORES, resamples=0)
    with pytest.raises(UnknownNameError, match=r"no estimate 'iqr'\. Did you mean 'iqm'"):
        bootstrap(SCORES, "iqr")
