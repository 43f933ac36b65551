"""Tables, dense and sparse: the same law, whatever rows the states are given."""

import gymnasium
import numpy as np
import pytest

from qfix.errors import SpaceError
from qfix.mdp import FiniteMDP
from qfix.tabular import agent
from qfix.tabular.agent import Blueprint, folded, summary
from qfix.tabular.trainer import TabularTrainer
from tabular.running import ALGORITHMS, config_of, flat, random_world, separating, train

STEPS = 3_000


def values_by_state(trainer, state, n_states):
    """Q of every state as a policy tells it, whatever the store."""
    return trainer.policy(state).action_values(np.arange(n_states))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_sparse_table_learns_what_a_dense_one_does(algorithm):
    model = random_world(n_states=9, max_episode_steps=20)
    dense, sparse = (train(model, separating(algorithm, store=store), STEPS) for store in ("dense", "sparse"))
    np.testing.assert_array_equal(flat(dense[2].returns[0]), flat(sparse[2].returns[0]))
    np.testing.assert_array_equal(flat(dense[2].lengths[0]), flat(sparse[2].lengths[0]))
    np.testing.assert_array_equal(
        values_by_state(dense[0], dense[1], 9), values_by_state(sparse[0], sparse[1], 9)
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("driver", ["compiled", "live"])
def test_sparse_table_grows_without_changing_anything(algorithm, driver, monkeypatch):
    """From 2 rows to as many as are needed, in the middle of episodes; every start may be a new state."""
    model = random_world(n_states=40, max_episode_steps=9, start=np.r_[np.full(40, 1 / 40), 0.0])
    config = separating(algorithm, store="sparse", explore="vdbe(0.4)")
    roomy = train(model, config, STEPS, driver=driver)
    monkeypatch.setattr(agent, "SPARSE_CAPACITY", 2)
    tight = train(model, config, STEPS, driver=driver)
    assert len(tight[1].agents[0].store.keys) < 100 < len(roomy[1].agents[0].store.keys)
    np.testing.assert_array_equal(flat(roomy[2].returns[0]), flat(tight[2].returns[0]))
    np.testing.assert_array_equal(
        values_by_state(roomy[0], roomy[1], 40), values_by_state(tight[0], tight[1], 40)
    )


def test_no_state_is_lost_when_an_episode_starts_in_the_last_free_row(monkeypatch):
    """Each step ends its episode in a new state and the next starts in another: two rows a step."""
    n = 400
    model = FiniteMDP.from_function(
        lambda s, a: [(1.0, n // 2 + s, float(s), True)] if s < n // 2 else [(1.0, s, 0.0, True)],
        n,
        1,
        0.9,
        start=np.r_[np.full(n // 2, 2 / n), np.zeros(n - n // 2)],
        terminal=list(range(n // 2, n)),
    )
    monkeypatch.setattr(agent, "SPARSE_CAPACITY", 2)
    trainer, state, _ = train(model, config_of("q_learning", alpha=1.0, store="sparse"), 5_000)
    store = state.agents[0].store
    used = int(store.used[0])
    assert used == n, (
        "200 starts are all seen in 5,000 draws but with probability 200 (1 - 1/200)^5000 = 3e-9"
    )
    assert used <= len(store.keys)
    assert sorted(store.keys[:used]) == list(range(n))
    np.testing.assert_array_equal(values_by_state(trainer, state, n // 2)[:, 0], np.arange(n // 2))


def test_dense_keeps_the_summary_of_its_rows():
    for algorithm in ("q_learning", "watkins_q_lambda"):
        _, state, _ = train(random_world(), separating(algorithm), STEPS)
        store = state.agents[0].store
        best, greedy = summary(store.weights)
        np.testing.assert_array_equal(store.best, best)
        np.testing.assert_array_equal(store.greedy, greedy)


def test_random_starting_values_leave_terminal_states_at_zero():
    model = random_world()
    blueprint = Blueprint(
        separating("q_learning", initial="SmallRandom(0.5)"),
        gymnasium.spaces.Discrete(7),
        gymnasium.spaces.Discrete(3),
        model,
    )
    one, two = blueprint.agent(0).store.weights, blueprint.agent(1).store.weights
    assert (one[6] == 0.0).all()
    assert (one[:6] != 0.0).all()
    assert (np.abs(one) <= 0.5).all()
    assert (one[:6] != two[:6]).all(), "seeds start alike"


# Live environments with compound observations


class Walk(gymnasium.Env):
    """A walk over 0..4 seen through `show`; the right end pays 1 and ends, the left end only ends."""

    def __init__(self, observation_space, show):
        self.observation_space, self.action_space = observation_space, gymnasium.spaces.Discrete(2, start=1)
        self.show = show

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 2
        return self.show(self.at), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.at += 1 if action == 2 else -1
        return self.show(self.at), float(self.at == 4), self.at in (0, 4), False, {}


D = gymnasium.spaces.Discrete
COMPOUND = {
    "discrete from 7": (D(5, start=7), lambda at: at + 7),
    "tuple": (gymnasium.spaces.Tuple((D(2), D(5))), lambda at: (at % 2, at)),
    "dict": (
        gymnasium.spaces.Dict({"parity": D(2), "at": D(5, start=-2)}),
        lambda at: {"at": at - 2, "parity": at % 2},
    ),
    "binary": (gymnasium.spaces.MultiBinary(5), lambda at: np.eye(5, dtype=np.int8)[at]),
    "beyond 64 bits": (
        gymnasium.spaces.MultiDiscrete([9] * 40),
        lambda at: np.r_[np.full(20, at), np.full(20, 8 - at)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", COMPOUND)
def test_compound_observations_are_keys(case):
    """Q-learning with γ = 0.9 on the walk: 1, 0.9, 0.81 to the right; 0, 0.9·0.9, 0.9·0.9·0.9... to the left."""
    space, show = COMPOUND[case]
    config = config_of("q_learning", gamma=0.9, alpha=0.5, epsilon=1.0)
    trainer = TabularTrainer(config, Walk(space, show), lambda: Walk(space, show), None, [0])
    state, _ = trainer.advance(trainer.start(), 3_000)
    assert trainer.blueprint.store == ("sparse" if case == "beyond 64 bits" else "dense")
    policy = trainer.policy(state)
    np.testing.assert_allclose(
        [policy.action_values(show(at)) for at in (1, 2, 3)],
        [[0.0, 0.81], [0.729, 0.9], [0.81, 1.0]],
        atol=1e-6,
    )
    assert policy.predict(show(2)) == 2, "the second action of Discrete(2, start=1)"


def test_sparse_value_of_a_state_never_seen_is_the_starting_value():
    space, show = COMPOUND["beyond 64 bits"]
    config = config_of("q_learning", gamma=0.9, initial=0.7)
    trainer = TabularTrainer(config, Walk(space, show), lambda: Walk(space, show), None, [0])
    state, _ = trainer.advance(trainer.start(), 100)
    np.testing.assert_array_equal(trainer.policy(state).action_values(np.full(40, 3)), [0.7, 0.7])
    with pytest.raises(SpaceError, match="An observation must lie in MultiDiscrete"):
        trainer.policy(state).action_values(np.full(40, 9))


def test_folded_keys_of_a_million_states_do_not_meet():
    """10^5 keys of 200 bits: two meet with probability 10^10 / 2^64 = 5e-10."""
    keys = {folded((1 << 200) + i) for i in range(100_000)}
    assert len(keys) == 100_000
    assert min(keys) >= 0
    assert max(keys) < 1 << 63
