"""Strategies: probabilities by hand, what each reduces to, ties, compiled equations, text and JSON."""

import json
import math
import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qfix.errors import OptionError, UnknownNameError
from qfix.explore import (
    UCB,
    VDBE,
    Boltzmann,
    Constant,
    CountBonus,
    Decay,
    EpsilonGreedy,
    Exponential,
    Greedy,
    Linear,
    Polynomial,
    as_strategy,
    count_bonus,
    schedule_value,
    ucb_bonus,
    vdbe_update,
)

ALL = [Greedy(), EpsilonGreedy(0.3), Boltzmann(0.7), UCB(1.3), CountBonus(0.9), VDBE(0.8, start=0.6)]
Q = np.array([1.0, 3.0, 3.0, -2.0])
TABLES = arrays(np.float64, (3, 4), elements=st.sampled_from([-2.0, 0.0, 0.5, 1.0, 7.5]))
COUNTS = arrays(np.int64, (3, 4), elements=st.integers(0, 50))


# --- exact: probabilities by hand ---


def test_greedy_shares_ties():
    assert Greedy().probabilities(Q).tolist() == [0.0, 0.5, 0.5, 0.0]


def test_epsilon_greedy_by_hand():
    expected = [0.05, 0.45, 0.45, 0.05]
    assert EpsilonGreedy(0.2).probabilities(Q) == pytest.approx(expected, rel=1e-15)
    # Linear(1, 0.2, 8) reaches 0.6 at n = 4: each gets 0.15, the two best share 0.4 more.
    scheduled = EpsilonGreedy(Linear(1.0, 0.2, 8)).probabilities(Q, counter=4)
    assert scheduled == pytest.approx([0.15, 0.35, 0.35, 0.15], rel=1e-15)


def test_boltzmann_by_hand():
    # exp(q / 0.5) up to a common factor, for q = (0, ln 2, ln 3): 1, 4, 9.
    q = np.log([1.0, 2.0, 3.0])
    assert Boltzmann(0.5).probabilities(q) == pytest.approx(np.array([1.0, 4.0, 9.0]) / 14.0, rel=1e-14)


def test_boltzmann_survives_large_values_and_small_temperatures():
    assert Boltzmann(1e-6).probabilities([1e9, 1e9, 0.0]).tolist() == [0.5, 0.5, 0.0]


def test_ucb_by_hand():
    # t = 10, so the bonuses c √(ln 10 / n) are 1.5174 c, 0.5365 c and 1.5174 c: beyond c = 0.918 they decide.
    q, counts = [0.0, 0.9, 0.0], [1, 8, 1]
    assert UCB(0.5).probabilities(q, counts=counts).tolist() == [0.0, 1.0, 0.0]
    assert UCB(1.0).probabilities(q, counts=counts).tolist() == [0.5, 0.0, 0.5]
    assert ucb_bonus(2.0, 10, 8) == pytest.approx(2.0 * math.sqrt(math.log(10) / 8), rel=1e-15)


def test_count_bonus_by_hand():
    # 0.6 / √4 = 0.3 and 0.6 / √9 = 0.2: the first overtakes a lead of less than 0.1.
    assert CountBonus(0.6).probabilities([1.0, 1.09], counts=[4, 9]).tolist() == [1.0, 0.0]
    assert CountBonus(0.6).probabilities([1.0, 1.11], counts=[4, 9]).tolist() == [0.0, 1.0]
    assert count_bonus(0.6, 4) == pytest.approx(0.3, rel=1e-15)


def test_untried_actions_come_first_and_share():
    for strategy in (UCB(2.0), CountBonus(1.0)):
        assert strategy.probabilities([9.0, 1.0, 1.0], counts=[5, 0, 0]).tolist() == [0.0, 0.5, 0.5]
        assert strategy.probabilities([9.0, 1.0], counts=[0, 0]).tolist() == [0.5, 0.5]


