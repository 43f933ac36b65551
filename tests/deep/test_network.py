"""Networks: NumPy and JAX say the same, layers against slow loops, and what is known of heads."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from qfix.deep.layers import Layout, Weights, conv, layer_norm, linear, max_pool, relu
from qfix.deep.network import COSINES, QNetwork
from qfix.deep.observations import Input, codec_for
from qfix.errors import OptionError

RNG = np.random.default_rng(0)
VECTOR = Input("vector", (5,), np.dtype(np.float32))
NUMBER = Input("number", (), np.dtype(np.int32), n=6)
SMALL = Input("image", (10, 10, 4), np.dtype(np.uint8), scale=1.0)
FRAMES = Input("image", (3, 40, 36), np.dtype(np.uint8), scale=255.0, channels_first=True)
CAMERA, DEPTH = Box(0, 255, (3, 40, 36), np.uint8), Box(0, 9, (10, 12, 1), np.uint8)
BOTH = codec_for(Dict(camera=CAMERA, depth=DEPTH, gear=Discrete(4))).input
SOME = codec_for(Dict(a=Discrete(2), depth=DEPTH, speed=Box(-1, 1, (3,)))).input

NETWORKS = {
    "mlp": (VECTOR, {}),
    "mlp of numbers": (NUMBER, {"normalised": True}),
    "no layer": (NUMBER, {"hidden": ()}),
    "mlp of an image": (SMALL, {"network": "mlp"}),
    "minatar": (SMALL, {"network": "auto"}),
    "minatar, normalised": (SMALL, {"network": "minatar", "normalised": True}),
    "nature, channels first": (FRAMES, {"network": "auto"}),
    "impala": (SMALL, {"network": "impala"}),
    "images among others": (BOTH, {"dueling": True}),
    "an image among others, normalised": (SOME, {"normalised": True, "noisy": True}),
    "an image among others": (SOME, {"network": "impala"}),
    "mlp of an image among others": (SOME, {"network": "mlp"}),
    "recurrent, of an image among others": (SOME, {"gru": 3}),
    "dueling": (VECTOR, {"dueling": True}),
    "recurrent": (VECTOR, {"gru": 5}),
    "recurrent, of images": (SMALL, {"gru": 4, "dueling": True, "distribution": "iqn", "atoms": 3}),
    "noisy": (VECTOR, {"noisy": True, "dueling": True}),
    "c51": (VECTOR, {"distribution": "c51", "atoms": 7, "support": (-2.0, 5.0), "dueling": True}),
    "qr": (VECTOR, {"distribution": "qr", "atoms": 5}),
    "iqn": (VECTOR, {"distribution": "iqn", "atoms": 5, "dueling": True, "noisy": True}),
}


def made(name):
    given, options = NETWORKS[name]
    return QNetwork(given, 3, **({"hidden": (8, 6)} | options))


def vector_of(net, seed=1):
    """Weights that are none of those a network starts with, biases and scales included."""
    rng = np.random.default_rng(seed)
    start = net.layout.start(rng.uniform(-1, 1, net.layout.size).astype(np.float32))
    return (start + 0.05 * rng.normal(size=net.layout.size)).astype(np.float32)


def weights(net, vector, noise=None):
    return Weights(net.layout.split(vector), net.layout, noise)


def said(net, xp, w, obs, levels=None):
    """What the network says of observations that nothing came before."""
    h, _ = net.step(xp, w, obs, xp.zeros((*obs.shape[: obs.ndim - len(net.given.shape)], net.n_state)))
    return net.outputs(xp, w, h, levels)


def observations(given, *shape):
    if given.kind == "number":
        return RNG.integers(given.n, size=shape).astype(np.int32)
    if given.kind == "vector":
        numbers = RNG.normal(size=(*shape, *given.shape)).astype(np.float32)
        for part in given.images:
            pixels = RNG.integers(int(part.input.scale) + 1, size=(*shape, part.input.size))
            numbers[..., part.place] = pixels
        return numbers
    return RNG.integers(int(given.scale) + 1, size=(*shape, *given.shape)).astype(np.uint8)


@pytest.mark.parametrize("name", NETWORKS)
def test_numpy_and_jax_agree(name):
    net = made(name)
    vector, obs = vector_of(net), observations(net.given, 4)
    noise = RNG.normal(size=net.layout.noise_size).astype(np.float32) if net.layout.noise_size else None

    def forward(vector, obs, noise):
        return said(net, jnp, weights(net, vector, noise), obs)

    out = said(net, np, weights(net, vector, noise), obs)
    np.testing.assert_allclose(jax.jit(forward)(vector, obs, noise), out, rtol=2e-4, atol=2e-5)
    assert out.shape == {"none": (4, 3)}.get(net.distribution, (4, 3, net.quantiles))
    np.testing.assert_allclose(
        net.q_values(jnp, jnp.asarray(out)), net.q_values(np, out), rtol=1e-4, atol=1e-5
    )
    # any leading axes
    one = said(net, np, weights(net, vector, noise), obs[2])
    np.testing.assert_allclose(one, out[2], rtol=1e-4, atol=1e-5)
    two = said(net, np, weights(net, vector, noise), obs.reshape(2, 2, *obs.shape[1:]))
    np.testing.assert_allclose(two.reshape(out.shape), out, rtol=1e-4, atol=1e-5)
    assert np.ptp(out) > 0.01


# Layers against slow loops


@pytest.mark.parametrize(
    ("side", "stride", "same"), [(3, 1, False), (4, 2, False), (3, 1, True), (3, 2, True)]
)
def test_a_convolution_is_a_sum_over_windows(side, stride, same):
    layout = Layout()
    layout.conv("c", side, 2, 3, 1)
    w = weights(type("Net", (), {"layout": layout}), RNG.normal(size=layout.size).astype(np.float32))
    x = RNG.normal(size=(2, 7, 6, 2)).astype(np.float32)
    if same:
        total = [max((-(-n // stride) - 1) * stride + side - n, 0) for n in (7, 6)]
        before = [t // 2 for t in total]
        size = [-(-n // stride) for n in (7, 6)]
    else:
        before, size = [0, 0], [(n - side) // stride + 1 for n in (7, 6)]
    slow = np.zeros((2, *size, 3))
    for b, i, j, o in itertools.product(range(2), range(size[0]), range(size[1]), range(3)):
        for u, v, c in itertools.product(range(side), range(side), range(2)):
            y, z = i * stride + u - before[0], j * stride + v - before[1]
            if 0 <= y < 7 and 0 <= z < 6:
                slow[b, i, j, o] += x[b, y, z, c] * w["c.weight"][u, v, c, o]
        slow[b, i, j, o] += w["c.bias"][o]
    for xp in (np, jnp):
        np.testing.assert_allclose(conv(xp, w, "c", xp.asarray(x), stride, same), slow, rtol=1e-4, atol=1e-5)


def test_a_pool_takes_the_largest_of_each_window():
    x = RNG.normal(size=(2, 7, 6, 3)).astype(np.float32) - 5.0  # padding with 0 would win
    slow = np.full((2, 4, 3, 3), -np.inf)
    for i, j, u, v in itertools.product(range(4), range(3), range(3), range(3)):
        y, z = 2 * i + u - 1, 2 * j + v - 0
        if 0 <= y < 7 and 0 <= z < 6:
            slow[:, i, j] = np.maximum(slow[:, i, j], x[:, y, z])
    for xp in (np, jnp):
        np.testing.assert_allclose(max_pool(xp, xp.asarray(x), 3, 2), slow)


def test_layer_norm_by_hand():
    """1, 2, 3, 6: mean 3, variance 14/4 = 3.5; scaled by 2, shifted by 1."""
    layout = Layout()
    layout.layer_norm("n", 4)
    w = Weights({"n.scale": np.full(4, 2.0), "n.shift": np.ones(4)}, layout)
    expected = 1 + 2 * np.array([-2, -1, 0, 3]) / np.sqrt(3.5 + 1e-5)
    for xp in (np, jnp):
        arrays = {k: xp.asarray(v, np.float32) for k, v in w.items()}
        x = xp.asarray([[1.0, 2.0, 3.0, 6.0]], np.float32)
        np.testing.assert_allclose(layer_norm(xp, Weights(arrays, layout), "n", x), [expected], rtol=1e-5)


def test_a_noisy_layer_by_hand():
    """y = x (W + W' ∘ f(ε_in) f(ε_out)ᵀ) + b + b' ∘ f(ε_out), f(e) = sign(e) √|e|: of 4 and -9, 2 and -3."""
    layout = Layout()
    layout.linear("l", 2, 1, noisy=True)
    arrays = {
        "l.weight": np.array([[1.0], [2.0]]),
        "l.bias": np.array([0.5]),
        "l.weight_noise": np.array([[0.1], [0.2]]),
        "l.bias_noise": np.array([10.0]),
    }
    x = np.array([[3.0, 5.0]])
    for noise, expected in (
        (None, 13.5),
        (np.zeros(3), 13.5),
        (np.array([4.0, -9.0, 1.0]), 13.5 + 0.1 * 2 * 3 + 0.2 * -3 * 5 + 10.0),
        (np.array([4.0, -9.0, -16.0]), 13.5 - 4 * (0.1 * 2 * 3 + 0.2 * -3 * 5 + 10.0)),
    ):
        for xp in (np, jnp):
            w = Weights({k: xp.asarray(v, np.float32) for k, v in arrays.items()}, layout, noise)
            np.testing.assert_allclose(linear(xp, w, "l", xp.asarray(x, np.float32)), [[expected]], rtol=1e-5)


# Heads


def test_advantages_of_a_dueling_network_are_centred():
    """output = v + advantage - mean advantage: the mean over actions is v, and a constant in the advantages does
    nothing."""
    net = made("dueling")
    vector, obs = vector_of(net), observations(VECTOR, 4)
    arrays = {k: v.copy() for k, v in net.layout.split(vector).items()}
    out = said(net, np, Weights(arrays, net.layout), obs)
    h = net.features(np, Weights(arrays, net.layout), obs)
    np.testing.assert_allclose(
        out.mean(-1), (h @ arrays["value.weight"] + arrays["value.bias"])[:, 0], atol=1e-5
    )
    advantage = h @ arrays["head.weight"] + arrays["head.bias"]
    np.testing.assert_allclose(np.diff(out), np.diff(advantage), atol=1e-5)
    arrays["head.bias"] += 3.0
    np.testing.assert_allclose(said(net, np, Weights(arrays, net.layout), obs), out, atol=1e-5)


def test_values_are_means_of_distributions_by_hand():
    """Atoms -2, 0, 2 with odds 1 : 2 : 1 and 1 : 1 : 2; quantiles -1, 0, 4."""
    net = QNetwork(VECTOR, 2, distribution="c51", atoms=3, support=(-2.0, 2.0))
    odds = np.log(np.array([[1.0, 2.0, 1.0], [1.0, 1.0, 2.0]])) + 7.0
    np.testing.assert_allclose(net.q_values(np, odds), [0.0, 0.5], atol=1e-6)
    net = QNetwork(VECTOR, 2, distribution="qr", atoms=3)
    np.testing.assert_allclose(net.levels, [1 / 6, 1 / 2, 5 / 6], rtol=1e-6)
    np.testing.assert_allclose(net.q_values(np, np.array([[-1.0, 0.0, 4.0]])), [1.0])


def test_implicit_quantiles_are_asked_for_by_level():
    """h ∘ relu(W cos(π i τ) + b), i = 0..63, of each level by itself."""
    net = QNetwork(VECTOR, 3, hidden=(8,), distribution="iqn", atoms=4)
    w, obs = weights(net, vector_of(net)), observations(VECTOR, 2)
    levels = RNG.random((2, 3)).astype(np.float32)
    out = said(net, np, w, obs, levels)
    h = net.features(np, w, obs)
    for b, k in itertools.product(range(2), range(3)):
        phi = np.cos(np.pi * np.arange(COSINES) * levels[b, k])
        mixed = h[b] * np.maximum(phi @ w["level.weight"] + w["level.bias"], 0)
        np.testing.assert_allclose(
            out[b, :, k], mixed @ w["head.weight"] + w["head.bias"], rtol=1e-3, atol=1e-4
        )
    np.testing.assert_allclose(said(net, np, w, obs), said(net, np, w, obs, np.tile(net.levels, (2, 1))))


# Parameters


@pytest.mark.parametrize(
    ("name", "count"),
    [
        # 5·8+8 + 8·6+6 + 6·3+3
        ("mlp", 48 + 54 + 21),
        # and a value: 6+1
        ("dueling", 48 + 54 + 21 + 7),
        # twice, for the noise
        ("noisy", 2 * (48 + 54 + 21 + 7)),
        # 7 atoms for each of 3 actions and for the value
        ("c51", 48 + 54 + 6 * 21 + 21 + 6 * 7 + 7),
        # 3·3·4 -> 16, on 8 x 8; then 1024 -> 6 -> 3
        ("minatar", 36 * 16 + 16 + 1024 * 6 + 6 + 21),
        # 40 x 36: 9 x 8, 3 x 3, 1 x 1 of 64
        ("nature, channels first", 192 * 32 + 32 + 512 * 64 + 64 + 576 * 64 + 64 + 64 * 6 + 6 + 21),
        # the two of above, on 40 x 36 and on 10 x 12 -> 8 x 10; joined with 4 numbers
        (
            "images among others",
            192 * 32 + 32 + 512 * 64 + 64 + 576 * 64 + 64 + 9 * 16 + 16 + (64 + 1280 + 4) * 6 + 6 + 21 + 7,
        ),
        ("mlp of an image among others", 125 * 8 + 8 + 54 + 21),
        # 10 x 10 -> 5 -> 3 -> 2, of 32 at the end
        (
            "impala",
            (36 * 16 + 16 + 4 * (144 * 16 + 16)) + (144 * 32 + 32 + 8 * (288 * 32 + 32) + 288 * 32 + 32)
            + 128 * 6 + 6 + 21,
        ),
    ],
)  # fmt: skip
def test_parameters_by_hand(name, count):
    net = made(name)
    assert net.layout.size == count
    split = net.layout.split(np.arange(count))
    assert sum(a.size for a in split.values()) == count
    np.testing.assert_array_equal(net.layout.joined(np, split), np.arange(count))


def test_operations_by_hand():
    """Two a weight and position: 9 x 8, 3 x 3, 1 x 1 and 8 x 10 positions."""
    convolutions = 192 * 32 * 72 + 512 * 64 * 9 + 576 * 64 + 9 * 16 * 80
    assert made("images among others").operations == 2 * (convolutions + (64 + 1280 + 4) * 6 + 18 + 6)


def test_an_image_among_others_goes_through_its_own_convolution():
    """relu(W [relu(conv(image / 9)), numbers] + b), in whatever order the parts lie."""
    net = QNetwork(SOME, 3, hidden=(8,))
    assert net.torso == "minatar"
    w, obs = weights(net, vector_of(net)), observations(SOME, 4)
    image = obs[:, 2:122].reshape(4, 10, 12, 1) / np.float32(9)
    features = relu(np, conv(np, w, "conv.depth.0", image, 1)).reshape(4, -1)
    joined = np.concatenate([features, obs[:, :2], obs[:, 122:]], axis=-1)
    expected = np.maximum(joined @ w["torso.0.weight"] + w["torso.0.bias"], 0.0)
    np.testing.assert_allclose(net.features(np, w, obs), expected, rtol=1e-5, atol=1e-5)


def test_auto_takes_what_fits():
    """On 35 x 35 the windows of "nature" do not, on 36 x 36 they do."""
    for side, torso in ((35, "minatar"), (36, "nature")):
        given = codec_for(Box(0, 255, (side, side, 3), np.uint8)).input
        assert QNetwork(given, 2).torso == torso


def test_weights_start_as_they_should():
    """Within 1/√n of what goes in; noise at 0.5/√n; scales 1 and shifts 0."""
    net = QNetwork(VECTOR, 3, hidden=(400,), normalised=True, noisy=True)
    w = net.layout.split(net.layout.start(np.random.default_rng(0).uniform(-1, 1, net.layout.size)))
    for name, n_in in (("torso.0", 5), ("head", 400)):
        bound = 1 / np.sqrt(n_in)
        assert 0.9 * bound < np.abs(w[f"{name}.weight"]).max() <= bound
        assert abs(w[f"{name}.weight"].mean()) < 0.1 * bound
        np.testing.assert_allclose(w[f"{name}.weight_noise"], 0.5 * bound, rtol=1e-6)
        np.testing.assert_allclose(w[f"{name}.bias_noise"], 0.5 * bound, rtol=1e-6)
    assert (w["torso.0.scale"] == 1).all()
    assert (w["torso.0.shift"] == 0).all()


@pytest.mark.parametrize("name", ["mlp of numbers", "noisy", "minatar, normalised"])
def test_gradients_are_differences(name):
    """Along random directions, in double precision."""
    net = made(name)
    rng = np.random.default_rng(2)
    obs, vector = observations(net.given, 3), vector_of(net)
    noise = rng.normal(size=net.layout.noise_size) if net.layout.noise_size else None
    direction = rng.normal(size=vector.size)
    aim = rng.normal(size=(3, 3))

    def loss(xp, vector):
        return xp.sum((said(net, xp, weights(net, vector, noise), obs) - aim) ** 2)

    gradient = np.asarray(jax.jit(jax.grad(lambda v: loss(jnp, v)))(vector), np.float64)
    tiny = 1e-6
    ahead, behind = (loss(np, vector.astype(np.float64) + s * tiny * direction) for s in (1, -1))
    np.testing.assert_allclose(gradient @ direction, (ahead - behind) / (2 * tiny), rtol=2e-3)


def test_a_torso_that_does_not_fit_is_refused():
    with pytest.raises(
        OptionError, match=r"'network' parameter can be 'nature' only where observations are images"
    ):
        QNetwork(VECTOR, 2, network="nature")
    with pytest.raises(OptionError, match=r"images of 10 x 10 are too small"):
        QNetwork(SMALL, 2, network="nature")
