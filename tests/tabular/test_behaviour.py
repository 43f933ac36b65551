"""How compiled learners act, against what each strategy says about itself on NumPy."""

import gymnasium
import numpy as np
import pytest
from scipy.stats import chi2

from qfix.explore import as_schedule, as_strategy, vdbe_update
from qfix.tabular._compile import kernel
from qfix.tabular.agent import Blueprint, summary
from qfix.tabular.behaviour import Clock, act, expected_value, intensity, probabilities, step_size
from tabular.running import config_of, named_model, random_world, train

DRAWS = 40_000
ALARM = 1e-6  # false-alarm probability of one chi-square test, were its seed fresh

VALUES = np.array([0.3, 1.1, 1.1, -0.4, 0.9])
COUNTS = np.array([3, 9, 4, 1, 7])
CLOCK = Clock(30, 20, 10)  # step, episode, step in episode


def draw(behaviour, store, x, clock, stream, out):
    """Count the actions of many draws."""
    for _ in range(DRAWS):
        a, stream = act(behaviour, store, x, clock, stream)
        out[a] += 1


def describe(behaviour, store, x, clock, out):
    """The probability of each action, then the expected value and the scheduled quantity."""
    n_actions = store.weights.shape[1]
    out[n_actions] = expected_value(behaviour, store, x, clock)
    out[n_actions + 1] = intensity(behaviour, store, x, clock)
    probabilities(behaviour, store, x, clock, out[:n_actions])


def measure_step_size(alpha, store, x, a, clock, out):
    """The step size of an update of (x, a) and of the one after it."""
    out[0] = step_size(alpha, store, x, a, clock)
    out[1] = step_size(alpha, store, x, a, clock)


def placed(strategy, values=VALUES, counts=COUNTS):
    """(behaviour, store) in whose state 1 these are the values and counts."""
    space = gymnasium.spaces.Discrete
    agent = Blueprint(config_of("q_learning", explore=strategy), space(3), space(len(values))).agent(0)
    weights = np.stack([values - 5.0, values, values + 5.0])
    best, greedy = summary(weights)
    table = np.stack([counts * 0, counts, counts * 0])
    return agent.behaviour, agent.store._replace(weights=weights, best=best, greedy=greedy, counts=table)


def described(strategy, values=VALUES, counts=COUNTS, clock=CLOCK):
    """(probabilities, expected value, scheduled quantity) as compiled code has them."""
    out = np.zeros(len(values) + 2)
    kernel(describe, "dense")(*placed(strategy, values, counts), 1, clock, out)
    return out[:-2], out[-2], out[-1]


KINDS = {
    "greedy": (VALUES, COUNTS),
    "epsilon_greedy(0.3)": (VALUES, COUNTS),
    "epsilon_greedy(Linear(1, 0, 60))": (VALUES, COUNTS),
    "boltzmann(0.4)": (VALUES, COUNTS),
    "boltzmann(Linear(1, 0.2, 60))": (VALUES * 300, COUNTS),
    "ucb(0.7)": (VALUES, COUNTS),
    "ucb(0)": (VALUES, COUNTS),
    "ucb(2)": (VALUES, np.array([3, 0, 4, 0, 7])),
    "count_bonus(1.5)": (VALUES, COUNTS),
    "count_bonus(0.1)": (VALUES, np.array([3, 9, 0, 1, 7])),
    "vdbe(0.5, start=0.6)": (VALUES, COUNTS),
}


@pytest.mark.parametrize("strategy", KINDS)
def test_compiled_behaviour_is_what_the_strategy_says(strategy):
    values, counts = KINDS[strategy]
    shares, expected, scheduled = described(strategy, values, counts)
    meant = as_strategy(strategy).probabilities(values, counter=CLOCK.step, counts=counts)
    np.testing.assert_allclose(shares, meant, rtol=1e-13, atol=1e-15)
    assert shares.sum() == pytest.approx(1.0, abs=1e-14)
    assert expected == pytest.approx(meant @ values, rel=1e-13)
    assert scheduled == as_strategy(strategy).schedule(CLOCK.step)


