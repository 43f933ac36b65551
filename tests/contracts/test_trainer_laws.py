"""What every table learner must hold, on every store and under both ways of stepping.

    advance(n), advance(m)  =  advance(n + m)
    unpack(pack(s))         =  s, in another trainer, live environments included
    compiled                =  live
    several seeds           =  each alone

To the bit, with everything the state holds, and on a stochastic world with a time limit, an odd split in the
middle of an episode, and random starting values.
"""

import itertools

import gymnasium
import numpy as np
import pytest

import qfix.tabular.trainer as training
from qfix.envs.catalogue import CATALOGUE
from qfix.tabular import agent
from qfix.tabular.agent import leaves
from qfix.tabular.trainer import TabularTrainer
from tabular.running import (
    ALGORITHMS,
    TABLES_ONLY,
    flat,
    named_model,
    random_world,
    separating,
    trainer_on,
)

FIRST, SECOND = 537, 464


class Drift(gymnasium.Env):
    """A point that drifts over [0, 1]²; it pays its height and ends at the right border."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (2,), np.float64)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.np_random.random(2) * 0.8
        return self.at.copy(), {}

    def step(self, action):
        self.at = np.clip(self.at + self.np_random.normal([0.02, 0.1 * (action - 1)], 0.1), 0.0, 1.0)
        return self.at.copy(), float(self.at[1]), bool(self.at[0] == 1.0), False, {}


def drifting():
    return gymnasium.wrappers.TimeLimit(Drift(), 13)


def make_trainer(algorithm, store, driver, seeds=(2,)):
    """A new trainer of that combination, everything in it new."""
    options = {"initial": "SmallRandom(0.5)", "store": "auto" if store == "features" else store}
    if store == "tiled":
        config = separating(algorithm, tilings=3, tiles=4, **options)
        return TabularTrainer(config, drifting(), drifting, None, seeds, snapshot_episodes=(1, 40))
    model = random_world()
    if store == "features":
        features = np.random.default_rng(1).normal(size=(7, 4)) / 2
        config = separating(algorithm, gradient="tdc", **(options | {"alpha": 0.05}))
        return trainer_on(model, config, seeds, driver, snapshot_episodes=(1, 40), features=features)
    if algorithm in ("q_learning", "sarsa"):
        options["explore"] = "vdbe(0.5)"  # state of its own
    return trainer_on(model, separating(algorithm, **options), seeds, driver, snapshot_episodes=(1, 40))


OF_EACH_KIND = ("q_learning", "sarsa_lambda", "dyna_q")
"""Weights alone, traces, a memory: every algorithm is held on a dense table, these on other stores; more is slow."""
CASES = [
    case if case[1] == "dense" or case[0] in OF_EACH_KIND else pytest.param(*case, marks=pytest.mark.slow)
    for case in (
        *itertools.product(ALGORITHMS, ("dense", "sparse"), ("compiled", "live")),
        *((algorithm, "tiled", "live") for algorithm in ALGORITHMS if algorithm not in TABLES_ONLY),
        *((algorithm, "features", "compiled") for algorithm in ("q_learning", "expected_sarsa")),
    )
]


def everything(trainer, state):
    """All of a state but the buffer that finished episodes are handed over in."""
    return {name: array for name, array in trainer.pack(state).items() if ".log." not in name}


def what_was_learned(trainer, state):
    """As `everything`, less what only a compiled or only a live run has."""
    only_live = (".world.", ".watch.rewards")
    arrays = {k: v for k, v in everything(trainer, state).items() if not any(name in k for name in only_live)}
    for i in range(len(trainer.seeds)):
        arrays[f"{i}.registers.counts"] = arrays[f"{i}.registers.counts"][1:8]
        arrays[f"{i}.registers.streams"] = arrays[f"{i}.registers.streams"][[0, 2]]
    return arrays


def assert_same(one, two):
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def episodes(*records):
    """(returns, lengths) of each seed and the snapshots, over several advances."""
    seeds = range(len(records[0].returns))
    ends = [
        (flat([x for r in records for x in r.returns[i]]), flat([x for r in records for x in r.lengths[i]]))
        for i in seeds
    ]
    return ends, [shot for r in records for shot in r.snapshots]


def assert_same_episodes(one, two):
    for (returns, lengths), (other_returns, other_lengths) in zip(one[0], two[0], strict=True):
        np.testing.assert_array_equal(returns, other_returns)
        np.testing.assert_array_equal(lengths, other_lengths)
    assert [(shot.episode, shot.step) for shot in one[1]] == [(shot.episode, shot.step) for shot in two[1]]
    for shot, other in zip(one[1], two[1], strict=True):
        np.testing.assert_array_equal(shot.action_values, other.action_values)


@pytest.mark.parametrize(("algorithm", "store", "driver"), CASES)
def test_a_run_goes_on_as_if_it_had_not_stopped(algorithm, store, driver):
    trainer = make_trainer(algorithm, store, driver)
    state, whole = trainer.advance(trainer.start(), FIRST + SECOND)
    assert trainer.steps_done(state) == [FIRST + SECOND]
    assert len(whole.snapshots) == 2

    halves = make_trainer(algorithm, store, driver)
    half, before = halves.advance(halves.start(), FIRST)
    packed = halves.pack(half)
    kept = {name: array.copy() for name, array in packed.items()}
    half, after = halves.advance(half, SECOND)
    assert_same(everything(halves, half), everything(trainer, state))
    assert_same_episodes(episodes(before, after), episodes(whole))
    assert_same(packed, kept)  # a pack is a copy

    resumed = make_trainer(algorithm, store, driver)
    again = resumed.unpack(packed)
    assert_same(resumed.pack(again), kept)
    again, later = resumed.advance(again, SECOND)
    assert_same(everything(resumed, again), everything(trainer, state))
    assert_same_episodes(episodes(before, later), episodes(whole))
    assert_same(packed, kept)  # and is copied when it is unpacked

    again, later = resumed.advance(resumed.unpack(packed, given_away=True), SECOND)
    assert_same(everything(resumed, again), everything(trainer, state))
    assert_same_episodes(episodes(before, later), episodes(whole))


@pytest.mark.parametrize("store", ["dense", "sparse"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_compiled_and_live_learn_the_same(algorithm, store):
    compiled, live = (make_trainer(algorithm, store, driver) for driver in ("compiled", "live"))
    one, records = compiled.advance(compiled.start(), FIRST + SECOND)
    two, live_records = live.advance(live.start(), FIRST + SECOND)
    assert_same_episodes(episodes(records), episodes(live_records))
    assert_same(what_was_learned(compiled, one), what_was_learned(live, two))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((row.name, {}) for row in CATALOGUE if row.finite),
        ("Grid4x3", {"slip": 0.2, "step_reward": -0.04}),
        ("WindyGrid", {"stochastic": True, "king_moves": True}),
        ("FrozenLake-v1", {}),
    ],
)
def test_compiled_and_live_see_the_same_world(name, options):
    """On every finite world of the house. FrozenLake has its own generator: there live and compiled agree in
    law and not in bits, so its model is stepped live as a table."""
    model = named_model(name, gamma=0.9, **options)
    config = separating("q_learning", gamma=0.9, explore="vdbe(0.5)")
    compiled, live = (trainer_on(model, config, (7,), driver) for driver in ("compiled", "live"))
    one, records = compiled.advance(compiled.start(), 1_500)
    two, live_records = live.advance(live.start(), 1_500)
    assert_same_episodes(episodes(records), episodes(live_records))
    for part in ("store", "behaviour"):
        stored, live_stored = (dict(leaves(getattr(state.agents[0], part))) for state in (one, two))
        for arrays in (stored, live_stored):
            arrays.pop("watch.rewards", None)  # are noted where the environment is live
        assert_same(stored, live_stored)


def assert_seeds_are_independent(make, steps=FIRST + SECOND):
    seeds = (2, 3, 5, 8, 13)
    together = make(seeds)
    state, records = together.advance(together.start(), steps)
    packed = everything(together, state)
    for i, seed in enumerate(seeds):
        alone = make((seed,))
        one, own = alone.advance(alone.start(), steps)
        mine = {k.partition(".")[2]: v for k, v in packed.items() if k.startswith(f"{i}.")}
        other = {k.partition(".")[2]: v for k, v in everything(alone, one).items()}
        if i > 0:  # only the first seed keeps snapshots
            mine["registers.counts"][7] = other["registers.counts"][7]
        assert_same(mine, other)
        np.testing.assert_array_equal(flat(records.returns[i]), flat(own.returns[0]))
        np.testing.assert_array_equal(flat(records.lengths[i]), flat(own.lengths[0]))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_seeds_on_threads_are_independent(algorithm, monkeypatch):
    monkeypatch.setattr(training, "usable_cores", lambda: 8)
    assert_seeds_are_independent(lambda seeds: make_trainer(algorithm, "dense", "compiled", seeds))


@pytest.mark.parametrize("algorithm", ["q_learning", "monte_carlo"])
def test_seeds_in_one_loop_are_independent(algorithm, monkeypatch):
    """Two seeds a loop, and every reason for a loop to stop: a full log, a snapshot, a full store or memory."""
    monkeypatch.setattr(training, "usable_cores", lambda: 1)
    monkeypatch.setattr(agent, "LOG_CAPACITY", 7)
    monkeypatch.setattr(agent, "SPARSE_CAPACITY", 2)
    assert_seeds_are_independent(lambda seeds: make_trainer(algorithm, "sparse", "compiled", seeds))


def test_live_seeds_are_independent():
    assert_seeds_are_independent(lambda seeds: make_trainer("sarsa", "dense", "live", seeds))


def test_a_memory_that_grows_in_the_middle_of_an_episode_changes_nothing(monkeypatch):
    """Monte Carlo on tiles: handles of the running episode must stay good when the ring of features grows."""
    trainer = make_trainer("monte_carlo", "tiled", "live")
    state, records = trainer.advance(trainer.start(), FIRST + SECOND)
    monkeypatch.setattr(type(trainer.config), "history", property(lambda self: 4))
    tight = make_trainer("monte_carlo", "tiled", "live")
    other, other_records = tight.advance(tight.start(), FIRST + SECOND)
    assert other.histories[0] < 64 < state.histories[0]
    np.testing.assert_array_equal(tight.action_values(other), trainer.action_values(state))
    assert_same_episodes(episodes(records), episodes(other_records))


def test_advancing_by_no_steps_changes_nothing():
    for driver in ("compiled", "live"):
        trainer = make_trainer("q_learning", "dense", driver)
        state, _ = trainer.advance(trainer.start(), 100)
        before = trainer.pack(state)
        state, records = trainer.advance(state, 0)
        assert_same(trainer.pack(state), before)
        assert episodes(records)[0][0][0].size == 0
