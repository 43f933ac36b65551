"""Distributions over actions: what a policy network's outputs mean, and the actions that environments take.

    numbers    π(a) = Π_k softmax(x_k)(a_k)               Discrete, MultiDiscrete, MultiBinary
    gaussian   π(u) = Π_d N(u_d; μ_d, σ_d)                Box: u is cut at the bounds on its way to the environment
    squashed   u ~ gaussian, a = tanh u                   Box with bounds: log π(a) = log π(u) - Σ_d log(1 - a_d²)

What is learned from is u, before it is cut or squashed: nothing is lost by rounding, and the logarithm above is exact.
Where a Box has bounds, -1 and 1 are they: an environment is given centre + half·a, so that one width of the
Gaussian suits all.

Source: Williams (1992), Simple statistical gradient-following algorithms; Haarnoja et al. (2018), Soft actor-critic,
appendix C (squashed).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np

from qfix.core import distributions, policies, surrogates
from qfix.deep.layers import FORBIDDEN
from qfix.errors import SpaceError, option_error

Array = Any

_UNBOUNDED = 1e10  # a bound that is larger is none


@dataclass(frozen=True)
class Numbers:
    """One number below Aₖ for each of K components, independent of each other."""

    sizes: tuple[int, ...]
    """Aₖ."""
    space: gymnasium.Space[Any]

    @property
    def single(self) -> bool:
        """Whether an action is one number, and not a row of them."""
        return isinstance(self.space, gymnasium.spaces.Discrete)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one action as it is kept: () or (K,)."""
        return () if self.single else (len(self.sizes),)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of actions as they are kept."""
        return np.dtype(np.int32)

    @property
    def n_outputs(self) -> int:
        """Σ Aₖ: logits, one component after the other."""
        return sum(self.sizes)

    @property
    def n_choices(self) -> int:
        """Σ Aₖ: truths in a mask."""
        return self.n_outputs

    def parts(self, outputs: Array) -> list[Array]:
        """(..., Aₖ) of each component."""
        ends = np.cumsum(self.sizes).tolist()
        return [outputs[..., end - n : end] for end, n in zip(ends, self.sizes, strict=True)]

    def masked(self, xp: Any, outputs: Array, mask: Array | None) -> Array:
        """Outputs of which forbidden actions have no probability."""
        return outputs if mask is None else xp.where(mask, outputs, FORBIDDEN)

    def log_prob(self, outputs: Array, action: Array) -> Array:
        """(...) log-probability of actions (..., *shape)."""
        if self.single:
            return distributions.categorical_log_prob(outputs, action)
        parts = enumerate(self.parts(outputs))
        return sum(distributions.categorical_log_prob(part, action[..., k]) for k, part in parts)

    def entropy(self, outputs: Array) -> Array:
        """(...) in nats."""
        return sum(surrogates.entropy(part) for part in self.parts(outputs))

    def probabilities(self, xp: Any, outputs: Array) -> list[Array]:
        """(..., Aₖ) of each component."""
        return [xp.exp(policies.log_softmax(part)) for part in self.parts(outputs)]

    def drawn(self, xp: Any, outputs: Array, u: Array) -> Array:
        """(..., *shape) actions by uniform numbers (..., K)."""
        parts = enumerate(self.probabilities(xp, outputs))
        found = [policies.draw(chances, u[..., k]) for k, chances in parts]
        return found[0] if self.single else xp.stack(found, axis=-1)

    def mode(self, xp: Any, outputs: Array) -> Array:
        """(..., *shape) the likeliest action, the first of several."""
        best = [xp.argmax(part, axis=-1) for part in self.parts(outputs)]
        return best[0] if self.single else xp.stack(best, axis=-1)

    def applied(self, xp: Any, action: Array) -> Array:
        """Actions as environments in JAX take them."""
        return action

    def given(self, applied: np.ndarray) -> np.ndarray:
        """Actions as environments of Gymnasium take them, numbered as their space says."""
        space: Any = self.space
        first = getattr(space, "start", 0)
        dtype = np.int64 if self.single else space.dtype
        whole = applied if self.single else applied.reshape((*applied.shape[:-1], *space.shape))
        return (whole + first).astype(dtype)


@dataclass(frozen=True, eq=False)
class Gaussian:
    """D independent normal numbers."""

    space: gymnasium.spaces.Box
    squashed: bool

    @property
    def single(self) -> bool:
        """An action is an array."""
        return False

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """(D,) of one action as it is kept."""
        return (int(np.prod(self.space.shape)),)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of actions as they are kept."""
        return np.dtype(np.float32)

    @property
    def n_outputs(self) -> int:
        """2D: means, then logarithms of standard deviations."""
        return 2 * self.shape[0]

    @property
    def n_choices(self) -> int:
        """Nothing is numbered, so nothing can be forbidden."""
        return 0

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(D,) lowest and highest; infinite where there is none."""
        low, high = (np.ravel(x).astype(np.float64) for x in (self.space.low, self.space.high))
        low = np.where(low < -_UNBOUNDED, -np.inf, low)
        return low.astype(np.float32), np.where(high > _UNBOUNDED, np.inf, high).astype(np.float32)

    @cached_property
    def scale(self) -> tuple[np.ndarray, np.ndarray]:
        """(D,) centre and half width of the bounds; 0 and 1 where there are not both."""
        low, high = (x.astype(np.float64) for x in self.bounds)
        both = np.isfinite(low) & np.isfinite(high)
        with np.errstate(invalid="ignore"):
            centre, half = np.where(both, (low + high) / 2, 0.0), np.where(both, (high - low) / 2, 1.0)
        return centre.astype(np.float32), half.astype(np.float32)

    @property
    def is_bounded(self) -> bool:
        """Whether every number has both bounds."""
        return bool(np.isfinite(self.bounds).all())

    def _halves(self, outputs: Array) -> tuple[Array, Array]:
        d = self.shape[0]
        return outputs[..., :d], outputs[..., d:]

    def masked(self, xp: Any, outputs: Array, mask: Array | None) -> Array:
        """Nothing can be forbidden."""
        assert mask is None
        return outputs

    def log_prob(self, outputs: Array, action: Array) -> Array:
        """(...) log-density of actions u (..., D); of squashed ones, that of tanh u."""
        mean, log_std = self._halves(outputs)
        each = distributions.gaussian_log_prob(action, mean, log_std)
        if self.squashed:
            each = each - distributions.squash_log_slope(action)
        return each.sum(-1)

    def entropy(self, outputs: Array) -> Array:
        """(...) in nats."""
        mean, log_std = self._halves(outputs)
        if self.squashed:
            return distributions.squashed_gaussian_entropy(mean, log_std).sum(-1)
        return distributions.gaussian_entropy(log_std).sum(-1)

    def drawn(self, xp: Any, outputs: Array, normal: Array) -> Array:
        """(..., D) actions by standard normal numbers (..., D)."""
        mean, log_std = self._halves(outputs)
        return mean + xp.exp(log_std) * normal

    def mode(self, xp: Any, outputs: Array) -> Array:
        """(..., D) the mean of u."""
        return self._halves(outputs)[0]

    def applied(self, xp: Any, action: Array) -> Array:
        """(..., D) within the bounds, in the units of the environment."""
        centre, half = self.scale
        low, high = self.bounds
        unit = xp.tanh(action) if self.squashed else action
        return xp.clip(centre + half * unit, low, high).reshape((*action.shape[:-1], *self.space.shape))

    def given(self, applied: np.ndarray) -> np.ndarray:
        """Actions as environments of Gymnasium take them."""
        if np.issubdtype(self.space.dtype, np.integer):
            applied = np.rint(applied)
        # bounds in double precision may lie between two numbers in single precision
        return np.clip(applied.astype(self.space.dtype), self.space.low, self.space.high)


Actions = Numbers | Gaussian


def actions_of(owner: str, space: gymnasium.Space[Any], squashed: bool) -> Actions:
    """The distribution for a space of actions.

    Args:
        owner: the algorithm, for messages.
        space: Discrete, MultiDiscrete, MultiBinary or Box.
        squashed: whether a Gaussian is squashed into the bounds, and not cut there.

    Raises:
        SpaceError: the space is none of these.
        OptionError: squashed without bounds, or where there is no Gaussian.
    """
    spaces = gymnasium.spaces
    if isinstance(space, spaces.Box):
        made = Gaussian(space, squashed)
        if squashed and not made.is_bounded:
            rule = f"must be False where actions have no bounds: they lie in {space}"
            raise option_error(owner, "squashed", rule, True, "Leave it out, or bound the actions.")
        return made
    if squashed:
        rule = f"must be False where actions are numbers: they lie in {space}"
        raise option_error(owner, "squashed", rule, True, "Leave it out.")
    if isinstance(space, spaces.Discrete):
        return Numbers((int(space.n),), space)
    if isinstance(space, spaces.MultiDiscrete):
        return Numbers(tuple(int(n) for n in np.ravel(space.nvec)), space)
    if isinstance(space, spaces.MultiBinary):
        return Numbers((2,) * int(np.prod(space.shape)), space)
    raise SpaceError(
        f"The action space of {owner} must be Discrete, MultiDiscrete, MultiBinary or Box. Got {space}. Flatten it in "
        f"a wrapper, as gymnasium.spaces.flatten_space does."
    )
