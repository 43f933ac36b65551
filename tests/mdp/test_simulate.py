"""The sampler: probabilities, bits and the plain-Python twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfix.mdp import FiniteMDP
from qfix.mdp.simulate import (
    draw_start,
    draw_transition,
    episode_seed,
    mix,
    next_bits,
    step_model,
    transition_table,
    uniform,
)

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix_twin(z):
    z &= MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def seed_twin(run, env, episode):
    h = mix_twin(run + GOLDEN)
    h = mix_twin(h ^ mix_twin(env + 2 * GOLDEN))
    return mix_twin(h ^ mix_twin(episode + 3 * GOLDEN)) >> 1


def random_world(rng, n_states=7, n_actions=3):
    """Rows of 1 to n_states outcomes, rewards by outcome, state 0 terminal."""
    p = rng.dirichlet(np.full(n_states, 0.3), (n_states, n_actions))
    p[rng.random(p.shape) < 0.4] = 0.0
    p[..., 1] += 1e-3
    p /= p.sum(-1, keepdims=True)
    r = rng.normal(size=p.shape)
    start = rng.dirichlet(np.ones(n_states))
    start[[0, 3]] = 0.0
    return FiniteMDP.from_arrays(p, r, 0.9, start=start / start.sum(), terminal=[0])


def test_splitmix64_gives_the_reference_numbers():
    # first three outputs for seed 1234567, as printed by the reference C code (Vigna's splitmix64.c)
    state, got = 1234567, []
    for _ in range(3):
        state, bits = next_bits(np.uint64(state))
        got.append(int(bits))
    assert got == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@settings(deadline=None)
@given(st.integers(0, MASK))
def test_bits_equal_their_twin(z):
    assert int(mix(np.uint64(z))) == mix_twin(z)
    state, bits = next_bits(np.uint64(z))
    assert (int(state), int(bits)) == ((z + GOLDEN) & MASK, mix_twin(z + GOLDEN))
    assert uniform(np.uint64(z)) == (z >> 11) / 2**53 < 1.0


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(0, 10**6), st.integers(0, 10**9))
def test_episode_seed_equals_its_twin_and_suits_reset(run, env, episode):
    seed = int(episode_seed(run, env, episode))
    assert seed == seed_twin(run, env, episode)
    assert 0 <= seed < 2**63


def test_episode_seeds_of_neighbours_differ():
    seeds = {int(episode_seed(r, e, k)) for r in range(30) for e in range(10) for k in range(30)}
    assert len(seeds) == 30 * 10 * 30


def outcome_of(table, column, side):
    name = ("own", "alias")[side]
    code = int(table.columns[f"next_{name}"][column])
    return code & (2**31 - 1), table.columns[f"reward_{name}"][column], code < 0


@pytest.mark.parametrize("seed", range(5))
def test_alias_columns_add_up_to_the_model(seed):
    mdp = random_world(np.random.default_rng(seed))
    table = transition_table(mdp)
    k = table.n_outcomes
    for row in range(mdp.n_states * mdp.n_actions):
        mass = {}
        for c in range(row * k, row * k + k):
            threshold = table.columns["threshold"][c]
            for side, p in ((0, threshold), (1, 1.0 - threshold)):
                if p > 0:
                    key = outcome_of(table, c, side)
                    mass[key] = mass.get(key, 0.0) + p / k
        own = range(mdp.indptr[row], mdp.indptr[row + 1])
        true = {
            (mdp.next_state[i], mdp.outcome_reward[i], mdp.terminated[i]): mdp.probability[i] for i in own
        }
        assert set(mass) == set(true)
        assert all(abs(mass[key] - true[key]) < 1e-14 for key in true)
    mass = np.zeros(mdp.n_states)
    np.add.at(mass, table.start_state[:, 0], table.start_threshold / len(table.start_threshold))
    np.add.at(mass, table.start_state[:, 1], (1 - table.start_threshold) / len(table.start_threshold))
    np.testing.assert_allclose(mass, mdp.start, atol=1e-15)


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 6), st.integers(0, 2))
def test_draws_equal_their_twin(u, s, a):
    table = transition_table(random_world(np.random.default_rng(3)))
    k = table.n_outcomes
    column = (s * table.n_actions + a) * k + int(u * k)
    side = int(u * k - int(u * k) >= table.columns["threshold"][column])
    assert draw_transition(table, s, a, u) == outcome_of(table, column, side)
    n = len(table.start_threshold)
    side = int(u * n - int(u * n) >= table.start_threshold[int(u * n)])
    assert draw_start(table, u) == table.start_state[int(u * n), side]


def test_frequencies_follow_the_probabilities():
    # 60,000 draws of one row; every outcome's count within 5 standard deviations of a binomial: with at most
    # 7 outcomes and this one fixed seed, the chance that a correct sampler fails is below 7 * 6e-7
    mdp = random_world(np.random.default_rng(8))
    table = transition_table(mdp)
    state, n = episode_seed(0, 0, 0), 60_000
    hits = np.zeros(mdp.n_states)
    for _ in range(n):
        state, bits = next_bits(np.uint64(state))
        hits[draw_transition(table, 2, 1, uniform(np.uint64(bits)))[0]] += 1
    row = slice(mdp.indptr[2 * 3 + 1], mdp.indptr[2 * 3 + 2])
    p = np.zeros(mdp.n_states)
    p[mdp.next_state[row]] = mdp.probability[row]
    assert np.all(np.abs(hits - n * p) <= 5 * np.sqrt(n * p * (1 - p)) + 1e-9)


@pytest.mark.parametrize(("mass", "draws"), [(0.5, 1), (1.0, 0)])
def test_a_step_draws_unless_the_model_is_deterministic(mass, draws):
    p = np.array([[[1 - mass, mass]], [[0.0, 1.0]]])
    table = transition_table(FiniteMDP.from_arrays(p, np.array([[1.0], [3.0]]), 0.9))
    stream = np.uint64(12345)
    after, s_next, reward, terminated = step_model(table, 0, 0, stream)
    once, bits = next_bits(stream)
    assert int(after) == int(once if draws else stream)
    assert (s_next, reward, terminated) == draw_transition(table, 0, 0, uniform(np.uint64(bits)))


def test_rewards_by_action_reach_the_table():
    p = np.array([[[0.0, 1.0], [1.0, 0.0]], [[0.5, 0.5], [0.0, 1.0]]])
    mdp = FiniteMDP.from_arrays(p, np.array([[1.0, 2.0], [3.0, 4.0]]), 0.9)
    table = transition_table(mdp)
    assert draw_transition(table, 0, 1, 0.3) == (0, 2.0, False)
    assert draw_transition(table, 1, 0, 0.3)[1] == 3.0
