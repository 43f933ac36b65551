"""Returns over time: by hand, against their definitions as sums, and never across the end of an episode."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfix.core import returns
from qfix.errors import OptionError

from .conftest import random_rollout

REWARD = np.array([1.0, 2.0, 3.0, 4.0])
VALUE_NEXT = np.array([10.0, 20.0, 30.0, 40.0])
# Two episodes: rows 0 and 1, truncated, then rows 2 and 3, terminated.
DISCOUNT = np.array([0.9, 0.9, 0.9, 0.0])
CONTINUES = np.array([True, False, True, False])


def test_lambda_returns_by_hand():
    target = returns.lambda_returns(REWARD, DISCOUNT, VALUE_NEXT, CONTINUES, 0.8)
    # 1 + 0.9·(0.2·10 + 0.8·20),  2 + 0.9·20,  3 + 0.9·(0.2·30 + 0.8·4),  4
    np.testing.assert_allclose(target, [17.2, 20.0, 11.28, 4.0], rtol=1e-14)


def test_discounted_by_hand():
    target = returns.discounted(REWARD, DISCOUNT, VALUE_NEXT, CONTINUES)
    np.testing.assert_allclose(target, [19.0, 20.0, 6.6, 4.0], rtol=1e-14)


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (1, [10.0, 20.0, 30.0, 40.0]),
        (2, [19.0, 29.0, 39.0, 40.0]),
        (3, [27.1, 37.1, 39.0, 40.0]),
        (9, [34.39, 37.1, 39.0, 40.0]),
    ],
)
def test_n_step_by_hand(n, expected):
    np.testing.assert_allclose(returns.n_step(REWARD, 0.9, VALUE_NEXT, 1, n), expected, rtol=1e-14)


def test_n_step_stops_where_the_episode_does():
    target = returns.n_step(REWARD, DISCOUNT, VALUE_NEXT, CONTINUES, 3)
    np.testing.assert_allclose(target, [19.0, 20.0, 6.6, 4.0], rtol=1e-14)


def test_watkins_by_hand():
    q_next = np.array([[10.0, 5.0], [6.0, 20.0], [30.0, 1.0], [7.0, 8.0]])
    # Row 1's next action is not greedy, so its return is cut and its largest value stands in.
    target = returns.watkins(REWARD, 0.9, q_next, np.array([0, 0, 0, 0]), 1, 0.8)
    np.testing.assert_allclose(target, [17.2, 20.0, 16.464, 11.2], rtol=1e-14)


def test_watkins_counts_a_tied_action_as_greedy():
    q_next = np.array([[5.0, 5.0], [6.0, 2.0]])
    first, second = (returns.watkins(REWARD[:2], 0.9, q_next, np.array([a, 0]), 1, 0.8) for a in (0, 1))
    np.testing.assert_array_equal(first, second)


Q_NEXT = np.array([[10.0, 4.0], [6.0, 20.0]])
POLICY_NEXT = np.array([[0.25, 0.75], [0.5, 0.5]])
ACTION_NEXT = np.array([1, 0])


@pytest.mark.parametrize(("lambda_", "first"), [(1.0, 12.4975), (0.8, 11.188), (0.0, 5.95)])
def test_tree_backup_by_hand(lambda_, first):
    # 2 + 0.9·13 = 13.7, then 1 + 0.9·(5.5 + λ·0.75·(13.7 − 4)).
    target = returns.tree_backup(REWARD[:2], 0.9, Q_NEXT, POLICY_NEXT, ACTION_NEXT, 1, lambda_)
    np.testing.assert_allclose(target, [first, 13.7], rtol=1e-14)


@pytest.mark.parametrize(("ratio", "first"), [(0.5, 9.442), (3.0, 12.934)])
def test_retrace_by_hand(ratio, first):
    # c' = 0.8·0.5 and 0.8·1; the last ratio is never read.
    ratio_next = np.array([ratio, 77.0])
    target = returns.retrace(REWARD[:2], 0.9, Q_NEXT, POLICY_NEXT, ACTION_NEXT, ratio_next, 1, 0.8)
    np.testing.assert_allclose(target, [first, 13.7], rtol=1e-14)


VALUE = np.array([3.0, 5.0])
BOOTSTRAP = np.array([5.0, 7.0])


def test_gae_by_hand():
    # δ = 1 + 0.9·5 − 3 = 2.5 and 2 + 0.9·7 − 5 = 3.3.
    advantage = returns.gae(REWARD[:2], 0.9, VALUE, BOOTSTRAP, 1, 0.8)
    np.testing.assert_allclose(advantage, [4.876, 3.3], rtol=1e-14)
    advantage = returns.gae(REWARD[:2], 0.9, VALUE, BOOTSTRAP, np.array([0, 1]), 0.8)
    np.testing.assert_allclose(advantage, [2.5, 3.3], rtol=1e-14)


def test_v_trace_by_hand():
    # ρ = (0.5, 1.5), c = (0.4, ·); weighted errors 1.25 and 4.95; the second target 5 + 4.95.
    ratio = np.array([0.5, 2.0])
    target, advantage = returns.v_trace(REWARD[:2], 0.9, VALUE, BOOTSTRAP, ratio, 1, 0.8, 1.5, 1.0)
    np.testing.assert_allclose(target, [3.0 + 1.25 + 0.9 * 0.4 * 4.95, 9.95], rtol=1e-14)
    np.testing.assert_allclose(advantage, [0.5 * (1 + 0.9 * 9.95 - 3), 4.95], rtol=1e-14)
    target, advantage = returns.v_trace(
        REWARD[:2], 0.9, VALUE, BOOTSTRAP, ratio, np.array([0, 1]), 0.8, 1.5, 1.0
    )
    np.testing.assert_allclose(target, [4.25, 9.95], rtol=1e-14)
    np.testing.assert_allclose(advantage, [1.25, 4.95], rtol=1e-14)


# Definitions as sums over the rows ahead, for one environment: the slow twins of the recursions.


def rows_ahead(continues, t):
    """Rows that belong to the same episode as row t, from it on."""
    end = t
    while continues[end] and end < len(continues) - 1:
        end += 1
    return range(t, end + 1)


def n_step_sum(r, t, n):
    rows = list(rows_ahead(r.continues[:, 0], t))[:n]
    total, weight = 0.0, 1.0
    for k in rows:
        total += weight * r.reward[k, 0]
        weight *= r.discount[k, 0]
    return total + weight * r.value_next[rows[-1], 0]


def lambda_sum(r, t, lambda_):
    count = len(rows_ahead(r.continues[:, 0], t))
    weights = [(1 - lambda_) * lambda_ ** (n - 1) for n in range(1, count)] + [lambda_ ** (count - 1)]
    return sum(weight * n_step_sum(r, t, n) for n, weight in enumerate(weights, start=1))


def corrected_sum(r, t, c):
    """E_π q' of the first step, then errors weighed by products of traces (Munos et al. 2016, eq. 3)."""
    q_taken = np.take_along_axis(r.q_next, r.action_next[..., None], -1)[:, 0, 0]
    expected = np.sum(r.policy_next * r.q_next, -1)[:, 0]
    rows = rows_ahead(r.continues[:, 0], t)
    total, weight = r.reward[t, 0] + r.discount[t, 0] * expected[t], 1.0
    for k in rows[1:]:
        weight *= r.discount[k - 1, 0] * c[k - 1]
        total += weight * (r.reward[k, 0] + r.discount[k, 0] * expected[k] - q_taken[k - 1])
    return total


