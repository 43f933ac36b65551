"""DQN: Q-learning with a network, from remembered steps, towards a target network that follows slowly.

    L(θ) = mean_i w_i · huber(y_i - q_θ(s_i, a_i)),   y = r + γ max_a q_θ'(s', a)
    θ' ← θ' + τ (θ - θ')   every so many gradient steps

Everything else is an option, and options add up: the target may be double, from n steps, of SARSA or Munchausen;
steps may be drawn by priority; the network may be dueling, noisy, or predict the distribution of the return. A
recurrent one learns from sequences of steps: see `qfix.deep.recurrence`.

Sources: Mnih et al. (2015), Human-level control through deep reinforcement learning; van Hasselt et al. (2016), Deep
reinforcement learning with double Q-learning; Schaul et al. (2016), Prioritized experience replay; Hessel et al.
(2018), Rainbow; Vieillard et al. (2020), Munchausen reinforcement learning; van Seijen et al. (2009) for expected
SARSA.
1. The next action of SARSA is drawn from the present behaviour at s', not remembered: steps are replayed long after the
   behaviour that made them.
2. Munchausen's policy is a softmax, so that `double` says nothing beside it; of n rewards the first alone has the
   bonus.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import jax
import jax.numpy as jnp

from qfix.core import losses, td
from qfix.core._array import take_last
from qfix.deep.config import DeepConfig, require_by_step
from qfix.deep.data import Replay, Sequence
from qfix.deep.layers import Weights
from qfix.deep.learner import Learner, Rates, Setup
from qfix.deep.measure import Report
from qfix.deep.recurrence import features_here, features_next
from qfix.deep.targets import KAPPA, distributional_loss, drawn_levels, mean_of, next_step, target_of
from qfix.errors import option_error
from qfix.explore import Greedy, Linear, Schedule, options, scheduled_within
from qfix.explore.schedules import is_number
from qfix.replay.batch import Batch

Array = Any


@dataclass(frozen=True)
class Config(DeepConfig):
    """Options of DQN."""

    batch_size: int = 64
    """Steps drawn for a gradient step."""
    buffer_size: int = 100_000
    """Steps remembered."""
    learning_starts: int = 1_000
    """Steps before the first gradient step."""
    train_every: int = 1
    """Steps of each environment between two rounds of learning."""
    gradient_steps: int = 1
    """Gradient steps in a round."""
    target_every: int = 1
    """Gradient steps between two updates of the target network."""
    tau: float = 0.005
    """How far the target network then moves towards the network, in (0, 1]; 1 copies it."""
    target: Literal["q_learning", "sarsa", "expected_sarsa"] = "q_learning"
    """Whose values are learned: of the greedy policy, or of the behaviour (one next action, or the expectation)."""
    double: bool = False
    """q_learning without munchausen only: the network chooses the next action, the target network gives its value."""
    dueling: bool = False
    """Predict the value of a state and the advantages of its actions apart."""
    n_step: int = 1
    """Rewards in a target."""
    prioritized: bool = False
    """Draw steps by the size of their last TD error."""
    priority_exponent: float = 0.6
    """prioritized: how much of the priority counts, in [0, 1]; 0 draws uniformly."""
    priority_beta: Schedule | float | str | None = None
    """prioritized: how much of the bias is weighed out, in [0, 1]. Default: Linear(0.4, 1, all steps)."""
    noisy: bool = False
    """Learned noise in the fully connected layers, in place of epsilon."""
    distribution: Literal["none", "c51", "qr", "iqn"] = "none"
    """What of the return is predicted: its expectation, or a distribution on atoms or by quantiles."""
    atoms: int = 51
    """c51, qr, iqn: atoms or quantiles."""
    value_range: tuple[float, ...] = (-10.0, 10.0)
    """c51: lowest and highest atom, which the discounted return should not leave."""
    munchausen: bool = False
    """Also pay for being sure of the action, and for entropy (Munchausen Q-learning)."""
    temperature: float = 0.03
    """Munchausen: temperature of its policy, above 0."""
    loss: Literal["huber", "squared"] = "huber"
    """Loss of the TD error without a distribution: quadratic up to 1 and then linear, or quadratic."""
    sequence_length: int = 16
    """gru: steps of a sequence that are learned from; a batch has batch_size of them in all."""
    burn_in: int = 8
    """gru: steps before these, by which the remembered state is brought up to date."""
    memory: Literal["auto", "ram", "disk"] = "auto"
    """Where remembered steps are kept by the host driver; auto: in a file where memory would become scarce."""

    def check(self) -> None:
        """Check the options of DQN."""
        owner = self.owner
        for name in ("batch_size", "buffer_size", "train_every", "gradient_steps", "target_every", "n_step"):
            options.require_whole(owner, name, getattr(self, name), 1, f"Use {name}={getattr(Config, name)}.")
        Sequence.of(self)
        options.require_whole(owner, "learning_starts", self.learning_starts, 0, "Use learning_starts=1_000.")
        options.require_whole(owner, "atoms", self.atoms, 2, "Use atoms=51.")
        for name in ("double", "dueling", "prioritized", "noisy", "munchausen"):
            options.require_choice(owner, name, getattr(self, name), (True, False))
        options.require_choice(owner, "target", self.target, ("q_learning", "sarsa", "expected_sarsa"))
        options.require_choice(owner, "distribution", self.distribution, ("none", "c51", "qr", "iqn"))
        options.require_choice(owner, "loss", self.loss, ("huber", "squared"))
        options.require_fraction(
            owner, "priority_exponent", self.priority_exponent, "Use priority_exponent=0.6."
        )
        if not is_number(self.tau) or not 0.0 < self.tau <= 1.0:
            raise option_error(owner, "tau", "must be in (0, 1]", self.tau, "Use tau=0.005.")
        options.require_positive(owner, "temperature", self.temperature, "Use temperature=0.03.")
        if self.priority_beta is not None:
            if is_number(self.priority_beta):
                options.require_fraction(owner, "priority_beta", self.priority_beta, "Use priority_beta=0.4.")
            beta = scheduled_within(self.priority_beta, owner, "priority_beta", 0.0, 1.0, "Use 0.4.")
            object.__setattr__(self, "priority_beta", require_by_step(owner, "priority_beta", beta))
        ends = options.require_interval(owner, "value_range", self.value_range, "Use value_range=(-10, 10).")
        object.__setattr__(self, "value_range", ends)
        if self.munchausen and self.target != "q_learning":
            rule = "must be 'q_learning' with munchausen, which has a policy of its own"
            raise option_error(owner, "target", rule, self.target, "Leave out one of them.")

    def settled(self, total_steps: int) -> Self:
        """With defaults that depend on the budget; noisy layers explore by themselves."""
        config = self
        if self.priority_beta is None:
            config = replace(config, priority_beta=Linear(0.4, 1.0, max(1, total_steps)))
        if self.noisy and self.epsilon is None and self.explore is None:
            config = replace(config, explore=Greedy())
        return super(Config, config).settled(total_steps)

    @property
    def data(self) -> Replay:
        """Remembered steps."""
        return Replay.of(self)


def init(setup: Setup, key: Array) -> Learner:
    """A learner that has learned nothing."""
    return setup.start(key, with_target=True)


def update(
    setup: Setup, learner: Learner, batch: Batch, weight: Array, rates: Rates, key: Array
) -> tuple[Learner, Report]:
    """One gradient step on a batch.

    Args:
        setup, learner: who learns.
        batch: B steps, or sequences of as many.
        weight: (B,) importance weights.
        rates: of this moment.
        key: for the noise of the networks, levels of quantiles and next actions.
    """
    config: Any = setup.config
    network = setup.network
    keys = jax.random.split(key, 5)
    w_target = setup.weights(learner.target, keys[0])
    levels, levels_next = drawn_levels(network, batch.action.shape[0], keys[1])

    out_next = network.outputs(jnp, w_target, features_next(setup, learner, w_target, batch), levels_next)
    q_next = network.q_values(jnp, out_next)
    q_select = q_next
    if config.double or config.target != "q_learning":
        w_online = setup.weights(learner.params, keys[2])
        q_select = network.q(jnp, w_online, features_next(setup, learner, w_online, batch))

    def q_here() -> Array:
        return network.q(jnp, w_target, features_here(setup, learner, w_target, batch))

    step = next_step(setup, batch, q_select, q_next, q_here, rates, keys[3])
    target = jax.lax.stop_gradient(target_of(network, step, out_next))

    def loss(w: Weights) -> tuple[Array, tuple[Array, Array]]:
        out = network.outputs(jnp, w, features_here(setup, learner, w, batch), levels)
        if network.distribution == "none":
            q = take_last(jnp, out, batch.action)
            error = td.td_error(target, q)
            each = losses.huber(error, KAPPA) if config.loss == "huber" else losses.squared(error)
        else:
            taken = jnp.take_along_axis(out, batch.action[:, None, None], axis=1)[:, 0]
            q = take_last(jnp, network.q_values(jnp, out), batch.action)
            error = td.td_error(mean_of(network, target), q)
            each = distributional_loss(network, taken, target, levels, KAPPA)
        return jnp.mean(weight * each), (error, q)

    value, (error, q), gradient = setup.gradient(loss, learner.params, keys[4])
    learner, norm = setup.descend(learner, gradient, rates.learning_rate)
    moved = learner.params
    if config.tau < 1.0:
        moved = learner.target + jnp.float32(config.tau) * (learner.params - learner.target)
    due = learner.updates % config.target_every == 0
    kept = moved if config.target_every == 1 else jnp.where(due, moved, learner.target)
    return learner._replace(target=kept), Report(error, q, value, norm)
