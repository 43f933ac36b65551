"""Policies that remember: whole updates against PyTorch, in double precision, where episodes end in all ways.

In PyTorch the torsos and gates are modules of its own, unrolled in a loop from the states that the rollout began with.
"""

import copy
import itertools

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from deep.running import quickly
from qfix.assembly import make_config
from qfix.deep import a2c, ppo, reinforce
from qfix.deep.data import Steps
from qfix.deep.distributions import actions_of
from qfix.deep.experience import experience_of, judged, start_policy
from qfix.deep.layers import Weights
from qfix.deep.learner import Rates, Setup
from qfix.deep.minibatches import Minibatches
from qfix.deep.observations import Input
from qfix.deep.policy_network import PolicyNetwork

T, N, D, W, H, A = 6, 4, 3, 5, 4, 3
GAMMA, LAMBDA, RATE = 0.93, 0.8, 0.013
GIVEN = Input("vector", (D,), np.dtype(np.float32))
KEY = jax.random.key(5)
SHARED = pytest.mark.parametrize("shared", [False, True], ids=["apart", "shared"])


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def setup_of(algorithm, shared, **options):
    known = {"gamma": GAMMA, "num_envs": N, "num_steps": T, "hidden": (W,), "gru": H, "shared_torso": shared}
    config = make_config(algorithm, known | {"max_grad_norm": 0.3} | options).settled(1_000)
    actions = actions_of(algorithm, gymnasium.spaces.Discrete(A), False)
    return Setup(config, PolicyNetwork(GIVEN, actions, hidden=(W,), shared=shared, gru=H))


def learner_of(setup):
    """In double precision, and far from where it starts: a fresh policy is all but uniform."""
    learner = jax.jit(lambda key: start_policy(setup, key))(KEY)
    learner = jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, learner)
    noise = np.random.default_rng(8).normal(size=learner.params.size)
    return learner._replace(params=learner.params + 0.3 * noise)


def rollout(setup):
    """Steps as a driver would have made them, from states in the middle of episodes."""
    rng = np.random.default_rng(3)
    terminated, truncated = np.zeros((T, N), bool), np.zeros((T, N), bool)
    terminated[1, 0] = terminated[4, 2] = terminated[2, 3] = truncated[2, 1] = truncated[T - 1, 0] = True
    steps = {
        "obs": rng.normal(size=(T, N, D)).astype(np.float32).astype(np.float64),  # kept in float32
        "action": rng.integers(A, size=(T, N)).astype(np.int32),
        "reward": 3 * rng.normal(size=(T, N)),
        "discount": GAMMA * (1.0 - terminated),
        "ended": terminated | truncated,
        "extras": np.log(rng.uniform(0.2, 0.6, (T, N, 1))),
        "value_final": np.where(truncated, rng.normal(size=(T, N)), 0.0),
        "value_last": rng.normal(size=N),
        "state": 0.5 * rng.normal(size=(N, setup.network.n_state)),
    }
    return Steps(**{k: jnp.asarray(v) for k, v in steps.items()}, mask=None), steps


