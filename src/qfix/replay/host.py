"""A memory on the host: NumPy arrays that are changed in place, one Numba kernel to gather a batch.

Memory: the observations (see `Pairs` and `Frames`), 12 bytes for each transition, its mask, 8.6 for a priority, and 4 H
for the state of a recurrent network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from qfix.errors import is_whole, option_error
from qfix.replay import sum_tree
from qfix.replay.batch import Batch, Sample, Sequences, check_options, rows_for
from qfix.replay.check import require, take_array, take_count
from qfix.replay.frames import Frames
from qfix.replay.pairs import Pairs
from qfix.replay.priorities import LEAST, MOST
from qfix.replay.windows import STEP, Drawn, Ring


class HostReplay:
    """A ring of R rows of N environments; `qfix.replay` says what rows, windows and samples are.

    Args:
        capacity: transitions to keep, at least; rounded up to whole rows.
        n_envs: N, environments that step together.
        observation: (shape, dtype) of one observation of one environment.
        n_step: n, the longest window, >= 1.
        gamma: discount of a step, in [0, 1].
        priority_exponent: α >= 0 of prioritised sampling; None samples uniformly.
        n_actions: A, to keep masks of the actions allowed at next_obs; None keeps none.
        folder: map the observations to files there, which are written anew; None keeps them in memory.
        frame_stack: k, where an observation is a stack of k frames: each frame is kept once.
        frames_first: whether the frames are its first axis, and not its last.
        sequence: L, steps of the sequences that are drawn; 0 draws windows.
        n_state: H, to keep with every step the state of the network that made it; 0 keeps none.
        action_size: D, where an action is as many numbers; None where it is one whole number.

    Raises:
        OptionError: an option is out of range.
    """

    def __init__(
        self,
        capacity: int,
        n_envs: int,
        observation: tuple[tuple[int, ...], Any],
        n_step: int = 1,
        gamma: float = 0.99,
        priority_exponent: float | None = None,
        n_actions: int | None = None,
        folder: str | Path | None = None,
        frame_stack: int | None = None,
        frames_first: bool = False,
        sequence: int = 0,
        n_state: int = 0,
        action_size: int | None = None,
    ) -> None:
        check_options("HostReplay", capacity, n_envs, n_step, gamma, priority_exponent, sequence)
        shape, dtype = tuple(observation[0]), np.dtype(observation[1])
        _check_kept(shape, n_actions, frame_stack, frames_first)
        rows = rows_for(capacity, n_envs)
        self._n_envs, self._rows, self._n_actions = n_envs, rows, n_actions
        self._obs_shape = (n_envs, *shape)
        mapped = None if folder is None else Path(folder)
        self._observations: Pairs | Frames
        if frame_stack is None:
            self._observations = Pairs(rows, n_envs, shape, dtype, mapped)
        else:
            self._observations = Frames(rows, n_envs, shape, dtype, mapped, frames_first)
        n = rows * n_envs
        self._steps = np.zeros(n, STEP)
        self._fields = {name: self._steps[name].reshape(rows, n_envs) for name in STEP.names or ()}
        self._gammas = float(gamma) ** np.arange(n_step + 1)
        self._sequence = sequence
        # what some memories keep of a step beside its fields, by its name in `add`
        wanted = ("mask_next", n_actions, np.bool_), ("state", n_state or None, np.float32)
        self._beside = {
            name: np.zeros((n, size), kind)
            for name, size, kind in (*wanted, ("action", action_size, np.float32))
            if size is not None
        }
        self._in_steps = [name for name in STEP.names or () if name not in self._beside]
        self._exponent = priority_exponent
        self._nodes, self._begins = sum_tree.new_tree(1 if priority_exponent is None else n)
        self._largest = 1.0
        self._position = self._filled = 0

    @property
    def size(self) -> int:
        """Transitions held."""
        return self._filled * self._n_envs

    def add(
        self,
        obs: Any,
        action: Any,
        reward: Any,
        terminated: Any,
        ended: Any,
        next_obs: Any,
        mask_next: Any = None,
        state: Any = None,
    ) -> None:
        """Write one row, over the oldest when all are filled. New steps get the largest priority so far.

        Args:
            obs, next_obs: (N, ...), of the dtype the memory keeps or one that fits into it.
            action: (N,) whole numbers, or (N, D).
            reward: (N,).
            terminated: (N,) bool.
            ended: (N,) bool, terminated or truncated; what is terminated counts as ended.
            next_obs: (N, ...), the step's own.
            mask_next: (N, A) bool, if the memory keeps masks.
            state: (N, H), if the memory keeps states.

        Raises:
            OptionError: a shape is not that of a row, or, with `frame_stack`, a stack does not follow from the last.
        """
        n, row = self._n_envs, self._position
        obs, next_obs = np.asarray(obs), np.asarray(next_obs)
        self._check_row(obs, next_obs, mask_next, state, action, reward, terminated, ended)
        ended = np.logical_or(ended, terminated)
        self._observations.write(row, obs, next_obs, ended)
        fields = self._fields
        if "action" not in self._beside:
            fields["action"][row] = action
        fields["reward"][row] = reward
        fields["terminated"][row] = terminated
        fields["ended"][row] = ended
        if self._beside:
            given = {"action": action, "mask_next": mask_next, "state": state}
            for name, kept in self._beside.items():
                kept[row * n : (row + 1) * n] = given[name]
        self._position = (row + 1) % self._rows
        self._filled = min(self._filled + 1, self._rows)
        if self._exponent is not None:
            # of sequences: what is written begins none yet, and what was written L - 1 rows ago now does
            later = max(0, self._sequence - 1)
            if later:
                sum_tree.assign_block(self._nodes, self._begins, row * n, n, 0.0)
            if self._filled > later:
                begins = (row - later) % self._rows * n
                sum_tree.assign_block(self._nodes, self._begins, begins, n, self._largest)

    def break_off(self, envs: np.ndarray) -> None:
        """Have episodes end, truncated, with the newest row: whoever adds the next has left off and begun anew.

        Args:
            envs: (N,) bool, in which environments.
        """
        if self._filled:
            newest = (self._position - 1) % self._rows
            broken = envs & ~self._fields["ended"][newest]
            self._observations.break_off(newest, broken)
            self._fields["ended"][newest] |= broken

    def sample(self, bits: np.ndarray) -> Sample:
        """A batch by random `bits` (B,) uint32: windows, or sequences where this memory is made for them.

        Raises:
            OptionError: the memory is empty, or shorter than a sequence, or `bits` are not uint32.
        """
        bits = np.asarray(bits)
        if bits.dtype != np.uint32 or bits.ndim != 1 or not bits.size:
            remedy = "Draw them with rng.integers(1 << 32, size=B, dtype=np.uint32)."
            raise option_error("HostReplay.sample", "bits", "must be uint32 (B,)", bits.dtype, remedy)
        least = max(1, self._sequence)
        if self._filled < least:
            rule, remedy = f"must be at least {max(1, self._sequence * self._n_envs)}", "Add a step first."
            raise option_error("HostReplay.sample", "size", rule, self.size, remedy)
        n, size = len(bits), (self._filled - least + 1) * self._n_envs
        index, probability = np.empty(n, np.int32), np.empty(n, np.float32)
        if self._exponent is None:
            np.remainder(bits, np.uint32(size), out=index, casting="unsafe")
            probability.fill(1.0 / size)
            if self._sequence:  # counted from the oldest row
                oldest = self._position if self._filled == self._rows else 0
                index = (index + np.int32(oldest * self._n_envs)) % np.int32(len(self._steps))
        else:
            sum_tree.draw(self._nodes, self._begins, bits, index, probability)
        if self._sequence:
            return Sample(self._sequences(index), index, probability)
        drawn, obs, next_obs = self._gather(index, self._gammas)
        mask = self._of("mask_next", drawn.last)
        action = self._beside["action"][index] if "action" in self._beside else drawn.action
        return Sample(Batch(obs, action, drawn.reward, drawn.discount, next_obs, mask), index, probability)

    def _of(self, name: str, index: np.ndarray) -> np.ndarray | None:
        """What is kept beside the fields of some steps; None where it is not."""
        return self._beside[name][index] if name in self._beside else None

    def _gather(self, index: np.ndarray, gammas: np.ndarray) -> tuple[Drawn, np.ndarray, np.ndarray]:
        n, newest = len(index), (self._position - 1) % self._rows
        drawn = Drawn(
            index,
            np.empty(n, np.int64),
            np.empty(n, np.int32),
            np.empty(n, np.float32),
            np.empty(n, np.float32),
        )
        ring = Ring(self._steps, gammas, self._n_envs, newest)
        return drawn, *self._observations.gather(ring, drawn)

    def _sequences(self, index: np.ndarray) -> Sequences:
        """Those that begin at `index` (B,)."""
        at = index + np.arange(self._sequence, dtype=np.int32)[:, None] * np.int32(self._n_envs)
        at = (at % np.int32(len(self._steps))).reshape(-1)
        seen = self._gather(at, self._gammas[:2])[1:]
        shape = (self._sequence, len(index))
        obs, next_obs = (x.reshape(*shape, *x.shape[1:]) for x in seen)
        steps = self._steps[at].reshape(shape)
        fields: dict[str, Any] = {name: np.ascontiguousarray(steps[name]) for name in self._in_steps}
        fields |= {"mask_next": None} | {name: x[at].reshape(*shape, -1) for name, x in self._beside.items()}
        fields["state"] = self._of("state", index)
        return Sequences(obs=obs, next_obs=next_obs, **fields)

    def update_priorities(self, index: Any, priority: Any) -> None:
        """Set the priorities of transitions; of duplicates the last counts.

        Args:
            index: (B,) int32 from `sample`.
            priority: (B,) finite and >= 0, |td error| + ε.

        Raises:
            OptionError: one of them is not, or this memory samples uniformly. Nothing is changed then.
        """
        owner = "HostReplay.update_priorities"
        if self._exponent is None:
            rule, remedy = "must be a number to have priorities", "Use priority_exponent=0.6."
            raise option_error("HostReplay", "priority_exponent", rule, None, remedy)
        index, priority = np.asarray(index, np.int32), np.asarray(priority)
        if index.ndim != 1 or index.shape != priority.shape:
            rule = f"must have the shape (B,) of index, {index.shape}"
            raise option_error(owner, "priority", rule, priority.shape, "Give one for each index.")
        largest, bad = sum_tree.assign(
            self._nodes, self._begins, self.size, index, priority, float(self._exponent)
        )
        if bad >= 0:
            rule = f"must be finite and >= 0, and its index in 0..{self.size - 1}"
            remedy = "Give |td error| + epsilon; an infinite error means that the network has diverged."
            raise option_error(owner, "priority", rule, f"{priority[bad]} at index {index[bad]}", remedy)
        self._largest = max(self._largest, largest)

    def pack(self) -> dict[str, np.ndarray]:
        """All that is held, by name. Large arrays are views: write them before the next step is added."""
        held = self.size
        arrays = {"position": np.array(self._position), "filled": np.array(self._filled)}
        arrays |= {name: self._steps[name][:held].copy() for name in self._in_steps}
        arrays |= self._observations.pack(self._filled)
        arrays |= {name: kept[:held] for name, kept in self._beside.items()}
        if self._exponent is not None:
            arrays |= {"priorities": self._nodes[:held], "largest": np.array(self._largest)}
        return arrays

    def unpack(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over what `pack` of a memory of the same options gave; goes on as that one would, to the bit.

        Raises:
            OptionError: an array is missing, left over, or breaks a rule. Nothing is changed then.
        """
        filled = take_count(arrays, "filled", 0, self._rows)
        position = take_count(arrays, "position", 0, self._rows - 1)
        rule = f"must be {filled} until all rows are filled"
        require(filled == self._rows or position == filled, "position", rule, position)
        held = filled * self._n_envs
        steps = {name: take_array(arrays, name, (held,), STEP[name]) for name in self._in_steps}
        self._check_steps(steps)
        self._observations.check(arrays, position, filled, steps["ended"])
        for name, kept in self._beside.items():
            take_array(arrays, name, (held, kept.shape[1]), kept.dtype)
        if self._exponent is not None:
            self._check_priorities(arrays, position, filled)
        left_over = set(arrays) - set(self.pack())
        require(not left_over, "arrays", "must hold nothing but what this memory packs", sorted(left_over))

        self._observations.unpack(arrays, position, filled, steps["ended"])
        for name, array in steps.items():
            self._steps[name][:held] = array
        for name, kept in self._beside.items():
            kept[:held] = arrays[name]
        if self._exponent is not None:
            self._nodes[:] = 0.0
            self._nodes[:held] = arrays["priorities"]
            self._largest = float(arrays["largest"])
            sum_tree.rebuild(self._nodes, self._begins)
        self._position, self._filled = position, filled

    def _check_row(
        self, obs: np.ndarray, next_obs: np.ndarray, mask_next: Any, state: Any, action: Any, *fields: Any
    ) -> None:
        mask = None if self._n_actions is None else (self._n_envs, self._n_actions)
        states = self._row_shape("state")
        fits = obs.shape == next_obs.shape == self._obs_shape
        fits = fits and (None if mask_next is None else np.shape(mask_next)) == mask
        fits = fits and (None if state is None else np.shape(state)) == states
        actions = self._row_shape("action") or (self._n_envs,)
        fits = fits and np.shape(action) == actions
        if not fits or any(np.shape(field) != (self._n_envs,) for field in fields):
            rule = (
                f"must be observations {self._obs_shape}, actions {actions}, masks {mask}, states {states} and (N,) "
                f"fields with N={self._n_envs}"
            )
            shapes = [np.shape(x) for x in (obs, next_obs, action, *fields)] + [
                np.shape(mask_next),
                np.shape(state),
            ]
            remedy = "Give one step of every environment."
            raise option_error("HostReplay.add", "transition", rule, shapes, remedy)

    def _row_shape(self, name: str) -> tuple[int, int] | None:
        """Of a row of what is kept beside the fields; None where it is not."""
        return (self._n_envs, self._beside[name].shape[1]) if name in self._beside else None

    def _check_steps(self, steps: dict[str, np.ndarray]) -> None:
        rule = "must hold wherever terminated does"
        require((steps["ended"] >= steps["terminated"]).all(), "ended", rule, "terminated alone")
        if self._n_actions is not None and steps["action"].size:
            least, most = int(steps["action"].min()), int(steps["action"].max())
            rule = f"must be in 0..{self._n_actions - 1}"
            require(least >= 0 and most < self._n_actions, "action", rule, (least, most))

    def _check_priorities(self, arrays: dict[str, np.ndarray], position: int, filled: int) -> None:
        held = filled * self._n_envs
        largest = float(take_array(arrays, "largest", (), np.float64))
        require(1.0 <= largest <= MOST, "largest", f"must be in [1, {MOST}]", largest)
        given = take_array(arrays, "priorities", (held,), np.float64)
        fits = (given >= LEAST) & (given <= largest)
        rule = f"must be finite, at least {LEAST} and at most the largest"
        if self._sequence > 1 and held:
            age = (position - 1 - np.arange(filled)) % filled  # rows written since
            late = np.repeat(age < self._sequence - 1, self._n_envs)
            fits = np.where(late, given == 0.0, fits)
            rule += ", and 0 where a sequence cannot begin yet"
        require(fits.all(), "priorities", rule, given[~fits][:8])


def _check_kept(
    shape: tuple[int, ...], n_actions: int | None, frame_stack: int | None, frames_first: bool
) -> None:
    """Raise unless observations and masks can be kept so."""
    if n_actions is not None and not (is_whole(n_actions) and n_actions >= 1):
        rule = "must be a whole number >= 1, or None for no masks"
        raise option_error("HostReplay", "n_actions", rule, n_actions, "Count the actions.")
    length = shape[:1] if frames_first else shape[-1:]
    if frame_stack is not None and not (
        is_whole(frame_stack) and 1 <= frame_stack <= 255 and length == (frame_stack,)
    ):
        axis = "first" if frames_first else "last"
        rule = f"must be in 1..255 and the {axis} axis of an observation, {shape}"
        raise option_error("HostReplay", "frame_stack", rule, frame_stack, f"Put the frames {axis}.")
