"""Networks that remember: gates, gradients through time and burn-in against PyTorch, states that are kept, and a world
that cannot be solved without."""

import itertools
from functools import partial
from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from deep.running import trainer_of
from qfix.assembly import make_config
from qfix.deep import dqn
from qfix.deep.layers import Layout, Weights, gru
from qfix.deep.learner import Rates, Setup
from qfix.deep.network import QNetwork
from qfix.deep.observations import Input
from qfix.deep.recurrence import learned, priorities_of, rows_of, states_through
from qfix.envs.jax.protocol import Step
from qfix.errors import ModelError, OptionError
from qfix.replay.batch import Sequences

D, H, A, L, B = 4, 6, 3, 7, 5
GIVEN = Input("vector", (D,), np.dtype(np.float32))
RATES = Rates(jnp.float32(0.2), jnp.float32(0.01), jnp.float32(0.7))
KEY = jax.random.key(3)


# The layer


def test_the_gates_are_those_of_pytorch():
    rng = np.random.default_rng(0)
    layout = Layout()
    layout.gru("gru", D, H)
    w = Weights(layout.split(rng.normal(size=layout.size).astype(np.float32)), layout)
    cell = torch.nn.GRUCell(D, H)
    with torch.no_grad():
        for mine, its in (("input", "ih"), ("state", "hh")):
            getattr(cell, f"weight_{its}").copy_(torch.tensor(w[f"gru.{mine}.weight"].T.copy()))
            getattr(cell, f"bias_{its}").copy_(torch.tensor(w[f"gru.{mine}.bias"]))
    x, h = rng.normal(size=(B, D)).astype(np.float32), rng.normal(size=(B, H)).astype(np.float32)
    given = x @ w["gru.input.weight"] + w["gru.input.bias"]
    wanted = cell(torch.tensor(x), torch.tensor(h)).detach().numpy()
    np.testing.assert_allclose(gru(np, w, "gru", given, h), wanted, atol=1e-6)
    np.testing.assert_allclose(gru(jnp, w, "gru", given, h), wanted, atol=1e-6)
    far = gru(np, w, "gru", 1e4 * given, h)
    assert np.isfinite(far).all()  # without an overflow


def test_states_begin_anew_where_an_episode_ends():
    net, w = network()
    rng = np.random.default_rng(1)
    features = rng.normal(size=(L, B, 3 * H)).astype(np.float32)
    ended = rng.random((L, B)) < 0.3
    start = rng.normal(size=(B, H)).astype(np.float32)
    states, last = states_through(net, w, features, ended, start)
    state = start
    for t in range(L):
        state = gru(np, w, "gru", features[t], state)
        np.testing.assert_allclose(states[t], state, atol=1e-6)
        state = np.where(ended[t][:, None], 0, state)
    np.testing.assert_allclose(last, state, atol=1e-6)


def network(seed=0, **options):
    net = QNetwork(GIVEN, A, hidden=(5,), gru=H, **options)
    start = net.layout.start(np.random.default_rng(seed).uniform(-1, 1, net.layout.size).astype(np.float32))
    return net, Weights(net.layout.split(start), net.layout)


# A gradient step


def sequences(seed=2):
    rng = np.random.default_rng(seed)
    ended = rng.random((L, B)) < 0.35
    terminated = ended & (rng.random((L, B)) < 0.5)
    next_obs = rng.normal(size=(L, B, D)).astype(np.float32)
    fresh = rng.normal(size=(L, B, D)).astype(np.float32)
    obs = np.concatenate([fresh[:1], np.where(ended[:-1, :, None], fresh[1:], next_obs[:-1])])
    return Sequences(
        obs=obs,
        action=rng.integers(A, size=(L, B)).astype(np.int32),
        reward=rng.normal(size=(L, B)).astype(np.float32),
        terminated=terminated,
        ended=ended,
        next_obs=next_obs,
        mask_next=None,
        state=rng.normal(size=(B, H)).astype(np.float32),
    )


def config_of(**options):
    given = {"hidden": (5,), "gru": H, "gamma": 0.9, "sequence_length": 5, "burn_in": 2, "batch_size": 25}
    return make_config("dqn", given | options).settled(1_000)


