"""Whether a step size lets a learner converge, decided from the form of its schedule.

A stochastic approximation Q ← Q + α_k · (target − Q) with noisy targets is sure to converge, with probability
1, if the step sizes α_1, α_2, ... of each estimate satisfy the two Robbins-Monro conditions

    Σ α_k = ∞        steps large enough to leave any start behind, and
    Σ α_k² < ∞       small enough for the noise to average out.

They cannot be checked on numbers: the sum of the squares of any *prefix* is finite. They follow from the form
of the schedule instead, which is what happens here.

The conditions are about each state-action pair's own updates. A schedule counted by visits is exactly the
sequence α_k. One counted by steps is seen by the pair at the times t_1 < t_2 < ... of its visits; because t_k
≥ k and the schedules that vanish do so monotonically, the squares converge for the pair if they do for the
counter, and the sum diverges for the pair if it does for the counter *and the pair keeps a positive share of
the steps* (t_k ≤ C · k): the order of decay is then the same. One counted by episodes needs, for the squares,
visits an episode of bounded mean.

Sources: Robbins & Monro (1951), "A Stochastic Approximation Method". Sutton & Barto (2018), equation 2.7.
Bertsekas & Tsitsiklis (1996), "Neuro-Dynamic Programming", chapters 4 and 5 (Q-learning).
"""

from __future__ import annotations

from typing import NamedTuple

from qfix.explore.schedules import (
    By,
    Constant,
    Decay,
    Exponential,
    Inverse,
    Linear,
    Piecewise,
    Polynomial,
    Schedule,
)


class RobbinsMonro(NamedTuple):
    """What the form of a step-size schedule says about convergence."""

    sum_diverges: bool
    """Σ α_k = ∞: the start is forgotten."""
    sum_of_squares_converges: bool
    """Σ α_k² < ∞: the noise averages out."""
    reason: str
    """Why, in one or two sentences, with the assumption on visits that the answer rests on."""

    @property
    def holds(self) -> bool:
        """Both conditions hold, so a tabular learner that tries every pair for ever converges."""
        return self.sum_diverges and self.sum_of_squares_converges


def robbins_monro(schedule: Schedule) -> RobbinsMonro:
    """Decide both Robbins-Monro conditions from the form of a schedule, in exact arithmetic.

        start / n^w, no floor     sum diverges iff w ≤ 1        squares converge iff w > 1/2
        ends level at c > 0       sum diverges                  squares diverge
        geometric, or ends at 0   sum converges                 squares converge
        restarts every episode    sum diverges                  squares diverge

    Both hold for `Polynomial` with 1/2 < w ≤ 1 and for `Inverse`, each with start > 0 and no floor.

    Args:
        schedule: the step size of a learner.

    Returns:
        The two answers, whether both hold, and the reason. For schedules counted by step the reason states
        that it takes pairs which keep a positive share of the steps; see the module.

    Source: see the module.
    """
    highest = schedule.bounds()[1]
    if highest == 0.0:
        return RobbinsMonro(False, True, "The step size is 0 throughout: nothing is ever learned.")
    if schedule.by == "step_in_episode" and not isinstance(schedule, Constant):
        return RobbinsMonro(True, False, _RESTARTS)
    if isinstance(schedule, (Inverse, Polynomial)) and schedule.end == 0.0:
        return _power_law(schedule, 1.0 if isinstance(schedule, Inverse) else schedule.power)
    if isinstance(schedule, Decay) and schedule.end == 0.0:
        total = schedule.start / (1.0 - schedule.rate)
        reason = (
            f"The step sizes are a geometric series with a finite sum ({total:.6g} over all counts): "
            "estimates stop short of a target that is far away."
        )
        return RobbinsMonro(False, True, reason)
    final = _final(schedule)
    if final == 0.0:
        reason = "The step size reaches 0 after finitely many counts: learning stops there, converged or not."
        return RobbinsMonro(False, True, reason)
    level = (
        "The step size is" if isinstance(schedule, Constant) else "In the end the step size is constant at"
    )
    reason = (
        f"{level} {final:g}: its squares sum to infinity, and estimates keep moving with the noise of the "
        "targets. Only without noise (a deterministic problem) can that converge."
    )
    return RobbinsMonro(True, False, reason)


def convergence_warning(schedule: Schedule, name: str = "alpha", by: By = "visit") -> str | None:
    """The sentence to warn with when convergence was asked for and the schedule cannot give it, else None.

    Args:
        schedule: the step size.
        name: of the option that has it.
        by: what the schedule that is suggested counts; one that counts visits begins at 1, as a mean does.

    >>> from qfix.explore import Polynomial
    >>> convergence_warning(Polynomial(1.0, 0.8, by="visit")) is None
    True
    """
    answer = robbins_monro(schedule)
    if answer.holds:
        return None
    remedy = Polynomial(1.0 if by == "visit" else schedule.bounds()[1] or 1.0, 0.8, by=by)
    return (
        f"{name}={schedule!r} does not satisfy the Robbins-Monro conditions, so convergence is not "
        f"guaranteed. {answer.reason} Use {name}={remedy!r}."
    )


_RESTARTS = (
    "The counter starts again with every episode, so the step size keeps coming back and never vanishes: "
    "its squares sum to infinity."
)


def _power_law(schedule: Schedule, power: float) -> RobbinsMonro:
    diverges, converges = power <= 1.0, power > 0.5
    if not diverges:
        verdict = "falls too fast (the power must be at most 1): estimates stop short of the target."
    elif not converges:
        verdict = "falls too slowly (the power must be above 1/2): the noise does not average out."
    else:
        verdict = "satisfies both conditions (1/2 < power ≤ 1)."
    reason = f"The step size falls like 1/n^{power:g}, which {verdict}"
    if diverges and converges:
        reason = f"{reason} {_ASSUMPTION[schedule.by]}"
    return RobbinsMonro(diverges, converges, reason)


_ASSUMPTION = {
    "visit": "This takes every state-action pair being tried for ever.",
    "step": "Counted by steps, this takes every state-action pair keeping a positive share of all steps.",
    "episode": "Counted by episodes, this takes every state-action pair being visited in a positive share "
    "of all episodes, with a bounded mean number of visits in each.",
    "step_in_episode": "",
}


def _final(schedule: Schedule) -> float:
    """The value of a schedule that is level from some count on."""
    if isinstance(schedule, Constant):
        return schedule.value
    if isinstance(schedule, Piecewise):
        return schedule.values[-1]
    assert isinstance(schedule, (Linear, Exponential, Decay, Inverse, Polynomial))
    return schedule.end
