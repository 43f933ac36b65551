"""A traced episode is the one that plain training makes, and leaves the learner as plain training does, to the bit."""

import itertools

import gymnasium
import numpy as np
import pytest

from contracts.test_trainer_laws import Drift, assert_same, drifting, everything, make_trainer
from qfix.errors import EnvironmentFault, OptionError
from qfix.tabular import agent, trace
from tabular.running import (
    ALGORITHMS,
    flat,
    random_world,
    ring_world,
    separating,
    train,
    trainer_on,
)

# one of each kind of memory: the kernel around it is compiled anew for each
TRACED = (
    "q_learning",
    "expected_sarsa",
    "sarsa_lambda",
    "n_step_sarsa",
    "monte_carlo",
    "prioritized_sweeping",
)
CASES = [
    *itertools.product(ALGORITHMS, ("dense",), ("live",)),
    *itertools.product(TRACED, ("dense",), ("compiled",)),
    *itertools.product(("q_learning", "monte_carlo"), ("sparse",), ("compiled", "live")),
    *((algorithm, "tiled", "live") for algorithm in ("q_learning", "sarsa_lambda", "n_step_sarsa")),
    ("q_learning", "features", "compiled"),
]
STEPS = 600  # training before, so that all 256 places of the watched updates have been written to


def at_an_episode(trainer, state, steps):
    """Advance to the first episode that begins at or after a step: its number."""
    state, _ = trainer.advance(state, steps)
    while state.agents[0].registers.counts[agent.STEP_IN_EPISODE]:
        state, _ = trainer.advance(state, 1)
    return int(state.agents[0].registers.counts[agent.EPISODE])


@pytest.mark.parametrize(("algorithm", "store", "driver"), CASES)
def test_a_traced_episode_is_that_of_plain_training(algorithm, store, driver):
    traced, plain = (make_trainer(algorithm, store, driver) for _ in range(2))
    state, other = traced.start(), plain.start()
    episode = at_an_episode(traced, state, STEPS)
    begun = traced.steps_done(state)[0]
    steps = traced.trace(state, 1_000)

    other, before = plain.advance(other, begun)
    other, records = plain.advance(other, len(steps))
    assert_same(everything(traced, state), everything(plain, other))
    assert len(flat(before.lengths[0])) == episode
    assert flat(records.lengths[0]).tolist() == [len(steps)]
    total = 0.0
    for step in steps:
        total += step.reward
    assert flat(records.returns[0]).tolist() == [total]

    # and both go on as one
    state, after = traced.advance(state, 50)
    other, others = plain.advance(other, 50)
    assert_same(everything(traced, state), everything(plain, other))
    np.testing.assert_array_equal(flat(after.returns[0]), flat(others.returns[0]))


@pytest.mark.parametrize(("algorithm", "store", "driver"), CASES)
def test_every_step_follows_from_the_one_before(algorithm, store, driver):
    trainer = make_trainer(algorithm, store, driver)
    state = trainer.start()
    at_an_episode(trainer, state, STEPS)
    begun = trainer.steps_done(state)[0]
    steps = trainer.trace(state, 1_000)
    assert [step.number for step in steps] == list(range(begun, begun + len(steps)))
    for step, after in itertools.pairwise(steps):
        np.testing.assert_array_equal(step.next_observation, after.observation)
        assert not step.terminated
        assert not step.truncated
    assert steps[-1].terminated or steps[-1].truncated
    for step in steps:
        assert step.values.shape == (3,)
        assert step.greedy == step.values.argmax()


def test_what_a_step_tells_by_hand():
    """Q-learning on a world without randomness: states, rewards, values before, and the error that moves them."""
    model = random_world(n_states=4, max_episode_steps=9)
    config = separating("q_learning", gamma=0.9, alpha=0.25, epsilon=0.4)
    trainer = trainer_on(model, config, (6,))
    state = trainer.start()
    for _ in range(20):
        q = trainer.action_values(state)
        for step in trainer.trace(state, 100):
            s, a, s_next = int(step.observation), step.action, int(step.next_observation)
            np.testing.assert_array_equal(step.values, q[s])
            target = step.reward + 0.9 * (1 - step.terminated) * q[s_next].max()
            assert step.td_error == pytest.approx(target - q[s, a], abs=1e-15)
            row = s * model.n_actions + a
            outcomes = range(model.indptr[row], model.indptr[row + 1])
            assert (s_next, step.reward) in {(model.next_state[k], model.outcome_reward[k]) for k in outcomes}
            if not step.explored:
                assert step.values[a] == step.values.max()
            q[s, a] += 0.25 * step.td_error
        np.testing.assert_allclose(q, trainer.action_values(state), rtol=0, atol=1e-14)