def test_windows_end_with_an_episode_and_with_the_sequence():
    config = config_of(n_step=3)
    drawn = sequences()
    batch = rows_of(jax.tree.map(jnp.asarray, drawn), config.data, config.gamma)
    seen = set()
    for row in range(25):
        t, b = divmod(row, B)
        reward, k = 0.0, 0
        while True:
            at = 2 + t + k
            reward += 0.9**k * drawn.reward[at, b]
            k += 1
            if k == 3 or drawn.ended[at, b] or at + 1 == L:
                break
        seen.add(k)
        np.testing.assert_allclose(batch.reward[row], reward, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(batch.discount[row], 0.9**k * (1 - drawn.terminated[at, b]), rtol=1e-6)
        assert batch.past.last[row] == (t + k - 1) * B + b
        assert batch.action[row] == drawn.action[2 + t, b]
    assert seen == {1, 2, 3}


def torch_states(cell, torso, drawn, steps, state, detach_at=None):
    """(T, B, H) behind each of some steps, and the one before the next."""
    found = []
    for t in steps:
        if t == detach_at:
            state = state.detach()
        state = cell(torch.relu(torso(torch.tensor(drawn.obs[t]))), state)
        found.append(state)
        state = torch.where(torch.tensor(drawn.ended[t])[:, None], torch.zeros(()), state)
    return found


def modules(net, vector):
    arrays = net.layout.split(np.asarray(vector).copy())
    torso, head, cell = torch.nn.Linear(D, 5), torch.nn.Linear(H, A), torch.nn.GRUCell(5, H)
    with torch.no_grad():
        for layer, name in ((torso, "torso.0"), (head, "head")):
            layer.weight.copy_(torch.tensor(arrays[f"{name}.weight"].T.copy()))
            layer.bias.copy_(torch.tensor(arrays[f"{name}.bias"]))
        for mine, its in (("input", "ih"), ("state", "hh")):
            getattr(cell, f"weight_{its}").copy_(torch.tensor(arrays[f"gru.{mine}.weight"].T.copy()))
            getattr(cell, f"bias_{its}").copy_(torch.tensor(arrays[f"gru.{mine}.bias"]))
    return torso, head, cell


def test_a_step_through_time_is_pytorch_s():
    """Double target from the state behind each step, the final observation of a truncated one included; no gradient
    through burn-in; importance weights of sequences."""
    config = config_of(double=True, tau=0.1, max_grad_norm=1e6)
    net = QNetwork(GIVEN, A, hidden=(5,), gru=H)
    setup = Setup(config, net)
    learner = jax.jit(lambda key: dqn.init(setup, key))(KEY)
    rng = np.random.default_rng(4)
    learner = learner._replace(
        target=learner.params + 0.2 * rng.normal(size=learner.params.size).astype("f4")
    )
    drawn, weight = sequences(), rng.random(B).astype(np.float32)
    after, report = jax.jit(lambda s, w: learned(dqn, setup, learner, s, w, RATES, KEY))(drawn, weight)

    torso, head, cell = modules(net, learner.params)
    torso_t, head_t, cell_t = modules(net, learner.target)
    steps, start = range(L), torch.tensor(drawn.state)
    states = torch_states(cell, torso, drawn, steps, start, detach_at=2)
    with torch.no_grad():
        behind = torch_states(cell_t, torso_t, drawn, steps, start)
    total, errors = 0.0, []
    for t in range(2, L):
        following = torch.tensor(drawn.next_obs[t])
        with torch.no_grad():
            best = head(cell(torch.relu(torso(following)), states[t])).argmax(-1)
            worth = head_t(cell_t(torch.relu(torso_t(following)), behind[t]))[range(B), best]
            discount = 0.9 * (1 - torch.tensor(drawn.terminated[t], dtype=torch.float32))
            target = torch.tensor(drawn.reward[t]) + discount * worth
        q = head(states[t])[range(B), torch.tensor(drawn.action[t], dtype=torch.int64)]
        errors.append((target - q).detach().numpy())
        each = torch.nn.functional.huber_loss(q, target, reduction="none")
        total = total + (torch.tensor(weight) * each).sum()
    loss = total / 25
    parameters = [*torso.parameters(), *cell.parameters(), *head.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=0.01)
    loss.backward()
    norm = torch.sqrt(sum((p.grad**2).sum() for p in parameters))
    optimiser.step()
    np.testing.assert_allclose(report.td_error, np.concatenate(errors), atol=1e-5)
    np.testing.assert_allclose(report.loss, loss.item(), rtol=1e-5)
    np.testing.assert_allclose(report.grad_norm, norm.item(), rtol=1e-4)
    arrays = net.layout.split(np.asarray(after.params))
    np.testing.assert_allclose(arrays["gru.state.weight"], cell.weight_hh.detach().T, atol=2e-5)
    np.testing.assert_allclose(arrays["torso.0.weight"], torso.weight.detach().T, atol=2e-5)
    # and a sequence's priority is made of its largest error and their mean
    size = np.abs(np.array(errors))
    wanted = 0.9 * size.max(0) + 0.1 * size.mean(0) + 1e-6
    np.testing.assert_allclose(priorities_of(np, np.asarray(report.td_error), B), wanted, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"distribution": "iqn", "atoms": 4, "dueling": True, "noisy": True},
        {"distribution": "c51", "target": "sarsa", "n_step": 3},
        {"munchausen": True, "layer_norm": True},
    ],
    ids=str,
)
def test_options_add_up_with_a_state(options):
    config = config_of(**options)
    net = QNetwork(
        GIVEN,
        A,
        hidden=(5,),
        gru=H,
        normalised=config.layer_norm,
        dueling=config.dueling,
        noisy=config.noisy,
        distribution=config.distribution,
        atoms=config.atoms,
    )
    setup = Setup(config, net)
    learner = jax.jit(lambda key: dqn.init(setup, key))(KEY)
    after, report = jax.jit(lambda s: learned(dqn, setup, learner, s, jnp.ones(B), RATES, KEY))(sequences())
    assert np.isfinite(report.td_error).all()
    moved = net.layout.split(np.asarray(after.params - learner.params))
    assert all(
        np.abs(moved[name]).max() > 0 for name in ("gru.state.weight", "torso.0.weight", "head.weight")
    )


