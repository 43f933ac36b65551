"""Losses, advantages and whole updates of policies against PyTorch, written here as Stable-Baselines3 has them.

In double precision to 1e-6 where a single number is compared, on a rollout with terminated and truncated episodes.
"""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from deep.running import quickly
from deep.steered import SPACES
from qfix.assembly import make_config
from qfix.deep import a2c, ppo, reinforce
from qfix.deep.data import Steps
from qfix.deep.distributions import actions_of
from qfix.deep.experience import experience_of, normalised_advantage
from qfix.deep.learner import Rates, Setup
from qfix.deep.observations import Input
from qfix.deep.policy_network import PolicyNetwork

T, N, D, H = 6, 3, 4, 5
GAMMA, LAMBDA = 0.93, 0.8
GIVEN = Input("vector", (D,), np.dtype(np.float32))
DISCRETE = gymnasium.spaces.Discrete(3)
RATE = 0.013
KEY = jax.random.key(5)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def rates():
    return Rates(jnp.float64(0), jnp.float64(RATE), jnp.float64(1))


def setup_of(algorithm, space=DISCRETE, **options):
    known = {"gamma": GAMMA, "num_envs": N, "num_steps": T, "hidden": (H,), "orthogonal": False} | options
    config = make_config(algorithm, known).settled(1_000)
    network = PolicyNetwork(
        GIVEN,
        actions_of(algorithm, space, config.squashed),
        hidden=(H,),
        shared=config.shared_torso,
        deviation=config.deviation,
        log_std=config.log_std,
    )
    return Setup(config, network)


def started(algorithm, setup):
    """As the algorithm begins, in double precision."""

    def start(key):
        learner = algorithm.init(setup, key)
        return jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, learner)

    return jax.jit(start)(KEY)


def rollout(setup, learner, seed=3):
    """Steps as a driver would have made them, and the same as NumPy arrays."""
    rng = np.random.default_rng(seed)
    terminated, truncated = np.zeros((T, N), bool), np.zeros((T, N), bool)
    terminated[1, 0] = terminated[4, 2] = truncated[2, 1] = truncated[T - 1, 0] = True
    actions = setup.network.actions
    obs = rng.normal(size=(T, N, D)).astype(np.float32).astype(np.float64)  # observations are kept in float32
    if actions.dtype == np.float32:
        action = rng.normal(size=(T, N, *actions.shape))
    else:
        action = rng.integers(3, size=(T, N, *actions.shape)).astype(np.int32)
    outputs = setup.network.outputs(jnp, setup.weights(learner.params), jnp.asarray(obs))
    log_prob = actions.log_prob(outputs, jnp.asarray(action)) + 0.2 * rng.normal(size=(T, N))
    steps = {
        "obs": obs,
        "action": action,
        "reward": 3 * rng.normal(size=(T, N)),
        "discount": GAMMA * (1.0 - terminated),
        "ended": terminated | truncated,
        "extras": np.asarray(log_prob)[..., None],
        "value_final": np.where(truncated, rng.normal(size=(T, N)), 0.0),
        "value_last": rng.normal(size=N),
    }
    return Steps(
        **{k: jnp.asarray(v) for k, v in steps.items()}, mask=None, state=jnp.zeros((N, 0))
    ), steps | {"truncated": truncated}


def arrays_of(setup, learner):
    found = setup.network.layout.split(np.array(learner.params, np.float64))
    return {k: torch.tensor(v).requires_grad_() for k, v in found.items()}


def torch_both(arrays, x, shared):
    """Outputs and values."""

    def dense(name):
        return torch.tanh(x @ arrays[f"{name}.weight"] + arrays[f"{name}.bias"])

    h = dense("torso.0")
    mine = h if shared else dense("critic.torso.0")
    out = h @ arrays["head.weight"] + arrays["head.bias"]
    return out, (mine @ arrays["value.weight"] + arrays["value.bias"])[..., 0]


