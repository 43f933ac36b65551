"""What a policy gets on episodes nobody trained on: exactly where the model is known, else by playing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import gymnasium
import numpy as np

from qfix.envs.masks import MASK
from qfix.errors import EnvironmentFault, counted
from qfix.mdp import FiniteMDP, expected_return
from qfix.mdp.simulate import evaluation_seed

LONGEST_EPISODE = 10_000  # steps after which an evaluated episode without a time limit is cut

_UNBOUNDED = 1e10  # wide as that, a range is none

Kind = Literal["greedy", "exploratory"]


class Policy(Protocol):
    """What acts."""

    takes_masks: bool
    """Whether `predict` has a parameter `action_mask`: which actions are allowed, as the info of a step says."""

    def reset(self) -> None:
        """Forget what was seen: an episode begins."""
        ...

    def predict(self, obs: Any, deterministic: bool = True, rng: np.random.Generator | None = None) -> Any:
        """The action at one observation, or an array of actions at a batch."""
        ...

    def probabilities(self, obs: Any) -> np.ndarray:
        """(A,) probability of each action at one observation, (B, A) at a batch."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """Undiscounted returns of policies on episodes that were not trained on."""

    returns: np.ndarray
    """(seeds,) mean return of an episode under each seed's policy."""
    episodes: int
    """Episodes a seed; 0 where the returns are exact."""
    exact: bool
    """Whether the returns are expectations computed from the model, without sampling."""
    samples: np.ndarray | None = None
    """(seeds, episodes) return of each episode; None where the returns are exact."""
    measured: Mapping[str, np.ndarray] = field(default_factory=dict)
    """(seeds,) of what the world tells of policies beside their returns, by name, such as "exploitability"."""

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.returns))

    @property
    def standard_errors(self) -> np.ndarray:
        """(seeds,) standard error of each seed's mean, of its episodes; 0 where it is exact, NaN of one episode."""
        if self.samples is None:
            return np.zeros(len(self.returns))
        if self.episodes < 2:
            return np.full(len(self.returns), np.nan)
        return self.samples.std(axis=1, ddof=1) / np.sqrt(self.episodes)

    def __repr__(self) -> str:
        how = "exact" if self.exact else f"{self.episodes} episodes a seed"
        told = "".join(f", {name} {np.mean(values):.3g}" for name, values in self.measured.items())
        return (
            f"Evaluation(mean return {self.mean:.6g} over {counted(len(self.returns), 'seed')}, {how}{told})"
        )


def allowed(policy: Policy, info: Mapping[str, Any]) -> dict[str, Any]:
    """What `predict` has to be told of allowed actions, by parameter: the mask in the info of a step, if there is one.

    Args:
        policy: who is to act; one that takes no masks is told nothing.
        info: as the environment gave it.
    """
    return {MASK: info[MASK]} if policy.takes_masks and MASK in info else {}


class RandomPolicy:
    """Every action with the same probability; of a Box without bounds, normal numbers beyond the one there is."""

    takes_masks = True

    def __init__(self, action_space: gymnasium.Space[Any], seed: int = 0) -> None:
        self._space: Any = action_space
        self._rng = np.random.default_rng(seed)

    def reset(self) -> None:
        """Nothing is remembered."""

    def predict(
        self,
        obs: Any,
        deterministic: bool = True,
        rng: np.random.Generator | None = None,
        action_mask: Any = None,
    ) -> Any:
        """Any action that is allowed; also where it is asked to be deterministic, for that is what this policy is."""
        source = self._rng if rng is None else rng
        if not isinstance(self._space, gymnasium.spaces.Discrete):
            return _sample(self._space, source, action_mask)
        if action_mask is None:
            return int(self._space.start + source.integers(self._space.n))
        return int(self._space.start + source.choice(np.flatnonzero(action_mask)))

    def probabilities(self, obs: Any) -> np.ndarray:
        """(A,) equal numbers."""
        return np.full(int(self._space.n), 1.0 / int(self._space.n))


