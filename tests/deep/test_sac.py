"""Soft actor-critic: a gradient step against PyTorch, which loss reaches which weights, and worlds that it solves."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from deep.running import trainer_of
from deep.steered import GOAL, steered
from qfix.assembly import make_config
from qfix.deep import sac
from qfix.deep.learner import Rates, Setup
from qfix.deep.observations import Input
from qfix.errors import OptionError, SpaceError
from qfix.export import to_onnx
from qfix.replay.batch import Batch

D, K, H, B = 4, 2, 6, 7
GIVEN = Input("vector", (D,), np.dtype(np.float32))
SPACE = gymnasium.spaces.Box(np.float32([-2, -1]), np.float32([2, 3]))
RATES = Rates(jnp.float32(0), jnp.float32(0.01), jnp.float32(1))
KEY = jax.random.key(2)


def setup_of(**options):
    config = make_config("sac", {"hidden": (H,), "gamma": 0.9, "tau": 0.1} | options)
    return Setup(config, config.network_for(GIVEN, SPACE))


def batch_of(rng):
    flat = {
        "obs": rng.normal(size=(B, D)),
        "action": rng.normal(size=(B, K)),
        "reward": rng.normal(size=B),
        "discount": np.where(rng.random(B) < 0.3, 0.0, 0.9),
        "next_obs": rng.normal(size=(B, D)),
    }
    return Batch(**{k: jnp.asarray(v, jnp.float32) for k, v in flat.items()}, mask_next=None)


def as_torch(setup, vector, grad=False):
    arrays = setup.network.layout.split(np.asarray(vector).copy())
    return {k: torch.tensor(v).requires_grad_(grad) for k, v in arrays.items()}


def layers(w, x, prefix, head):
    x = torch.relu(x @ w[f"{prefix}torso.0.weight"] + w[f"{prefix}torso.0.bias"])
    return x @ w[f"{prefix}{head}.weight"] + w[f"{prefix}{head}.bias"]


def drawn(w, obs, normal):
    """As the paper has it: a = tanh u, log π(a) = log N(u) - Σ log(1 - a²)."""
    out = layers(w, obs, "", "head")
    made = torch.distributions.Normal(out[:, :K], out[:, K:].clamp(-20, 2).exp())
    u = made.mean + made.stddev * normal
    return u, (made.log_prob(u) - torch.log(1 - torch.tanh(u) ** 2)).sum(-1)


def values(w, obs, u):
    x = torch.cat([obs, torch.tanh(u)], -1)
    return torch.stack([layers(w, x, prefix, "value")[:, 0] for prefix in ("q1.", "q2.")])


def normals():
    return [torch.tensor(np.array(jax.random.normal(key, (B, K)))) for key in jax.random.split(KEY)]


@pytest.mark.parametrize("target_entropy", [None, -0.7])
def test_a_gradient_step_is_that_of_three_losses_in_pytorch(target_entropy):
    setup = setup_of(temperature=0.3, target_entropy=target_entropy)
    rng = np.random.default_rng(0)
    learner = jax.jit(lambda key: sac.init(setup, key))(KEY)
    other = learner.params + 0.2 * rng.normal(size=learner.params.size).astype(np.float32)
    learner = learner._replace(target=other)
    batch = batch_of(rng)
    after, report = jax.jit(lambda b: sac.update(setup, learner, b, jnp.ones(B), RATES, KEY))(batch)

    w, target = as_torch(setup, learner.params, True), as_torch(setup, learner.target)
    obs, action, reward, discount, obs_next = (torch.tensor(np.array(x)) for x in batch[:5])
    alpha = w["log_temperature"].exp().detach()[0]
    assert alpha.item() == pytest.approx(0.3)
    with torch.no_grad():
        u_next, log_next = drawn(w, obs_next, normals()[0])
        y = reward + discount * (values(target, obs_next, u_next).min(0).values - alpha * log_next)
    q = values(w, obs, action)
    value_loss = (((y - q) ** 2) / 2).mean(-1).sum()
    u, log_prob = drawn(w, obs, normals()[1])
    frozen = {k: v.detach() for k, v in w.items()}
    policy_loss = (alpha * log_prob - values(frozen, obs, u).min(0).values).mean()
    wanted = -K if target_entropy is None else target_entropy
    temperature_loss = -(w["log_temperature"] * (log_prob.detach() + wanted)).mean()
    optimiser = torch.optim.Adam(w.values(), lr=0.01)
    (value_loss + policy_loss + temperature_loss).backward()
    norm = torch.sqrt(sum((p.grad**2).sum() for p in w.values()))
    optimiser.step()

    np.testing.assert_allclose(report.value_loss, value_loss.item(), rtol=1e-5)
    np.testing.assert_allclose(report.policy_loss, policy_loss.item(), rtol=1e-5)
    np.testing.assert_allclose(report.entropy, -log_prob.mean().item(), rtol=1e-5)
    np.testing.assert_allclose(report.td_error, (y - q).abs().mean().item(), rtol=1e-5)
    np.testing.assert_allclose(report.grad_norm, norm.item(), rtol=1e-4)
    joined = np.concatenate([a.detach().numpy().ravel() for a in w.values()])
    np.testing.assert_allclose(after.params, joined, atol=2e-5)
    np.testing.assert_allclose(after.target, 0.9 * np.asarray(other) + 0.1 * joined, atol=2e-5)


def test_a_temperature_that_is_not_learned_stays():
    setup = setup_of(temperature=0.3, learn_temperature=False)
    learner = jax.jit(lambda key: sac.init(setup, key))(KEY)
    after, report = sac.update(setup, learner, batch_of(np.random.default_rng(0)), jnp.ones(B), RATES, KEY)
    assert float(report.temperature) == pytest.approx(0.3)
    name = "log_temperature"
    before, now = (setup.network.layout.split(np.asarray(x.params))[name] for x in (learner, after))
    np.testing.assert_array_equal(before, now)


# Worlds


@pytest.mark.parametrize("driver", ["device", "host"])
def test_a_world_of_arrays_is_steered_to_its_goal(driver):
    """The best that can be done: from rest towards the goal as far as the bounds let it, then stay."""
    options = {
        "hidden": (32,),
        "num_envs": 4,
        "learning_rate": 3e-3,
        "batch_size": 64,
        "learning_starts": 100,
    }
    trainer = trainer_of("sac", lambda: steered("box"), driver, (3,), 6_000, gamma=0.5, tau=0.02, **options)
    state, _ = trainer.advance(trainer.start(), 6_000)
    policy, env, total = trainer.policy(state), steered("box"), 0.0
    obs, _ = env.reset(seed=0)
    ended = False
    while not ended:
        obs, reward, over, cut, _ = env.step(policy.predict(obs))
        total += reward
        ended = over or cut
    assert np.abs(obs - GOAL).max() < 0.15
    assert total > 4.6  # of 5


@pytest.mark.parametrize("terminated", [True, False])
def test_truncation_is_told_from_termination(terminated):
    """One state, a reward of 1 a step, an end at the second step: worth 1/(1 - γ/2) where it terminates, as half of the
    steps do, 1/(1 - γ) where it is cut. No entropy is paid for."""

    class Loop(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)
        action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.steps = 0
            return np.ones(1, np.float32), {}

        def step(self, action):
            self.steps += 1
            over = self.steps == 2
            return np.ones(1, np.float32), 1.0, over and terminated, over and not terminated, {}

    options = {"hidden": (8,), "temperature": 1e-6, "learn_temperature": False, "batch_size": 32, "tau": 0.05}
    trainer = trainer_of(
        "sac", Loop, "host", (0,), 2_500, gamma=0.8, learning_rate=1e-2, learning_starts=32, **options
    )
    state, _ = trainer.advance(trainer.start(), 2_500)
    # of one state, half of whose steps terminate: v = 1 + γ v / 2
    expected = 1 / (1 - 0.4) if terminated else 1 / (1 - 0.8)
    assert trainer.policy(state).value(np.ones(1)) == pytest.approx(expected, rel=0.1)


def test_the_policy_leaves_the_library(tmp_path):
    trainer = trainer_of("sac", lambda: steered("box"), "host", (3,), 200, learning_starts=50)
    state, _ = trainer.advance(trainer.start(), 100)
    policy = trainer.policy(state)
    assert to_onnx(policy, tmp_path / "policy.onnx").exists()  # held against predict before it is written
    low, high = policy.actions.space.low, policy.actions.space.high
    batch = policy.predict(np.random.default_rng(0).normal(size=(50, 2)) * 9, deterministic=False)
    assert batch.shape == (50, 2, 1)
    assert ((low <= batch) & (batch <= high)).all()


# What is refused


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"tau": 0.0}, "'tau'"),
        ({"temperature": 0.0}, "'temperature'"),
        ({"target_entropy": float("nan")}, "'target_entropy'"),
        ({"batch_size": 0}, "'batch_size'"),
        ({"network": "nature"}, "'network'"),
    ],
)
def test_options_out_of_range_are_refused(options, match):
    with pytest.raises(OptionError, match=match):
        make_config("sac", options)


def test_spaces_that_do_not_fit_are_refused():
    config = make_config("sac", {})
    for space in (gymnasium.spaces.Discrete(3), gymnasium.spaces.Box(-np.inf, np.inf, (2,))):
        with pytest.raises(SpaceError, match="Box with bounds"):
            config.network_for(GIVEN, space)
    with pytest.raises(OptionError, match="images"):
        config.network_for(Input("image", (8, 8, 3), np.dtype(np.uint8), scale=255.0), SPACE)
