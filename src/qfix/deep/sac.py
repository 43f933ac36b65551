"""SAC: Q-learning where the maximum over actions has no closed form, so that a policy learns to find it.

    L_q(θ) = Σ_k mean (y - q_k(s, a))²/2,   y = r + γ (min_k q_k'(s', a') - α log π(a'|s')),  a' ~ π(·|s')
    L_π(θ) = mean α log π(a|s) - min_k q_k(s, a),   a = tanh(μ(s) + σ(s) ε)
    L_α(θ) = -log α · mean (log π(a|s) + H)
    θ' ← θ' + τ (θ - θ')

The max of Q-learning becomes an expectation under the policy that is best when entropy is paid for, at α a nat; α is
such that the policy keeps an entropy of H. The lower of two values stands against over-estimation, as in Double
Q-learning.

Sources: Haarnoja et al. (2018), Soft actor-critic: off-policy maximum entropy deep reinforcement learning; Haarnoja et
al. (2018), Soft actor-critic algorithms and applications (α); Fujimoto et al. (2018), Addressing function approximation
error in actor-critic methods (the lower of two values).
1. One gradient of the sum of the losses and one step of Adam, in place of three: Adam scales each weight by itself, and
   no loss reaches the weights of another, unless `max_grad_norm` is given, which scales them all together. The policy
   looks at the values before their step, and not after it.
2. The first steps are drawn from the policy, which begins wide, and not uniformly.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import gymnasium
import jax
import jax.numpy as jnp

from qfix.core import losses, td
from qfix.deep import soft_report
from qfix.deep.config import NetworkConfig
from qfix.deep.data import Replay
from qfix.deep.distributions import Gaussian
from qfix.deep.layers import Weights
from qfix.deep.learner import Learner, Rates, Setup
from qfix.deep.observations import Input
from qfix.deep.soft_network import LOG_TEMPERATURE, SoftNetwork
from qfix.deep.soft_report import SoftReport
from qfix.errors import SpaceError, option_error
from qfix.explore import Schedule, options
from qfix.explore.schedules import is_number
from qfix.replay.batch import Batch

Array = Any


@dataclass(frozen=True)
class Config(NetworkConfig):
    """Options of SAC."""

    learning_rate: Schedule | float | str = 3e-4
    """Step size of the optimiser, such as 3e-4 or "Linear(1e-3, 0, 100_000)", over environment steps."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the fully connected layers, of the policy and of each value."""
    max_grad_norm: float | None = None
    """Longest gradient: longer ones are scaled down to it, all weights together; none for any."""
    batch_size: int = 256
    """Steps drawn for a gradient step."""
    buffer_size: int = 300_000
    """Steps remembered."""
    learning_starts: int = 1_000
    """Steps before the first gradient step."""
    train_every: int = 1
    """Steps of each environment between two rounds of learning."""
    gradient_steps: int = 1
    """Gradient steps in a round."""
    tau: float = 0.005
    """How far the target values move towards the values at each gradient step, in (0, 1]."""
    temperature: float = 1.0
    """What a nat of entropy is worth, before learning; above 0."""
    learn_temperature: bool = True
    """Move the temperature so that the policy keeps its entropy."""
    target_entropy: float | None = None
    """Entropy to keep, in nats, of actions between -1 and 1; by default -1 for each number of an action."""
    memory: Literal["auto", "ram", "disk"] = "auto"
    """Where remembered steps are kept by the host driver; auto: in a file where memory would become scarce."""

    def check(self) -> None:
        """Check the options of SAC."""
        owner = self.owner
        for name in ("batch_size", "buffer_size", "train_every", "gradient_steps"):
            options.require_whole(owner, name, getattr(self, name), 1, f"Use {name}={getattr(Config, name)}.")
        options.require_whole(owner, "learning_starts", self.learning_starts, 0, "Use learning_starts=1_000.")
        options.require_fraction(owner, "tau", self.tau, "Use tau=0.005.")
        options.require_positive(owner, "tau", self.tau, "Use tau=0.005.")
        options.require_positive(owner, "temperature", self.temperature, "Use temperature=1.")
        options.require_choice(owner, "learn_temperature", self.learn_temperature, (True, False))
        options.require_choice(owner, "memory", self.memory, ("auto", "ram", "disk"))
        options.require_choice(owner, "network", self.network, ("auto", "mlp"))
        wanted = self.target_entropy
        if wanted is not None and not (is_number(wanted) and abs(wanted) < float("inf")):
            rule, remedy = "must be a finite number", "Leave it out for -1 a number of an action."
            raise option_error(owner, "target_entropy", rule, wanted, remedy)

    @property
    def data(self) -> Replay:
        """Remembered steps, drawn uniformly."""
        size, room, starts = self.batch_size, self.buffer_size, self.learning_starts
        return Replay(
            size, room, starts, self.train_every, self.gradient_steps, n_step=1, priority_exponent=None
        )

    @property
    def measuring(self) -> ModuleType:
        """Values, the policy and the temperature."""
        return soft_report

    def network_for(self, given: Input, space: gymnasium.Space[Any]) -> SoftNetwork:
        """The network of policy and values."""
        if not isinstance(space, gymnasium.spaces.Box) or not Gaussian(space, squashed=True).is_bounded:
            raise SpaceError(
                f"The action space of {self.owner} must be a Box with bounds. Got {space}. Use dqn for numbered "
                f"actions, or ppo, which takes any."
            )
        return SoftNetwork(
            given, Gaussian(space, squashed=True), self.hidden, self.layer_norm, self.temperature
        )


