"""The result of a run in numbers: what the table shows and what `--json` prints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np

from qfix.envs.catalogue import Measure
from qfix.evaluation import Evaluation
from qfix.run import Run
from qfix.runs import RunSpec
from qfix.stats import Interval, interval

_SLICES = {"Taxi": "shown: the 25 states with the passenger aboard, bound for the stand at the top left"}


@dataclass(frozen=True)
class Summary:
    """How good a run is, seed by seed, and what to hold it against."""

    run: Run
    """The run."""
    evaluation: Evaluation | None
    """Returns of the greedy policies; None where they were not asked for, or the environment cannot be asked."""
    gap: np.ndarray | None
    """(seeds,) exact J* − J, infinite where the policy never ends; None where no model is known."""
    baselines: dict[str, Evaluation]
    """Evaluations of "untrained", "random" and, where the model is known, "optimal"."""
    unevaluated: str = "as the environment failed"
    """Why there is no evaluation, where there is none."""
    exploratory: Evaluation | None = None
    """Returns of the policies as they act while they learn, if they were asked for."""
    value_distance: np.ndarray | None = None
    """(seeds,) max |q - q*| of networks; None of tables, and where no model is known."""
    measured: tuple[Measure, np.ndarray] | None = None
    """What the world tells of policies beside their returns, and (seeds,) of it; None of most worlds."""

    @property
    def training_return(self) -> np.ndarray:
        """(seeds,) mean return over the last tenth of the training episodes; NaN where none ended."""
        tails = [r[-max(1, len(r) // 10) :] for r in self.run.episodes.returns]
        return np.array([tail.mean() if len(tail) else np.nan for tail in tails])

    @property
    def counted(self) -> np.ndarray:
        """(seeds,) whether a seed counts: not if its training failed. It has no score; it is told beside the result."""
        failed = self.run.failures
        return np.array([seed not in failed for seed in self.run.spec.seeds])

    @cached_property
    def estimates(self) -> dict[str, Interval]:
        """Mean and interquartile mean of the greedy returns over the seeds that count, with 95 % intervals."""
        if self.evaluation is None:
            return {}
        scores = self.evaluation.returns[self.counted & np.isfinite(self.evaluation.returns)]
        return {name: interval(scores, name) for name in ("mean", "iqm")} if len(scores) else {}

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form. A gap of null is infinite; without a model "gap" itself is null."""
        run = self.run
        told = {name: evaluation_dict(found) for name, found in self.baselines.items()}
        result = run.to_dict() | {
            "evaluation": None if self.evaluation is None else evaluation_dict(self.evaluation),
            "n_seeds": len(run.spec.seeds),
            "n_failed": len(run.failures),
            "estimates": {name: estimate_dict(found) for name, found in self.estimates.items()},
            "gap": None if self.gap is None else [finite(x) for x in self.gap],
            "value_distance": None
            if self.value_distance is None
            else [finite(x) for x in self.value_distance],
            "measured": None
            if self.measured is None
            else {self.measured[0].name: [finite(x) for x in self.measured[1]]},
            "baselines": told,
            "versions": run.spec.versions,
        }
        if self.exploratory is not None:
            result["exploratory"] = evaluation_dict(self.exploratory)
        return result


def summarise(
    run: Run, episodes: int | None = None, seed: int = 0, exploratory: bool = False, unevaluated: str = ""
) -> Summary:
    """Evaluate a run and its baselines.

    Args:
        run: as far as it has gone. What it has been asked before, it is not asked again.
        episodes: how many a seed where the model is not known; where it is, the answers are exact. None for the
            number of its spec, 0 for no evaluation.
        seed: of the evaluation episodes.
        exploratory: evaluate also how it acts while it learns.
        unevaluated: a reason not to evaluate it.
    """
    known = run.model is not None
    wanted = run.spec.eval_episodes if episodes is None else episodes
    if run.status == "failed" and not known:
        unevaluated = unevaluated or "as the environment failed"
    elif wanted == 0:
        unevaluated = unevaluated or "as none was asked for"
    if unevaluated:
        return Summary(run, None, None, {}, unevaluated)
    found = run.evaluate(wanted, seed)
    baselines = run.baselines(wanted, seed)
    exploring = run.evaluate(wanted, seed, "exploratory") if exploratory else None
    if not known:
        measured = None if run.measure is None else (run.measure, found.measured[run.measure.name])
        return Summary(run, found, None, baselines, exploratory=exploring, measured=measured)
    gap = run.optimality_gap()
    # of a table it says where it has been: what is not visited is as far off as it began
    table = not run.trainer.learns_values or run.trainer.counts_visits
    comparable = not table and run.spec.config.get("reward_clip") is None
    distance = run.value_distance() if comparable else None
    told = baselines | {"optimal": run.optimum()}
    return Summary(run, found, gap, told, exploratory=exploring, value_distance=distance)


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


def evaluation_dict(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation in JSON form; standard errors are those of each seed's mean, of its episodes."""
    return {
        "returns": [finite(x) for x in evaluation.returns],
        "standard_errors": [finite(x) for x in evaluation.standard_errors],
        "mean": finite(evaluation.mean),
        "episodes": evaluation.episodes,
        "exact": evaluation.exact,
    }


def estimate_dict(found: Interval) -> dict[str, Any]:
    """An interval in JSON form; a limit of null is none."""
    plain = found.to_dict()
    return plain | {name: finite(plain[name]) for name in ("low", "high", "estimate")}