def _sample(space: Any, rng: np.random.Generator, mask: Any) -> np.ndarray:
    """An action that is an array, drawn by a stream of the caller's: an action space has one of its own."""
    if isinstance(space, gymnasium.spaces.Box):
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)
        bounded = np.isfinite(low) & np.isfinite(high) & (high - low < _UNBOUNDED)
        with np.errstate(invalid="ignore", over="ignore"):
            inside = np.where(bounded, low + (high - low) * rng.random(space.shape), 0.0)
        drawn = np.where(bounded, inside, rng.standard_normal(space.shape))
        return np.clip(drawn, low, high).astype(space.dtype)
    numbers = isinstance(space, gymnasium.spaces.MultiDiscrete)
    sizes = np.ravel(space.nvec) if numbers else np.full(np.prod(space.shape), 2)
    known = np.ones(int(sizes.sum()), bool) if mask is None else np.asarray(mask, bool)
    parts = np.split(known, np.cumsum(sizes)[:-1])
    drawn = np.array([rng.choice(np.flatnonzero(part)) for part in parts]).reshape(space.shape)
    return (drawn + getattr(space, "start", 0)).astype(space.dtype)


def evaluate_exactly(
    model: FiniteMDP, env: gymnasium.Env[Any, Any], policies: Sequence[Policy], kind: Kind
) -> Evaluation:
    """Expected return of each policy under the model's time limit, without sampling."""
    limit = model.max_episode_steps or LONGEST_EPISODE
    returns = [expected_return(model, _as_actions(model, env, policy, kind), limit) for policy in policies]
    return Evaluation(np.array(returns), 0, True)


def greedy_actions(model: FiniteMDP, env: gymnasium.Env[Any, Any], policy: Policy) -> np.ndarray:
    """(S,) actions of a policy in a finite model, or (S, A) probabilities of a random one."""
    return _as_actions(model, env, policy, "greedy")


def _as_actions(model: FiniteMDP, env: gymnasium.Env[Any, Any], policy: Policy, kind: Kind) -> np.ndarray:
    if isinstance(policy, RandomPolicy):
        return np.tile(policy.probabilities(0), (model.n_states, 1))
    first = int(getattr(env.observation_space, "start", 0))
    states = np.arange(first, first + model.n_states)
    if kind == "exploratory":
        return policy.probabilities(states)
    return policy.predict(states) - int(getattr(env.action_space, "start", 0))


def evaluate_by_playing(
    env: gymnasium.Env[Any, Any], policies: Sequence[Policy], episodes: int, seed: int, kind: Kind
) -> Evaluation:
    """Mean return of each policy over the same fresh episodes.

    Raises:
        EnvironmentFault: the environment raised.
    """
    samples = np.array([[_play(env, p, seed, i, kind) for i in range(episodes)] for p in policies])
    return Evaluation(samples.mean(axis=1), episodes, False, samples)


def _play(env: gymnasium.Env[Any, Any], policy: Policy, seed: int, episode: int, kind: Kind) -> float:
    total, steps = 0.0, 0
    rng = np.random.default_rng([seed, episode]) if kind == "exploratory" else None
    try:
        observation, info = env.reset(seed=evaluation_seed(seed, episode))
        policy.reset()
        while steps < LONGEST_EPISODE:
            steps += 1
            mask = allowed(policy, info)
            action = policy.predict(observation, deterministic=kind == "greedy", rng=rng, **mask)
            observation, reward, terminated, truncated, info = env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
    except Exception as fault:
        name = env.spec.id if env.spec is not None else str(env)
        raise EnvironmentFault(
            f"The environment '{name}' failed in an evaluation (seed {seed}, episode {episode}, step {steps}): "
            f"it raised {type(fault).__name__}: {str(fault).rstrip('.')}. Mend the environment, or judge by "
            f"run.episodes."
        ) from fault
    return total