def torch_distribution(setup, arrays, out):
    if setup.network.actions.single:
        return torch.distributions.Categorical(logits=out), False
    d = setup.network.actions.shape[0]
    if "log_std" in arrays:
        log_std = arrays["log_std"].expand(out.shape)
    else:
        log_std = (out[..., d:] + setup.config.log_std).clip(-20, 2)
    return torch.distributions.Normal(out[..., :d], log_std.exp()), True


def torch_judged(setup, arrays, obs, action):
    """As `evaluate_actions` of Stable-Baselines3: values, log-probabilities, entropy."""
    out, value = torch_both(arrays, obs, setup.config.shared_torso)
    distribution, many = torch_distribution(setup, arrays, out)
    log_prob, entropy = distribution.log_prob(action), distribution.entropy()
    if many:
        log_prob, entropy = log_prob.sum(-1), entropy.sum(-1)
    if setup.config.squashed:
        # SquashedDiagGaussianDistribution, and the entropy by quadrature where there it is by sample
        log_prob = log_prob - torch.log(1 - torch.tanh(action) ** 2).sum(-1)
        z, w = (torch.tensor(x) for x in np.polynomial.hermite_e.hermegauss(20))
        x = distribution.mean[..., None] + distribution.stddev[..., None] * z
        entropy = entropy + (torch.log1p(-(torch.tanh(x) ** 2)) * (w / w.sum())).sum((-2, -1))
    return value, log_prob, entropy


def sb3_advantages(values, steps, lam):
    """`RolloutBuffer.compute_returns_and_advantage`; a truncated step has gamma v(final) added to its reward, as
    `collect_rollouts` does it, and is then an end like any other."""
    reward = steps["reward"] + GAMMA * steps["value_final"] * steps["truncated"]
    starts, advantages, last = steps["ended"], np.zeros((T, N)), np.zeros(N)
    for t in reversed(range(T)):
        going = 1.0 - starts[t]
        value_next = steps["value_last"] if t == T - 1 else values[t + 1]
        delta = reward[t] + GAMMA * value_next * going - values[t]
        last = delta + GAMMA * lam * going * last
        advantages[t] = last
    return advantages, advantages + values


def as_torch(x):
    return torch.tensor(np.array(x).reshape(T * N, *x.shape[2:]))


CASES = {
    "numbers": {},
    "shared": {"shared_torso": True},
    "free": {"space": gymnasium.spaces.Box(-2, 2, (2,)), "log_std": -0.3},
    "state": {"space": gymnasium.spaces.Box(-2, 2, (2,)), "deviation": "state", "log_std": -0.7},
    "squashed": {"space": gymnasium.spaces.Box(-2, 2, (2,)), "squashed": True},
}


@pytest.mark.parametrize("case", quickly(CASES, ("shared", "squashed")))
def test_advantages_are_those_of_stable_baselines(case):
    setup = setup_of("ppo", **CASES[case], num_minibatches=1)
    learner = started(ppo, setup)
    steps, given = rollout(setup, learner)
    _, found = experience_of(setup, learner, steps, LAMBDA)
    _, values = torch_both(arrays_of(setup, learner), as_torch(given["obs"]), setup.config.shared_torso)
    advantages, returns = sb3_advantages(values.detach().numpy().reshape(T, N), given, LAMBDA)
    np.testing.assert_allclose(found.value, values.detach(), atol=1e-12)
    np.testing.assert_allclose(found.advantage, advantages.ravel(), atol=1e-6)
    np.testing.assert_allclose(found.target, returns.ravel(), atol=1e-6)


