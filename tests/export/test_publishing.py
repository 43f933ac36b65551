"""What is written, what is refused, and that nothing is left behind where it is."""

import sys

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import qfix
from export.running import answers, network_policy, opened
from qfix import OptionError
from qfix.errors import FolderError
from qfix.export import agreement, network, to_onnx, to_weights
from qfix.export.agreement import bounded, sampled

BOX = spaces.Box(-np.inf, np.inf, (4,), np.float32)


# What a model says of itself


def test_a_model_says_what_it_is(tmp_path):
    run = qfix.train("CliffWalking-v1", total_steps=2_000, seeds=[3, 8])
    assert to_onnx(run, tmp_path / "cliff.onnx", seed=8) == tmp_path / "cliff.onnx"
    assert opened(tmp_path / "cliff.onnx").get_modelmeta().custom_metadata_map == {
        "qfix_version": qfix.__version__,
        "policy": "TablePolicy(Discrete(48), 4 actions)",
        "environment": "CliffWalking-v1",
        "algorithm": "q_learning",
        "digest": run.spec.digest,
        "seed": "8",
        "step": "2000",
        "observation_space": "Discrete(48)",
        "action_space": "4 actions, numbered from 0 to 3",
    }


def test_the_same_policy_gives_the_same_file(tmp_path):
    for ending, write in (("onnx", to_onnx), ("npz", to_weights), ("safetensors", to_weights)):
        one, two = (write(network_policy(BOX), tmp_path / f"{name}.{ending}").read_bytes() for name in "ab")
        assert one == two


# Agreement


def test_a_model_that_does_something_else_is_not_published(tmp_path, monkeypatch):
    """Here its observations are cut too early."""
    from qfix.deep.normaliser import no_moments, updated_moments

    rng = np.random.default_rng(1)
    policy = network_policy(
        BOX, moments=updated_moments(np, no_moments(4), rng.normal(7.0, 3.0, (50, 4)).astype("f4"))
    )
    monkeypatch.setattr(network, "LARGEST", np.float32(9.0))
    with pytest.raises(FolderError, match=r"policy.onnx was not written: .* differ"):
        to_onnx(policy, tmp_path / "policy.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("change", "fits"), [(5e-5, True), (3e-4, False)])
def test_values_agree_to_a_ten_thousandth(change, fits, tmp_path, monkeypatch):
    policy = network_policy(BOX)
    weight, bias = network.folded_head(policy)
    monkeypatch.setattr(network, "folded_head", lambda _: (weight, bias + np.float32(change)))
    monkeypatch.setattr(agreement, "_NEAR", 0.1)  # all values below 1
    if fits:
        to_onnx(policy, tmp_path / "policy.onnx")
    else:
        with pytest.raises(
            FolderError, match=r"by up to 0.0003 of the largest, where 0.0001 is allowed, and 0 of"
        ):
            to_onnx(policy, tmp_path / "policy.onnx")


def test_other_actions_are_no_agreement(tmp_path, monkeypatch):
    policy = network_policy(BOX)
    monkeypatch.setattr(type(policy), "predict", lambda self, obs: np.zeros(len(obs), np.int64))
    with pytest.raises(FolderError, match=r"of 64 actions differ"):
        to_onnx(policy, tmp_path / "policy.onnx")


def test_a_policy_that_has_diverged_is_refused(tmp_path):
    policy = network_policy(BOX)
    params = policy.network.layout.joined(np, policy.weights).copy()
    params[3] = np.nan
    diverged = type(policy)(policy.network, params, policy.moments, BOX, spaces.Discrete(3))
    with pytest.raises(
        FolderError, match=r"not finite, as after a training that diverged.*earlier checkpoint"
    ):
        to_onnx(diverged, tmp_path / "policy.onnx")


def test_observations_to_compare_on_are_bounded_and_of_the_space():
    most = np.finfo(np.float32).max
    ends = np.array(
        [[-np.inf, np.inf], [5.0, np.inf], [-most, -2e6], [-0.5, 0.25], [-most, most]], np.float32
    )
    space = spaces.Dict(a=spaces.Box(ends[:, 0], ends[:, 1]), b=spaces.Tuple([spaces.Discrete(3, start=9)]))
    drawn = np.array([one["a"] for one in sampled(space)])
    assert all(one in space for one in sampled(space))
    assert np.array_equal(drawn, [one["a"] for one in sampled(space)])
    assert [float(drawn[:, d].max() - drawn[:, d].min()) > 0.5 for d in range(5)] == [True] * 5
    assert np.abs(drawn[:, [0, 4]]).max() <= 10.0
    assert (drawn[:, 1].min() >= 5.0, drawn[:, 1].max() <= 15.0) == (True, True)
    assert space["b"][0].sample() in space["b"][0]
    assert bounded(spaces.Box(0, 255, (3,), np.uint8)) == spaces.Box(0, 255, (3,), np.uint8)


def test_a_run_is_compared_where_its_policy_leads_too(monkeypatch):
    run = qfix.train("CliffWalking-v1", total_steps=5_000)
    from qfix.export.source import source_of

    found = source_of("to_onnx", run, None)
    met = agreement.played(found)
    assert len(met) == agreement.N_PLAYED
    assert met[0] == 36  # where the walk begins
    resets = []
    monkeypatch.setattr(type(run.env), "reset", lambda *_, **more: (resets.append(more["seed"]) or 36, {}))
    assert (len(agreement.played(found)), len(resets)) == (agreement.N_PLAYED, len(set(resets)))
    monkeypatch.setattr(type(run.env), "step", lambda *_: 1 / 0)
    assert agreement.played(found) == [36]


class Gate(gymnasium.Env):
    """One action of three is allowed at each place; the others are an error."""

    observation_space = spaces.Discrete(6)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = int(self.np_random.integers(6))
        return self.at, {"action_mask": np.arange(3) == self.at % 3}

    def step(self, action):
        assert action == self.at % 3
        self.at = (self.at + 2) % 6
        return self.at, 1.0, False, False, {"action_mask": np.arange(3) == self.at % 3}


def test_what_is_forbidden_ends_no_comparison():
    run = qfix.train(Gate, "dqn", total_steps=50, hidden=(4,), learning_starts=10, eval_episodes=0)
    from qfix.export.source import source_of

    assert len(agreement.played(source_of("to_onnx", run, None))) == agreement.N_PLAYED


# Weights


def test_an_mlp_is_ten_lines_of_numpy(tmp_path):
    policy = network_policy(BOX, spaces.Discrete(3, start=2), hidden=(16, 8))
    to_weights(policy, tmp_path / "policy.npz")
    observations = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)

    w = np.load(tmp_path / "policy.npz")
    x = observations
    for i in range(2):
        x = np.maximum(x @ w[f"torso.{i}.weight"] + w[f"torso.{i}.bias"], 0.0)
    q = x @ w["head.weight"] + w["head.bias"]
    actions = q.argmax(axis=1) + w["first_action"]

    assert np.array_equal(q, policy.action_values(observations))
    assert np.array_equal(actions, policy.predict(observations))