class Torch(torch.nn.Module):
    """The same network, layer by layer."""

    def __init__(self, arrays, shared):
        super().__init__()

        def linear(name, n_in, n_out):
            layer = torch.nn.Linear(n_in, n_out, dtype=torch.float64)
            copied(layer.weight, arrays[f"{name}.weight"].T)
            copied(layer.bias, arrays[f"{name}.bias"])
            return layer

        def cell(prefix):
            found = torch.nn.GRUCell(W, H, dtype=torch.float64)
            for mine, its in (("input", "ih"), ("state", "hh")):
                copied(getattr(found, f"weight_{its}"), arrays[f"{prefix}gru.{mine}.weight"].T)
                copied(getattr(found, f"bias_{its}"), arrays[f"{prefix}gru.{mine}.bias"])
            return found

        prefixes = [""] if shared else ["", "critic."]
        self.torsos = torch.nn.ModuleList([linear(f"{p}torso.0", D, W) for p in prefixes])
        self.cells = torch.nn.ModuleList([cell(p) for p in prefixes])
        self.head, self.critic = linear("head", H, A), linear("value", H, 1)

    def forward(self, given, environments):
        """Logits (T, n, A) and values (T, n) of some environments."""
        obs, ended, state = (torch.tensor(given[name]) for name in ("obs", "ended", "state"))
        logits, values = [], []
        states = [state[environments, i * H : (i + 1) * H] for i in range(len(self.cells))]
        for t in range(T):
            x = obs[t, environments]
            pairs = zip(self.cells, self.torsos, states, strict=True)
            behind = [cell(torch.tanh(torso(x)), h) for cell, torso, h in pairs]
            logits.append(self.head(behind[0]))
            values.append(self.critic(behind[-1])[:, 0])
            states = [h * (~ended[t, environments])[:, None] for h in behind]
        return torch.stack(logits), torch.stack(values)

    def arrays(self, shared):
        """Under the names that the network has."""
        found = {}
        for i, p in enumerate([""] if shared else ["", "critic."]):
            found |= {f"{p}torso.0.weight": self.torsos[i].weight.T, f"{p}torso.0.bias": self.torsos[i].bias}
            for mine, its in (("input", "ih"), ("state", "hh")):
                found[f"{p}gru.{mine}.weight"] = getattr(self.cells[i], f"weight_{its}").T
                found[f"{p}gru.{mine}.bias"] = getattr(self.cells[i], f"bias_{its}")
        for name, layer in (("head", self.head), ("value", self.critic)):
            found |= {f"{name}.weight": layer.weight.T, f"{name}.bias": layer.bias}
        return {name: array.detach().numpy() for name, array in found.items()}


def copied(into, array):
    with torch.no_grad():
        into.copy_(torch.tensor(np.array(array)))


def module_of(setup, learner):
    arrays = setup.network.layout.split(np.array(learner.params))
    return Torch(arrays, setup.config.shared_torso)


def advantages_of(module, given, lambda_=LAMBDA):
    """(T, N) advantages and returns, by the values of before."""
    with torch.no_grad():
        values = module(given, torch.arange(N))[1].numpy()
    advantage, last = np.zeros((T, N)), np.zeros(N)
    for t in reversed(range(T)):
        following = given["value_last"] if t == T - 1 else values[t + 1]
        following = np.where(given["ended"][t], given["value_final"][t], following)
        delta = given["reward"][t] + given["discount"][t] * following - values[t]
        last = delta + np.where(given["ended"][t], 0, GAMMA * lambda_ * last)
        advantage[t] = last
    return torch.tensor(advantage), torch.tensor(advantage + values)


def assert_same_weights(setup, learner, module):
    found = setup.network.layout.split(np.asarray(learner.params))
    wanted = module.arrays(setup.config.shared_torso)
    assert found.keys() == wanted.keys()
    for name in found:
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-7, err_msg=name)