@pytest.mark.parametrize("strategy", KINDS)
def test_actions_fall_as_often_as_the_strategy_says(strategy):
    """40,000 draws from seed 5; a correct sampler fails with probability 1e-6 a strategy."""
    values, counts = KINDS[strategy]
    out = np.zeros(len(values), np.int64)
    kernel(draw, "dense")(*placed(strategy, values, counts), 1, CLOCK, np.uint64(5), out)
    meant = as_strategy(strategy).probabilities(values, counter=CLOCK.step, counts=counts) * DRAWS
    assert (out[meant == 0.0] == 0).all()
    possible = meant > 0.0
    statistic = ((out - meant)[possible] ** 2 / meant[possible]).sum()
    freedom = possible.sum() - 1
    assert statistic <= (chi2.isf(ALARM, freedom) if freedom else 1e-9)


SCHEDULES = ["0.3", "Linear(1, 0.1, 25)", "Exponential(1, 0.1, 40)", "Decay(0.9, 0.95)", "Inverse(1, 5)",
             "Polynomial(1, 0.7)", "Piecewise([5, 15, 22, 26], [0.9, 0.7, 0.5, 0.3, 0.1])"]  # fmt: skip


@pytest.mark.parametrize("by", ["step", "episode", "visit", "step_in_episode"])
@pytest.mark.parametrize("text", SCHEDULES)
def test_schedules_read_the_counter_they_name(text, by):
    """Epsilon counts the visits of the state, alpha those of the pair; within 1 ulp where there is a power."""
    written = text if text == "0.3" else f"{text[:-1]}, by={by})"
    schedule = as_schedule(written)
    counter = {"step": 30, "episode": 20, "visit": COUNTS.sum(), "step_in_episode": 10}[by]
    assert described(f"epsilon_greedy({written})")[2] == pytest.approx(schedule(counter), rel=3e-16)
    _, store = placed("greedy")
    out = np.zeros(2)
    kernel(measure_step_size, "dense")(schedule.encode(), store, 1, 2, CLOCK, out)
    pair = (COUNTS[2], COUNTS[2] + 1) if by == "visit" else (counter, counter)
    np.testing.assert_allclose(out, [schedule(n) for n in pair], rtol=3e-16)
    assert store.counts[1, 2] == COUNTS[2] + 2
    assert store.counts.sum() == COUNTS.sum() + 2


def test_ties_are_shared_from_the_first_step():
    """Six equal actions: none is preferred for its index. 40,000 draws, false alarm 1e-6."""
    out = np.zeros(6, np.int64)
    equal = np.full(6, -0.7)
    kernel(draw, "dense")(*placed("greedy", equal, np.zeros(6, np.int64)), 1, CLOCK, np.uint64(9), out)
    assert ((out - DRAWS / 6) ** 2 / (DRAWS / 6)).sum() <= chi2.isf(ALARM, 5)


def test_vdbe_follows_its_equation_in_every_state():
    """q_learning moves values by α δ; epsilon of the state moves by `vdbe_update`. Replayed from the values."""
    model = random_world()
    config = config_of("q_learning", gamma=0.93, alpha=0.37, explore="vdbe(0.5)")
    trainer, state, _ = train(model, config, 1)
    rate, q = np.ones(model.n_states), np.zeros((model.n_states, model.n_actions))
    for _ in range(500):
        after = trainer.action_values(state)
        s = np.flatnonzero((after != q).any(axis=1))
        assert len(s) == 1
        moved = np.abs(after - q).max()
        rate[s[0]] = vdbe_update(rate[s[0]], moved, 0.5, 1.0 / model.n_actions)
        np.testing.assert_allclose(state.agents[0].behaviour.rate, rate, rtol=0, atol=1e-12)
        q = after
        state, _ = trainer.advance(state, 1)
    assert rate[:-1].max() < 0.7


@pytest.mark.parametrize("strategy", ["ucb(1)", "count_bonus(1)", "boltzmann(0.5)", "vdbe(1)", "greedy"])
def test_every_strategy_finds_the_better_route(strategy):
    """GreedyTrap from optimistic values, one seed: who only ever exploits finds it too, for want of disappointments."""
    model = named_model("GreedyTrap")
    config = config_of("q_learning", gamma=0.9, alpha=0.3, explore=strategy, initial=1.0)
    trainer, state, _ = train(model, config, 20_000)
    assert trainer.action_values(state)[6, 1] == pytest.approx(0.81, abs=0.05)
    assert trainer.policy(state).predict(6) == 1
