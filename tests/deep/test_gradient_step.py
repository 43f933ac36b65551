"""A whole gradient step against a short one in PyTorch: weights in, weights out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from qfix.assembly import make_config
from qfix.deep import dqn, pqn
from qfix.deep.data import Steps
from qfix.deep.learner import Rates, Setup, learned_reward
from qfix.deep.network import QNetwork
from qfix.deep.observations import Input
from qfix.replay.batch import Batch

D, H, A, B = 5, 8, 3, 6
GIVEN = Input("vector", (D,), np.dtype(np.float32))
RATES = Rates(jnp.float32(0.2), jnp.float32(0.013), jnp.float32(0.7))
KEY = jax.random.key(5)


def setup_of(algorithm, **options):
    config = make_config(algorithm, {"hidden": (H,)} | options).settled(1_000)
    network = QNetwork(GIVEN, A, hidden=(H,), normalised=config.layer_norm)
    return Setup(config, network)


def torch_q(arrays, x, normalised=False):
    x = x @ arrays["torso.0.weight"] + arrays["torso.0.bias"]
    if normalised:
        x = torch.nn.functional.layer_norm(x, (H,), arrays["torso.0.scale"], arrays["torso.0.shift"], 1e-5)
    return torch.relu(x) @ arrays["head.weight"] + arrays["head.bias"]


def as_torch(setup, vector, grad=False):
    arrays = setup.network.layout.split(np.asarray(vector).copy())
    return {k: torch.tensor(v).requires_grad_(grad) for k, v in arrays.items()}


def joined(arrays):
    return np.concatenate([a.detach().numpy().ravel() for a in arrays.values()])


def batch_of(rng):
    flat = {
        "obs": rng.normal(size=(B, D)),
        "reward": rng.normal(size=B) * 3,
        "discount": np.where(rng.random(B) < 0.3, 0.0, 0.93**2),
        "next_obs": rng.normal(size=(B, D)),
    }
    flat = {k: jnp.asarray(v, jnp.float32) for k, v in flat.items()}
    return Batch(**flat, action=jnp.asarray(rng.integers(A, size=B), jnp.int32), mask_next=None)


@pytest.mark.parametrize("max_grad_norm", [0.05, 1e6])
@pytest.mark.parametrize("loss", ["huber", "squared"])
def test_dqn_steps_as_pytorch_does(loss, max_grad_norm):
    """Double target, importance weights, Huber, gradient clipped by its whole norm, Adam, soft update of the target."""
    options = {"gamma": 0.93, "double": True, "tau": 0.15, "loss": loss, "max_grad_norm": max_grad_norm}
    setup = setup_of("dqn", **options)
    rng = np.random.default_rng(1)
    learner = jax.jit(lambda key: dqn.init(setup, key))(KEY)
    other = learner.params + 0.3 * rng.normal(size=learner.params.size).astype(np.float32)
    learner = learner._replace(target=other)
    step = jax.jit(lambda learner, batch, weight: dqn.update(setup, learner, batch, weight, RATES, KEY))

    online, target = as_torch(setup, learner.params, True), as_torch(setup, learner.target)
    optimiser = torch.optim.Adam(online.values(), lr=float(RATES.learning_rate))
    for _ in range(4):
        batch = batch_of(rng)
        weight = rng.random(B).astype(np.float32)
        learner, report = step(learner, batch, weight)

        obs, after, reward, discount = (
            torch.tensor(np.array(x)) for x in (batch.obs, batch.next_obs, batch.reward, batch.discount)
        )
        action = torch.tensor(np.array(batch.action, np.int64))
        with torch.no_grad():
            chosen = torch_q(online, after).argmax(-1)
            worth = torch_q(target, after)[range(B), chosen]
        q = torch_q(online, obs)[range(B), action]
        y = reward + discount * worth
        kind = torch.nn.functional.huber_loss if loss == "huber" else torch.nn.functional.mse_loss
        each = kind(q, y, reduction="none") * (1.0 if loss == "huber" else 0.5)
        optimiser.zero_grad()
        value = (torch.tensor(weight) * each).mean()
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(online.values(), max_grad_norm)
        optimiser.step()
        for name in target:
            target[name] += 0.15 * (online[name].detach() - target[name])

        np.testing.assert_allclose(report.td_error, (y - q).detach(), atol=1e-5)
        np.testing.assert_allclose(report.q, q.detach(), atol=1e-5)
        np.testing.assert_allclose(report.loss, value.item(), rtol=1e-5)
        np.testing.assert_allclose(report.grad_norm, norm.item(), rtol=1e-4)
    assert int(learner.updates) == 4
    np.testing.assert_allclose(learner.params, joined(online), atol=2e-5)
    np.testing.assert_allclose(learner.target, joined(target), atol=1e-5)


def test_rewards_are_scaled_and_then_clipped():
    config = make_config("dqn", {"reward_scale": 0.5, "reward_clip": 1.25})
    reward = np.array([-4.0, -2.0, 0.0, 1.0, 30.0], np.float32)
    np.testing.assert_allclose(learned_reward(config, reward), [-1.25, -1.0, 0.0, 0.5, 1.25])
    np.testing.assert_allclose(learned_reward(config, jnp.asarray(reward)), [-1.25, -1.0, 0.0, 0.5, 1.25])
    unclipped = make_config("dqn", {"reward_scale": 0.5})
    np.testing.assert_allclose(learned_reward(unclipped, reward), 0.5 * reward)


def test_a_target_network_waits_for_its_turn():
    setup = setup_of("dqn", target_every=3, tau=0.4)
    learner = jax.jit(lambda key: dqn.init(setup, key))(KEY)
    step = jax.jit(lambda learner, batch: dqn.update(setup, learner, batch, jnp.ones(B), RATES, KEY)[0])
    rng = np.random.default_rng(2)
    before = learner.target
    for i in range(1, 5):
        learner = step(learner, batch_of(rng))
        if i == 3:
            before = before + 0.4 * (learner.params - before)
        np.testing.assert_allclose(learner.target, before, atol=1e-6)


def test_pqn_descends_as_pytorch_does():
    """One part: λ-returns from the values kept with the rollout, layer norm, half the mean square, RAdam."""
    T, N, lam, gamma = 4, 3, 0.6, 0.93
    setup = setup_of(
        "pqn", gamma=gamma, lambda_=lam, num_envs=N, num_steps=T, num_minibatches=1, num_epochs=1
    )
    rng = np.random.default_rng(3)
    learner = jax.jit(lambda key: pqn.init(setup, key))(KEY)
    terminated, truncated = np.zeros((T, N), bool), np.zeros((T, N), bool)
    terminated[1, 0] = truncated[2, 1] = True
    steps = {
        "obs": rng.normal(size=(T, N, D)),
        "action": rng.integers(A, size=(T, N)),
        "reward": rng.normal(size=(T, N)),
        "discount": gamma * (1.0 - terminated),
        "ended": terminated | truncated,
        "extras": rng.normal(size=(T, N, A)),
        "value_final": np.where(truncated, 2.5, 0.0),
        "value_last": rng.normal(size=N),
    }
    # by hand, backwards: G = r + γ ((1 - λ) v' + λ G'), from v' alone where the rollout or the episode ends
    targets = np.zeros((T, N))
    for n in range(N):
        for t in reversed(range(T)):
            last = t == T - 1
            v = steps["value_last"][n] if last else steps["extras"][t + 1, n].max()
            if truncated[t, n]:
                v = 2.5
            whole = last or steps["ended"][t, n]
            g = v if whole else (1 - lam) * v + lam * targets[t + 1, n]
            targets[t, n] = steps["reward"][t, n] + steps["discount"][t, n] * g
    given = Steps(
        **{
            k: jnp.asarray(v, jnp.float32 if np.asarray(v).dtype == float else None) for k, v in steps.items()
        },
        mask=None,
        state=jnp.zeros((N, 0)),
    )
    learner_after, report = jax.jit(lambda s: pqn.update(setup, learner, s, RATES, KEY))(given)

    arrays = as_torch(setup, learner.params, True)
    optimiser = torch.optim.RAdam(arrays.values(), lr=float(RATES.learning_rate))
    q = torch_q(arrays, torch.tensor(steps["obs"].reshape(-1, D), dtype=torch.float32), True)
    q = q[range(T * N), torch.tensor(steps["action"].ravel())]
    y = torch.tensor(targets.ravel(), dtype=torch.float32)
    value = ((y - q) ** 2).mean() / 2
    value.backward()
    norm = torch.nn.utils.clip_grad_norm_(arrays.values(), setup.config.max_grad_norm)
    optimiser.step()
    np.testing.assert_allclose(np.sort(report.td_error), np.sort((y - q).detach()), atol=1e-5)
    np.testing.assert_allclose(report.loss, value.item(), rtol=1e-5)
    np.testing.assert_allclose(report.grad_norm, norm.item(), rtol=1e-4)
    np.testing.assert_allclose(learner_after.params, joined(arrays), atol=1e-5)
