"""What deserves a warning while a run goes on, decided from its metrics alone.

An alert is told when its condition begins to hold, and again only after ten measurements without it. What was observed
decides, never the time, so that a resumed run tells what the uninterrupted one would have told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

LONG_EPISODE = 100_000  # steps of an episode that has not ended
_WARM_UP = 10  # measurements before the mean return says anything
_DEAD = 10  # measurements in a row without any difference between action values
_CALM = 10  # measurements in a row without a condition, after which it is news again
_YOUNG = 1_000  # steps before which nothing has to be learned yet


class Alert(NamedTuple):
    """Something that should not be."""

    step: int
    """Steps of the seed."""
    seed: int | None
    """None: the run as a whole."""
    kind: str
    """Of a watchman: "return_drop", "q_beyond_bound", "q_dead", "not_finite" or "endless_episode"."""
    message: str


class Watchman:
    """Follows the metrics of one seed.

    Conditions:

    1. not_finite: a value or a TD error, or the loss of a policy or its critic, is NaN or infinite.
    2. q_beyond_bound: |q| > r_max / (1 - gamma), which no expected return can exceed. Not for gamma = 1.
    3. return_drop: the mean return of the latest episodes is below its running mean by more than half of that
       (for a positive mean: below half of it).
    4. q_dead: all action values have been equal for 10 measurements, after 1,000 steps or more.
    5. endless_episode: the running episode is longer than 100,000 steps.

    Args:
        seed: of the run.
        judges_returns: whether a lower return is a worse policy; not where an opponent answers it.
    """

    def __init__(self, seed: int, judges_returns: bool = True) -> None:
        self._seed = seed
        self._judges_returns = judges_returns
        self._returns_seen = 0
        self._mean_return = 0.0
        self._equal = 0
        self._calm: dict[
            str, int
        ] = {}  # measurements since each condition held, of those that held not long ago

    def observe(self, step: int, metrics: Mapping[str, float]) -> list[Alert]:
        """What begins to be wrong at a measurement.

        Args:
            step: steps of the seed.
            metrics: by name; NaN where there is none.
        """
        holds = {
            "not_finite": self._not_finite(metrics),
            "q_beyond_bound": self._beyond_bound(metrics),
            "return_drop": self._drop(metrics),
            "q_dead": self._dead(step, metrics),
            "endless_episode": self._endless(metrics),
        }
        begun = [
            Alert(step, self._seed, kind, said)
            for kind, said in holds.items()
            if said and kind not in self._calm
        ]
        self._calm = {kind: n + 1 for kind, n in self._calm.items() if n + 1 < _CALM}
        self._calm |= {kind: 0 for kind, said in holds.items() if said}
        return begun

    @staticmethod
    def _not_finite(metrics: Mapping[str, float]) -> str:
        updated = math.isfinite(
            metrics.get("step_size", math.nan)
        )  # else there is nothing a TD error could be of
        values = [metrics[name] for name in ("q_mean", "td_error") if name in metrics]
        if any(math.isinf(x) for x in values) or (updated and any(math.isnan(x) for x in values)):
            return "a value or a TD error is not finite: learning has diverged. Use a smaller alpha."
        losses = [metrics[name] for name in ("policy_loss", "value_loss") if name in metrics]
        if updated and not all(map(math.isfinite, losses)):
            return (
                "the loss of the policy or of its critic is not finite: learning has diverged. Use a smaller "
                "learning_rate."
            )
        return ""

    @staticmethod
    def _beyond_bound(metrics: Mapping[str, float]) -> str:
        bound = metrics.get("q_bound", math.inf)
        largest = max(abs(metrics.get("q_min", 0.0)), abs(metrics.get("q_max", 0.0)))
        # what is not a number is told by `not_finite`, or there is none yet
        if not bound < math.inf or not largest > bound * (1.0 + 1e-9):
            return ""
        return f"|q| is {largest:.4g}, and no return can exceed r_max / (1 - gamma) = {bound:.4g}"

    def _drop(self, metrics: Mapping[str, float]) -> str:
        now = metrics.get("return", math.nan)
        if not math.isfinite(now) or not self._judges_returns:
            return ""
        mean, seen = self._mean_return, self._returns_seen
        self._returns_seen += 1
        self._mean_return += (now - mean) / self._returns_seen
        if seen < _WARM_UP or now >= mean - 0.5 * abs(mean):
            return ""
        return f"the mean return has fallen to {now:.4g}; its mean so far is {mean:.4g}"

    def _dead(self, step: int, metrics: Mapping[str, float]) -> str:
        self._equal = self._equal + 1 if metrics.get("q_std", math.nan) == 0.0 else 0
        if self._equal < _DEAD or step < _YOUNG:
            return ""
        return f"all action values have been equal for {self._equal} measurements: nothing is being learned"

    @staticmethod
    def _endless(metrics: Mapping[str, float]) -> str:
        running = metrics.get("running_length", 0.0)
        if running <= LONG_EPISODE:
            return ""
        return (
            f"episode {metrics.get('episodes', 0):.0f} has not ended after {running:,.0f} steps. Give the "
            f"environment a time limit (max_episode_steps)"
        )