def test_value_differences_by_hand():
    # exp(−1.2 / σ) = 1/3, so f = (1 − 1/3) / (1 + 1/3) = 1/2 and ε' = 0.3 · 1/2 + 0.7 · 0.2.
    change, sigma = 1.2, 1.2 / math.log(3.0)
    assert vdbe_update(0.2, change, sigma, 0.3) == pytest.approx(0.3 * 0.5 + 0.7 * 0.2, rel=1e-14)
    assert VDBE(1.0).probabilities([Q, Q], epsilon=[0.2, 0.0]) == pytest.approx(
        np.array([[0.05, 0.45, 0.45, 0.05], [0.0, 0.5, 0.5, 0.0]]), rel=1e-15
    )
    assert VDBE(1.0, start=1.0).probabilities(Q).tolist() == [0.25] * 4


# --- identities ---


@settings(deadline=None)
@given(TABLES, COUNTS)
def test_without_exploration_each_is_greedy(q, counts):
    greedy = Greedy().probabilities(q)
    for strategy in (EpsilonGreedy(0.0), UCB(0.0), CountBonus(0.0)):
        chosen = strategy.probabilities(q, counts=counts + 1)
        assert np.array_equal(chosen, greedy), strategy
    assert np.array_equal(VDBE().probabilities(q, epsilon=np.zeros(3)), greedy)
    np.testing.assert_allclose(Boltzmann(1e-3).probabilities(q), greedy, rtol=0, atol=1e-15)


@settings(deadline=None)
@given(TABLES, COUNTS, st.floats(0.01, 5.0))
def test_array_strategies_take_the_scalar_bonuses(q, counts, weight):
    """What kernels compute action by action is what the reference computes on arrays."""
    for row, n in zip(q, counts):
        bonuses = {
            UCB(weight): [ucb_bonus(weight, int(n.sum()), int(k)) for k in n],
            CountBonus(weight): [count_bonus(weight, int(k)) for k in n],
        }
        for strategy, bonus in bonuses.items():
            score = row + np.array(bonus)
            best = score >= score.max() - 1e-9 if np.isfinite(score.max()) else np.isinf(score)
            assert np.all(best[strategy.probabilities(row, counts=n) > 0.0])


@settings(deadline=None)
@given(st.floats(0.0, 1.0), st.floats(0.0, 1e6), st.floats(1e-6, 1e6), st.floats(1e-6, 1.0))
def test_value_differences_are_the_hyperbolic_tangent(epsilon, change, sigma, delta):
    new = vdbe_update(epsilon, change, sigma, delta)
    assert new == pytest.approx(delta * math.tanh(change / (2 * sigma)) + (1 - delta) * epsilon, abs=1e-12)
    assert 0.0 <= new <= 1.0 + 1e-15
    assert vdbe_update(epsilon, 0.0, sigma, delta) == pytest.approx((1 - delta) * epsilon, abs=1e-15)
    assert new <= vdbe_update(epsilon, 2 * change, sigma, delta) + 1e-15


# --- properties ---


@pytest.mark.parametrize("strategy", ALL, ids=repr)
@settings(deadline=None)
@given(q=TABLES, counts=COUNTS, counter=st.integers(0, 10**12))
def test_probabilities_are_probabilities_and_ties_share(strategy, q, counts, counter):
    counts[:] = counts[:, :1]  # equal counts, so that equal values are ties under a bonus too
    chosen = strategy.probabilities(q, counter=counter, counts=counts)
    assert chosen.shape == q.shape
    assert np.all(chosen >= 0.0)
    np.testing.assert_allclose(chosen.sum(-1), 1.0, rtol=0, atol=1e-14)
    same = q[:, :, None] == q[:, None, :]
    assert np.all(np.abs(chosen[:, :, None] - chosen[:, None, :])[same] <= 1e-16)
    order = np.array([2, 0, 3, 1])
    moved = strategy.probabilities(q[:, order], counter=counter, counts=counts[:, order])
    np.testing.assert_allclose(moved, chosen[:, order], rtol=1e-14)  # no action is preferred for its index


