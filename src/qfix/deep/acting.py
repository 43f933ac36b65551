"""How a learner on networks behaves while it learns: the strategies of `qfix.explore` on a batch, in JAX."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from qfix.core import policies
from qfix.core.policies import draw
from qfix.core.td import epsilon_greedy_value
from qfix.deep.distributions import Gaussian
from qfix.deep.learner import Learner, Rates, Setup, allowed_q
from qfix.deep.policy_network import PolicyNetwork
from qfix.deep.streams import ACT, stream
from qfix.explore import Boltzmann, EpsilonGreedy, Strategy

Array = Any


def probabilities(strategy: Strategy, q: Array, rate: Array, mask: Array | None = None) -> Array:
    """(N, A) probability of each action.

    Args:
        strategy: Greedy, EpsilonGreedy or Boltzmann.
        q: (N, A) action values.
        rate: epsilon or temperature now.
        mask: (N, A) actions that are allowed; None: all. Random actions are drawn among these.
    """
    values = allowed_q(q, mask)
    if isinstance(strategy, Boltzmann):
        return policies.boltzmann(values, rate)
    # the first of tied actions, and none by comparison with the maximum: a compiler may compute the values twice and
    # round them differently, so that nothing equals their maximum
    n_actions = values.shape[-1]
    greedy = (jnp.argmax(values, axis=-1)[..., None] == jnp.arange(n_actions)).astype(values.dtype)
    if not isinstance(strategy, EpsilonGreedy):
        return greedy
    if mask is None:
        return epsilon_greedy_value(greedy, 1.0 / n_actions, rate)
    uniform = mask / jnp.maximum(jnp.sum(mask, axis=-1, keepdims=True), 1)
    return epsilon_greedy_value(greedy, uniform, rate)


class Chance(NamedTuple):
    """The random numbers of one step of all environments."""

    u: Array  # (N,) uniform, to draw the actions by
    noise: Array  # a key, for the noise of the network, or for actions that one number does not draw


def chances_at(words: Array, counts: Array, n_envs: int) -> Chance:
    """The random numbers of some steps, leading axis as `counts`; each a function of the seed and the count alone.

    Args:
        words: (2,) uint32 of the seed.
        counts: (K,) which steps, from 0 on.
        n_envs: N.
    """

    def one(count: Array) -> Chance:
        key = stream(words, ACT, count)
        return Chance(jax.random.uniform(key, (n_envs,)), jax.random.fold_in(key, 1))

    return jax.vmap(one)(counts)


def act(
    setup: Setup,
    learner: Learner,
    observation: Array,
    mask: Array | None,
    state: Array,
    rates: Rates,
    chance: Chance,
) -> tuple[Array, Array, Array]:
    """Actions (N,) as the learner behaves, the values (N, A) they were chosen by, and the network's state behind them.

    A learner of a policy draws its actions (N, ...) from that, and gives (N, 1) logarithms of their probabilities.

    Args:
        setup, learner: who acts.
        observation: (N, *shape) as they are kept.
        mask: (N, A) actions that are allowed; None: all.
        state: (N, H) of a recurrent network, before it sees the observation; else H is 0.
        rates: of this moment.
        chance: its random numbers.
    """
    if isinstance(setup.network, PolicyNetwork):
        return _act_by_policy(setup, learner, observation, mask, state, chance)
    w = setup.weights(learner.params, chance.noise)
    features, state = setup.network.step(jnp, w, setup.view(learner, observation), state)
    q = setup.network.q(jnp, w, features)
    config: Any = setup.config
    chances = probabilities(config.strategy, q, rates.exploration, mask)
    return draw(chances, chance.u), q, state


def _act_by_policy(
    setup: Setup, learner: Learner, observation: Array, mask: Array | None, state: Array, chance: Chance
) -> tuple[Array, Array, Array]:
    network, actions = setup.network, setup.network.actions
    w = setup.weights(learner.params)
    outputs, state = network.observe(jnp, w, setup.view(learner, observation), state)
    outputs = actions.masked(jnp, outputs, mask)
    shape = (observation.shape[0], *actions.shape)
    if isinstance(actions, Gaussian):
        luck = jax.random.normal(chance.noise, shape)
    else:
        luck = chance.u[:, None] if actions.single else jax.random.uniform(chance.noise, shape)
    action = actions.drawn(jnp, outputs, luck)
    return action, actions.log_prob(outputs, action)[:, None], state
