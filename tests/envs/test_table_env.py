"""Any finite model as an environment: Gymnasium's contract, one stream, the model's frequencies."""

import warnings

import gymnasium
import numpy as np
import pytest
import scipy.stats
from gymnasium.utils.env_checker import check_env

from qfix.envs.catalogue import CATALOGUE
from qfix.envs.table_env import TableEnv
from qfix.envs.world import make_world, model_of
from qfix.errors import OptionError
from qfix.mdp import FiniteMDP
from qfix.mdp.simulate import draw_start, episode_seed, next_bits, step_model, transition_table, uniform

OPTIONS = {
    "Grid4x3": {"slip": 0.2, "step_reward": -0.04},
    "WindyGrid": {"king_moves": True, "stochastic": True},
    "RandomWalk": {"n": 19},
    "DynaMaze": {"maze": "shortcut"},
}


@pytest.mark.parametrize("row", CATALOGUE, ids=lambda row: row.name)
@pytest.mark.parametrize("mode", [None, "ansi", "rgb_array"])
def test_every_world_passes_gymnasiums_checker(row, mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for options in ({}, OPTIONS.get(row.name, {})):
            env = gymnasium.make(row.id, render_mode=mode, **options)
            check_env(env.unwrapped)
            assert env.spec.max_episode_steps == row.max_episode_steps
            env.close()


def test_from_env_finds_the_model_and_its_time_limit(name):
    row = next(row for row in CATALOGUE if row.name == name)
    model = FiniteMDP.from_env(row.id, 0.5)
    own = model_of(make_world(name))
    assert model.gamma == 0.5
    assert model.max_episode_steps == row.max_episode_steps
    np.testing.assert_array_equal(model.probability, own.probability)
    np.testing.assert_array_equal(model.next_state, own.next_state)


def test_an_episode_is_the_stream_of_its_seed(name):
    """One draw for the start, one for each step, from splitmix64 seeded by reset: to the bit."""
    model = model_of(make_world(name, **OPTIONS.get(name, {})))
    env = TableEnv(model)
    table = transition_table(model)
    actions = np.random.default_rng(3).integers(model.n_actions, size=300)
    for episode in range(20):
        seed = int(episode_seed(11, 0, episode))
        stream, bits = next_bits(np.uint64(seed))
        s = draw_start(table, uniform(np.uint64(bits)))
        live, _ = env.reset(seed=seed)
        assert live == s
        for a in actions:
            stream, s, reward, over = step_model(table, s, a, np.uint64(stream))
            assert env.step(a)[:4] == (s, reward, over, False)
            if over:
                break


def test_seeds_decide_and_unseeded_resets_go_on():
    env = gymnasium.make("qfix/Grid4x3-v0", slip=0.4).unwrapped

    def play(seed):
        seen = [env.reset(seed=seed)[0]]
        for _ in range(3):
            for _ in range(20):
                seen.append(env.step(1)[0])
            seen.append(env.reset()[0])
        return seen

    first = play(5)
    assert play(5) == first
    assert play(6) != first
    one, two = (gymnasium.make("qfix/Grid4x3-v0", slip=0.4).unwrapped for _ in range(2))
    walks = []
    for fresh in (one, two):
        walks.append([(fresh.reset()[0], fresh.step(1)[0]) for _ in range(40)])
    # a first step east goes east, north or against the border with 0.6, 0.2, 0.2: two unseeded environments
    # agree on forty with probability (0.36 + 0.04 + 0.04)^40 < 1e-14
    assert walks[0] != walks[1]
    env.reset(seed=2**64 + 5)
    assert play(2**64 + 5) == first


@pytest.mark.parametrize(
    "name", ["Grid4x3", "WindyGrid", "MaximizationBias", "Baird", "Warehouse", "ProbeBandit"]
)
def test_frequencies_are_the_models(name):
    """Chi-square over all outcomes of all (s, a) seen; fixed seed, false alarm 1e-6 for each world."""
    env = gymnasium.make(f"qfix/{name}-v0", **OPTIONS.get(name, {})).unwrapped
    rng = np.random.default_rng(0)
    table, count = env.P, {}
    s, _ = env.reset(seed=1)
    for _ in range(30_000):
        a = int(rng.integers(env.mdp.n_actions))
        after, reward, over, _, _ = env.step(a)
        count.setdefault((s, a), {}).setdefault((after, reward, over), 0)
        count[s, a][after, reward, over] += 1
        s = env.reset()[0] if over else after
    statistic, freedom = 0.0, 0
    for (s, a), seen in count.items():
        total = sum(seen.values())
        expected = {(t, r, over): p * total for p, t, r, over in table[s][a]}
        assert set(seen) <= set(expected)
        if min(expected.values()) >= 5.0:
            statistic += sum((seen.get(what, 0) - mean) ** 2 / mean for what, mean in expected.items())
            freedom += len(expected) - 1
    assert freedom >= 3
    assert scipy.stats.chi2.sf(statistic, freedom) > 1e-6


def test_table_in_gymnasiums_form():
    env = gymnasium.make("qfix/Grid4x3-v0", slip=0.2).unwrapped
    world = env.world
    assert sorted(env.P) == list(range(11))
    corner = world.state((1, 1))
    above, beside = world.state((1, 2)), world.state((2, 1))
    assert {t: p for p, t, _, _ in env.P[corner][0]} == pytest.approx({above: 0.8, beside: 0.1, corner: 0.1})
    assert env.P[world.state((4, 3))][2] == [(1.0, world.state((4, 3)), 0.0, True)]
    assert env.initial_state_distrib[corner] == 1.0


def test_the_models_own_time_limit_truncates():
    env = TableEnv(model_of(make_world("ProbeTimeLimit"), 3))
    for _ in range(2):
        env.reset(seed=0)
        assert [env.step(0)[2:4] for _ in range(4)] == [(False, False)] * 2 + [(False, True)] * 2


@pytest.mark.parametrize(("asked", "cut"), [(None, 10), (4, 4), (25, 25), (-1, None)])
def test_the_time_limit_of_a_world_is_the_one_asked_for(asked, cut):
    env = gymnasium.make("qfix/ProbeTimeLimit-v0", max_episode_steps=asked)
    env.reset(seed=0)
    lasted = next((t for t in range(1, 40) if env.step(0)[3]), None)
    assert lasted == cut == FiniteMDP.from_env(env, 0.9).max_episode_steps


def test_misuse_is_refused():
    env = TableEnv(model_of(make_world("Pit4x4")))
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    for action in (4, -1):
        with pytest.raises(OptionError, match=r"'action' parameter of TableEnv.step must be in 0..3"):
            env.step(action)
    with pytest.raises(OptionError, match="render_mode"):
        TableEnv(env.mdp, render_mode="human")
    assert env.render() is None
    assert env.layout is None
