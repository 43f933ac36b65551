import gymnasium
import numpy as np
import pytest

import qfix
from qfix.errors import EnvironmentFault, OptionError, SpaceError
from qfix.mdp import FiniteMDP
from qfix.tabular import agent as building
from qfix.tabular.agent import Blueprint
from qfix.tabular.monte_carlo import Config as MonteCarloConfig
from qfix.tabular.q_learning import Config
from qfix.tabular.trainer import TabularTrainer


def loop(n_states, n_actions):
    return FiniteMDP.from_function(lambda s, a: [(1.0, 0, 1.0, False)], n_states, n_actions, 0.9)


@pytest.mark.parametrize(("n_states", "n_actions"), [(3, 2), (4, 5), (5, 2)])
@pytest.mark.parametrize("features", [None, np.eye(4)])
def test_a_model_of_other_size_than_the_spaces_is_refused(n_states, n_actions, features):
    spaces = gymnasium.spaces.Discrete(4), gymnasium.spaces.Discrete(2)
    with pytest.raises(SpaceError, match=f"Got {n_states} states and {n_actions} actions beside Discrete"):
        Blueprint(Config(), *spaces, loop(n_states, n_actions), features)


@pytest.mark.parametrize("tilings", [1, 3, 5, 6, 7, 8, 10, 12, 15])
def test_every_dimension_has_as_many_shifts_as_there_are_tilings(tilings):
    box = gymnasium.spaces.Box(0.0, 1.0, (4,))
    blueprint = Blueprint(Config(tilings=tilings, tiles=2), box, gymnasium.spaces.Discrete(2))
    displacement = blueprint.agent(0).store.encoder.displacement
    for step in displacement:
        assert len({int(g * step) % tilings for g in range(tilings)}) == tilings
    if tilings == 8:
        assert displacement.tolist() == [1, 3, 5, 7]


class Scalar(gymnasium.Env):
    """Its observation is one number, without an axis."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, ())
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.float32(0.5), {}

    def step(self, action):
        return np.float32(0.25), 1.0, True, False, {}


def test_a_box_of_one_number_can_be_tiled():
    run = qfix.train(Scalar, "q_learning", total_steps=200)
    assert run.policy().action_values(np.float32(0.5)).max() == pytest.approx(1.0, abs=1e-3)


def test_terminal_states_are_worth_nothing_in_every_table():
    values = [
        qfix.train("qfix/Grid4x3-v0", total_steps=3000, initial=10.0, store=store).q[0]
        for store in ("dense", "sparse")
    ]
    terminal = qfix.train("qfix/Grid4x3-v0", total_steps=1).model.terminal
    assert np.all(values[0][terminal] == 0.0)
    assert np.array_equal(values[0], values[1])


def packed(name, **options):
    env = gymnasium.make(name)
    config = Config(**options)
    trainer = TabularTrainer(config, env, lambda: env, FiniteMDP.from_env(name, config.gamma), (0,))
    return trainer, trainer.pack(trainer.start())


@pytest.mark.parametrize("store", ["dense", "sparse"])
def test_the_state_of_another_run_is_refused(store):
    taxi, own = packed("Taxi-v4", store=store)
    _, other = packed("FrozenLake-v1", store=store)
    with pytest.raises(OptionError, match=r"parameter of unpack must be float64 \(\d+, 6\)"):
        taxi.unpack(other)
    for name in own:
        damaged = dict(own)
        del damaged[name]
        if name != "0.history":
            with pytest.raises(OptionError, match="Got 'none'"):
                taxi.unpack(damaged)
    taxi.unpack(own)


def test_monte_carlo_says_when_an_episode_does_not_end(monkeypatch):
    monkeypatch.setattr(building, "LONGEST_HISTORY", 4096)
    model = loop(4, 2)
    env = gymnasium.make("qfix/ProbeLoop-v0")
    trainer = TabularTrainer(MonteCarloConfig(), _Sized(env, 4, 2), lambda: env, model, (3,))
    state = trainer.start()
    with pytest.raises(
        EnvironmentFault, match=r"seed 3, episode 0, step \d+.*has not ended after 4,096 steps"
    ):
        trainer.advance(state, 10_000)
    assert trainer.action_values(state).shape == (4, 2)


class _Sized(gymnasium.Wrapper):
    """The same environment with other spaces."""

    def __init__(self, env, n_states, n_actions):
        super().__init__(env)
        self.observation_space = gymnasium.spaces.Discrete(n_states)
        self.action_space = gymnasium.spaces.Discrete(n_actions)