def test_compiled_scalar_equations_agree_with_plain():
    rng = np.random.default_rng(0)
    ucb, count, vdbe = numba.njit(ucb_bonus), numba.njit(count_bonus), numba.njit(vdbe_update)
    for _ in range(300):
        weight, sigma, change = rng.exponential(size=3) + 1e-3
        epsilon, delta = rng.random(2)
        n = int(rng.integers(0, 20))
        t = n + int(rng.integers(1, 10**6))
        for compiled, plain in (
            (ucb(weight, t, n), ucb_bonus(weight, t, n)),
            (count(weight, n), count_bonus(weight, n)),
            (vdbe(epsilon, change, sigma, delta), vdbe_update(epsilon, change, sigma, delta)),
        ):
            assert compiled == pytest.approx(plain, rel=1e-14)


# --- what compiled code gets ---


def test_the_layout_that_kernels_rely_on():
    kinds = [strategy.encode(4).kind for strategy in ALL]
    assert kinds == [0, 1, 2, 3, 4, 5]
    for strategy in ALL:
        kind, params, schedule = strategy.encode(4)
        assert isinstance(kind, int)
        assert params.shape == (4,)
        assert params.dtype == schedule.dtype == np.float64
        assert schedule_value(schedule, 0) == strategy.schedule(0)
    assert VDBE(0.8).encode(5).params.tolist() == [0.8, 0.2, 0.0, 0.0]
    assert VDBE(0.8, 0.7).encode(5).params.tolist() == [0.8, 0.7, 0.0, 0.0]
    assert VDBE(0.8, start=0.6).encode(5).schedule[2] == 0.6
    assert UCB(1.3).encode(4).schedule[2] == 1.3


def test_epsilon_restarts_with_the_episode():
    strategy = EpsilonGreedy(Linear(1.0, 0.1, 50), restart="episode")
    assert strategy.schedule == Linear(1.0, 0.1, 50, by="step_in_episode")
    assert strategy.encode(4).schedule[1] == 3
    assert EpsilonGreedy(Linear(1.0, 0.1, 50)).encode(4).schedule[1] == 0


# --- what a user writes ---


@pytest.mark.parametrize(
    ("text", "strategy"),
    [
        ("0.1", EpsilonGreedy(Constant(0.1))),
        (0.1, EpsilonGreedy(0.1)),
        (Decay(1.0, 0.9), EpsilonGreedy(Decay(1.0, 0.9))),
        ("linear(1, 0.05, 1e5)", EpsilonGreedy(Linear(1.0, 0.05, 100_000))),
        ({"kind": "constant", "value": 0.2}, EpsilonGreedy(0.2)),
        ("epsilon_greedy(Linear(1,0.05,1e5))", EpsilonGreedy(Linear(1.0, 0.05, 100_000))),
        ("epsilon-greedy(0.2)", EpsilonGreedy(0.2)),
        (
            "EpsilonGreedy(epsilon=linear(1, 0, 9), restart=episode)",
            EpsilonGreedy(Linear(1, 0, 9), "episode"),
        ),
        ("boltzmann(0.5)", Boltzmann(0.5)),
        (
            "boltzmann(exponential(1, 0.01, 1e4, by=visit))",
            Boltzmann(Exponential(1.0, 0.01, 10_000, by="visit")),
        ),
        ("ucb(2)", UCB(2.0)),
        ("ucb", UCB()),
        ("count_bonus(0.5)", CountBonus(0.5)),
        ("greedy", Greedy()),
        ("greedy()", Greedy()),
        ("vdbe(0.5, delta=0.2)", VDBE(0.5, 0.2)),
        ("vdbe(0.5, delta=None)", VDBE(0.5)),
    ],
)
def test_as_strategy_reads(text, strategy):
    assert as_strategy(text) == strategy


