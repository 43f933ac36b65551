"""The network of policy and value, its distributions, and the loop over minibatches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from scipy.stats import chi2, kstest

from qfix.assembly import make_config
from qfix.deep.acting import act, chances_at
from qfix.deep.distributions import Gaussian, actions_of
from qfix.deep.experience import start_policy
from qfix.deep.learner import Rates, Setup
from qfix.deep.minibatches import each_part
from qfix.deep.observations import Input, codec_for
from qfix.deep.orthogonal import orthogonal_start
from qfix.deep.policy_network import PolicyNetwork
from qfix.errors import SpaceError

VECTOR = Input("vector", (5,), np.dtype(np.float32))
IMAGE = Input("image", (9, 11, 3), np.dtype(np.uint8), scale=255.0)
FRAME = spaces.Box(0, 255, (9, 11, 3), np.uint8)
PARTS = codec_for(spaces.Tuple([spaces.Box(-1.0, 1.0, (3,)), FRAME])).input
MULTI = spaces.MultiDiscrete([3, 4], start=[5, -1])
BOX = spaces.Box(np.float32([-2.0, 0.0]), np.float32([3.0, 0.5]))
KEY = jax.random.key(3)


def network_of(space=MULTI, given=VECTOR, squashed=False, **options):
    return PolicyNetwork(given, actions_of("ppo", space, squashed), **{"hidden": (7, 6)} | options)


def orthogonal(layout):
    """Weights as they begin, from one program."""
    return jax.jit(lambda key: orthogonal_start(layout, key))(KEY)


def observations(given, n=6):
    rng = np.random.default_rng(0)
    if given.kind == "image":
        return rng.integers(0, 256, (n, *given.shape)).astype(np.uint8)
    return rng.normal(size=(n, *given.shape)).astype(np.float32)


OPTIONS = [
    {},
    {"shared": True, "activation": "relu", "normalised": True},
    {"space": BOX},
    {"space": BOX, "deviation": "state", "log_std": -1.0, "shared": True},
    {"given": IMAGE, "network": "minatar"},
    {"given": PARTS},
    {"given": PARTS, "shared": True},
    {"given": IMAGE, "network": "minatar", "shared": True, "activation": "relu"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_numpy_acts_as_jax_learns(options):
    network = network_of(**options)
    layout = network.layout
    vector = np.array(orthogonal(layout))
    vector += 0.1 * np.random.default_rng(1).normal(size=vector.size).astype(np.float32)
    x = observations(network.given)

    def both(xp, vector):
        from qfix.deep.layers import Weights

        w = Weights(layout.split(vector), layout)
        return (*network.both(xp, w, x), network.outputs(xp, w, x), network.value(xp, w, x))

    mine, learned = both(np, vector), jax.jit(lambda v: both(jnp, v))(vector)
    for one, other in zip(mine, learned, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert mine[0].shape == (6, network.actions.n_outputs)
    assert mine[1].shape == (6,)
    np.testing.assert_array_equal(mine[0], mine[2])
    np.testing.assert_array_equal(mine[1], mine[3])


@pytest.mark.parametrize("options", OPTIONS)
def test_parts_are_what_only_policy_and_only_value_depend_on(options):
    network = network_of(**options)
    layout, x = network.layout, observations(network.given)
    vector = 0.3 * np.asarray(orthogonal(layout)) + 0.01  # far from where tanh is flat

    def gradient(which):
        def total(v):
            from qfix.deep.layers import Weights

            return (which(Weights(layout.split(v), layout)) ** 2).sum()

        return np.asarray(jax.jit(jax.grad(total))(vector))

    of_policy = gradient(lambda w: network.outputs(jnp, w, x))
    of_value = gradient(lambda w: network.value(jnp, w, x))
    assert (of_value[network.policy_part] == 0).all()
    assert (of_policy[network.value_part] == 0).all()
    assert (of_policy[network.policy_part] != 0).any()
    assert (of_value[network.value_part] != 0).any()
    common = network.layout.size - sum(
        part.stop - part.start for part in (network.policy_part, network.value_part)
    )
    assert (common > 0) == network.shared
    first = of_policy[: network.policy_part.start], of_value[: network.policy_part.start]
    assert all((g != 0).any() for g in first) == network.shared


def test_weights_begin_orthogonal():
    network = network_of(BOX, hidden=(8, 3), log_std=-0.7)
    arrays = network.layout.split(np.asarray(orthogonal(network.layout)))
    for name, gain in (("torso.0", 2**0.5), ("critic.torso.1", 2**0.5), ("head", 0.01), ("value", 1.0)):
        w = arrays[f"{name}.weight"] / gain
        small = w @ w.T if w.shape[0] < w.shape[1] else w.T @ w
        np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-5)
        assert (arrays[f"{name}.bias"] == 0).all()
    np.testing.assert_allclose(arrays["log_std"], -0.7)
    image = network_of(given=IMAGE, network="minatar", normalised=True)
    arrays = image.layout.split(np.asarray(orthogonal(image.layout)))
    w = arrays["conv.0.weight"].reshape(-1, 16)
    np.testing.assert_allclose(w.T @ w, 2 * np.eye(16), atol=1e-5)
    assert (arrays["critic.conv.0.scale"] == 1).all()


def drawn(space, n, squashed=False, mask=None):
    """n actions at one observation with the random numbers that learners have, and their probabilities' logarithms."""
    config = make_config("ppo", {"hidden": (4,), "num_envs": 8})
    network = network_of(space, hidden=(4,), squashed=squashed)
    setup = Setup(config, network)
    learner = jax.jit(lambda key: start_policy(setup, key))(KEY)
    learner = learner._replace(params=learner.params + 0.3)
    obs = np.tile(observations(VECTOR, 1), (n, 1))
    chances = jax.jit(lambda words: chances_at(words, jnp.arange(1), n))(jnp.array([0, 3], jnp.uint32))
    chance = jax.tree.map(lambda x: x[0], chances)
    nothing = Rates(*jnp.zeros(3))
    allowed = None if mask is None else np.tile(mask, (n, 1))
    acting = jax.jit(
        lambda learner, obs, chance: act(setup, learner, obs, allowed, jnp.zeros((n, 0)), nothing, chance)
    )
    action, log_prob, _ = acting(learner, obs, chance)
    outputs = network.outputs(np, setup.weights(np.asarray(learner.params)), obs[:1])[0]
    return network.actions, np.asarray(action), np.asarray(log_prob)[:, 0], outputs