# A world to be remembered: what the first observation shows is asked for at the end of a corridor

CORRIDOR = 3
SPACE = gymnasium.spaces.Box(-1, 1, (2,), np.float32)


class At(NamedTuple):
    cue: object
    steps: object


class Recall:
    """As a `JaxEnv`: +1 for the action that the first observation showed, -1 for the other."""

    observation_space = SPACE
    action_space = gymnasium.spaces.Discrete(2)
    max_episode_steps = None

    def reset(self, key):
        cue = jax.random.randint(key, (), 0, 2)
        return At(cue, jnp.int32(0)), jnp.stack([2.0 * cue - 1.0, jnp.float32(0)])

    def step(self, state, action, key):
        over = state.steps == CORRIDOR
        reward = jnp.where(over, jnp.where(action == state.cue, 1.0, -1.0), 0.0)
        steps = state.steps + 1
        seen = jnp.stack([jnp.float32(0), (steps == CORRIDOR).astype(jnp.float32)])
        return Step(At(state.cue, steps), seen, reward, over, jnp.bool_(False))


class RecallHost(gymnasium.Env):
    """As Gymnasium has it."""

    observation_space = SPACE
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, twin=False, fault=None):
        self.fault = fault
        if twin:
            self.jax_env = Recall()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.cue, self.steps = int(self.np_random.integers(2)), 0
        return np.array([2 * self.cue - 1, 0], np.float32), {}

    def step(self, action):
        if self.fault is not None and self.fault():
            raise RuntimeError("a bad moment")
        over = self.steps == CORRIDOR
        reward = 0.0 if not over else 1.0 if action == self.cue else -1.0
        self.steps += 1
        return np.array([0, self.steps == CORRIDOR], np.float32), reward, over, False, {}


