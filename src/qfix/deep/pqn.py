"""PQN: Q-learning on what many environments have just done, without memory and without target network.

    L(θ) = mean (G_t - q_θ(s_t, a_t))²/2,   G_t = r_t + γ ((1 - λ) max_a q(s_{t+1}, a) + λ G_{t+1})

A rollout of T steps of N environments is made and its λ-returns are computed once, with the weights that made it;
then it is gone through some times in random minibatches. Normalised layers, and the many environments, take the
place of what keeps DQN stable.

Source: Gallici et al. (2025), Simplifying deep temporal difference learning, algorithm 1; λ = 0 is one-step Q-learning.
1. At a truncated step the return starts anew from the value of the step's own final observation.
2. A recurrent network learns from whole rollouts: a minibatch has all steps of some environments, each from the state
   that the rollout began with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax.numpy as jnp

from qfix.core import losses, returns, td
from qfix.core._array import take_last
from qfix.deep.config import DeepConfig
from qfix.deep.data import Rollout, Steps
from qfix.deep.layers import Weights
from qfix.deep.learner import Learner, Rates, Setup, allowed_q
from qfix.deep.measure import Report, blank_report
from qfix.deep.minibatches import Minibatches, check_minibatches, each_part
from qfix.explore.options import require_choice, require_fraction, require_whole

Array = Any


@dataclass(frozen=True)
class Config(DeepConfig):
    """Options of PQN."""

    num_envs: int = 16
    """Environments stepped together."""
    layer_norm: bool = True
    """Normalise layers; impala: the fully connected layer only."""
    num_steps: int = 64
    """Steps of each environment in a rollout."""
    num_minibatches: int = 16
    """Parts that a rollout is learned from in."""
    num_epochs: int = 4
    """How often a rollout is gone through."""
    lambda_: float = 0.9
    """λ of the returns, in [0, 1]: 0 one step, 1 the whole rollout."""
    optimizer: Literal["radam", "adam"] = "radam"
    """Optimiser of the gradient."""

    usual_epsilon_share: ClassVar[float] = 0.3

    def check(self) -> None:
        """Check the options of PQN."""
        for name in ("num_steps", "num_minibatches", "num_epochs"):
            require_whole(self.owner, name, getattr(self, name), 1, f"Use {name}={getattr(Config, name)}.")
        check_minibatches(self)
        require_fraction(self.owner, "lambda_", self.lambda_, "Use lambda_=0.9.")
        require_choice(self.owner, "optimizer", self.optimizer, ("radam", "adam"))

    @property
    def data(self) -> Rollout:
        """The latest steps."""
        return Rollout(self.num_steps, self.num_steps * self.num_envs // self.num_minibatches)


def init(setup: Setup, key: Array) -> Learner:
    """A learner that has learned nothing."""
    return setup.start(key, with_target=False)


def bootstrap(setup: Setup, learner: Learner, observation: Array, mask: Array | None, state: Array) -> Array:
    """(N,) value of observations (N, *shape), seen from states (N, H): that of the best action allowed."""
    w = setup.weights(learner.params)
    h, _ = setup.network.step(jnp, w, setup.view(learner, observation), state)
    return jnp.max(allowed_q(setup.network.q(jnp, w, h), mask), axis=-1)


def update(setup: Setup, learner: Learner, steps: Steps, rates: Rates, key: Array) -> tuple[Learner, Report]:
    """Learn from a rollout.

    Args:
        setup, learner: who learns.
        steps: T steps of N environments.
        rates: of this moment.
        key: to shuffle.
    """
    config: Any = setup.config
    best = jnp.max(allowed_q(steps.extras, steps.mask), axis=-1)  # (T, N)
    following = jnp.concatenate([best[1:], steps.value_last[None]])
    value_next = jnp.where(steps.ended, steps.value_final, following)
    targets = returns.lambda_returns(steps.reward, steps.discount, value_next, ~steps.ended, config.lambda_)
    rollout = Minibatches(setup, steps._replace(obs=setup.view(learner, steps.obs)))

    def descend(carry: tuple[Learner, Report], part: Array) -> tuple[Learner, Report]:
        learner, _ = carry
        action, target = rollout.take(steps.action, part), rollout.take(targets, part)

        def loss(w: Weights) -> tuple[Array, tuple[Array, Array]]:
            q = take_last(jnp, setup.network.q(jnp, w, rollout.features(w, part)), action)
            error = td.td_error(target, q)
            return jnp.mean(losses.squared(error)), (error, q)

        value, (error, q), gradient = setup.gradient(loss, learner.params)
        learner, norm = setup.descend(learner, gradient, rates.learning_rate)
        return learner, Report(error, q, value, norm)

    parts = rollout.parts(key, config.num_epochs, config.num_minibatches)
    nothing = blank_report(targets.size // config.num_minibatches)
    return each_part(parts, descend, (learner, nothing))