@pytest.mark.parametrize(
    ("minibatches", "shared"),
    quickly([*itertools.product((1, 2, 4), (False, True))], ((1, False), (2, True), (4, False))),
)
def test_an_update_of_ppo_is_pytorch_s(minibatches, shared):
    """Two epochs of whole environments in the order that they were drawn in: losses, norm, every weight."""
    options = {"num_epochs": 2, "num_minibatches": minibatches, "lambda_": LAMBDA}
    setup = setup_of("ppo", shared, entropy_coefficient=0.03, value_coefficient=0.4, **options)
    learner = learner_of(setup)
    steps, given = rollout(setup)
    rates = Rates(jnp.float64(0), jnp.float64(RATE), jnp.float64(1))
    after, report = jax.jit(lambda s: ppo.update(setup, learner, s, rates, KEY))(steps)

    module = module_of(setup, learner)
    optimiser = torch.optim.Adam(module.parameters(), lr=RATE, eps=1e-5)
    advantages, returns = advantages_of(module, given)
    told = []
    for part in np.array(Minibatches(setup, steps).parts(KEY, 2, minibatches)):
        assert len(part) == N // minibatches
        logits, values = module(given, torch.tensor(part))
        chances = torch.distributions.Categorical(logits=logits)
        log_prob = chances.log_prob(torch.tensor(given["action"][:, part]))
        ratio = torch.exp(log_prob - torch.tensor(given["extras"][:, part, 0]))
        advantage = advantages[:, part]
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        policy_loss = -torch.min(advantage * ratio, advantage * ratio.clamp(0.8, 1.2)).mean()
        value_loss = ((values - returns[:, part]) ** 2).mean()
        loss = policy_loss + 0.4 * value_loss - 0.03 * chances.entropy().mean()
        optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(module.parameters(), 0.3)
        optimiser.step()
        told.append([x.item() for x in (policy_loss, value_loss, loss, norm)])
    found = [report.policy_loss, report.value_loss, report.loss, report.grad_norm]
    np.testing.assert_allclose(found, np.mean(told, axis=0), rtol=1e-7)
    assert_same_weights(setup, after, module)
    moved = setup.network.layout.split(np.abs(np.asarray(after.params - learner.params)))
    assert all(array.max() > 1e-4 for array in moved.values())


@SHARED
@pytest.mark.parametrize("algorithm", [a2c, reinforce], ids=["a2c", "reinforce"])
def test_one_step_of_the_others_is_pytorch_s(algorithm, shared):
    """The gradient through the whole rollout, by its norm and by the loss."""
    name = algorithm.__name__.rpartition(".")[2]
    setup = setup_of(name, shared, value_coefficient=0.4)
    learner = learner_of(setup)
    steps, given = rollout(setup)
    rates = Rates(jnp.float64(0), jnp.float64(RATE), jnp.float64(1))
    _, report = jax.jit(lambda s: algorithm.update(setup, learner, s, rates, KEY))(steps)
    module = module_of(setup, learner)
    advantages, returns = advantages_of(module, given, lambda_=1.0)
    logits, values = module(given, torch.arange(N))
    log_prob = torch.distributions.Categorical(logits=logits).log_prob(torch.tensor(given["action"]))
    policy_loss = -(advantages * log_prob).mean()
    (policy_loss + 0.4 * ((values - returns) ** 2).mean()).backward()
    norm = torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    found = [report.policy_loss, report.grad_norm]
    np.testing.assert_allclose(found, [policy_loss.item(), norm.item()], rtol=1e-7)


@SHARED
def test_a_rollout_is_judged_from_where_it_began(shared):
    """All of it as PyTorch unrolls it, a part of it as all of it, and a step alone as the network acts."""
    setup = setup_of("ppo", shared)
    learner, network = learner_of(setup), setup.network
    steps, given = rollout(setup)
    w = setup.weights(learner.params)
    logits, values = judged(Minibatches(setup, steps), w, None)
    with torch.no_grad():
        wanted = module_of(setup, learner)(given, torch.arange(N))
    np.testing.assert_allclose(logits, wanted[0].reshape(T * N, A), atol=1e-12)
    np.testing.assert_allclose(values, wanted[1].reshape(T * N), atol=1e-12)
    _, whole = experience_of(setup, learner, steps, LAMBDA)
    np.testing.assert_allclose(whole.value, values, atol=1e-12)

    part = jnp.array([2, 0])
    some = whole.at(part)
    rows = (np.arange(T)[:, None] * N + np.asarray(part)).ravel()
    np.testing.assert_allclose(judged(some.rollout, w, some.part)[0], logits[rows], atol=1e-12)
    for one, other in zip(some[2:], whole[2:], strict=True):
        assert one is other is None or np.array_equal(one, other[rows])

    first = steps.obs[0], steps.state
    outputs, behind = network.observe(jnp, w, *first)
    np.testing.assert_allclose(outputs, logits[:N], atol=1e-12)
    np.testing.assert_allclose(network.value(jnp, w, *first), values[:N], atol=1e-12)
    for name in ("ppo", "a2c", "reinforce"):
        module = {"ppo": ppo, "a2c": a2c, "reinforce": reinforce}[name]
        found = module.bootstrap(setup, learner, steps.obs[1], None, behind)
        going = ~given["ended"][0]
        np.testing.assert_allclose(found[going], values[N : 2 * N][going], atol=1e-12)
    assert behind.shape == (N, H if shared else 2 * H)


