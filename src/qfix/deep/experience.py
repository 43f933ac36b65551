"""A rollout as a policy learns from it, and what is learned from: values, advantages, scaled rewards, the loss.

    L(θ) = mean surrogate(log π_θ(a|s)) + c_v mean (G - v_θ(s))² - c_e mean H(π_θ(·|s))
    A_t  = δ_t + γ_t λ A_{t+1},    δ_t = r_t + γ_t v(s'_t) - v(s_t),    G = A + v

v is the value before learning from the rollout. Where an episode was truncated v(s'_t) is that of its final
observation, and so is it where the rollout ends; where it terminated γ_t is 0.

Rewards may be divided by the standard deviation of R_t = r_t + γ R_{t-1}, of what was seen so far with this rollout
(`qfix.deep.normaliser`), and are then cut at ±10.

Sources: Schulman et al. (2016), High-dimensional continuous control using generalized advantage estimation; Engstrom et
al. (2020), Implementation matters in deep policy gradients, section 3 (scaled rewards).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qfix.core import losses, returns, surrogates
from qfix.deep.data import Steps
from qfix.deep.layers import Weights
from qfix.deep.learner import Learner, Rates, Setup
from qfix.deep.minibatches import Minibatches
from qfix.deep.normaliser import LARGEST, TINY, Moments, no_moments, updated_moments
from qfix.deep.orthogonal import orthogonal_start
from qfix.deep.policy_report import PolicyReport

Array = Any


class Tally(NamedTuple):
    """What is counted of rewards and returns, beside the network."""

    running: Array  # (N,) discounted reward so far in each running episode; (0,) where rewards are not scaled
    moments: Moments  # of it, of size 1; of size 0 where rewards are not scaled
    mean_return: Array  # () running mean of returns
    rollouts: Array  # () float32 that it is of


class Experience(NamedTuple):
    """A rollout, or a part of it, one row a step: step t of environment n of all is the row t·N + n."""

    rollout: Minibatches  # all of it, observations as the network takes them
    part: Array | None  # of the rollout; None: all
    action: Array  # (rows, ...)
    mask: Array | None  # (rows, A) actions that were allowed; None: all
    log_prob: Array  # (rows,) of the actions, as they were drawn
    value: Array  # (rows,) of the observations, before learning
    advantage: Array  # (rows,)
    target: Array  # (rows,) returns that values are drawn to

    def at(self, part: Array) -> Experience:
        """A part of all, as the rollout gives it."""
        shape = self.rollout.steps.reward.shape

        def taken(x: Array | None) -> Array | None:
            return None if x is None else self.rollout.take(x.reshape((*shape, *x.shape[1:])), part)

        return Experience(self.rollout, part, *map(taken, self[2:]))


def start_policy(setup: Setup, key: Array) -> Learner:
    """A learner of a policy that has learned nothing."""
    config: Any = setup.config
    params = orthogonal_start(setup.network.layout, key) if config.orthogonal else None
    scaled = config.normalize_rewards
    moments = Moments(*map(jnp.asarray, no_moments(1 if scaled else 0)))
    running = jnp.zeros(config.num_envs if scaled else 0)
    tally = Tally(running, moments, jnp.float32(0), jnp.float32(0))
    return setup.start(key, with_target=False, params=params)._replace(tally=tally)


def value_of(setup: Setup, learner: Learner, observation: Array, mask: Array | None, state: Array) -> Array:
    """(N,) value of observations (N, *shape), seen from states (N, H), whatever actions are allowed there."""
    w = setup.weights(learner.params)
    return setup.network.value(jnp, w, setup.view(learner, observation), state)


def experience_of(setup: Setup, learner: Learner, steps: Steps, lambda_: float) -> tuple[Learner, Experience]:
    """A rollout with its values and advantages; also the learner that has counted it.

    The learner's view of observations is still the one that made the rollout: see `counted`.
    """
    rollout = Minibatches(setup, steps._replace(obs=setup.view(learner, steps.obs)))
    rows = steps.reward.size
    _, value = judged(rollout, setup.weights(learner.params), None)
    value = value.reshape(steps.reward.shape)
    following = jnp.concatenate([value[1:], steps.value_last[None]])
    value_next = jnp.where(steps.ended, steps.value_final, following)
    learner, reward = _scaled(setup, learner, steps)
    advantage = returns.gae(reward, steps.discount, value, value_next, ~steps.ended, lambda_)
    found = Experience(
        rollout,
        None,
        rollout.take(steps.action, None),
        None if steps.mask is None else rollout.take(steps.mask, None),
        steps.extras.reshape(rows),
        value.reshape(rows),
        advantage.reshape(rows),
        (advantage + value).reshape(rows),
    )
    return learner, found


def judged(rollout: Minibatches, w: Weights, part: Array | None) -> tuple[Array, Array]:
    """(rows, n) outputs of the policy and (rows,) values by some weights, in a part of a rollout.

    Those of a recurrent network are seen from the states that the rollout began with.
    """
    network = rollout.setup.network
    if network.n_state:
        return network.heads(jnp, w, rollout.features(w, part))
    return network.both(jnp, w, rollout.take(rollout.steps.obs, part))


def _scaled(setup: Setup, learner: Learner, steps: Steps) -> tuple[Learner, Array]:
    """(T, N) rewards as they are learned from."""
    config: Any = setup.config
    if not config.normalize_rewards:
        return learner, steps.reward
    gamma = np.float32(config.gamma)

    def step(running: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        reward, ended = row
        total = reward + gamma * running
        return jnp.where(ended, 0.0, total), total

    running, totals = jax.lax.scan(step, learner.tally.running, (steps.reward, steps.ended))
    moments = updated_moments(jnp, learner.tally.moments, totals.reshape((-1, 1)))
    variance = moments.squares[0] / moments.count
    reward = jnp.clip(steps.reward / jnp.sqrt(variance + TINY), -LARGEST, LARGEST)
    tally = learner.tally._replace(running=running, moments=moments)
    return learner._replace(tally=tally), reward


def counted(setup: Setup, learner: Learner, steps: Steps) -> Learner:
    """A learner that has counted the observations of a rollout, once it has learned from it."""
    if not setup.config.normalize_observations:
        return learner
    rows = steps.obs.reshape((steps.reward.size, -1))
    return learner._replace(moments=updated_moments(jnp, learner.moments, rows))


def normalised_advantage(advantage: Array) -> Array:
    """Advantages of a batch at mean 0 and standard deviation 1; a single one as it is."""
    if advantage.size == 1:
        return advantage
    return (advantage - jnp.mean(advantage)) / (jnp.std(advantage, ddof=1) + TINY)


def learn(
    setup: Setup,
    learner: Learner,
    part: Experience,
    surrogate: Callable[[Array], Array],
    rates: Rates,
    value_clip: float | None = None,
    clip: tuple[float, float] | None = None,
) -> tuple[Learner, PolicyReport]:
    """One step of gradient descent on L.

    Args:
        setup, learner: who learns.
        part: B steps.
        surrogate: from (B,) log-probabilities of the actions to the policy's loss of each.
        rates: of this moment.
        value_clip: how far a value may move from what it was and still be learned; None: as far as it likes.
        clip: how far below and above 1 a ratio of new to old probability may lie before it counts as clipped; None: a
            learner of one step a rollout, whose policy is still the old one, so that there is nothing to tell of.
    """
    config: Any = setup.config
    network = setup.network

    def loss(w: Weights) -> tuple[Array, tuple[Array, ...]]:
        outputs, value = judged(part.rollout, w, part.part)
        outputs = network.actions.masked(jnp, outputs, part.mask)
        log_prob = network.actions.log_prob(outputs, part.action)
        policy_loss = jnp.mean(surrogate(log_prob))
        if value_clip is not None:
            value = losses.clipped_prediction(value, part.value, value_clip)
        value_loss = 2.0 * jnp.mean(losses.squared(part.target - value))
        entropy = jnp.mean(network.actions.entropy(outputs))
        whole = policy_loss + config.value_coefficient * value_loss - config.entropy_coefficient * entropy
        return whole, (policy_loss, value_loss, entropy, log_prob)

    whole, (policy_loss, value_loss, entropy, log_prob), gradient = setup.gradient(loss, learner.params)
    learner, norm = setup.descend(learner, gradient, rates.learning_rate)
    log_ratio = log_prob - part.log_prob
    kl = clipped = jnp.full_like(whole, jnp.nan)
    if clip is not None:
        ratio = jnp.exp(log_ratio)
        clipped = jnp.mean(((ratio < 1.0 - clip[0]) | (ratio > 1.0 + clip[1])).astype(whole.dtype))
        kl = jnp.mean(surrogates.kl_k3(part.log_prob, log_prob))
    report = PolicyReport(
        policy_loss=policy_loss,
        value_loss=value_loss,
        entropy=entropy,
        approx_kl=kl,
        clip_fraction=clipped,
        loss=whole,
        grad_norm=norm,
        policy_grad_norm=jnp.linalg.norm(gradient[network.policy_part]),
        value_grad_norm=jnp.linalg.norm(gradient[network.value_part]),
        first_ratio=jnp.exp(jnp.max(jnp.abs(log_ratio))),
        explained_variance=jnp.zeros_like(whole),
        value_mean=jnp.zeros_like(whole),
        gradient_steps=jnp.ones_like(whole),
    )
    return learner, report


def over_rollout(report: PolicyReport, whole: Experience) -> PolicyReport:
    """A report with what is said of a rollout as a whole."""
    explained = losses.explained_variance(whole.value, whole.target)
    explained = jnp.where(jnp.isfinite(explained), explained, jnp.nan)  # of returns that are all the same
    return report._replace(explained_variance=explained, value_mean=jnp.mean(whole.value))