def test_both_kinds_of_files_hold_the_same_arrays(tmp_path):
    from safetensors.numpy import load_file

    policy = network_policy(BOX, noisy=True, dueling=True, distribution="c51", atoms=7, support=(-2.0, 4.0))
    to_weights(policy, tmp_path / "a.npz")
    to_weights(policy, tmp_path / "a.safetensors")
    plain, tensors = dict(np.load(tmp_path / "a.npz")), load_file(tmp_path / "a.safetensors")
    assert plain.keys() == tensors.keys() == {*policy.weights, "support", "first_action"}
    for name, array in tensors.items():
        assert array.dtype == plain[name].dtype
        assert np.array_equal(array, plain[name])
    assert plain["support"].tolist() == [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0]


def test_what_normalises_goes_with_the_weights(tmp_path):
    from qfix.deep.normaliser import no_moments, updated_moments

    given = np.array([[1.0, 0.0, 4.0, 2.0], [3.0, 0.0, 8.0, 3.0]], np.float32)
    policy = network_policy(
        BOX, moments=updated_moments(np, no_moments(4), given), distribution="iqn", atoms=4
    )
    w = np.load(to_weights(policy, tmp_path / "a.npz"))
    assert w["normaliser.mean"].tolist() == [2.0, 0.0, 6.0, 2.5]
    assert w["normaliser.deviation"] == pytest.approx([1.0, 1e-4, 2.0, 0.5])
    assert w["levels"].tolist() == [0.125, 0.375, 0.625, 0.875]


# Mistakes


@pytest.mark.parametrize(
    ("write", "name", "message"),
    [
        (
            to_onnx,
            "policy.pt",
            r"The 'path' parameter of to_onnx must end in .onnx. Got .*Use path='policy.onnx'",
        ),
        (to_weights, "policy.onnx", r"must end in .npz or .safetensors"),
        (to_onnx, "nowhere/policy.onnx", "must be a file in a folder that exists"),
        (to_weights, "nowhere/policy.npz", "must be a file in a folder that exists"),
    ],
)
def test_a_name_that_will_not_do(write, name, message, tmp_path):
    with pytest.raises(OptionError, match=message):
        write(network_policy(BOX), tmp_path / name)


@pytest.mark.parametrize(("write", "name"), [(to_onnx, "policy.onnx"), (to_weights, "policy.npz")])
def test_a_file_is_replaced_only_if_asked(write, name, tmp_path):
    path = tmp_path / name
    path.write_text("dear to me")
    with pytest.raises(OptionError, match=r"is there already. Choose another name, or use force=True"):
        write(network_policy(BOX), path)
    assert path.read_text() == "dear to me"
    write(network_policy(BOX), path, force=True)
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_package_that_is_missing_is_named(package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(OptionError, match=rf"{package} is not installed.*pip install 'qfix\[onnx\]'"):
        to_onnx(network_policy(BOX), tmp_path / "policy.onnx")
    to_weights(network_policy(BOX), tmp_path / "policy.npz")


def test_only_greedy_policies_are_exported(tmp_path):
    run = qfix.train("FrozenLake-v1", total_steps=100)
    with pytest.raises(
        OptionError, match=r"'source' parameter of to_onnx must be a run or its greedy policy"
    ):
        to_onnx(run.policy(exploratory=True), tmp_path / "policy.onnx")
    with pytest.raises(OptionError, match=r"'seed' parameter of to_weights goes with a run"):
        to_weights(run.policy(), tmp_path / "policy.npz", seed=0)
    with pytest.raises(OptionError, match=r"'seed' parameter of Run must be one of"):
        to_onnx(run, tmp_path / "policy.onnx", seed=7)


def test_a_policy_that_fits_into_no_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("qfix.export.graph._LARGEST_BYTES", 100)
    with pytest.raises(OptionError, match=r"An ONNX file holds 2 GiB at most"):
        to_onnx(network_policy(BOX), tmp_path / "policy.onnx")


def test_a_batch_may_have_any_length(tmp_path):
    to_onnx(network_policy(BOX), tmp_path / "policy.onnx")
    for length in (1, 3, 1_000):
        assert answers(tmp_path / "policy.onnx", np.zeros((length, 4), np.float32))[0].shape == (length, 3)
