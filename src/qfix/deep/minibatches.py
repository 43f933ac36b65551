"""A rollout cut into minibatches: of steps, or, for a network with a state, of environments with all their steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from qfix.deep.data import Steps
from qfix.deep.layers import Weights
from qfix.deep.learner import Setup
from qfix.deep.recurrence import states_through
from qfix.deep.shuffling import shuffled
from qfix.explore.options import require_divisor

Array = Any


class Minibatches(NamedTuple):
    """A rollout of T steps of N environments, to be taken by parts.

    A part is (size,) int32: numbers of steps t·N + n or, of a recurrent network, of environments. What is taken has one
    row a step, those of some environments step after step.
    """

    setup: Setup
    steps: Steps

    def parts(self, key: Array, n_epochs: int, n_minibatches: int) -> Array:
        """(epochs · minibatches, size) parts: in every epoch each step is in one of them.

        Args:
            key: where the randomness of their order comes from.
            n_epochs: how often the rollout is gone through.
            n_minibatches: parts of an epoch.
        """
        n_steps, n_envs = self.steps.reward.shape
        if self.setup.network.n_state:  # few, which sorting orders more evenly
            numbers = jnp.tile(jnp.arange(n_envs, dtype=jnp.int32), (n_epochs, 1))
            orders = jax.random.permutation(key, numbers, axis=1, independent=True)
        else:
            orders = shuffled(key, n_epochs, n_steps * n_envs)
        return orders.reshape((n_epochs * n_minibatches, -1))

    def take(self, values: Array, part: Array | None) -> Array:
        """(rows, ...) of values (T, N, ...); None: of all steps."""
        if part is not None and self.setup.network.n_state:
            values = values[:, part]
        rows = values.reshape((-1, *values.shape[2:]))
        return rows if part is None or self.setup.network.n_state else rows[part]

    def features(self, w: Weights, part: Array | None) -> Array:
        """(rows, F) features of the observations, which are as the network takes them."""
        network, steps = self.setup.network, self.steps
        if not network.n_state:
            return network.features(jnp, w, self.take(steps.obs, part))
        obs, ended, state = steps.obs, steps.ended, steps.state
        if part is not None:
            obs, ended, state = obs[:, part], ended[:, part], state[part]
        states, _ = states_through(network, w, network.features(jnp, w, obs), ended, state)
        return states.reshape((-1, network.n_state))


def check_minibatches(config: Any) -> None:
    """Check that a rollout can be cut into as many minibatches as options ask for.

    Raises:
        OptionError: they would not be of one size, or, with a recurrent network, not of whole environments.
    """
    owner, parts = config.owner, config.num_minibatches
    rows = config.num_steps * config.num_envs
    of, said = rows, f"num_steps * num_envs = {rows}"
    if config.gru:
        of, said = (
            config.num_envs,
            f"num_envs={config.num_envs} with gru, as a minibatch is of whole rollouts",
        )
    require_divisor(owner, "num_minibatches", parts, of, said)


def each_part(
    parts: Array,
    learn: Callable[[Any, Array], Any],
    carry: Any,
    going: Callable[[Any], Array] | None = None,
) -> Any:
    """What learning from every part in turn makes of a carry.

    Args:
        parts: (K, size) as `Minibatches.parts` gives them.
        learn: from the carry and a part to the next carry.
        carry: to begin with.
        going: of the carry: whether to go on, asked before each part; by default always.
    """
    if going is None:
        return jax.lax.fori_loop(0, len(parts), lambda i, carry: learn(carry, parts[i]), carry)
    more = going

    def wanted(both: tuple[Array, Any]) -> Array:
        return (both[0] < len(parts)) & more(both[1])

    def part(both: tuple[Array, Any]) -> tuple[Array, Any]:
        return both[0] + 1, learn(both[1], parts[both[0]])

    return jax.lax.while_loop(wanted, part, (jnp.int32(0), carry))[1]
