"""Building models, and the sentences about those that are none."""

import gymnasium
import numpy as np
import pytest
import scipy.sparse as sp
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit

from qfix.errors import ModelError, OptionError
from qfix.mdp import FiniteMDP, garnet, solve

from .worlds import CELLS, INDEX, dense, grid4x3, grid_step, table_values


def two_states():
    p = np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [0.25, 0.75]]])
    r = np.array([[1.0, 2.0], [3.0, 4.0]])
    return p, r


def test_arrays_dense_and_sparse_give_the_same_model():
    p, r = two_states()
    one = FiniteMDP.from_arrays(p, r, 0.9)
    two = FiniteMDP.from_arrays([sp.coo_matrix(p[:, a]) for a in range(2)], r, 0.9)
    for name in ("indptr", "next_state", "probability", "terminated", "reward", "start", "terminal"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.outcome_reward is None
    np.testing.assert_array_equal(one.indptr, [0, 2, 3, 4, 6])
    np.testing.assert_array_equal(one.next_state, [0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(one.start, [0.5, 0.5])
    assert (one.indptr.dtype, one.next_state.dtype) == (np.int64, np.int32)


@pytest.mark.parametrize("as_sparse", [False, True])
def test_rewards_by_outcome(as_sparse):
    p, _ = two_states()
    r = np.arange(8.0).reshape(2, 2, 2)
    given = [sp.csr_matrix(r[:, a]) for a in range(2)] if as_sparse else r
    mdp = FiniteMDP.from_arrays(p, given, 0.9)
    np.testing.assert_array_equal(mdp.outcome_reward, [0, 1, 2, 5, 6, 7])
    np.testing.assert_allclose(mdp.reward, (p * r).sum(-1))


def test_entering_a_terminal_state_terminates_and_staying_there_pays_nothing():
    p, r = two_states()
    mdp = FiniteMDP.from_arrays(p, r, 0.9, terminal=[1])
    np.testing.assert_array_equal(mdp.terminated, [False, True, False, True, True])
    np.testing.assert_array_equal(mdp.next_state, [0, 1, 0, 1, 1])
    np.testing.assert_array_equal(mdp.reward, [[1, 2], [0, 0]])
    np.testing.assert_array_equal(mdp.start, [1, 0])
    np.testing.assert_array_equal(solve(mdp).q[1], [0, 0])


def test_rows_a_little_off_are_normalised():
    """Thirds in float32 are off by 3e-8, which 1/(1-gamma) would make 3% of the values at gamma = 0.999999."""
    p, r = np.full((3, 1, 3), np.float64(np.float32(1 / 3))), np.ones((3, 1))
    for q in (p, p * (1 - 9e-7), p * (1 + 9e-7)):
        mdp = FiniteMDP.from_arrays(q, r, 0.999)
        np.testing.assert_allclose(mdp.probability, 1 / 3, rtol=4e-16)
        assert abs(solve(mdp).v[0] - 1000.0) <= 1e-8
        by_outcome = FiniteMDP.from_arrays(q, np.ones((3, 1, 3)), 0.999)
        np.testing.assert_allclose(by_outcome.reward, 1.0, rtol=1e-15)
        start = FiniteMDP.from_arrays(q, r, 0.999, start=q[0, 0]).start
        np.testing.assert_allclose(start, 1 / 3, rtol=4e-16)
    # what is short is no way out: an endless reward is found even so
    with pytest.raises(ModelError, match="gamma=1"):
        solve(FiniteMDP.from_arrays(p * (1 - 1e-7), r, 1.0))


def test_rows_that_sum_to_one_but_for_rounding_are_kept_to_the_bit():
    p = np.full((6, 1, 6), 1 / 6)
    assert p[0, 0].sum() != 1.0
    mdp = FiniteMDP.from_arrays(p, np.ones((6, 1)), 0.9, start=p[0, 0])
    assert (mdp.probability == 1 / 6).all()
    assert (mdp.start == 1 / 6).all()
    again = FiniteMDP.from_arrays(p * (1 + 5e-7), np.ones((6, 1)), 0.9)
    assert again.with_gamma(0.5).probability is again.probability


def test_rows_of_terminal_states_are_not_read():
    p, r = two_states()
    p[1], r[1] = 0.0, np.nan
    assert FiniteMDP.from_arrays(p, r, 0.9, terminal=np.array([False, True])).n_outcomes == 5


def test_duplicates_merge_only_where_all_agrees():
    def step(s, a):
        return [
            (0.25, 0, 1.0, False),
            (0.25, 0, 1.0, False),
            (0.25, 0, 2.0, False),
            (0.25, 0, 1.0, True),
            (0, 1, 9, False),
        ]

    mdp = FiniteMDP.from_function(step, 2, 1, 0.9, terminal=[1])
    np.testing.assert_array_equal(mdp.probability, [0.5, 0.25, 0.25, 1.0])
    np.testing.assert_array_equal(mdp.outcome_reward, [1, 2, 1, 0])
    np.testing.assert_array_equal(mdp.terminated, [False, False, True, True])


def test_terminal_states_are_told_from_the_function():
    declared, told = grid4x3(0.9, slip=0.2), FiniteMDP.from_function(grid_step(0.2), 11, 4, 0.9, start=0)
    np.testing.assert_array_equal(declared.terminal, told.terminal)
    np.testing.assert_array_equal(declared.probability, told.probability)


def test_a_termination_on_the_way_does_not_make_a_state_terminal():
    # state 1 is entered both by a move that ends the episode and by one that does not
    def step(s, a):
        return [[(1.0, 1, 0.0, a == 1)], [(1.0, 0, 5.0, True)]][s]

    mdp = FiniteMDP.from_function(step, 2, 2, 0.5, start=0)
    assert not mdp.terminal.any()
    np.testing.assert_allclose(solve(mdp).q, [[2.5, 0.0], [5.0, 5.0]])


def test_models_cannot_be_changed():
    mdp = grid4x3(0.9)
    for name in ("indptr", "next_state", "probability", "terminated", "reward", "start", "terminal"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(mdp, name)[0] = 0
    with pytest.raises(AttributeError):
        mdp.gamma = 0.5
    p, r = two_states()
    FiniteMDP.from_arrays(p, r, 0.9)
    p[0, 0, 0] = r[0, 0] = 7.0  # nor does a model lock the arrays it was made of


def test_facts():
    mdp = grid4x3(0.9)
    assert mdp.is_deterministic
    assert mdp.n_outcomes == 44
    assert not grid4x3(0.9, slip=0.2).is_deterministic
    assert mdp.with_gamma(0.5).gamma == 0.5
    assert mdp.with_gamma(0.5).probability is mdp.probability
    assert repr(mdp) == "FiniteMDP(11 states (2 terminal), 4 actions, 44 outcomes, gamma=0.9)"
    assert CELLS[INDEX[4, 3]] == (4, 3)


def broken(p=None, r=None, **options):
    good_p, good_r = two_states()
    for target, changes in ((good_p, p), (good_r, r)):
        for index, value in (changes or {}).items():
            target[index] = value
    return FiniteMDP.from_arrays(good_p, good_r, 0.9, **options)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda: broken(p={(1, 0, 1): 0.9}), ["state 1, action 0", "sum to 1", "0.9"]),
        (lambda: broken(p={(0, 0): [1.5, -0.5]}), ["state 0, action 0", "not negative", "-0.5"]),
        (lambda: broken(p={(1, 1, 0): np.nan}), ["state 1, action 1", "nan"]),
        (lambda: broken(r={(1, 0): np.nan}), ["state 1, action 0", "finite", "nan"]),
        (lambda: broken(r={(0, 1): -np.inf}), ["state 0, action 1", "finite", "-inf"]),
        (lambda: broken(start=[0.5, 0.6]), ["'start'", "sum to 1", "1.1"]),
        (lambda: broken(start=[1.5, -0.5]), ["'start'", "state 1", "-0.5"]),
        (lambda: broken(start=[1.0]), ["'start'", "shape"]),
        (lambda: broken(start=2), ["'start'", "0..1"]),
        (lambda: broken(start=1, terminal=[1]), ["'start'", "terminal", "state 1"]),
        (lambda: broken(terminal=[2]), ["'terminal'", "0..1", "[2]"]),
        (lambda: broken(terminal=[True]), ["'terminal'", "shape"]),
        (lambda: broken(terminal=[0, 1]), ["'terminal'", "all 2 states"]),
        (lambda: broken(max_episode_steps=0), ["max_episode_steps", "at least 1"]),
        (lambda: FiniteMDP.from_arrays(np.ones((2, 3, 4)), np.ones((2, 3)), 0.9), ["'P'", "(S, A, S)"]),
        (lambda: FiniteMDP.from_arrays(two_states()[0], np.ones((2, 3)), 0.9), ["'R'", "(2, 2)", "(2, 3)"]),
        (lambda: FiniteMDP.from_arrays([sp.eye(2), sp.eye(3)], np.ones((2, 2)), 0.9), ["'P'", "one shape"]),
        (lambda: function([(0.5, 0, 0.0, False)]), ["state 0, action 0", "sum to 1", "0.5"]),
        (lambda: function([(1.0, 7, 0.0, False)]), ["state 0, action 0", "0..1"]),
        (lambda: function([(1.0, -1, 0.0, False)]), ["state 0, action 0", "0..1"]),
        (lambda: function([(1.0, 0, float("inf"), False)]), ["state 0, action 0", "finite"]),
        (
            lambda: function([(1.0, 0)]),
            ["state 0, action 0", "(probability, next_state, reward, terminated)"],
        ),
        (lambda: function([]), ["state 0, action 0", "sum to 1", "terminal="]),
    ],
)
def test_faults_name_their_place(fault, words):
    with pytest.raises(ModelError) as caught:
        fault()
    for word in words:
        assert word in str(caught.value)


def function(outcomes):
    return FiniteMDP.from_function(lambda s, a: outcomes, 2, 1, 0.9)


@pytest.mark.parametrize("gamma", [-0.1, 1.1, float("nan"), "high"])
def test_gamma_is_a_discount(gamma):
    with pytest.raises(OptionError, match=r"'gamma' parameter of FiniteMDP\.from_arrays must be in"):
        FiniteMDP.from_arrays(*two_states(), gamma)


@pytest.mark.parametrize(
    ("env_id", "options"),
    [
        ("FrozenLake-v1", {}),
        ("FrozenLake-v1", {"map_name": "8x8"}),
        ("CliffWalking-v1", {}),
        ("CliffWalking-v1", {"is_slippery": True}),
        ("Taxi-v4", {}),
    ],
)
def test_gymnasium_tables_keep_their_values(env_id, options):
    env = gymnasium.make(env_id, **options)
    mdp = FiniteMDP.from_env(env, 0.97)
    naive = table_values(env.unwrapped.P, 0.97)
    seen = mdp.start > 0
    p, _ = dense(mdp)
    while True:
        more = seen | (p[seen].sum((0, 1)) > 0)
        if (more == seen).all():
            break
        seen = more
    assert seen.sum() > 8
    np.testing.assert_allclose(solve(mdp, tol=1e-10).v[seen], naive[seen], atol=2e-10)
    np.testing.assert_allclose(mdp.start, env.unwrapped.initial_state_distrib)
    env.close()


def test_gymnasium_terminal_states():
    lake = FiniteMDP.from_env("FrozenLake-v1", 0.99)
    assert np.flatnonzero(lake.terminal).tolist() == [5, 7, 11, 12, 15]
    assert np.flatnonzero(FiniteMDP.from_env("CliffWalking-v1", 0.99).terminal).tolist() == [47]
    assert FiniteMDP.from_env("Taxi-v4", 0.99).terminal.sum() == 4


def test_the_time_limit_is_no_part_of_the_values():
    assert FiniteMDP.from_env("FrozenLake-v1", 0.99).max_episode_steps == 100
    assert FiniteMDP.from_env("Taxi-v4", 0.99).max_episode_steps == 200
    short = FiniteMDP.from_env("FrozenLake-v1", 0.99, max_episode_steps=7)
    none = FiniteMDP.from_env("FrozenLake-v1", 0.99, max_episode_steps=-1)
    assert (short.max_episode_steps, none.max_episode_steps) == (7, None)
    np.testing.assert_array_equal(solve(short).v, solve(none).v)


class Ragged(gymnasium.Env):
    """State 1 has no action 1."""

    initial_state_distrib = np.array([1.0, 0.0])

    def __init__(self, P=None):
        self.P = P or {
            0: {0: [(1.0, 1, 0.0, False)], 1: [(1.0, 1, 1.0, True)]},
            1: {0: [(1.0, 0, 0.0, False)]},
        }


def test_a_table_with_holes_is_named():
    with pytest.raises(
        ModelError, match=r"state 1, action 1 in FiniteMDP.from_env must be a list.*No entry 1\."
    ):
        FiniteMDP.from_env(Ragged(), 0.9)
    for table in ({1: {}}, [3], 7, {"a": 1}):
        with pytest.raises(ModelError, match=r"transition table P\[state\]\[action\]"):
            FiniteMDP.from_env(Ragged(table), 0.9)


class Carrier(gymnasium.Env):
    """Carries a model with a time limit of its own."""

    mdp = FiniteMDP.from_arrays(*two_states(), 0.9, max_episode_steps=7)


@pytest.mark.parametrize(
    ("env", "limit"),
    [
        (lambda: FrozenLakeEnv(), None),
        (lambda: TimeLimit(FrozenLakeEnv(), 5), 5),
        (lambda: TimeLimit(gymnasium.make("FrozenLake-v1"), 1000), 100),
        (lambda: RecordEpisodeStatistics(TimeLimit(gymnasium.make("FrozenLake-v1"), 20)), 20),
        (lambda: gymnasium.make("FrozenLake-v1", max_episode_steps=-1), None),
        (lambda: gymnasium.make("FrozenLake-v1").unwrapped, None),
        (lambda: Carrier(), 7),
        (lambda: TimeLimit(Carrier(), 6), 6),
        (lambda: TimeLimit(Carrier(), 8), 7),
    ],
)
def test_the_time_limit_is_the_one_that_cuts_episodes(env, limit):
    made = env()
    assert FiniteMDP.from_env(made, 0.9).max_episode_steps == limit
    assert FiniteMDP.from_env(made, 0.9, max_episode_steps=9).max_episode_steps == 9
    assert FiniteMDP.from_env(made, 0.9, max_episode_steps=-1).max_episode_steps is None


def test_environments_without_a_model():
    with pytest.raises(ModelError, match="must have a transition table P"):
        FiniteMDP.from_env("CartPole-v1", 0.99)
    env = gymnasium.make("FrozenLake-v1")
    with pytest.raises(ModelError, match="need the id of an environment"):
        FiniteMDP.from_env(env, 0.99, map_name="8x8")
    del env.unwrapped.initial_state_distrib
    with pytest.raises(ModelError, match="Pass start="):
        FiniteMDP.from_env(env, 0.99)
    assert FiniteMDP.from_env(env, 0.99, start=3).start[3] == 1.0


def test_environments_that_carry_their_model():
    class World(gymnasium.Env):
        mdp = grid4x3(0.9)

    mdp = FiniteMDP.from_env(World(), 0.5)
    assert (mdp.gamma, mdp.n_states, mdp.max_episode_steps) == (0.5, 11, None)


@pytest.mark.parametrize("branching", [1, 3, 30, 50])
def test_garnets_have_their_branching(branching):
    mdp = garnet(50, 3, branching, seed=4)
    assert (np.diff(mdp.indptr) == branching).all()
    targets = mdp.next_state.reshape(150, branching)
    assert (np.diff(targets, axis=1) > 0).all()
    np.testing.assert_array_equal(targets, garnet(50, 3, branching, seed=4).next_state.reshape(150, -1))
    assert garnet(50, 3, branching, 4, terminal_fraction=0.2, reward_sparsity=1.0).terminal.sum() == 10


@pytest.mark.parametrize(
    "bad", [{"branching": 0}, {"branching": 9}, {"reward_sparsity": 2.0}, {"n_states": 0}]
)
def test_garnet_options_have_ranges(bad):
    with pytest.raises(OptionError, match="garnet"):
        garnet(**{"n_states": 8, "n_actions": 2, "branching": 2, "seed": 0, **bad})
