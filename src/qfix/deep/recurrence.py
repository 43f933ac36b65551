"""Networks that remember: what they make of a batch, step by step through its sequences.

    h_t = gru(torso(s_t), h_{t-1}),   h = 0 where an episode begins

A sequence of the memory starts from the state that the network had when the steps were made. Its first steps are only
there to bring that state up to date with the weights of now (burn-in): no gradient goes through them, and nothing is
learned from them. Of every later step the next observation is seen from the state behind the step, that of a truncated
episode included.

Source: Kapturowski et al. (2019), Recurrent experience replay in distributed reinforcement learning (R2D2), section 3.
1. Sequences may begin at any step and go on over the end of an episode, where the state begins anew; there they have
   a fixed raster within episodes.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qfix.deep.data import Replay
from qfix.deep.layers import Weights
from qfix.deep.learner import Learner, Rates, Setup
from qfix.deep.network import QNetwork
from qfix.deep.policy_network import PolicyNetwork
from qfix.replay.batch import Batch, Past, Sequences
from qfix.replay.walking import n_step_window

Array = Any

_MOST_SHARE = np.float32(0.9)  # of the largest TD error in the priority of a sequence (R2D2, section 3)
_LARGEST_PRIORITY = 1e20


def states_through(
    network: QNetwork | PolicyNetwork, w: Weights, features: Array, ended: Array, state: Array
) -> tuple[Array, Array]:
    """The states behind each of L steps, and the one that the step after them begins with.

    Args:
        network, w: a recurrent network.
        features: (L, B, 3 H) of `network.features`, H being `network.n_state`.
        ended: (L, B) whether the episode ended with the step.
        state: (B, H) before the first step.

    Returns:
        (L, B, H) and (B, H).
    """

    def step(state: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        given, over = row
        behind = network.after(jnp, w, given, state)
        return jnp.where(over[:, None], 0.0, behind), behind

    last, states = jax.lax.scan(step, state, (features, ended))
    return states, last


def features_here(setup: Setup, learner: Learner, w: Weights, batch: Batch) -> Array:
    """(rows, F) features of a batch's observations."""
    network = setup.network
    features = network.features(jnp, w, setup.view(learner, batch.obs))
    if batch.past is None:
        return features
    return _states(network, w, features, batch.past).reshape((-1, network.n_state))


def features_next(setup: Setup, learner: Learner, w: Weights, batch: Batch) -> Array:
    """(rows, F) features of a batch's next observations."""
    network, past = setup.network, batch.past
    following = network.features(jnp, w, setup.view(learner, batch.next_obs))
    if past is None:
        return following
    states = _states(network, w, network.features(jnp, w, setup.view(learner, batch.obs)), past)
    after = network.after(jnp, w, following, states).reshape((-1, network.n_state))
    return after[past.last]


def _states(network: QNetwork, w: Weights, features: Array, past: Past) -> Array:
    """(T, B, H) behind each of the steps that are learned from."""
    burn_in = features.shape[0] - past.n_steps
    state, ended = past.state, past.ended
    if burn_in:
        _, state = states_through(network, w, features[:burn_in], ended[:burn_in], state)
        state = jax.lax.stop_gradient(state)
    return states_through(network, w, features[burn_in:], ended[burn_in:], state)[0]


def rows_of(sequences: Sequences, data: Replay, gamma: float) -> Batch:
    """Sequences as a batch of T·B rows, step after step: windows of n steps that end where a sequence does."""
    assert data.sequence is not None
    first = data.sequence.burn_in
    reward, terminated, ended = (x[first:] for x in (sequences.reward, sequences.terminated, sequences.ended))
    n_steps, size = reward.shape
    t = jnp.arange(n_steps, dtype=jnp.int32)[:, None]

    def at(x: Array, k: int) -> Array:
        return x[jnp.minimum(t[:, 0] + k, n_steps - 1)]

    k, total, discount = n_step_window(
        jnp, data.n_step, gamma, n_steps - 1 - t, lambda k: at(reward, k), lambda k: at(ended, k)
    )
    last = (t + k) * size + jnp.arange(size, dtype=jnp.int32)
    over = terminated.reshape(-1)[last]
    mask = sequences.mask_next
    past = Past(sequences.state, sequences.ended, last.reshape(-1), n_steps)
    return Batch(
        obs=sequences.obs,
        action=sequences.action[first:].reshape(-1),
        reward=total.reshape(-1),
        discount=(discount * (1.0 - over)).reshape(-1),
        next_obs=sequences.next_obs[first:],
        mask_next=None if mask is None else mask[first:].reshape((n_steps * size, -1))[past.last],
        past=past,
    )


def learned(
    algorithm: Any,
    setup: Setup,
    learner: Learner,
    drawn: Batch | Sequences,
    weight: Array,
    rates: Rates,
    key: Array,
) -> tuple[Learner, Any]:
    """The update of an algorithm on what was drawn from a memory.

    Args:
        algorithm: its module.
        setup, learner: who learns.
        drawn: a batch, or sequences.
        weight: (draws,) importance weights.
        rates: of this moment.
        key: of this gradient step.
    """
    config: Any = setup.config
    if isinstance(drawn, Sequences):
        drawn = rows_of(drawn, config.data, config.gamma)
        weight = jnp.tile(weight, config.data.sequence.length)
    return algorithm.update(setup, learner, drawn, weight, rates, key)


def priorities_of(xp: Any, td_error: Array, draws: int) -> Array:
    """(draws,) priorities: |TD error| + 1e-6, so that nothing is out of reach; those of a diverged network stay
    numbers.

    Of a sequence 0.9 max_t |δ_t| + 0.1 mean_t |δ_t|.

    Args:
        xp: array namespace.
        td_error: (rows,) of steps, or (T·draws,) of sequences, step after step.
        draws: how many steps or sequences there are.
    """
    size = xp.abs(td_error)
    if len(size) != draws:
        each = size.reshape((-1, draws))
        size = _MOST_SHARE * xp.max(each, axis=0) + (1 - _MOST_SHARE) * xp.mean(each, axis=0)
    return xp.nan_to_num(size, nan=0.0, posinf=_LARGEST_PRIORITY) + np.float32(1e-6)