def v_trace_sum(r, t, lambda_, clip_rho, clip_c):
    total, weight = r.value[t, 0], 1.0
    for k in rows_ahead(r.continues[:, 0], t):
        error = r.reward[k, 0] + r.discount[k, 0] * r.value_next[k, 0] - r.value[k, 0]
        total += weight * min(clip_rho, r.ratio[k, 0]) * error
        weight *= r.discount[k, 0] * lambda_ * min(clip_c, r.ratio[k, 0])
    return total


seeds = st.integers(0, 2**32 - 1)
lambdas = st.floats(0, 1)


def one_environment(seed, T=6):
    return random_rollout(np.random.default_rng(seed), T=T, B=1)


def assert_rows(actual, expected):
    np.testing.assert_allclose(actual[:, 0], expected, rtol=1e-10, atol=1e-10)


@given(seeds, lambdas)
def test_lambda_returns_are_the_mixture_of_n_step_returns(seed, lambda_):
    r = one_environment(seed)
    actual = returns.lambda_returns(r.reward, r.discount, r.value_next, r.continues, lambda_)
    assert_rows(actual, [lambda_sum(r, t, lambda_) for t in range(6)])


@given(seeds, st.integers(1, 8))
def test_n_step_is_the_sum_of_n_rewards_and_the_value_they_led_to(seed, n):
    r = one_environment(seed)
    actual = returns.n_step(r.reward, r.discount, r.value_next, r.continues, n)
    assert_rows(actual, [n_step_sum(r, t, n) for t in range(6)])


@given(seeds, lambdas)
def test_tree_backup_and_retrace_are_sums_of_weighted_errors(seed, lambda_):
    r = one_environment(seed)
    prob = np.take_along_axis(r.policy_next, r.action_next[..., None], -1)[..., 0]
    common = (r.reward, r.discount, r.q_next, r.policy_next, r.action_next)
    tree = returns.tree_backup(*common, r.continues, lambda_)
    assert_rows(tree, [corrected_sum(r, t, lambda_ * prob[:, 0]) for t in range(6)])
    retrace = returns.retrace(*common, r.ratio, r.continues, lambda_)
    assert_rows(retrace, [corrected_sum(r, t, lambda_ * np.minimum(1, r.ratio[:, 0])) for t in range(6)])