@pytest.mark.parametrize("value_clip", quickly([None, 0.15], (0.15,)))
@pytest.mark.parametrize("case", quickly(CASES, ("shared", "squashed")))
def test_ppo_steps_as_stable_baselines_does(case, value_clip):
    """Three gradient steps on the whole rollout: every loss, the norm, and the weights afterwards."""
    coefficients = {"entropy_coefficient": 0.03, "value_coefficient": 0.4, "value_clip": value_clip}
    clips = {"clip_low": 0.1, "clip_high": 0.3, "lambda_": LAMBDA, "max_grad_norm": 0.2}
    setup = setup_of("ppo", **CASES[case], **coefficients, **clips, num_minibatches=1, num_epochs=3)
    learner = started(ppo, setup)
    steps, given = rollout(setup, learner)
    after, report = jax.jit(lambda s: ppo.update(setup, learner, s, rates(), KEY))(steps)

    arrays = arrays_of(setup, learner)
    optimiser = torch.optim.Adam(arrays.values(), lr=RATE, eps=1e-5)
    obs, action, old_log_prob = (
        as_torch(given["obs"]),
        as_torch(given["action"]),
        as_torch(given["extras"])[:, 0],
    )
    old_values = torch_both(arrays, obs, setup.config.shared_torso)[1].detach()
    advantages, returns = sb3_advantages(old_values.numpy().reshape(T, N), given, LAMBDA)
    advantages, returns = torch.tensor(advantages.ravel()), torch.tensor(returns.ravel())
    told = []
    for _ in range(3):
        values, log_prob, entropy = torch_judged(setup, arrays, obs, action)
        normalised = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        ratio = torch.exp(log_prob - old_log_prob)
        clipped = torch.clamp(ratio, 0.9, 1.3)
        policy_loss = -torch.min(normalised * ratio, normalised * clipped).mean()
        if value_clip is not None:
            values = old_values + torch.clamp(values - old_values, -value_clip, value_clip)
        value_loss = torch.nn.functional.mse_loss(returns, values)
        loss = policy_loss - 0.03 * entropy.mean() + 0.4 * value_loss
        with torch.no_grad():
            log_ratio = log_prob - old_log_prob
            kl = torch.mean((torch.exp(log_ratio) - 1) - log_ratio)
            fraction = ((ratio < 0.9) | (ratio > 1.3)).double().mean()
        optimiser.zero_grad()
        loss.backward()
        policy_norm, value_norm = (
            torch.linalg.norm(torch.cat([a.grad.ravel() for k, a in arrays.items() if of(k)]))
            for of in (
                lambda k: k.startswith(("head", "log_std")) or (k[:5] == "torso" and case != "shared"),
                lambda k: k.startswith(("critic", "value")),
            )
        )
        norm = torch.nn.utils.clip_grad_norm_(arrays.values(), 0.2)
        optimiser.step()
        told.append(
            [policy_loss, value_loss, entropy.mean(), kl, fraction, loss, norm, policy_norm, value_norm]
        )
    told = np.array([[x.detach().item() for x in row] for row in told])
    expected = told.mean(axis=0)
    expected[3] = told[-1, 3]  # the divergence at the last minibatch
    np.testing.assert_allclose(np.array(report)[:9], expected, atol=1e-6, rtol=1e-6)
    assert expected[4] > 0
    flat = np.concatenate([a.detach().numpy().ravel() for a in arrays.values()])
    np.testing.assert_allclose(after.params, flat, atol=1e-6)
    explained = 1 - np.var((returns - old_values).numpy()) / np.var(returns.numpy())
    np.testing.assert_allclose(report.explained_variance, explained, atol=1e-6)
    assert float(report.gradient_steps) == int(after.updates) == 3


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("case", ["numbers", "free"])
def test_a2c_steps_as_stable_baselines_does(case, normalize):
    """Two updates; RMSprop as RMSpropTFLike: squares begin at 1, and epsilon stands inside the root."""
    setup = setup_of(
        "a2c", **CASES[case], lambda_=LAMBDA, normalize_advantages=normalize, value_coefficient=0.4
    )
    learner = started(a2c, setup)
    steps, given = rollout(setup, learner)
    update = jax.jit(lambda learner, s: a2c.update(setup, learner, s, rates(), KEY))
    squares = 1.0
    for _ in range(2):
        after, report = update(learner, steps)
        arrays = arrays_of(setup, learner)
        values, log_prob, _ = torch_judged(setup, arrays, as_torch(given["obs"]), as_torch(given["action"]))
        advantages, returns = sb3_advantages(values.detach().numpy().reshape(T, N), given, LAMBDA)
        advantages, returns = torch.tensor(advantages.ravel()), torch.tensor(returns.ravel())
        if normalize:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        policy_loss = -(advantages * log_prob).mean()
        value_loss = torch.nn.functional.mse_loss(returns, values)
        (policy_loss + 0.4 * value_loss).backward()
        norm = torch.nn.utils.clip_grad_norm_(arrays.values(), setup.config.max_grad_norm)
        np.testing.assert_allclose(
            [report.policy_loss, report.value_loss, report.grad_norm],
            [policy_loss.item(), value_loss.item(), norm.item()],
            atol=1e-6,
            rtol=1e-6,
        )
        assert np.isnan(report.approx_kl)
        assert np.isnan(report.clip_fraction)
        gradient = np.concatenate([a.grad.numpy().ravel() for a in arrays.values()])
        squares = 0.99 * squares + 0.01 * gradient**2
        step = RATE * gradient / np.sqrt(squares + 1e-5)
        np.testing.assert_allclose(after.params, np.asarray(learner.params) - step, atol=1e-7)
        learner = after


