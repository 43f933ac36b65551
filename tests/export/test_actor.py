"""Policies that were learned directly as ONNX models: what a runtime computes is what `outputs` and `predict` give."""

import numpy as np
import pytest
from gymnasium import spaces

import qfix
from export.running import opened
from qfix.deep.actor_policy import ActorPolicy
from qfix.deep.distributions import actions_of
from qfix.deep.normaliser import no_moments, updated_moments
from qfix.deep.observations import codec_for
from qfix.deep.policy_network import PolicyNetwork
from qfix.errors import FolderError
from qfix.export import to_onnx, to_weights
from qfix.export.agreement import require_agreement
from qfix.export.onnx_file import model_of
from qfix.export.source import source_of

BOX = spaces.Box(-np.inf, np.inf, (6,), np.float32)
BOUNDS = np.array([-2.0, 0.0, -0.5]), np.array([3.0, 0.2, 0.5])
ACTIONS = {
    "discrete": (spaces.Discrete(4, start=-1), {}),
    "multi-discrete": (spaces.MultiDiscrete([3, 4, 2], start=[1, -2, 0]), {}),
    "multi-binary": (spaces.MultiBinary((2, 3)), {}),
    "box": (spaces.Box(*BOUNDS, dtype=np.float64), {}),
    "matrix": (spaces.Box(-1.0, 1.0, (2, 3), np.float32), {"deviation": "state", "log_std": -0.4}),
    "squashed": (spaces.Box(*map(np.float32, BOUNDS)), {"squashed": True}),
    "unbounded": (spaces.Box(-np.inf, np.inf, (2,), np.float32), {}),
    "half bounded": (spaces.Box(np.float32([0.0, -np.inf]), np.float32([np.inf, 0.3])), {}),
    "whole": (spaces.Box(-9, 9, (2,), np.int32), {}),
}


def actor(space, actions, moments=None, squashed=False, **options):
    """A policy whose every weight is drawn."""
    options = {"hidden": (16, 8)} | options
    network = PolicyNetwork(codec_for(space).input, actions_of("ppo", actions, squashed), **options)
    rng = np.random.default_rng(5)
    params = network.layout.start(rng.uniform(-1.0, 1.0, network.layout.size).astype(np.float32))
    params += rng.normal(0.0, 0.3, network.layout.size).astype(np.float32)
    return ActorPolicy(network, params, no_moments(0) if moments is None else moments, space)


def check(policy, space, path):
    to_onnx(policy, path)
    space.seed(1234)
    observations = np.array([space.sample() for _ in range(9)])
    outputs, actions = opened(path).run(["outputs", "action"], {"observation": observations})
    wanted = policy.predict(observations)
    np.testing.assert_allclose(outputs, policy.outputs(observations), rtol=1e-4, atol=2e-5)
    assert actions.dtype == wanted.dtype
    assert actions.shape == wanted.shape == (9, *policy.actions.space.shape)
    np.testing.assert_allclose(actions, wanted, rtol=1e-4, atol=2e-5)
    assert len(np.unique(wanted)) > 1 or np.issubdtype(wanted.dtype, np.integer)
    assert outputs.std(axis=0).max() > 0.01  # else any observation would do
    assert all(policy.actions.space.contains(one) for one in actions)


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize("layer_norm", [False, True])
def test_actions_of_every_kind(name, layer_norm, tmp_path):
    actions, options = ACTIONS[name]
    check(actor(BOX, actions, normalised=layer_norm, **options), BOX, tmp_path / "policy.onnx")


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize(
    "space", [spaces.Discrete(5, start=3), spaces.Box(0, 200, (9, 11, 3), np.uint8)], ids=["number", "image"]
)
def test_observations_of_other_kinds(space, activation, shared, tmp_path):
    policy = actor(space, ACTIONS["discrete"][0], activation=activation, shared=shared)
    check(policy, space, tmp_path / "policy.onnx")


def test_normalised_observations_and_arrays_by_name(tmp_path):
    moments = updated_moments(
        np, no_moments(6), np.random.default_rng(0).normal(3.0, 2.0, (50, 6)).astype(np.float32)
    )
    policy = actor(BOX, ACTIONS["box"][0], moments)
    check(policy, BOX, tmp_path / "policy.onnx")
    found = np.load(to_weights(policy, tmp_path / "policy.npz"))
    np.testing.assert_allclose(found["action.high"], BOUNDS[1], rtol=1e-6)
    x = np.random.default_rng(1).normal(size=6).astype(np.float32)
    h = (x - found["normaliser.mean"]) / found["normaliser.deviation"]
    for i in range(2):
        h = np.tanh(h @ found[f"torso.{i}.weight"] + found[f"torso.{i}.bias"])
    mean = h @ found["head.weight"] + found["head.bias"]
    action = np.clip(
        found["action.centre"] + found["action.half"] * mean, found["action.low"], found["action.high"]
    )
    np.testing.assert_allclose(policy.predict(x), action, atol=1e-5)
    np.testing.assert_allclose(policy.outputs(x)[3:], found["log_std"])


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", ["discrete", "squashed"])
def test_a_recurrent_policy_takes_its_state_and_gives_it_back(name, shared, tmp_path):
    """Step by step through an episode, against what the policy remembers; the critic's own memory stays behind."""
    actions, options = ACTIONS[name]
    policy = actor(BOX, actions, gru=7, shared=shared, normalised=shared, **options)
    to_onnx(policy, tmp_path / "policy.onnx")
    assert not policy.memory.any()
    session, state = opened(tmp_path / "policy.onnx"), np.zeros((1, 7), np.float32)
    BOX.seed(3)
    for obs in (np.clip(BOX.sample(), -2, 2) for _ in range(5)):
        wanted = policy.outputs(obs)
        given = {"observation": obs[None], "state": state}
        outputs, action, state = session.run(["outputs", "action", "state_after"], given)
        np.testing.assert_allclose(outputs[0], wanted, atol=2e-5)
        np.testing.assert_allclose(action[0], policy.predict(obs), atol=2e-5)
        np.testing.assert_allclose(state[0], policy.memory[:7], atol=1e-6)
    assert np.abs(state).max() > 0.05
    assert policy.memory.shape == ((7,) if shared else (14,))
    found = np.load(to_weights(policy, tmp_path / "policy.npz"))
    assert found["gru.state.weight"].shape == (7, 21)
    assert ("critic.gru.state.weight" in found) != shared


@pytest.mark.parametrize("name", ["discrete", "multi-discrete", "squashed"])
def test_a_model_of_another_policy_is_not_published(name, tmp_path):
    actions, options = ACTIONS[name]
    source = source_of("to_onnx", actor(BOX, actions, **options), None)
    other = source_of("to_onnx", actor(BOX, actions, activation="relu", **options), None)
    assert require_agreement(model_of(source), source, tmp_path / "a.onnx") > 60
    with pytest.raises(FolderError, match="was not written"):
        require_agreement(model_of(other), source, tmp_path / "a.onnx")


def test_a_run_is_exported(tmp_path):
    run = qfix.train(
        "Pendulum-v1", "ppo", total_steps=1_100, hidden=8, normalize_observations=True, progress=False
    )
    path = to_onnx(run, tmp_path / "policy.onnx")
    (action,) = opened(path).run(["action"], {"observation": np.float32([[1.0, 0.0, 0.5]])})
    np.testing.assert_allclose(action[0], run.policy().predict(np.float32([1.0, 0.0, 0.5])), atol=1e-4)
