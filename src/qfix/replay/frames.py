"""Observations that are stacks of k frames, each frame kept once and stacks rebuilt when sampled.

A stack is the k last frames of its episode, oldest first, on the first axis of an observation or on the last; before
the k-th step, the first frame of the episode stands in for those that are missing. On the first axis that is what
Gymnasium's FrameStackObservation gives with its padding "reset".

A row keeps the newest frame of its obs. That of its next_obs is the next row's, or, where the episode ended, in a queue
of final frames, or, in the newest row, in an array of its own. There are k − 1 more rows of frames than the memory has,
so that the oldest step's stack is whole and every row may be sampled.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qfix.errors import option_error
from qfix.mdp.cached import cached
from qfix.replay.check import require, take_array, take_count
from qfix.replay.pairs import new_array
from qfix.replay.windows import Drawn, Ring, walk


class Frames:
    """A ring of R + k − 1 rows of frames, and a queue of final frames that doubles when it is full.

    Memory, with F the bytes of a frame: F · N · (R + k − 1) for the ring, 5 · N · R to find frames by, and between one
    and two times F for each episode end among the rows held. In place of 2 · k · F · N · R for stacks. Only the ring
    is mapped to a file.

    Args:
        rows: R.
        n_envs: N.
        shape: of one observation, (..., k) or (k, ...).
        dtype: of one observation.
        folder: where to map the ring to a file; None keeps it in memory.
        first: whether the frames are the first axis, and not the last.
    """

    def __init__(
        self,
        rows: int,
        n_envs: int,
        shape: tuple[int, ...],
        dtype: np.dtype,
        folder: Path | None,
        first: bool = False,
    ) -> None:
        self._n_envs, self._shape, self._rows, self._first = n_envs, shape, rows, first
        self._k = shape[0] if first else shape[-1]
        size = int(np.prod(shape)) // self._k
        self._ring_rows = rows + self._k - 1
        self._ring = new_array((self._ring_rows * n_envs, size), dtype, folder, "frames")
        self._newest = np.zeros((n_envs, size), dtype)
        self._earlier = np.zeros(
            rows * n_envs, np.uint8
        )  # frames of the same episode before it, at most k − 1
        self._final = np.full(rows * n_envs, -1, np.int32)  # place in the queue; -1 where it has not ended
        self._queue = np.empty((16, size), dtype)
        self._head = self._held = 0  # of the queue
        self._at = self._kept = 0  # row of the ring written next, and rows that hold a frame
        self._starts = np.ones(n_envs, np.bool_)  # whether the next row is the first of an episode

    def write(self, row: int, obs: np.ndarray, next_obs: np.ndarray, ended: np.ndarray) -> None:
        """Keep the frames of a row.

        Raises:
            OptionError: a stack does not go on from the one before it, or is not one frame k times where an
                episode starts.
        """
        n, k = self._n_envs, self._k
        stacks = self._by_frame(obs.reshape(n, -1))
        frames, following = stacks[:, -1], self._by_frame(next_obs.reshape(n, -1))[:, -1]
        self._check_stacks(stacks, frames)
        place = slice(row * n, (row + 1) * n)
        drop = int(np.count_nonzero(self._final[place] >= 0))
        self._head, self._held = (self._head + drop) % len(self._queue), self._held - drop
        np.copyto(self._ring[self._at * n : (self._at + 1) * n], frames, casting="same_kind")
        before = self._earlier[(row - 1) % self._rows * n :][:n]
        self._earlier[place] = np.where(self._starts, 0, np.minimum(before + 1, k - 1))
        self._final[place] = -1
        for env in np.flatnonzero(ended):
            self._final[row * n + env] = self._push(following[env])
        np.copyto(self._newest, following, casting="same_kind")
        self._starts = ended.copy()
        self._at, self._kept = (self._at + 1) % self._ring_rows, min(self._kept + 1, self._ring_rows)

    def gather(self, ring: Ring, drawn: Drawn) -> tuple[np.ndarray, np.ndarray]:
        """Walk the windows of a draw; obs and next_obs (B, ...)."""
        shape = (len(drawn.index), self._k * self._ring.shape[1])
        obs, next_obs = np.empty(shape, self._ring.dtype), np.empty(shape, self._ring.dtype)
        newest = (self._at - 1) % self._ring_rows
        finding = (self._newest, self._earlier, self._final, self._queue)
        _gather(ring, drawn, self._ring, newest, *finding, self._by_frame(obs), self._by_frame(next_obs))
        full = (len(obs), *self._shape)
        return obs.reshape(full), next_obs.reshape(full)

    def break_off(self, row: int, envs: np.ndarray) -> None:
        """End the newest row's episodes of these environments (N,) bool, at the frames that followed it."""
        place = slice(row * self._n_envs, (row + 1) * self._n_envs)
        ended = self._final[place] >= 0
        self._held -= int(np.count_nonzero(ended))  # the last of the queue: all are put there in order
        self._final[place] = -1
        for env in np.flatnonzero(ended | envs):
            self._final[row * self._n_envs + env] = self._push(self._newest[env])
        self._starts |= envs

    def pack(self, filled: int) -> dict[str, np.ndarray]:
        """Views of what the memory holds; the final frames oldest first."""
        n = self._n_envs
        return {
            "frames": self._ring[: self._kept * n],
            "frames_position": np.array(self._at),
            "frames_filled": np.array(self._kept),
            "newest": self._newest,
            "earlier": self._earlier[: filled * n],
            "finals": self._queue[(self._head + np.arange(self._held)) % len(self._queue)],
        }

    def check(self, arrays: dict[str, np.ndarray], position: int, filled: int, ended: np.ndarray) -> None:
        """Raise OptionError unless `unpack` may believe the arrays."""
        n, size, dtype, k = self._n_envs, self._ring.shape[1], self._ring.dtype, self._k
        most = filled if filled < self._rows else self._ring_rows
        kept = take_count(arrays, "frames_filled", filled, most)
        at = take_count(arrays, "frames_position", 0, self._ring_rows - 1)
        rule = f"must be {kept} until the ring of frames is full"
        require(kept == self._ring_rows or at == kept, "frames_position", rule, at)
        take_array(arrays, "frames", (kept * n, size), dtype)
        take_array(arrays, "newest", (n, size), dtype)
        take_array(arrays, "finals", (int(np.count_nonzero(ended)), size), dtype)
        earlier = take_array(arrays, "earlier", (filled * n,), np.uint8)
        if filled:
            order = (position - filled + np.arange(filled)) % filled
            by_age = earlier.reshape(filled, n)[order].astype(int)
            known = min(k - 1, kept - filled)
            require(
                by_age[0].max() <= known, "earlier", f"must be at most {known} in the oldest row", by_age[0]
            )
            goes_on = np.where(ended.reshape(filled, n)[order][:-1], 0, np.minimum(by_age[:-1] + 1, k - 1))
            rule = "must count the frames of the episode so far, up to k − 1"
            require(np.array_equal(by_age[1:], goes_on), "earlier", rule, earlier[:8])

    def unpack(self, arrays: dict[str, np.ndarray], position: int, filled: int, ended: np.ndarray) -> None:
        """Take over arrays that were checked."""
        n = self._n_envs
        self._at, self._kept = int(arrays["frames_position"]), int(arrays["frames_filled"])
        self._ring[: self._kept * n] = arrays["frames"]
        self._newest[:] = arrays["newest"]
        self._earlier[: filled * n] = arrays["earlier"]
        finals = arrays["finals"]
        self._head, self._held = 0, len(finals)
        self._queue = np.empty((max(16, len(finals)), finals.shape[1]), finals.dtype)
        self._queue[: len(finals)] = finals
        self._final[:] = -1
        if filled:
            rows = (position - filled + np.arange(filled)) % filled
            oldest_first = (rows[:, None] * n + np.arange(n)).ravel()
            self._final[oldest_first[ended[oldest_first]]] = np.arange(len(finals))
            newest = (position - 1) % self._rows
            self._starts = ended[newest * n : (newest + 1) * n].copy()
        else:
            self._starts = np.ones(n, np.bool_)

    def _by_frame(self, flat: np.ndarray) -> np.ndarray:
        """Observations (B, all) as a view (B, k, size), frame by frame."""
        if self._first:
            return flat.reshape(len(flat), self._k, -1)
        return flat.reshape(len(flat), -1, self._k).transpose(0, 2, 1)

    def _push(self, frame: np.ndarray) -> int:
        """Append a final frame; its place."""
        length = len(self._queue)
        if self._held == length:
            self._queue = np.concatenate([self._queue[self._head :], self._queue[: self._head], self._queue])
            found = self._final >= 0
            self._final[found] = (self._final[found] - self._head) % length
            self._head = 0
        place = (self._head + self._held) % len(self._queue)
        np.copyto(self._queue[place], frame, casting="same_kind")
        self._held += 1
        return place

    def _check_stacks(self, stacks: np.ndarray, frames: np.ndarray) -> None:
        for env in range(self._n_envs):
            if self._starts[env]:
                rule = (
                    "must be one frame k times where an episode starts, as Gymnasium's padding 'reset' has it"
                )
                fits = (stacks[env] == frames[env]).all()
            else:
                rule = "must go on from the next_obs before it where no episode ended"
                fits = np.array_equal(frames[env], self._newest[env])
            if not fits:
                remedy = "Add every step, say where episodes ended, or leave out frame_stack."
                raise option_error(
                    "HostReplay.add", "obs", rule, f"another frame in environment {env}", remedy
                )


@cached
def _gather(ring, drawn, frames, at_newest, newest, earlier, final, queue, out, next_out):
    n, rows, ring_rows = ring.n_envs, len(ring.steps) // ring.n_envs, len(frames) // ring.n_envs
    k = out.shape[1]
    for b in range(len(drawn.index)):
        walk(ring, drawn, b)
        at, last = np.int64(drawn.index[b]), drawn.last[b]
        env = at % n
        row = (at_newest - (ring.newest - at // n) % rows) % ring_rows
        for j in range(k):
            source = frames[(row - min(j, earlier[at])) % ring_rows * n + env]
            for i in range(len(source)):
                out[b, k - 1 - j, i] = source[i]
        back = (ring.newest - last // n) % rows
        row = (at_newest - back) % ring_rows
        if final[last] >= 0:
            source = queue[final[last]]
        elif back == 0:
            source = newest[env]
        else:
            source = frames[(row + 1) % ring_rows * n + env]
        for i in range(len(source)):
            next_out[b, k - 1, i] = source[i]
        for j in range(1, k):
            source = frames[(row - min(j - 1, earlier[last])) % ring_rows * n + env]
            for i in range(len(source)):
                next_out[b, k - 1 - j, i] = source[i]