@pytest.mark.parametrize("baseline", reinforce.BASELINES)
def test_reinforce_by_its_baselines(baseline):
    """Returns by hand, and what is subtracted from them; the mean of two rollouts in the second."""
    setup = setup_of("reinforce", baseline=baseline)
    learner = started(reinforce, setup)
    update = jax.jit(lambda learner, s: reinforce.update(setup, learner, s, rates(), KEY))
    means = []
    for seed in (3, 4, 5):
        steps, given = rollout(setup, learner, seed)
        arrays = arrays_of(setup, learner)
        after, report = update(learner, steps)
        values, log_prob, _ = torch_judged(setup, arrays, as_torch(given["obs"]), as_torch(given["action"]))
        g = np.zeros((T, N))
        for n in range(N):
            for t in reversed(range(T)):
                if given["ended"][t, n]:
                    rest = given["value_final"][t, n]
                else:
                    rest = given["value_last"][n] if t == T - 1 else g[t + 1, n]
                g[t, n] = given["reward"][t, n] + given["discount"][t, n] * rest
        g = g.ravel()
        b = {
            "none": 0.0,
            "running_mean": np.mean(means) if means else 0.0,
            "normalized_return": None,
            "learned": values.detach().numpy(),
        }[baseline]
        advantage = (g - g.mean()) / (g.std(ddof=1) + 1e-8) if b is None else g - b
        expected = -(advantage * log_prob.detach().numpy()).mean()
        np.testing.assert_allclose(report.policy_loss, expected, atol=1e-6)
        np.testing.assert_allclose(report.value_loss, np.mean((g - values.detach().numpy()) ** 2), rtol=1e-6)
        means.append(g.mean())
        learner = after
    assert int(learner.updates) == 3


