"""Networks that need no training, and models run as a stranger to qfix would run them."""

import gymnasium
import numpy as np
import onnxruntime

from qfix.deep.network import QNetwork
from qfix.deep.normaliser import no_moments
from qfix.deep.observations import codec_for
from qfix.deep.policy import NetworkPolicy


def network_policy(space, actions=None, moments=None, seed=5, **options):
    """A network whose every weight is drawn, the noise of noisy layers and shifts of normalised ones included."""
    actions = gymnasium.spaces.Discrete(3) if actions is None else actions
    network = QNetwork(codec_for(space).input, int(actions.n), **{"hidden": (16, 8)} | options)
    rng = np.random.default_rng(seed)
    params = network.layout.start(rng.uniform(-1.0, 1.0, network.layout.size).astype(np.float32))
    params += rng.normal(0.0, 0.1, network.layout.size).astype(np.float32)
    return NetworkPolicy(network, params, no_moments(0) if moments is None else moments, space, actions)


def opened(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def answers(path, observation):
    """(values, actions) of a model."""
    return opened(path).run(["action_values", "action"], {"observation": observation})
