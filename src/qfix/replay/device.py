"""A memory on the device: pure functions over a NamedTuple of arrays, to be called inside a jitted loop.

A memory that is part of a loop's carry, or donated to a jitted call, is written in place: a step costs the same
whatever the capacity. In a turn of a loop add first, then sample, then update: what samples before it adds makes the
compiler keep a copy. Memory: both observations of every transition, 10 bytes beside them, the mask, 4.3 for a priority,
and 4 H for the state of a recurrent network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from qfix.errors import option_error
from qfix.replay import device_tree
from qfix.replay.batch import Batch, Sample, Sequences, Transition, check_options, rows_for
from qfix.replay.priorities import LEAST, MOST
from qfix.replay.walking import n_step_window


class Memory(NamedTuple):
    """A ring of R rows of N environments, row after row: row r, environment e at r·N + e."""

    steps: Transition  # each field (R·N, ...)
    position: jax.Array  # () int32 in 0..R−1: the row that is written next
    filled: jax.Array  # () int32 in 0..R: rows that hold a step
    tree: device_tree.SumTree | None  # over R·N leaves; None for uniform sampling


@dataclass(frozen=True)
class DeviceReplay:
    """The options of a memory and the functions on it; `qfix.replay` says what they mean.

    Raises:
        OptionError: an option is out of range.
    """

    capacity: int
    """Transitions to keep, at least; rounded up to whole rows."""

    n_envs: int
    """N, environments that step together."""

    n_step: int = 1
    """n, the longest window, >= 1; walking one is n gathers."""

    gamma: float = 0.99
    """Discount of a step, in [0, 1]."""

    priority_exponent: float | None = None
    """α >= 0 of prioritised sampling; None samples uniformly."""

    sequence: int = 0
    """L, steps of the sequences that are drawn; 0 draws windows."""

    def __post_init__(self) -> None:
        check_options(
            "DeviceReplay",
            self.capacity,
            self.n_envs,
            self.n_step,
            self.gamma,
            self.priority_exponent,
            self.sequence,
        )

    @property
    def rows(self) -> int:
        """R."""
        return rows_for(self.capacity, self.n_envs)

    def start(self, example: Transition) -> Memory:
        """An empty memory for steps like `example`: arrays or `jax.ShapeDtypeStruct`, leading axis N.

        Whole actions are kept as int32, others as float32, and rewards as float32, whatever the example has.

        Raises:
            OptionError: a field has no leading axis N.
        """
        for name, field in example._asdict().items():
            if field is not None and (not field.shape or field.shape[0] != self.n_envs):
                rule = f"must have a leading axis of n_envs={self.n_envs}"
                raise option_error(
                    "DeviceReplay.start", name, rule, field.shape, "Give a step of all environments."
                )
        whole = jnp.issubdtype(example.action.dtype, jnp.integer)
        kept = {"reward": jnp.float32, "terminated": jnp.bool_, "ended": jnp.bool_}
        kept["action"] = jnp.int32 if whole else jnp.float32
        n = self.rows * self.n_envs
        fields = {
            name: None if field is None else jnp.zeros((n, *field.shape[1:]), kept.get(name, field.dtype))
            for name, field in example._asdict().items()
        }
        uniform = self.priority_exponent is None
        return Memory(
            steps=Transition(**fields),
            position=jnp.int32(0),
            filled=jnp.int32(0),
            tree=None if uniform else device_tree.start(n),
        )

    def add(self, memory: Memory, transition: Transition) -> Memory:
        """Write one row, over the oldest when all are filled. New steps get the largest priority so far."""
        first = memory.position * self.n_envs
        transition = transition._replace(ended=transition.ended | transition.terminated)

        def write(_: Any, steps: Transition) -> Transition:
            def put(kept: Any, new: Any) -> Any:
                return lax.dynamic_update_slice_in_dim(kept, new.astype(kept.dtype), first, 0)

            return jax.tree.map(put, steps, transition)

        # A loop of one round, which the compiler cannot know: laid into what reads the ring afterwards, a second
        # writing would need a copy of the ring at every step. Barriers are taken out before that happens.
        once = jnp.minimum(memory.filled, 0) + 1
        steps = lax.fori_loop(0, once, write, memory.steps)
        filled = jnp.minimum(memory.filled + 1, self.rows)
        tree = memory.tree
        if tree is not None and self.sequence <= 1:
            tree = device_tree.assign_block(tree, first, self.n_envs, tree.largest)
        elif tree is not None:
            # what was written begins no sequence yet, and what was written L - 1 rows ago now does
            tree = device_tree.assign_block(tree, first, self.n_envs, jnp.float32(0.0))
            begins = (memory.position - self.sequence + 1) % self.rows * self.n_envs
            value = jnp.where(filled >= self.sequence, tree.largest, 0.0)
            tree = device_tree.assign_block(tree, begins, self.n_envs, value)
        following = memory.position + 1
        return memory._replace(
            steps=steps,
            position=jnp.where(following == self.rows, 0, following),
            filled=filled,
            tree=tree,
        )

    def size(self, memory: Memory) -> jax.Array:
        """Transitions held, () int32."""
        return memory.filled * self.n_envs

    def sample(self, memory: Memory, bits: jax.Array) -> Sample:
        """A batch by random `bits` (B,) uint32: windows, or sequences where this memory is made for them.

        The memory must hold a row, or L of them: nothing here can look.
        """
        if memory.tree is None:
            size = self.size(memory) - max(0, self.sequence - 1) * self.n_envs
            index = (bits % size.astype(jnp.uint32)).astype(jnp.int32)
            probability = jnp.full(bits.shape, 1.0 / size, jnp.float32)
            if self.sequence:  # counted from the oldest row
                oldest = jnp.where(memory.filled == self.rows, memory.position, 0)
                index = (index + oldest * self.n_envs) % (self.rows * self.n_envs)
        else:
            index, probability = device_tree.draw(memory.tree, bits)
        batch = self._sequences(memory, index) if self.sequence else self._batch(memory, index)
        return Sample(batch, index, probability)

    def _sequences(self, memory: Memory, index: jax.Array) -> Sequences:
        steps, n = memory.steps, self.rows * self.n_envs
        at = (index + jnp.arange(self.sequence, dtype=jnp.int32)[:, None] * self.n_envs) % n
        fields = {
            name: None if field is None else _take(field, index if name == "state" else at)
            for name, field in steps._asdict().items()
        }
        return Sequences(**fields)

    def update_priorities(self, memory: Memory, index: jax.Array, priority: jax.Array) -> Memory:
        """Set the priorities of transitions; of duplicates the last counts.

        Args:
            memory: of this replay.
            index: (B,) int32 from `sample`, within the rows filled.
            priority: (B,) >= 0, |td error| + ε. Not a number spoils the tree: nothing here can look.

        Raises:
            OptionError: this memory samples uniformly.
        """
        exponent, tree = self.priority_exponent, memory.tree
        if exponent is None or tree is None:
            rule = "must be a number to have priorities"
            remedy = "Use priority_exponent=0.6, or give no priorities."
            raise option_error("DeviceReplay", "priority_exponent", rule, None, remedy)
        value = jnp.clip(priority.astype(jnp.float32) ** exponent, LEAST, MOST)
        return memory._replace(tree=device_tree.assign(tree, index, value))

    def _batch(self, memory: Memory, index: jax.Array) -> Batch:
        last, reward, discount = self._windows(memory, index)
        steps = memory.steps
        return Batch(
            obs=_take(steps.obs, index),
            action=_take(steps.action, index),
            reward=reward,
            discount=discount * (1.0 - _take(steps.terminated, last)),
            next_obs=_take(steps.next_obs, last),
            mask_next=None if steps.mask_next is None else _take(steps.mask_next, last),
        )

    def _windows(self, memory: Memory, index: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The last step (B,) of the window from each start, Σ γ^i r and γ^k."""
        steps, n = memory.steps, self.rows * self.n_envs

        def later(k: Any) -> jax.Array:
            step = index + (k % self.rows) * self.n_envs
            return jnp.where(step < n, step, step - n)

        # rows from the start to the newest
        following = (memory.position - 1 - index // self.n_envs) % self.rows
        k, reward, discount = n_step_window(
            jnp,
            self.n_step,
            self.gamma,
            following,
            lambda k: _take(steps.reward, later(k)),
            lambda k: _take(steps.ended, later(k)),
        )
        return (index if self.n_step == 1 else later(k)), reward, discount


def _take(array: jax.Array, index: jax.Array) -> Any:
    """Rows of an array at indices that are known to be inside."""
    return array.at[index].get(mode="promise_in_bounds")
