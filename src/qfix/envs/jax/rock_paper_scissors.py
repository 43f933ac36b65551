"""RockPaperScissors on the device: rounds against a best response to the moves of the match, as pure functions of JAX.

With n(a) how often the player made move a in this match:

    answer ~ uniform over argmin_b Σ_a n(a) payoff(a, b),      reward = payoff(action, answer)

Agrees with `qfix.envs.rock_paper_scissors`, where the world is described.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp

from qfix.envs.jax.protocol import Step
from qfix.envs.rock_paper_scissors import PAYOFF


class MatchState(NamedTuple):
    """What the opponent remembers."""

    counts: Any  # (3,) int32, how often the player made each move


@dataclass(frozen=True)
class RockPaperScissors:
    """RockPaperScissors as a `JaxEnv`. Observation () int32, always 0. Actions: 0 rock, 1 paper, 2 scissors."""

    max_episode_steps: int | None = 100
    """Rounds of a match."""

    @cached_property
    def observation_space(self) -> gymnasium.spaces.Discrete:
        """Nothing to see."""
        return gymnasium.spaces.Discrete(1)

    @cached_property
    def action_space(self) -> gymnasium.spaces.Discrete:
        """Three moves."""
        return gymnasium.spaces.Discrete(3)

    def reset(self, key: Any) -> tuple[MatchState, Any]:
        """A match: the opponent forgets. Nothing is left to chance: `key` is not used."""
        return MatchState(jnp.zeros(3, jnp.int32)), jnp.zeros((), jnp.int32)

    def step(self, state: MatchState, action: Any, key: Any) -> Step:
        """Play a round; one uniform decides among the best answers."""
        payoff = jnp.asarray(PAYOFF, jnp.int32)
        losses = state.counts @ payoff
        best = losses == losses.min()
        chosen = jnp.floor(jax.random.uniform(key, (), jnp.float32) * best.sum()).astype(jnp.int32)
        answer = jnp.argmax(jnp.cumsum(best) > chosen)
        following = MatchState(state.counts + (jnp.arange(3) == action))
        never = jnp.zeros((), bool)
        reward = payoff[action, answer].astype(jnp.float32)
        return Step(following, jnp.zeros((), jnp.int32), reward, never, never)