@pytest.mark.parametrize(
    "strategy",
    [
        *ALL,
        EpsilonGreedy(Polynomial(1.0, 0.5, by="visit")),
        EpsilonGreedy(0.2, "episode"),
        VDBE(0.5, 0.2, 0.9),
    ],
    ids=repr,
)
def test_text_and_json_lead_back_to_the_same_strategy(strategy):
    assert as_strategy(repr(strategy)) == strategy
    assert eval(repr(strategy)) == strategy
    assert as_strategy(repr(strategy).lower()) == strategy
    assert as_strategy(json.loads(json.dumps(strategy.to_dict()))) == strategy


def test_the_repr_is_what_one_would_type():
    assert repr(EpsilonGreedy(Linear(1, 0.05, 1e5))) == "EpsilonGreedy(Linear(1.0, 0.05, 100_000))"
    assert repr(EpsilonGreedy(0.2, "episode")) == "EpsilonGreedy(0.2, restart='episode')"
    assert repr(UCB()) == "UCB(2.0)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("botlzmann(1)", "There is no strategy 'botlzmann'. Did you mean 'boltzmann'?"),
        ("epsilon_gredy(0.1)", "There is no strategy 'epsilon_gredy'. Did you mean 'epsilon_greedy'?"),
        ("liner(1, 0, 9)", "There is no strategy 'liner'. Did you mean 'linear'?"),
        ("epsilon_greedy(liner(1, 0, 9))", "There is no schedule 'liner'. Did you mean 'linear'?"),
        ("boltzmann(temprature=1)", "no option of Boltzmann 'temprature'. Did you mean 'temperature'?"),
        ("boltzmann", "Boltzmann needs 'temperature'. Usage: Boltzmann(temperature)."),
        ("1.5", "The 'epsilon' parameter of EpsilonGreedy must stay in [0, 1]. Got 1.5. Use epsilon=0.1"),
        (
            "linear(2, 0, 9)",
            "The 'epsilon' parameter of EpsilonGreedy must stay in [0, 1]. Got Linear(2.0, 0.0, 9).",
        ),
        (
            "epsilon_greedy(0.1, restart=day)",
            "The 'restart' parameter of EpsilonGreedy must be 'never' or 'epi",
        ),
        ("epsilon_greedy(decay(1, 0.9, by=visit), episode)", "only where epsilon counts steps"),
        ("boltzmann(0)", "The 'temperature' parameter of Boltzmann must stay above 0. Got Constant(0.0)."),
        ("boltzmann(decay(1, 0.9))", "Let it end above 0"),
        ("vdbe(0)", "The 'sigma' parameter of VDBE must be a finite number above 0. Got 0."),
        ("vdbe(1, 2)", "The 'delta' parameter of VDBE must be in (0, 1], or None for 1 / A. Got 2."),
        ("vdbe(1, start=-1)", "The 'start' parameter of VDBE must be in [0, 1]. Got -1."),
        ("[1]", "The 'x' parameter of as_strategy must be a strategy, a number, a schedule"),
    ],
)
def test_a_bad_strategy_is_named_with_rule_value_and_remedy(text, message):
    with pytest.raises((OptionError, UnknownNameError)) as error:
        as_strategy(text)
    assert message in str(error.value)


@pytest.mark.parametrize("strategy", [UCB(), CountBonus()], ids=repr)
def test_counts_are_checked(strategy):
    for counts, message in (
        (None, "must be given"),
        ([1, 2], "must have shape"),
        ([1, -2, 3], "must be 0 or above"),
    ):
        with pytest.raises(OptionError, match=message):
            strategy.probabilities([1.0, 2.0, 3.0], counts=counts)


def test_the_rate_of_a_state_is_checked():
    with pytest.raises(OptionError, match=r"The 'epsilon' parameter of VDBE\.probabilities must be in"):
        VDBE().probabilities(Q, epsilon=1.2)


def test_behaviour_imports_no_compiler_and_no_environment():
    code = (
        "import sys, qfix.explore; "
        "print(sorted({'numba', 'gymnasium', 'jax', 'torch', 'matplotlib'} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert shown.stdout.strip() == "[]"