OPTIONS = {
    "dqn": {
        "gru": 16,
        "sequence_length": 8,
        "burn_in": 4,
        "batch_size": 64,
        "learning_starts": 100,
        "train_every": 2,
        "num_envs": 4,
        "learning_rate": 5e-3,
        "tau": 0.05,
        "gamma": 0.95,
    },
    "pqn": {
        "gru": 16,
        "num_envs": 8,
        "num_steps": 8,
        "num_minibatches": 2,
        "num_epochs": 2,
        "learning_rate": 5e-3,
        "gamma": 0.95,
    },
    "ppo": {"gru": 16, "num_envs": 8, "num_steps": 16, "num_epochs": 4, "learning_rate": 5e-3, "gamma": 0.95},
    "a2c": {"gru": 16, "optimizer": "adam", "shared_torso": True, "learning_rate": 5e-3, "gamma": 0.95},
    "reinforce": {"gru": 16, "num_steps": 16, "learning_rate": 5e-3, "gamma": 0.95},
}
STEPS = {"dqn": 6_000, "pqn": 16_000, "ppo": 6_000, "a2c": 8_000, "reinforce": 8_000}


def mean_return(trainer, state, episodes=40):
    policy, env, total = trainer.policy(state), RecallHost(), 0.0
    for i in range(episodes):
        obs, _ = env.reset(seed=i)
        policy.reset()
        over = False
        while not over:
            obs, reward, over, _, _ = env.step(policy.predict(obs))
        total += reward
    return total / episodes


@pytest.mark.parametrize(
    ("algorithm", "driver"),
    [
        pytest.param(
            *row,
            marks=() if row in (("dqn", "device"), ("pqn", "host"), ("ppo", "host")) else pytest.mark.slow,
        )
        for row in (
            *itertools.product(("dqn", "pqn", "ppo"), ("device", "host")),
            ("a2c", "host"),
            ("reinforce", "device"),
        )
    ],
)
def test_what_was_seen_is_remembered(algorithm, driver):
    steps = STEPS[algorithm]
    make = partial(RecallHost, driver == "device")
    trainer = trainer_of(algorithm, make, driver, (3,), steps, **OPTIONS[algorithm])
    state, _ = trainer.advance(trainer.start(), steps)
    assert mean_return(trainer, state) == 1.0
    if algorithm == "ppo":  # acting and learning agree, where rollouts begin in the middle of episodes, too
        told = dict(zip(trainer.metric_names, trainer.measure(state)[:, 0], strict=True))
        np.testing.assert_allclose(told["first_ratio"], 1.0, atol=1e-5)
        assert told["explained_variance"] > 0.8


@pytest.mark.parametrize("algorithm", ["dqn", "ppo"])
def test_and_not_without_a_state(algorithm):
    options = OPTIONS[algorithm] | {"gru": 0}
    trainer = trainer_of(algorithm, partial(RecallHost, True), "device", (3,), 6_000, **options)
    state, _ = trainer.advance(trainer.start(), 6_000)
    assert abs(mean_return(trainer, state)) < 0.5


@pytest.mark.parametrize("driver", ["device", "host", "host, with faults"])
def test_a_memory_keeps_the_states_that_the_network_had(driver):
    """No gradient step is made: unrolled again, the weights lead to the same states, through ends and failures."""
    calls = [0]

    def fault():
        calls[0] += 1
        return "faults" in driver and calls[0] in (40, 83, 84)

    make = partial(RecallHost, driver == "device", fault)
    options = {"num_envs": 3, "gru": 5, "learning_starts": 10_000, "buffer_size": 600}
    trainer = trainer_of("dqn", make, driver.partition(",")[0], (3,), 300, **options)
    state, failures = trainer.start(), 0
    while trainer.steps_done(state)[0] < 240:
        try:
            state, _ = trainer.advance(state, 240 - trainer.steps_done(state)[0])
        except Exception:
            failures += 1
            state = trainer.unpack({name: array.copy() for name, array in trainer.pack(state).items()})
    assert failures >= 2 if "faults" in driver else failures == 0
    kept = trainer.pack(state)
    prefix = "0.memory.steps." if driver == "device" else "0.memory."
    states = kept["0.memory.steps.state" if driver == "device" else "0.memory.state"]
    n = len(states) // 3 if driver != "device" else 80
    states, obs, ended = (
        x[: 3 * n].reshape(n, 3, -1) for x in (states, kept[prefix + "obs"], kept[prefix + "ended"])
    )
    net = trainer.network
    name = "0.learner.params" if driver == "device" else "0.compiled.learner.params"
    w = Weights(net.layout.split(kept[name]), net.layout)
    now = np.zeros((3, 5), np.float32)
    for t in range(n):
        np.testing.assert_allclose(states[t], now, atol=1e-6)
        _, now = net.step(np, w, obs[t], now)
        now = np.where(ended[t], 0, now)
    assert n >= 60
    assert np.abs(states).max() > 0.1


