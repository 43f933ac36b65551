"""Whether a model does what its policy does: action values to 1e-4, and the same actions.

A value may differ by 1e-4 of the largest of its observation, or by 1e-4 where that is below 1. An action may be another
where the two are worth the same to that precision.
"""

from __future__ import annotations

import contextlib
import copy
import math
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from qfix.errors import FolderError
from qfix.evaluation import allowed
from qfix.export.graph import STATE, STATE_AFTER
from qfix.export.source import Source
from qfix.mdp.simulate import evaluation_seed

TOLERANCE = 1e-4
N_SAMPLED, N_PLAYED = 64, 64
"""Observations that are compared: drawn from the space, and met in play."""

_N_LARGE = 8  # drawn from spaces of images
_LARGE = 10_000  # numbers of an observation
_WIDE = 1_000.0  # a dimension that is wider is sampled near 0, or near what was seen
_NEAR = 10.0
_SEEN = 12.0  # standard deviations around the mean: beyond the 10 at which they are cut


def session_of(model: bytes) -> Any:
    """The model, ready to be run on one core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def require_agreement(model: bytes, source: Source, path: Path) -> int:
    """Hold a model against its policy; returns on how many observations.

    Raises:
        FolderError: they differ, or the policy has no finite values.
    """
    policy, space = copy.copy(source.policy), source.space  # what it remembers is left alone
    observations = [*sampled(space, source.family.seen_by(policy)), *played(source)]
    compound = isinstance(space, gymnasium.spaces.Tuple | gymnasium.spaces.Dict)
    batch = observations if compound else np.array(observations)
    family, begun = source.family, {}
    if size := family.n_state(policy):
        shape = len(observations), policy.network.n_state  # a critic's comes last, and is not in the model
        policy.memory = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
        begun[STATE] = policy.memory[:, :size]
    values = family.values_of(policy, batch)
    if not np.isfinite(values).all():
        raise FolderError(
            f"{path} was not written: the policy's action values are not finite, as after a training that diverged. "
            f"Take an earlier checkpoint, such as the best one."
        )
    session, given = session_of(model), source.family.as_input(space, observations)
    asked = [family.VALUES_NAME, "action"]
    found, actions = session.run(asked, {"observation": given} | begun)
    first = {name: array[:1] for name, array in ({"observation": given} | begun).items()}
    alone, _ = session.run(asked, first)
    tolerated = TOLERANCE * np.maximum(1.0, np.abs(values).max(axis=-1))
    apart = np.abs(np.concatenate([found - values, alone - values[:1]])).max(axis=-1) / [
        *tolerated,
        tolerated[0],
    ]
    wanted = policy.predict(batch)
    if begun:
        (after,) = session.run([STATE_AFTER], {"observation": given} | begun)
        apart = np.maximum(apart, np.abs(after - policy.memory[:, :size]).max() / TOLERANCE)
    same = family.same_actions(policy, values, actions, wanted, tolerated)
    if not (apart <= 1.0).all() or not same.all():  # also where the model's values are NaN
        raise FolderError(
            f"{path} was not written: the model's action values differ from the policy's by up to "
            f"{TOLERANCE * float(apart.max()):.2g} of the largest, where {TOLERANCE:g} is allowed, and "
            f"{int((~same).sum())} of {len(same)} actions differ. Export its weights instead, and report this."
        )
    return len(observations)


def sampled(space: gymnasium.Space[Any], seen: tuple[np.ndarray, np.ndarray] | None = None) -> list[Any]:
    """Observations of a space, always the same ones; of a box around mean and deviation of what was seen, if known."""
    within = bounded(space)
    if isinstance(space, gymnasium.spaces.Box) and seen is not None:
        mean, deviation = (x.reshape(space.shape).astype(np.float64) for x in seen)
        within = _box(mean - _SEEN * deviation, mean + _SEEN * deviation, space.dtype)
    within.seed(0)
    size = math.prod(space.shape or ())
    return [within.sample() for _ in range(N_SAMPLED if size <= _LARGE else _N_LARGE)]


def bounded(space: gymnasium.Space[Any]) -> gymnasium.Space[Any]:
    """A copy of a space whose boxes are nowhere wide: what is wide, or infinite, ends near 0.

    What Gymnasium draws from the range of all floats overflows in any network.
    """
    spaces = gymnasium.spaces
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple([bounded(part) for part in space.spaces])
    if isinstance(space, spaces.Dict):
        return spaces.Dict({name: bounded(part) for name, part in space.spaces.items()})
    if not isinstance(space, spaces.Box):
        return copy.deepcopy(space)
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    wide = high / 2 - low / 2 > _WIDE / 2
    nearest = np.clip(0.0, low, high)
    least = np.where(wide, np.maximum(low, nearest - _NEAR), low)
    most = np.where(wide, np.minimum(high, nearest + _NEAR), high)
    return _box(least, most, space.dtype)


def _box(low: np.ndarray, high: np.ndarray, dtype: Any) -> gymnasium.spaces.Box:
    return gymnasium.spaces.Box(low.astype(dtype), high.astype(dtype), dtype=dtype)


def played(source: Source) -> list[Any]:
    """Observations that the policy meets in its run's environment; fewer, or none, where that fails."""
    run = source.run
    met: list[Any] = []
    if run is None:
        return met
    run.lend()
    episode = 0
    with contextlib.suppress(Exception):  # what is wrong with an environment is not for an export to say
        while len(met) < N_PLAYED:
            observation, info = run.env.reset(seed=evaluation_seed(0, episode))
            source.policy.reset()
            episode, ended = episode + 1, False
            while not ended and len(met) < N_PLAYED:
                met.append(copy.deepcopy(observation))
                action = source.policy.predict(observation, **allowed(source.policy, info))
                observation, _, terminated, truncated, info = run.env.step(action)
                ended = terminated or truncated
    return met