@pytest.mark.parametrize("driver", ["compiled", "live"])
def test_exploratory_actions_are_those_that_training_counts(driver):
    trainer = trainer_on(random_world(), separating("q_learning", epsilon=0.5), (3,), driver)
    state = trainer.start()
    watch = state.agents[0].behaviour.watch
    told = [step.explored for _ in range(60) for step in trainer.trace(state, 100)]
    assert sum(told) == watch.explored[0]
    assert len(told) == watch.explored[1]
    assert 0 < sum(told) < len(told)


@pytest.mark.parametrize("driver", ["compiled", "live"])
def test_monte_carlo_has_errors_at_the_end_of_an_episode_only(driver):
    trainer = trainer_on(random_world(), separating("monte_carlo"), (3,), driver)
    state = trainer.start()
    for _ in range(100):
        errors = [step.td_error for step in trainer.trace(state, 100)]
        assert np.isnan(errors[:-1]).all()
        assert np.isfinite(errors[-1])


@pytest.mark.parametrize("driver", ["compiled", "live"])
def test_a_long_episode_is_told_whole(driver, monkeypatch):
    """Over several calls of the kernel, with a table and a memory that grow meanwhile; live as well."""
    monkeypatch.setattr(trace, "ROOM", 7)
    monkeypatch.setattr(agent, "SPARSE_CAPACITY", 2)
    model = random_world(max_episode_steps=3_000, p_end=0.0005)
    config = separating("monte_carlo", store="sparse")
    trainer = trainer_on(model, config, (3,), driver)
    state = trainer.start()
    steps = [step for _ in range(3) for step in trainer.trace(state, 10_000)]
    assert len(steps) > 1_100  # more than the first memory holds
    other = trainer_on(model, config, (3,), driver)
    reached, _ = other.advance(other.start(), len(steps))
    assert_same(everything(trainer, state), everything(other, reached))


@pytest.mark.parametrize("driver", ["compiled", "live"])
def test_an_episode_without_end_is_told_as_far_as_is_asked(driver):
    config = separating("sarsa_lambda")
    trainer = trainer_on(ring_world(), config, (3,), driver)
    state = trainer.start()
    assert len(trainer.trace(state, 300)) == 300
    _, plain, _ = train(ring_world(), config, 300, (3,), driver)
    other = trainer_on(ring_world(), config, (3,), driver)
    assert_same(everything(trainer, state), everything(other, plain))
    with pytest.raises(OptionError, match="'state' parameter of trace must stand between two episodes"):
        trainer.trace(state, 10)


def test_a_live_episode_that_was_cut_off_can_be_packed_and_goes_on():
    """Places of generators are counted without the witness that stood in front of the environment."""
    traced, plain = (make_trainer("sarsa", "tiled", "live") for _ in range(2))
    worlds = []
    for trainer in (traced, plain):
        state = trainer.start()
        state.worlds[0].env = Lucky(drifting())
        worlds.append(state)
    traced.trace(worlds[0], 1)
    plain.advance(worlds[1], 1)
    assert worlds[0].worlds[0].running
    assert worlds[0].worlds[0].kept
    assert_same(everything(traced, worlds[0]), everything(plain, worlds[1]))


class Lucky(gymnasium.Wrapper):
    """A wrapper with a generator of its own."""

    def __init__(self, env):
        super().__init__(env)
        self.luck = np.random.default_rng(1)

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward + self.luck.random(), terminated, truncated, info


def test_the_seeds_beside_a_traced_one_stay_where_they_are():
    trainer = trainer_on(random_world(), separating("q_learning"), (3, 4))
    state, _ = trainer.advance(trainer.start(), 0)
    steps = trainer.trace(state, 100, seed=1)
    assert trainer.steps_done(state) == [0, len(steps)]
    alone = trainer_on(random_world(), separating("q_learning"), (4,))
    again = alone.trace(alone.start(), 100)
    assert [step[:5] for step in steps] == [step[:5] for step in again]


def test_a_fault_while_tracing_leaves_the_environment_as_it_was():
    class Falls(Drift):
        def step(self, action):
            raise RuntimeError("fell over")

    trainer = make_trainer("sarsa", "tiled", "live")
    state = trainer.start()
    state.worlds[0].env = env = Falls()
    with pytest.raises(EnvironmentFault, match=r"seed 2, episode 0, step 0.*fell over"):
        trainer.trace(state, 10)
    assert state.worlds[0].env is env
