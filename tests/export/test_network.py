"""Networks as ONNX models: what a runtime computes is what `action_values` and `predict` give."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from export.running import answers, network_policy, opened
from qfix.deep.normaliser import no_moments, updated_moments
from qfix.deep.observations import codec_for
from qfix.export import to_onnx
from qfix.export.agreement import bounded

BOX = spaces.Box(-np.inf, np.inf, (6,), np.float32)
HEADS = {
    "values": {},
    "c51": {"distribution": "c51", "atoms": 7, "support": (-3.0, 11.0)},
    "qr": {"distribution": "qr", "atoms": 7},
    "iqn": {"distribution": "iqn", "atoms": 7},
}
SMALL = (9, 11, 3)
SPACES = {
    "discrete": spaces.Discrete(5),
    "discrete from 3": spaces.Discrete(5, start=3),
    "multi-discrete": spaces.MultiDiscrete([3, 4], start=[1, -2]),
    "multi-binary": spaces.MultiBinary((2, 3)),
    "number": spaces.Box(-1.0, 1.0, (), np.float64),
    "double": spaces.Box(-1.0, 1.0, (2, 2), np.float64),
    "half": spaces.Box(-1.0, 1.0, (3,), np.float16),
    "whole": spaces.Box(-9, 9, (3,), np.int32),
    "bytes": spaces.Box(0, 255, (4, 3), np.uint8),
}


def sampled(space, count=9):
    """Observations that the export itself has not looked at."""
    space.seed(1234)
    return [space.sample() for _ in range(count)]


def check(policy, space, path):
    """The model gives the values of the policy, at a batch and at one observation; returns the actions."""
    to_onnx(policy, path)
    observations = np.array(sampled(space))
    values, actions = answers(path, observations)
    wanted = policy.action_values(observations)
    assert (values.dtype, actions.dtype, values.shape) == (np.float32, np.int64, wanted.shape)
    assert np.abs(values - wanted).max() < 2e-5 * max(1.0, np.abs(wanted).max())
    assert np.array_equal(actions, policy.predict(observations))
    assert len(set(np.ravel(wanted).tolist())) > wanted.shape[1]  # else anything would do
    alone, _ = answers(path, observations[:1])
    assert np.allclose(alone, values[:1], atol=1e-5)
    return actions


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_heads(head, dueling, layer_norm, tmp_path):
    policy = network_policy(BOX, dueling=dueling, normalised=layer_norm, **HEADS[head])
    check(policy, BOX, tmp_path / "policy.onnx")


@pytest.mark.parametrize("head", HEADS)
def test_a_noisy_network_acts_without_its_noise(head, tmp_path):
    policy = network_policy(BOX, noisy=True, dueling=True, **HEADS[head])
    assert any(np.abs(w).max() > 0.1 for name, w in policy.weights.items() if "noise" in name)
    check(policy, BOX, tmp_path / "policy.onnx")


@pytest.mark.parametrize("network", ["mlp", "minatar", "impala"])
@pytest.mark.parametrize("shape", [SMALL, SMALL[2:] + SMALL[:2]], ids=["channels last", "channels first"])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_images_in_both_orders_of_channels(network, shape, layer_norm, tmp_path):
    space = spaces.Box(0, 200, shape, np.uint8)
    policy = network_policy(space, network=network, normalised=layer_norm)
    assert policy.network.given.channels_first == (shape != SMALL)
    check(policy, space, tmp_path / "policy.onnx")


@pytest.mark.parametrize("shape", [(44, 36, 4), (4, 44, 36)], ids=["channels last", "channels first"])
def test_the_network_of_nature(shape, tmp_path):
    space = spaces.Box(0, 255, shape, np.uint8)
    policy = network_policy(space, network="nature", normalised=True, dueling=True, **HEADS["c51"])
    check(policy, space, tmp_path / "policy.onnx")


@pytest.mark.parametrize("name", SPACES)
def test_observations_go_in_as_the_environment_gives_them(name, tmp_path):
    space = SPACES[name]
    check(network_policy(space), space, tmp_path / "policy.onnx")
    (taken,) = opened(tmp_path / "policy.onnx").get_inputs()
    kinds = {"float32": "float", "float64": "double", "float16": "float16"}
    assert taken.name == "observation"
    assert taken.type == f"tensor({kinds.get(str(space.dtype), space.dtype)})"
    assert taken.shape == ["batch", *space.shape]


@pytest.mark.parametrize("start", [-1, 0, 7])
def test_actions_are_numbered_as_the_environment_has_them(start, tmp_path):
    actions = spaces.Discrete(4, start=start)
    chosen = check(network_policy(BOX, actions), BOX, tmp_path / "policy.onnx")
    assert all(action in actions for action in chosen)


def test_observations_are_normalised_and_cut(tmp_path):
    rng = np.random.default_rng(3)
    spread = [1, 2, 40, 0.003, 0, 9]
    given = rng.normal([0, 5, -900, 0.01, 3, 2], spread, (50, 6)).astype(np.float32)
    moments = updated_moments(np, no_moments(6), given)
    policy = network_policy(BOX, moments=moments)
    to_onnx(policy, tmp_path / "policy.onnx")
    near = moments.mean + rng.normal(0.0, 1.0, (20, 6)) * spread
    far = moments.mean + rng.normal(0.0, 1e4, (20, 6))  # beyond ten standard deviations
    for observations in (near.astype(np.float32), far.astype(np.float32)):
        values, _ = answers(tmp_path / "policy.onnx", observations)
        assert np.allclose(values, policy.action_values(observations), atol=1e-4)


def test_moments_of_nothing_change_nothing(tmp_path):
    check(network_policy(BOX, moments=no_moments(6)), BOX, tmp_path / "policy.onnx")


@pytest.mark.parametrize(
    "space",
    [
        spaces.Dict(speed=BOX, gear=spaces.Discrete(3, start=2), lights=spaces.MultiBinary(2)),
        spaces.Tuple([spaces.Discrete(3), spaces.Tuple([BOX, spaces.MultiDiscrete([2, 2])])]),
    ],
    ids=["dict", "tuple"],
)
def test_a_compound_is_the_vector_that_qfix_flattens_it_to(space, tmp_path):
    policy = network_policy(space)
    to_onnx(policy, tmp_path / "policy.onnx")
    observations = sampled(space)
    flat = np.array([codec_for(space).encode(one) for one in observations])
    values, actions = answers(tmp_path / "policy.onnx", flat)
    assert np.allclose(values, policy.action_values(observations), atol=1e-5)
    assert np.array_equal(actions, policy.predict(observations))


@pytest.mark.parametrize("network", ["auto", "mlp", "impala"])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_images_among_other_parts(network, layer_norm, tmp_path):
    first = spaces.Box(0, 255, (4, 40, 36), np.uint8)
    space = spaces.Dict(a=spaces.Discrete(3), first=first, last=spaces.Box(0, 9, SMALL, np.uint8), speed=BOX)
    policy = network_policy(space, network=network, normalised=layer_norm)
    to_onnx(policy, tmp_path / "policy.onnx")
    observations = sampled(bounded(space))
    flat = np.array([codec_for(space).encode(one) for one in observations])
    values, actions = answers(tmp_path / "policy.onnx", flat)
    assert np.abs(values - policy.action_values(observations)).max() < 1e-4
    assert np.array_equal(actions, policy.predict(observations))
    assert np.ptp(values, axis=0).min() > 0.01


def by_hand(network_options, **arrays):
    """A policy on two numbers, without a hidden layer, whose weights are given."""
    space = spaces.Box(-9.0, 9.0, (2,), np.float32)
    policy = network_policy(space, gymnasium.spaces.Discrete(2, start=5), hidden=(), **network_options)
    vector = policy.network.layout.joined(np, {name: np.array(a, np.float32) for name, a in arrays.items()})
    return type(policy)(policy.network, vector, policy.moments, space, gymnasium.spaces.Discrete(2, start=5))


def test_values_worked_out_by_hand(tmp_path):
    weights = {"head.weight": [[1.0, -2.0], [3.0, 0.5]], "head.bias": [0.25, 4.0]}
    observation = np.array([[2.0, -1.0]], np.float32)
    to_onnx(by_hand({}, **weights), tmp_path / "values.onnx")
    values, actions = answers(tmp_path / "values.onnx", observation)
    assert values.tolist() == [[-0.75, -0.5]]  # 2 - 3 + 1/4, -4 - 1/2 + 4
    assert actions.tolist() == [6]
    state = {"value.weight": [[10.0], [0.0]], "value.bias": [-1.0]}
    to_onnx(by_hand({"dueling": True}, **weights, **state), tmp_path / "dueling.onnx")
    values, _ = answers(tmp_path / "dueling.onnx", observation)
    assert values.tolist() == [[18.875, 19.125]]  # 20 - 1, and advantages around their mean -0.625


def test_the_first_of_the_best_actions_is_taken(tmp_path):
    policy = by_hand({}, **{"head.weight": np.zeros((2, 2)), "head.bias": [1.5, 1.5]})
    to_onnx(policy, tmp_path / "policy.onnx")
    assert answers(tmp_path / "policy.onnx", np.ones((3, 2), np.float32))[1].tolist() == [5, 5, 5]


def test_a_recurrent_network_takes_its_state_and_gives_it_back(tmp_path):
    """Step by step through an episode, against what the policy remembers."""
    policy = network_policy(BOX, gru=6, dueling=True)
    to_onnx(policy, tmp_path / "policy.onnx")
    session, state = opened(tmp_path / "policy.onnx"), np.zeros((1, 6), np.float32)
    outputs = ["action_values", "action", "state_after"]
    for obs in sampled(BOX, 5):
        values = policy.action_values(obs)
        found, action, state = session.run(outputs, {"observation": obs[None], "state": state})
        np.testing.assert_allclose(found[0], values, atol=1e-5)
        assert action[0] == policy.predict(obs)
        np.testing.assert_allclose(state[0], policy.memory, atol=1e-6)
    assert np.abs(state).max() > 0.05