@pytest.mark.parametrize("space", [spaces.Discrete(4), MULTI], ids=str)
def test_numbers_come_as_often_as_they_should(space):
    """20,000 draws of each component against its probabilities by chi-square; false alarm 1e-6 each."""
    n = 20_000
    actions, action, log_prob, outputs = drawn(space, n)
    told = np.zeros(n)
    for k, chances in enumerate(actions.probabilities(np, outputs)):
        mine = action if actions.single else action[:, k]
        seen = np.bincount(mine, minlength=len(chances))
        assert ((seen - n * chances) ** 2 / (n * chances)).sum() < chi2.isf(1e-6, len(chances) - 1)
        told += np.log(chances[mine])
    np.testing.assert_allclose(log_prob, told, rtol=1e-4)
    if not actions.single:  # independent of each other
        assert abs(np.corrcoef(action.T)[0, 1]) < 5 / n**0.5


def test_forbidden_numbers_never_come():
    mask = np.array([True, False, True, False, True, True, False])
    _, action, log_prob, _ = drawn(MULTI, 500, mask=mask)
    assert set(action[:, 0]) == {0, 2}
    assert set(action[:, 1]) == {1, 2}
    assert np.isfinite(log_prob).all()


@pytest.mark.parametrize("squashed", [False, True])
def test_a_gaussian_is_one(squashed):
    """Kolmogorov-Smirnov on 5,000 draws of each number; false alarm 1e-6 each."""
    actions, action, log_prob, outputs = drawn(BOX, 5_000, squashed)
    mean, std = outputs[:2], np.exp(outputs[2:])
    for k in range(2):
        assert kstest((action[:, k] - mean[k]) / std[k], "norm").pvalue > 1e-6
    z = (action - mean) / std
    density = (-(z**2) / 2 - np.log(std) - np.log(2 * np.pi) / 2).sum(axis=1)
    if squashed:
        density -= np.log1p(-(np.tanh(action.astype(np.float64)) ** 2)).sum(axis=1)
    np.testing.assert_allclose(log_prob, density, rtol=1e-3, atol=1e-3)
    given = actions.given(actions.applied(np, action))
    assert given.dtype == np.float32
    assert all(BOX.contains(one) for one in given[:50])
    unit = np.tanh(action) if squashed else np.clip(action, -1, 1)
    np.testing.assert_allclose(given, [0.5, 0.25] + unit * [2.5, 0.25], atol=1e-5)
    np.testing.assert_allclose(jax.jit(lambda a: actions.applied(jnp, a))(action), given, atol=1e-5)


def test_actions_as_environments_take_them():
    def given(space, action):
        actions = actions_of("ppo", space, False)
        found = actions.given(actions.applied(np, np.asarray(action)))
        assert space.contains(found[0]), (space, found)
        return found

    np.testing.assert_array_equal(given(spaces.Discrete(3, start=-2), [0, 2]), [-2, 0])
    np.testing.assert_array_equal(given(MULTI, [[0, 0], [2, 3]]), [[5, -1], [7, 2]])
    binary = spaces.MultiBinary((2, 2))
    np.testing.assert_array_equal(given(binary, [[0, 1, 1, 0]]), [[[0, 1], [1, 0]]])
    matrix = spaces.Box(-3.0, 1.0, (1, 2), np.float64)
    np.testing.assert_allclose(given(matrix, np.float32([[0.5, -4.0]])), [[[0.0, -3.0]]])
    half = spaces.Box(np.float32([0.0, -np.inf]), np.float32([np.inf, 1.0]))
    np.testing.assert_allclose(given(half, np.float32([[-7.0, -7.0], [9.0, 9.0]])), [[0, -7], [9, 1]])
    whole = spaces.Box(-9, 9, (1,), np.int64)
    np.testing.assert_array_equal(given(whole, np.float32([[0.3]])), [[3]])
    largest = np.finfo(np.float32).max
    free = actions_of("ppo", spaces.Box(-largest, largest, (1,)), False)
    assert isinstance(free, Gaussian)
    np.testing.assert_array_equal(free.scale, [[0], [1]])


def test_a_loop_over_parts_may_end_early():
    parts = jnp.arange(24).reshape(12, 2)

    def learn(carry, rows):
        return carry[0] + 1, carry[1].at[rows].add(1)

    nothing = jnp.int32(0), jnp.zeros(24)
    for limit, made in ((5, 5), (99, 12), (None, 12)):
        going = None if limit is None else lambda carry, limit=limit: carry[0] < limit
        times, seen = each_part(parts, learn, nothing, going)
        assert times == made
        np.testing.assert_array_equal(seen, np.arange(24) < 2 * made)


def test_a_space_that_has_no_distribution_is_refused():
    with pytest.raises(SpaceError, match=r"must be Discrete, MultiDiscrete"):
        actions_of("ppo", spaces.Dict({"a": BOX}), False)