@given(seeds, lambdas, st.floats(0.5, 3), st.floats(0.1, 0.5))
def test_v_trace_is_the_sum_of_weighted_errors(seed, lambda_, clip_rho, clip_c):
    r = one_environment(seed)
    arguments = (r.reward, r.discount, r.value, r.value_next, r.ratio, r.continues)
    actual = returns.v_trace(*arguments, lambda_, clip_rho, clip_c)
    targets = [v_trace_sum(r, t, lambda_, clip_rho, clip_c) for t in range(6)]
    assert_rows(actual.target, targets)
    next_target = [targets[t + 1] if r.continues[t, 0] and t < 5 else r.value_next[t, 0] for t in range(6)]
    rho = np.minimum(clip_rho, r.ratio[:, 0])
    expected = rho * (r.reward[:, 0] + r.discount[:, 0] * np.array(next_target) - r.value[:, 0])
    assert_rows(actual.advantage, expected)


# What they reduce to.


def test_lambda_zero_is_one_step_of_the_same_row(rollout):
    r = rollout
    one_step = r.reward + r.discount * r.value_next
    best = r.reward + r.discount * r.q_next.max(-1)
    expected = r.reward + r.discount * np.sum(r.policy_next * r.q_next, -1)
    common = (r.reward, r.discount, r.q_next, r.policy_next, r.action_next)

    def same(actual, wanted):
        np.testing.assert_allclose(actual, wanted, rtol=1e-13, atol=1e-14)

    same(returns.lambda_returns(r.reward, r.discount, r.value_next, r.continues, 0.0), one_step)
    same(returns.n_step(r.reward, r.discount, r.value_next, r.continues, 1), one_step)
    same(returns.watkins(r.reward, r.discount, r.q_next, r.action_next, r.continues, 0.0), best)
    same(returns.tree_backup(*common, r.continues, 0.0), expected)
    same(returns.retrace(*common, r.ratio, r.continues, 0.0), expected)
    same(returns.gae(r.reward, r.discount, r.value, r.value_next, r.continues, 0.0), one_step - r.value)


def test_lambda_one_is_the_discounted_return_and_so_is_a_long_n_step(rollout):
    r = rollout
    whole = returns.discounted(r.reward, r.discount, r.value_next, r.continues)
    longest = returns.n_step(r.reward, r.discount, r.value_next, r.continues, len(r.reward))
    advantage = returns.gae(r.reward, r.discount, r.value, r.value_next, r.continues, 1.0)
    np.testing.assert_allclose(longest, whole, rtol=1e-13)
    np.testing.assert_allclose(advantage + r.value, whole, rtol=1e-12)


def test_gae_and_on_policy_v_trace_are_lambda_returns_less_the_value(rollout):
    r = rollout
    target = returns.lambda_returns(r.reward, r.discount, r.value_next, r.continues, 0.7)
    advantage = returns.gae(r.reward, r.discount, r.value, r.value_next, r.continues, 0.7)
    on_policy = np.ones_like(r.reward)
    v = returns.v_trace(r.reward, r.discount, r.value, r.value_next, on_policy, r.continues, 0.7, 1.0, 1.0)
    np.testing.assert_allclose(advantage + r.value, target, rtol=1e-12)
    np.testing.assert_allclose(v.target, target, rtol=1e-12)


def test_tree_backup_for_the_greedy_policy_is_watkins(rollout):
    r = rollout
    greedy = np.eye(4)[r.q_next.argmax(-1)]
    tree = returns.tree_backup(r.reward, r.discount, r.q_next, greedy, r.action_next, r.continues, 0.7)
    watkins = returns.watkins(r.reward, r.discount, r.q_next, r.action_next, r.continues, 0.7)
    np.testing.assert_allclose(tree, watkins, rtol=1e-12)


def test_retrace_for_a_behaviour_of_one_is_tree_backup(rollout):
    r = rollout
    common = (r.reward, r.discount, r.q_next, r.policy_next, r.action_next)
    prob = np.take_along_axis(r.policy_next, r.action_next[..., None], -1)[..., 0]
    retrace = returns.retrace(*common, prob, r.continues, 0.7)
    np.testing.assert_allclose(retrace, returns.tree_backup(*common, r.continues, 0.7), rtol=1e-13)


def test_lambda_may_vary_by_row(rollout):
    r = rollout
    common = (r.reward, r.discount, r.value_next)
    by_row = returns.lambda_returns(*common, 1, 0.7 * r.continues)
    np.testing.assert_array_equal(by_row, returns.lambda_returns(*common, r.continues, 0.7))


