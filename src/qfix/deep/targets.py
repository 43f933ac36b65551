"""What a network should predict: targets of one batch, whatever part of the return is predicted, and the losses.

The policy π whose value is learned says what comes next: the greedy one of Q-learning, by the network itself where
it is double; the behaviour's next action (SARSA) or its expectation; or the softmax of Munchausen Q-learning, which
is also paid for entropy. Of a distribution of returns, atoms are mixed by π and quantiles of one level are averaged
by it, as in Vieillard et al. (2020), Munchausen reinforcement learning, appendix (M-IQN).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qfix.core import losses, policies, td
from qfix.core._array import take_last
from qfix.deep.acting import probabilities
from qfix.deep.learner import Rates, Setup, allowed_q
from qfix.deep.network import QNetwork
from qfix.replay.batch import Batch

Array = Any

KAPPA = 1.0
"""Width of the squared middle of Huber's loss, of values and of quantiles. Sources: Mnih et al. (2015), methods: errors
are clipped at 1; Dabney et al. (2018), QR-DQN-1 and IQN."""

MUNCHAUSEN_WEIGHT, MUNCHAUSEN_FLOOR = 0.9, -1.0
"""How much of the bonus counts, and the least that it is. Source: Vieillard et al. (2020), section 4: α and l_0."""


class Next(NamedTuple):
    """What is known of a batch's next observations."""

    reward: Array  # (B,) with Munchausen's bonus, if any
    discount: Array  # (B,)
    policy: Array  # (B, A) probability of each next action
    bonus: Array | None  # (B, A) what is added to the value of each next action: −τ·log π; None for nothing


def greedy_next(reward: Array, discount: Array, q_select: Array) -> Next:
    """Q-learning's: all on the action that `q_select` (B, A) prefers, the first of tied ones."""
    best = jnp.argmax(q_select, axis=-1)[:, None] == jnp.arange(q_select.shape[-1])
    return Next(reward, discount, best.astype(q_select.dtype), None)


def munchausen_next(
    reward: Array,
    discount: Array,
    q: Array,
    action: Array,
    q_next: Array,
    temperature: float,
    weight: float,
    floor: float,
) -> Next:
    """Munchausen's, as `td.munchausen` has it, for distributions: bonus for being sure, entropy for what comes."""
    log_pi = temperature * policies.log_softmax(q / temperature)
    bonus = weight * jnp.clip(take_last(jnp, log_pi, action), floor, 0.0)
    log_pi_next = temperature * policies.log_softmax(q_next / temperature)
    return Next(reward + bonus, discount, jnp.exp(log_pi_next / temperature), -log_pi_next)


def scalar_target(step: Next, q_next: Array) -> Array:
    """(B,) r + γ·Σ_a π(a)·(q'(a) + bonus(a)); forbidden actions have probability 0."""
    worth = q_next if step.bonus is None else q_next + step.bonus
    return td.expected_sarsa(step.reward, step.discount, jnp.where(step.policy > 0, worth, 0.0), step.policy)


def categorical_target(step: Next, logits_next: Array, atoms: np.ndarray) -> Array:
    """(B, K) distribution of the target on the grid: the mixture of r + γ·(z + bonus(a)), weighed by π(a)·p(z|a)."""
    mass = step.policy[..., None] * jnp.exp(policies.log_softmax(logits_next))  # (B, A, K)
    bonus = 0.0 if step.bonus is None else jnp.where(step.policy > 0, step.bonus, 0.0)[..., None]
    worth = jnp.broadcast_to(atoms + bonus, mass.shape)
    at = td.one_step(step.reward[:, None, None], step.discount[:, None, None], worth)
    flat = (mass.shape[0], -1)
    return losses.categorical_projection(mass.reshape(flat), at.reshape(flat), jnp.asarray(atoms))


def quantile_target(step: Next, quantiles_next: Array) -> Array:
    """(B, K) r + γ·Σ_a π(a)·(z_k(a) + bonus(a)): of a greedy π the quantiles of its action."""
    bonus = 0.0 if step.bonus is None else step.bonus[..., None]
    worth = jnp.where(step.policy[..., None] > 0, quantiles_next + bonus, 0.0)
    mixed = jnp.sum(step.policy[..., None] * worth, axis=-2)
    return td.one_step(step.reward[:, None], step.discount[:, None], mixed)


def distributional_loss(
    network: QNetwork, output: Array, target: Array, levels: Array | None, kappa: float
) -> Array:
    """(B,) loss of the action taken: cross-entropy to the target's distribution, or quantile regression.

    Args:
        network: says which.
        output: (B, K) logits or quantiles of the action taken.
        target: (B, K) of `categorical_target` or `quantile_target`.
        levels: (B, K) of the quantiles predicted; None of a categorical network.
        kappa: width of the squared middle of the quantile loss.
    """
    if network.distribution == "c51":
        return -jnp.sum(target * policies.log_softmax(output), axis=-1)
    tau = jnp.asarray(network.levels) if levels is None else levels
    return losses.quantile_huber(output, target, jnp.broadcast_to(tau, output.shape), kappa)


def mean_of(network: QNetwork, output: Array) -> Array:
    """(B,) expectation of a target (c51: a distribution, not logits; else quantiles)."""
    if network.distribution == "c51":
        return output @ jnp.asarray(network.support)
    return jnp.mean(output, axis=-1)


def drawn_levels(network: QNetwork, size: int, key: Array) -> tuple[Array, Array]:
    """(B, K) levels of the quantiles of a prediction, and of its target, drawn anew for every step; None but for
    iqn."""
    if network.distribution != "iqn":
        return None, None
    one, other = jax.random.split(key)
    shape = (size, network.quantiles)
    return jax.random.uniform(one, shape), jax.random.uniform(other, shape)


def next_step(
    setup: Setup,
    batch: Batch,
    q_select: Array,
    q_next: Array,
    q_here: Callable[[], Array],
    rates: Rates,
    key: Array,
) -> Next:
    """What the options say of a batch's next observations.

    Args:
        setup: the options.
        batch: B steps.
        q_select: (B, A) values by which the next action is chosen.
        q_next: (B, A) values of the target network at the next observations.
        q_here: gives its values (B, A) at the observations, which only Munchausen needs.
        rates: of this moment.
        key: to draw SARSA's next action.
    """
    config: Any = setup.config
    mask = batch.mask_next
    if config.munchausen:
        return munchausen_next(
            batch.reward,
            batch.discount,
            q_here(),
            batch.action,
            allowed_q(q_next, mask),
            config.temperature,
            MUNCHAUSEN_WEIGHT,
            MUNCHAUSEN_FLOOR,
        )
    if config.target == "q_learning":
        return greedy_next(batch.reward, batch.discount, allowed_q(q_select, mask))
    chances = probabilities(config.strategy, q_select, rates.exploration, mask)
    if config.target == "sarsa":
        taken = policies.draw(chances, jax.random.uniform(key, chances.shape[:1]))
        chances = jax.nn.one_hot(taken, chances.shape[-1])
    return Next(batch.reward, batch.discount, chances, None)


def target_of(network: QNetwork, step: Next, out_next: Array) -> Array:
    """(B,) target, or (B, K) of a distribution, from the target network's `outputs` at the next observations."""
    if network.distribution == "none":
        return scalar_target(step, out_next)
    if network.distribution == "c51":
        return categorical_target(step, out_next, network.support)
    return quantile_target(step, out_next)
