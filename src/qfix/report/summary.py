"""The result of a run in numbers: what the table shows and what `--json` prints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from qfix.evaluation import Evaluation
from qfix.run import Run
from qfix.runs import RunSpec

_SLICES = {"Taxi": "shown: the 25 states with the passenger aboard, bound for the stand at the top left"}


@dataclass(frozen=True)
class Summary:
    """How good a run is, seed by seed, and what to hold it against."""

    run: Run
    """The run."""
    evaluation: Evaluation | None
    """Returns of the greedy policies; None where the environment failed and cannot be asked."""
    gap: np.ndarray | None
    """(seeds,) exact J* − J, infinite where the policy never ends; None where no model is known."""
    baselines: dict[str, Evaluation]
    """Evaluations of "untrained", "random" and, where the model is known, "optimal"."""

    @property
    def training_return(self) -> np.ndarray:
        """(seeds,) mean return over the last tenth of the training episodes; NaN where none ended."""
        tails = [r[-max(1, len(r) // 10) :] for r in self.run.episodes.returns]
        return np.array([tail.mean() if len(tail) else np.nan for tail in tails])

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form. A gap of null is infinite; without a model "gap" itself is null."""
        evaluation = None if self.evaluation is None else _evaluation(self.evaluation)
        return self.run.to_dict() | {
            "evaluation": evaluation,
            "gap": None if self.gap is None else [finite(x) for x in self.gap],
            "baselines": {name: _evaluation(found) for name, found in self.baselines.items()},
        }


def summarise(run: Run, episodes: int = 100) -> Summary:
    """Evaluate a run and its baselines.

    Args:
        run: as far as it has gone.
        episodes: how many a seed where the model is not known; where it is, the answers are exact.
    """
    known = run.model is not None
    if run.status == "failed" and not known:
        return Summary(run, None, None, {})
    evaluation = run.evaluate(episodes)
    baselines = run.baselines(episodes)
    if not known:
        return Summary(run, evaluation, None, baselines)
    return Summary(run, evaluation, run.optimality_gap(), baselines | {"optimal": run.optimum()})


def run_title(spec: RunSpec) -> str:
    """What is run, for a heading: algorithm, environment and its options."""
    options = ", ".join(f"{name}={value}" for name, value in spec.env_kwargs.items())
    return f"{spec.algorithm} on {spec.env}" + (f" ({options})" if options else "")


def caption_of(env: gymnasium.Env[Any, Any]) -> str:
    """Which of its states a map of an environment shows; empty where it shows all."""
    name = "" if env.spec is None else env.spec.name
    return _SLICES.get(name, "")


def finite(x: float) -> float | None:
    """A number that JSON has; None for NaN and the infinities."""
    return float(x) if math.isfinite(x) else None


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "returns": [finite(x) for x in evaluation.returns],
        "mean": finite(evaluation.mean),
        "episodes": evaluation.episodes,
        "exact": evaluation.exact,
    }