def test_rewards_are_divided_by_the_deviation_of_the_running_return():
    """As VecNormalize has it, but for one rollout at a time: R = r + γ R from episode to episode, ±10 at most."""
    setup = setup_of("a2c", normalize_rewards=True, lambda_=0.0)
    learner = started(a2c, setup)
    running, all_totals = np.zeros(N), []
    for seed in (3, 4):
        steps, given = rollout(setup, learner, seed)
        steps = steps._replace(reward=steps.reward.at[2, 2].multiply(300.0))
        reward = np.array(steps.reward)
        for t in range(T):
            running = reward[t] + GAMMA * running
            all_totals.append(running.copy())
            running = np.where(given["ended"][t], 0.0, running)
        learner, found = experience_of(setup, learner, steps, 0.0)
        scaled = np.clip(reward / np.sqrt(np.var(all_totals) + 1e-8), -10, 10)
        value = np.asarray(found.value).reshape(T, N)
        following = np.concatenate([value[1:], given["value_last"][None]])
        following = np.where(given["ended"], given["value_final"], following)
        np.testing.assert_allclose(
            found.target, (scaled + given["discount"] * following).ravel(), rtol=1e-5, atol=1e-6
        )
    np.testing.assert_allclose(learner.tally.running, running, rtol=1e-6)


def test_an_update_ends_where_the_policy_has_moved_far_enough():
    """The minibatch at which it is found is not learned from."""
    options = {"num_minibatches": 3, "num_epochs": 4, "max_grad_norm": 1e9}
    free = setup_of("ppo", **options)
    learner = started(ppo, free)
    steps, _ = rollout(free, learner)
    fresh = free.network.outputs(jnp, free.weights(learner.params), steps.obs)
    steps = steps._replace(extras=free.network.actions.log_prob(fresh, steps.action)[..., None])

    def updated(**more):
        setup = setup_of("ppo", **options | more)
        return jax.jit(lambda s: ppo.update(setup, learner, s, rates(), KEY))(steps)

    whole, report = updated()
    assert int(whole.updates) == report.gradient_steps == 12
    np.testing.assert_allclose(report.first_ratio, 1.0, rtol=1e-12)
    cut, report = updated(target_kl=1e-3)
    assert 1 <= int(cut.updates) < 12
    assert report.gradient_steps == int(cut.updates)
    never, _ = updated(target_kl=1e3)
    np.testing.assert_array_equal(never.params, whole.params)
    once, _ = updated(num_minibatches=1, num_epochs=1)
    cut, report = updated(num_minibatches=1, num_epochs=4, target_kl=1e-12)  # the second look finds more
    assert int(cut.updates) == report.gradient_steps == 1
    assert report.approx_kl > 1.5e-12
    np.testing.assert_allclose(cut.params, once.params, rtol=1e-9)


def test_a_single_advantage_is_not_normalised():
    np.testing.assert_array_equal(normalised_advantage(jnp.array([3.0])), [3.0])
    np.testing.assert_allclose(
        normalised_advantage(jnp.array([1.0, 3.0])), [-(0.5**0.5), 0.5**0.5], rtol=1e-7
    )


def test_the_running_mean_forgets_from_the_tenth_rollout_on():
    setup = setup_of("reinforce", baseline="running_mean")
    learner = started(reinforce, setup)
    learner = learner._replace(tally=learner.tally._replace(rollouts=50.0, mean_return=2.0))
    steps, _ = rollout(setup, learner)
    after, _ = jax.jit(lambda s: reinforce.update(setup, learner, s, rates(), KEY))(steps)
    _, found = experience_of(setup, learner, steps, 1.0)
    np.testing.assert_allclose(after.tally.mean_return, 2 + 0.1 * (found.target.mean() - 2), rtol=1e-9)


def test_the_log_probability_of_several_numbers_is_the_sum():
    actions = actions_of("ppo", SPACES["numbers"], False)
    rng = np.random.default_rng(0)
    out, action = rng.normal(size=(5, 7)), rng.integers(3, size=(5, 2))
    parts = [torch.distributions.Categorical(logits=torch.tensor(x)) for x in (out[:, :3], out[:, 3:])]
    expected = sum(d.log_prob(torch.tensor(action[:, k])) for k, d in enumerate(parts))
    np.testing.assert_allclose(actions.log_prob(out, action), expected, rtol=1e-12)
    np.testing.assert_allclose(actions.entropy(out), sum(d.entropy() for d in parts), rtol=1e-12)
