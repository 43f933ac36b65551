"""Memories of steps for deep Q-learning: uniform and prioritised, n-step, on the host and on the device.

**Rows.** A memory has R rows of N environments: row r holds one step of every environment, written together. A
capacity counts transitions and R = ⌈capacity / N⌉, so any capacity is right. The rows are a ring: when all are filled,
the oldest is overwritten. The index of a transition is row·N + environment, and means what it meant when it was
sampled: after R more rows it is another transition.

**A step** is a `Transition`, each field with a leading axis N. `ended` says terminated or truncated, and `next_obs` is
what the step itself led to, never the observation after a reset. Rows follow one another: where a step has not ended,
the next row goes on from it. Whoever breaks an episode off marks its last step as ended.

**n-step windows** are formed when sampling. From a start at row t walk k = 1, 2, ... steps, until k = n, or the step
ended its episode, or the newest row was reached:

    reward   = Σ_{i<k} γ^i r_{t+i}
    discount = γ^k (1 − terminated_{t+k−1})
    next_obs = that of the last step walked

So a truncated episode bootstraps from its final observation, a window that is cut short bootstraps from where it was
cut, and none goes across the end of an episode or the seam of the ring. n = 1 is plain indexing.

**Sequences** of L steps are drawn in their place where a memory is made for them: L rows of one environment, one after
the other, none across the seam of the ring; for networks with a state, which is kept with every step. The last L − 1
rows begin none yet. Rewards come as they are: what windows there are within a sequence is for the caller to say.

**Sampling** takes its randomness as an argument: B numbers `bits` of 32 random bits. Uniform: index = bits mod size,
which favours no transition by more than size / 2^32. Prioritised: see `qfix.replay.priorities`.

`qfix.replay.host` keeps NumPy arrays and changes them; `qfix.replay.device` is pure functions for a jitted loop. Given
the same steps and bits both return the same batches, up to the rounding of float32. Neither is imported here: each
brings its compiler along.
"""

from qfix.replay.batch import Batch, Sample, Sequences, Transition
from qfix.replay.priorities import importance_weights

__all__ = ["Batch", "Sample", "Sequences", "Transition", "importance_weights"]