@SHARED
def test_numpy_acts_as_jax_learns(shared):
    setup = setup_of("ppo", shared)
    network, vector = setup.network, np.asarray(learner_of(setup).params, np.float32)
    rng = np.random.default_rng(0)
    obs, state = (rng.normal(size=(N, n)).astype(np.float32) for n in (D, network.n_state))

    def all_of(xp, vector):
        w = Weights(network.layout.split(vector), network.layout)
        outputs, behind = network.observe(xp, w, obs, state)
        return outputs, behind, network.value(xp, w, obs, state), *network.heads(xp, w, behind)

    mine, learned = all_of(np, vector), jax.jit(lambda v: all_of(jnp, v))(jnp.asarray(vector))
    for one, other in zip(mine, learned, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(mine[0], mine[3])
    np.testing.assert_array_equal(mine[2], mine[4])


@SHARED
def test_parts_are_what_only_policy_and_only_value_depend_on(shared):
    """Through time, too: the value's gradient reaches nothing that the policy remembers by, unless they share it."""
    setup = setup_of("ppo", shared)
    network, learner = setup.network, learner_of(setup)
    steps, _ = rollout(setup)

    def total(vector, k):
        return (judged(Minibatches(setup, steps), setup.weights(vector), None)[k] ** 2).sum()

    of_policy, of_value = (
        np.asarray(jax.jit(jax.grad(total), static_argnums=1)(learner.params, k)) for k in (0, 1)
    )
    assert (of_value[network.policy_part] == 0).all()
    assert (of_policy[network.value_part] == 0).all()
    for gradient, unlike in ((of_policy, network.value_part), (of_value, network.policy_part)):
        mine = np.delete(gradient, np.arange(gradient.size)[unlike])
        assert (mine != 0).mean() > 0.9
    common = network.layout.size - sum(
        part.stop - part.start for part in (network.policy_part, network.value_part)
    )
    assert (common > 0) == shared


def test_gates_begin_orthogonal():
    setup = setup_of("ppo", False)
    arrays = setup.network.layout.split(np.asarray(start_policy(setup, KEY).params))
    for prefix in ("", "critic."):
        for part, rows in (("input", W), ("state", H)):
            gates = np.split(arrays[f"{prefix}gru.{part}.weight"], 3, axis=1)
            for w in gates:
                assert w.shape == (rows, H)
                np.testing.assert_allclose(w.T @ w, np.eye(H), atol=1e-5)
            assert np.abs(gates[0] - gates[1]).max() > 0.1
            assert (arrays[f"{prefix}gru.{part}.bias"] == 0).all()


def test_a_copy_of_a_policy_has_a_memory_of_its_own():
    from qfix.deep.actor_policy import ActorPolicy
    from qfix.deep.normaliser import no_moments

    setup = setup_of("ppo", False)
    space = gymnasium.spaces.Box(-1, 1, (D,), np.float32)
    policy = ActorPolicy(setup.network, np.asarray(learner_of(setup).params), no_moments(0), space)
    obs = np.full(D, 0.5, np.float32)
    other = copy.copy(policy)
    other.predict(obs)
    assert not policy.memory.any()
    assert other.memory.shape == (2 * H,)
    fresh, later = policy.value(obs), other.value(obs)
    assert abs(fresh - later) > 1e-4
    assert isinstance(later, float)
