"""Tables as ONNX models."""

import numpy as np
import pytest
from gymnasium import spaces

import qfix
from export.running import answers
from qfix.envs.spaces import discrete_codec
from qfix.errors import SpaceError
from qfix.export import table, to_onnx, to_weights
from qfix.tabular.policy import TablePolicy


@pytest.fixture(scope="module")
def lake():
    return qfix.train("FrozenLake-v1", total_steps=3_000, seeds=[4, 9])


def test_a_table_is_looked_up(lake, tmp_path):
    to_onnx(lake, tmp_path / "lake.onnx", seed=9)
    values, actions = answers(tmp_path / "lake.onnx", np.arange(16))
    assert values.dtype == np.float64
    assert np.array_equal(values, lake.q[1])
    assert np.array_equal(actions, lake.policy(9).predict(np.arange(16)))
    assert not np.array_equal(lake.q[0], lake.q[1])


@pytest.mark.parametrize("state", [-1, 16])
def test_a_state_that_is_none_is_an_error_of_the_runtime(lake, tmp_path, state):
    to_onnx(lake, tmp_path / "lake.onnx")
    with pytest.raises(Exception, match=r"out of data bounds"):
        answers(tmp_path / "lake.onnx", np.array([3, state]))


def test_a_tuple_of_numbers_is_these_numbers(tmp_path):
    run = qfix.train("Blackjack-v1", total_steps=3_000)
    to_onnx(run, tmp_path / "dealer.onnx")
    hands = [(12, 3, 0), (21, 10, 1), (4, 1, 0), (18, 9, 1)]
    values, actions = answers(tmp_path / "dealer.onnx", np.array(hands))
    assert np.array_equal(values, run.policy().action_values(hands))
    assert np.array_equal(actions, run.policy().predict(hands))
    with pytest.raises(Exception, match=r"out of data bounds"):
        answers(tmp_path / "dealer.onnx", np.array([(12, 11, 0)]))  # not the row of (13, 0, 0)
    to_weights(run, tmp_path / "dealer.npz")
    assert np.array_equal(np.load(tmp_path / "dealer.npz")["q"][(12 * 11 + 3) * 2 + 0], values[0])


def a_table(space, first_action=0):
    codec = discrete_codec(space)
    weights = np.random.default_rng(2).normal(size=(codec.n_states, 3))
    return TablePolicy(weights, lambda x: weights[codec.encode(x)], space, first_action), weights, codec


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(7, start=-3),
        spaces.MultiDiscrete([[2, 3], [4, 2]], start=[[0, 5], [-1, 1]]),
        spaces.MultiBinary(4),
        spaces.Dict(a=spaces.Discrete(3, start=1), b=spaces.Tuple([spaces.MultiDiscrete([2, 2])])),
    ],
    ids=lambda space: type(space).__name__,
)
def test_every_observation_of_a_numbered_space_finds_its_row(space, tmp_path):
    policy, weights, codec = a_table(space, first_action=2)
    to_onnx(policy, tmp_path / "table.onnx")
    everything = [codec.decode(key) for key in range(codec.n_states)]
    values, actions = answers(tmp_path / "table.onnx", table.as_input(space, everything))
    assert np.array_equal(values, weights)
    assert np.array_equal(actions, weights.argmax(axis=1) + 2)


def test_tiles_are_refused_with_a_remedy(tmp_path):
    """What the policy of a tiled store is: its weights are rows of tiles, not of observations."""
    policy = TablePolicy(np.zeros((64, 3)), lambda x: np.zeros(3), spaces.Box(-1.0, 1.0, (2,)))
    for write, name in ((to_onnx, "car.onnx"), (to_weights, "car.npz")):
        with pytest.raises(SpaceError, match=r"where observations are numbered.*qfix train ENV dqn"):
            write(policy, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_table_too_large_to_be_listed_is_refused(tmp_path):
    space = spaces.MultiDiscrete([1_000, 1_000, 2])
    policy = TablePolicy(np.zeros((1, 2)), lambda x: np.zeros(2), space)
    with pytest.raises(SpaceError, match=r"1,000,000 observations at most.*has 2,000,000"):
        to_onnx(policy, tmp_path / "table.onnx")