def init(setup: Setup, key: Array) -> Learner:
    """A learner that has learned nothing."""
    return setup.start(key, with_target=True)


def update(
    setup: Setup, learner: Learner, batch: Batch, weight: Array, rates: Rates, key: Array
) -> tuple[Learner, SoftReport]:
    """One gradient step on a batch.

    Args:
        setup, learner: who learns.
        batch: B steps.
        weight: (B,) not used: steps are drawn uniformly.
        rates: of this moment.
        key: to draw actions.
    """
    config: Any = setup.config
    network, actions = setup.network, setup.network.actions
    keys = jax.random.split(key)
    obs, obs_next = setup.view(learner, batch.obs), setup.view(learner, batch.next_obs)
    entropy = -actions.shape[0] if config.target_entropy is None else config.target_entropy

    def drawn(w: Weights, obs: Array, key: Array) -> tuple[Array, Array]:
        """Actions of the policy, and the logarithms of their densities."""
        outputs = network.outputs(jnp, w, obs)
        action = actions.drawn(jnp, outputs, jax.random.normal(key, batch.action.shape))
        return action, actions.log_prob(outputs, action)

    w_now = setup.weights(learner.params)
    alpha = jnp.exp(w_now[LOG_TEMPERATURE][0])
    action_next, log_prob_next = drawn(w_now, obs_next, keys[0])
    q_next = jnp.min(network.q(jnp, setup.weights(learner.target), obs_next, action_next), axis=0)
    target = td.one_step(batch.reward, batch.discount, q_next - alpha * log_prob_next)

    def loss(w: Weights) -> tuple[Array, Any]:
        q = network.q(jnp, w, obs, batch.action)
        error = td.td_error(target, q)
        value_loss = jnp.sum(jnp.mean(losses.squared(error), axis=-1))
        action, log_prob = drawn(w, obs, keys[1])
        best = jnp.min(network.q(jnp, w_now, obs, action), axis=0)  # of weights that are not learned here
        policy_loss = jnp.mean(alpha * log_prob - best)
        wanting = jax.lax.stop_gradient(jnp.mean(log_prob)) + entropy
        temperature_loss = -w[LOG_TEMPERATURE][0] * wanting if config.learn_temperature else 0.0
        return value_loss + policy_loss + temperature_loss, (q, error, value_loss, policy_loss, log_prob)

    _, (q, error, value_loss, policy_loss, log_prob), gradient = setup.gradient(loss, learner.params)
    learner, norm = setup.descend(learner, gradient, rates.learning_rate)
    moved = learner.target + jnp.float32(config.tau) * (learner.params - learner.target)
    report = SoftReport(
        q_min=q[0].min(),
        q_max=q[0].max(),
        q_mean=q[0].mean(),
        td_error=jnp.abs(error).mean(),
        value_loss=value_loss,
        policy_loss=policy_loss,
        entropy=-jnp.mean(log_prob),
        temperature=alpha,
        grad_norm=norm,
    )
    return learner._replace(target=moved), report
