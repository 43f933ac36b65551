"""Observations kept as they come: both of every step. For vectors, where copying is cheaper than finding."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qfix.mdp.cached import cached
from qfix.replay.check import take_array
from qfix.replay.windows import Drawn, Ring, walk


class Pairs:
    """(R·N, features) arrays of `obs` and of `next_obs`.

    Memory: twice the bytes of an observation, for each of the R·N transitions.

    Args:
        rows: R.
        n_envs: N.
        shape: of one observation.
        dtype: of one observation.
        folder: where to map both arrays to files; None keeps them in memory.
    """

    def __init__(
        self, rows: int, n_envs: int, shape: tuple[int, ...], dtype: np.dtype, folder: Path | None
    ) -> None:
        self._n_envs, self._shape = n_envs, shape
        length = (rows * n_envs, int(np.prod(shape)))
        self._obs = new_array(length, dtype, folder, "obs")
        self._next_obs = new_array(length, dtype, folder, "next_obs")

    def write(self, row: int, obs: np.ndarray, next_obs: np.ndarray, ended: np.ndarray) -> None:
        """Keep the observations of a row."""
        place = slice(row * self._n_envs, (row + 1) * self._n_envs)
        np.copyto(self._obs[place], obs.reshape(self._n_envs, -1), casting="same_kind")
        np.copyto(self._next_obs[place], next_obs.reshape(self._n_envs, -1), casting="same_kind")

    def gather(self, ring: Ring, drawn: Drawn) -> tuple[np.ndarray, np.ndarray]:
        """Walk the windows of a draw; obs and next_obs (B, ...)."""
        shape = (len(drawn.index), self._obs.shape[1])
        obs, next_obs = np.empty(shape, self._obs.dtype), np.empty(shape, self._obs.dtype)
        _gather(ring, drawn, self._obs, self._next_obs, obs, next_obs)
        full = (len(obs), *self._shape)
        return obs.reshape(full), next_obs.reshape(full)

    def break_off(self, row: int, envs: np.ndarray) -> None:
        """Nothing is to be done: every step has its own next observation."""

    def pack(self, filled: int) -> dict[str, np.ndarray]:
        """Views of what `filled` rows hold."""
        held = filled * self._n_envs
        return {"obs": self._obs[:held], "next_obs": self._next_obs[:held]}

    def check(self, arrays: dict[str, np.ndarray], position: int, filled: int, ended: np.ndarray) -> None:
        """Raise OptionError unless `unpack` may believe the arrays."""
        shape = (filled * self._n_envs, self._obs.shape[1])
        for name in ("obs", "next_obs"):
            take_array(arrays, name, shape, self._obs.dtype)

    def unpack(self, arrays: dict[str, np.ndarray], position: int, filled: int, ended: np.ndarray) -> None:
        """Take over arrays that were checked."""
        held = filled * self._n_envs
        self._obs[:held] = arrays["obs"]
        self._next_obs[:held] = arrays["next_obs"]


def new_array(shape: tuple[int, int], dtype: np.dtype, folder: Path | None, name: str) -> np.ndarray:
    """An array of zeros, in memory or mapped to a new file. Pages that were never written take no memory."""
    if folder is None:
        return np.zeros(shape, dtype)
    folder.mkdir(parents=True, exist_ok=True)
    return np.asarray(np.memmap(folder / f"{name}.bin", dtype, "w+", shape=shape))


@cached
def _gather(ring, drawn, obs, next_obs, out, next_out):
    for b in range(len(drawn.index)):
        walk(ring, drawn, b)
        at, last = drawn.index[b], drawn.last[b]
        for i in range(out.shape[1]):
            out[b, i] = obs[at, i]
        for i in range(out.shape[1]):
            next_out[b, i] = next_obs[last, i]