# The policy


@pytest.fixture(scope="module", params=["dqn", "ppo"])
def policy(request):
    options = {"orthogonal": False} if request.param == "ppo" else {}
    trainer = trainer_of(request.param, RecallHost, "host", (3,), 100, gru=5, **options)
    assert trainer.remembers
    return trainer.policy(trainer.start())


def test_a_policy_remembers_until_it_is_reset(policy):
    policy.reset()
    cue, blank = np.array([1, 0], np.float32), np.zeros(2, np.float32)
    fresh = policy.look(blank)
    policy.predict(cue)
    behind = policy.look(blank)
    assert np.abs(behind - fresh).max() > 1e-4
    np.testing.assert_array_equal(policy.look(blank), behind)  # to look is not to remember
    policy.reset()
    np.testing.assert_array_equal(policy.look(blank), fresh)
    assert policy.remembers


def test_rows_of_a_batch_are_episodes_of_their_own(policy):
    policy.reset()
    cue, blank = np.array([[1, 0], [-1, 0]], np.float32), np.zeros((2, 2), np.float32)
    policy.predict(cue)
    both = policy.look(blank)
    for row in (0, 1):
        policy.reset()
        policy.predict(cue[row])
        np.testing.assert_allclose(policy.look(blank[row]), both[row], atol=1e-6)
    policy.reset()
    policy.predict(cue)
    policy.reset(where=[True, False])
    after = policy.look(blank)
    np.testing.assert_allclose(after[1], both[1], atol=1e-6)
    assert np.abs(after[0] - both[0]).max() > 1e-4
    with pytest.raises(OptionError, match=r"'obs'.*reset"):
        policy.predict(cue[0])


# What is refused


@pytest.mark.parametrize(
    ("algorithm", "options", "match"),
    [
        ("dqn", {"gru": -1}, "'gru'"),
        ("dqn", {"gru": 4, "batch_size": 50}, "'batch_size'.*sequence_length=16.*Got 50"),
        ("dqn", {"gru": 4, "buffer_size": 100, "num_envs": 8}, "'buffer_size'.*24 steps"),
        ("dqn", {"burn_in": -1}, "'burn_in'"),
        ("pqn", {"gru": 4, "num_envs": 8, "num_minibatches": 16}, "'num_minibatches'.*num_envs=8"),
        ("ppo", {"gru": 4, "num_envs": 6, "num_minibatches": 4}, "'num_minibatches'.*num_envs=6"),
        ("a2c", {"gru": 1.5}, "'gru'"),
        ("reinforce", {"gru": -1}, "'gru'"),
    ],
)
def test_options_that_do_not_go_together(algorithm, options, match):
    with pytest.raises(OptionError, match=match):
        make_config(algorithm, options)


@pytest.mark.parametrize("algorithm", ["dqn", "ppo"])
def test_nothing_of_it_is_computed_from_a_model(algorithm, tmp_path):
    import qfix
    from qfix.report.dossier import gather
    from qfix.report.figures import value_figure
    from qfix.report.sections.learning import training
    from qfix.report.sections.maps import values

    options = {"gru": 4, "eval_episodes": 0} | ({"learning_starts": 100} if algorithm == "dqn" else {})
    steps = 200 if algorithm == "dqn" else 1_024
    run = qfix.train(
        "qfix/Grid4x3-v0", algorithm, total_steps=steps, seeds=1, out=tmp_path / "run", **options
    )
    assert value_figure(run) is None
    dossier = gather(tmp_path / "run", run)
    assert "a recurrent network values what it has seen" in values(dossier)
    charts = training(dossier)
    assert "256 updates" not in charts
    if algorithm == "dqn":
        assert "of the latest gradient step" in charts
    assert "Step size" in charts
    kept = qfix.load(tmp_path / "run").restored[0]
    assert kept.startswith("weights, optimiser, ")
    assert kept.endswith(f"environments and random streams of 1 seed at step {steps:,}")
    with pytest.raises(ModelError, match="recurrent"):
        run.optimality_gap()
    assert not run.evaluate(episodes=2).exact