@given(seeds, lambdas)
def test_lambda_return_lies_between_what_the_values_and_rewards_allow(seed, lambda_):
    r = one_environment(seed)
    target = returns.lambda_returns(r.reward, r.discount, r.value_next, r.continues, lambda_)
    n_step = [[n_step_sum(r, t, n) for n in range(1, 7)] for t in range(6)]
    assert np.all(target[:, 0] <= np.max(n_step, -1) + 1e-10)
    assert np.all(target[:, 0] >= np.min(n_step, -1) - 1e-10)


# The end of an episode.


def every_return(r):
    common = (r.reward, r.discount, r.q_next, r.policy_next, r.action_next)
    values = (r.reward, r.discount, r.value_next, r.continues)
    return {
        "lambda_returns": returns.lambda_returns(*values, 0.8),
        "discounted": returns.discounted(*values),
        "n_step": returns.n_step(*values, 3),
        "watkins": returns.watkins(r.reward, r.discount, r.q_next, r.action_next, r.continues, 0.8),
        "tree_backup": returns.tree_backup(*common, r.continues, 0.8),
        "retrace": returns.retrace(*common, r.ratio, r.continues, 0.8),
        "gae": returns.gae(r.reward, r.discount, r.value, r.value_next, r.continues, 0.8),
        "v_trace": np.stack(
            returns.v_trace(r.reward, r.discount, r.value, r.value_next, r.ratio, r.continues, 0.8, 1.0, 1.0),
            axis=1,
        ),
    }


NAMES = list(every_return(random_rollout(np.random.default_rng(0))))


def sliced(r, rows):
    return type(r)(**{name: getattr(r, name)[rows] for name in type(r).__dataclass_fields__})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("terminated", [True, False])
def test_nothing_leaks_from_the_episode_after(name, terminated, rng):
    r = random_rollout(rng, T=6, B=2)
    r.continues[2], r.discount[2] = False, 0.0 if terminated else 0.9
    whole = every_return(r)[name]
    np.testing.assert_allclose(whole[:3], every_return(sliced(r, slice(3)))[name], rtol=1e-13)
    np.testing.assert_allclose(whole[3:], every_return(sliced(r, slice(3, None)))[name], rtol=1e-13)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("discount", "bootstraps"), [(0.0, False), (0.9, True)])
def test_truncated_step_bootstraps_and_terminated_step_does_not(name, discount, bootstraps, rng):
    r = random_rollout(rng, T=4, B=1)
    r.continues[1], r.discount[1] = False, discount
    before = every_return(r)[name][1]
    r.value_next[1] += 1.0
    r.q_next[1] += 1.0
    assert bool(np.any(every_return(r)[name][1] != before)) is bootstraps


# Refusals.

ROW = np.ones(4)
REFUSED = {
    "reward": lambda: returns.discounted(1.0, 0.9, ROW, 1),
    "discount": lambda: returns.discounted(ROW, ROW[:, None], ROW, 1),
    "continues": lambda: returns.lambda_returns(ROW, 0.9, ROW, ROW[:, None], 0.8),
    "value_next": lambda: returns.n_step(ROW, 0.9, ROW[:, None], 1, 2),
    "n": lambda: returns.n_step(ROW, 0.9, ROW, 1, 0),
    "lambda_": lambda: returns.gae(ROW, 0.9, ROW, ROW, 1, 1.001),
    "value": lambda: returns.gae(ROW, 0.9, np.ones(5), ROW, 1, 0.8),
    "q_next": lambda: returns.watkins(ROW, 0.9, ROW, np.zeros(4, int), 1, 0.8),
    "action_next": lambda: returns.watkins(ROW, 0.9, np.ones((4, 2)), np.zeros((4, 1), int), 1, 0.8),
    "policy_next": lambda: returns.tree_backup(
        ROW, 0.9, np.ones((4, 2)), np.ones((4, 1)), np.zeros(4, int), 1, 0.8
    ),
    "ratio_next": lambda: returns.retrace(
        ROW, 0.9, np.ones((4, 2)), np.ones((4, 2)), np.zeros(4, int), np.ones(3), 1, 0.8
    ),
    "ratio": lambda: returns.v_trace(ROW, 0.9, ROW, ROW, np.ones((4, 2)), 1, 0.8, 1.0, 1.0),
    "clip_rho": lambda: returns.v_trace(ROW, 0.9, ROW, ROW, ROW, 1, 0.8, 0.0, 1.0),
    "clip_c": lambda: returns.v_trace(ROW, 0.9, ROW, ROW, ROW, 1, 0.8, 1.0, 2.0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_argument_is_named(name):
    with pytest.raises(OptionError, match=f"The '{name}' parameter of "):
        REFUSED[name]()
