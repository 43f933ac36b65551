"""What a policy was at some moments of its training: untrained, early, later, at the end.

Of n stages the first is before the first step, and the k-th of the others after total/4^(n-1-k) of them: early, most
changes. Training is deterministic, so the seed is trained anew up to the last stage but one; the last is the run's.
"""

from __future__ import annotations

from qfix.evaluation import Policy
from qfix.run import Run

_FACTOR = 4  # between the steps of one stage and those of the next


def stages_of(run: Run, seed: int | None, n_stages: int, exploratory: bool) -> list[tuple[int, Policy]]:
    """The policies of one seed, each with the steps it had learned from.

    Args:
        run: as far as it has gone; it stays there.
        seed: one of its seeds; None for the first.
        n_stages: how many; of 1, the end alone, nothing is trained anew.
        exploratory: as they act while they learn.

    Raises:
        OptionError: the run has no such seed.
    """
    *before, end = stage_steps(run.steps, n_stages)
    last = run.policy(seed, exploratory)
    found: list[tuple[int, Policy]] = []
    if before:
        place = 0 if seed is None else run.spec.seeds.index(seed)
        trainer = run.trainer
        run.lend()
        state, made = trainer.start(), 0
        # the other seeds stay where they are
        state.failures = {i: "is not shown" for i in range(len(run.spec.seeds)) if i != place}
        for steps in before:
            if steps > made:
                state, _ = trainer.advance(state, steps - made)
            made = steps
            found.append((steps, (trainer.behaviour if exploratory else trainer.policy)(state, place)))
    return [*found, (end, last)]


def stage_steps(total: int, n_stages: int) -> list[int]:
    """Steps before each stage, fewer where there are not so many.

    >>> stage_steps(100_352, 4), stage_steps(2, 4), stage_steps(10, 1)
    ([0, 6272, 25088, 100352], [0, 2], [10])
    """
    after = {total // _FACTOR**k for k in range(n_stages - 1)}
    return sorted({0, *after}) if n_stages > 1 else [total]
