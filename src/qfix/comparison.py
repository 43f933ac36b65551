"""Several runs held against each other: what each seed scored, and what may be concluded from it.

A seed's score is the return of its final greedy policy, by the last evaluation that is kept of it: exact where a model
is known, else the mean of fresh episodes. Seeds are the unit of replication. A seed that failed has no score: it is
counted, and told beside the result, not left out in silence.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from qfix import stats
from qfix.errors import CheckpointError, OptionError, option_error
from qfix.experiment import EVAL_EPISODES, load
from qfix.run import Run
from qfix.runs import RunFolder, RunSpec
from qfix.runs.reader import MetricSeries

_SAME_BUDGET = 1.05  # the larger over the smaller, up to which nothing is said: networks round theirs up


@dataclass(frozen=True, repr=False)
class RunScores:
    """What a run scored."""

    name: str
    """By which it is told apart from the others."""
    spec: RunSpec
    """What was run."""
    steps: int
    """Environment steps of each seed at which it was evaluated."""
    seeds: tuple[int, ...]
    """Those that have a score."""
    scores: np.ndarray
    """(seeds,) return of each seed's greedy policy."""
    exact: bool
    """Whether the scores are computed, not sampled."""
    eval_episodes: int
    """Episodes of each score; 0 where it is exact."""
    failures: dict[int, str]
    """Seeds without a score, and why."""
    baselines: dict[str, float]
    """Mean return of "untrained", "random" and "optimal", where they are known."""
    curve_steps: np.ndarray
    """(n,) environment steps of each seed."""
    curves: np.ndarray
    """(seeds, n) mean return of the latest training episodes of those seeds; NaN before the first has ended."""
    confidence: float = 0.95
    """Of the intervals."""

    @property
    def mean(self) -> stats.Interval:
        """The mean and its interval."""
        return stats.interval(self.scores, "mean", self.confidence)

    @property
    def iqm(self) -> stats.Interval:
        """The interquartile mean and its interval."""
        return stats.interval(self.scores, "iqm", self.confidence)

    def curve_summary(self, threshold: float | None = None) -> stats.CurveSummary:
        """Final value, area under the curve and steps to a threshold of the training returns, seed by seed."""
        return stats.summarise_curves(self.curve_steps, self.curves, threshold=threshold)

    def __repr__(self) -> str:
        spec, n = self.spec, len(self.scores)
        return f"RunScores({self.name!r}, {spec.algorithm} on {spec.env}, {n} seeds, mean {np.mean(self.scores):.4g})"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "name": self.name,
            "env": self.spec.env,
            "algorithm": self.spec.algorithm,
            "steps": self.steps,
            "seeds": list(self.seeds),
            "scores": self.scores.tolist(),
            "exact": self.exact,
            "eval_episodes": self.eval_episodes,
            "mean": _plain(self.mean.to_dict()),
            "iqm": _plain(self.iqm.to_dict()),
            "failures": {str(seed): said for seed, said in self.failures.items()},
            "baselines": self.baselines,
            "versions": self.spec.versions,
        }


@dataclass(frozen=True, repr=False)
class RunComparison:
    """Several runs, held against each other. `print` shows the table and the verdict."""

    runs: tuple[RunScores, ...]
    """In the order in which they were given."""
    statistics: stats.Comparisons
    """Every pair, corrected for their number."""
    threshold: float | None = None
    """The training return that counts as learned, if one was asked for."""
    notes: tuple[str, ...] = field(default=())
    """What a reader has to know."""

    @property
    def verdict(self) -> str:
        """What may be concluded, in words."""
        pairs = self.statistics.pairs
        return pairs[0].verdict if len(pairs) == 1 else self.statistics.verdict

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "runs": [run.to_dict() for run in self.runs],
            "verdict": self.verdict,
            "confidence": self.statistics.confidence,
            "correction": self.statistics.correction,
            "pairs": [
                {
                    "a": pair.a,
                    "b": pair.b,
                    "difference": pair.difference,
                    "low": _finite(pair.low),
                    "high": _finite(pair.high),
                    "p_value": _finite(pair.p_value),
                    "p_adjusted": _finite(pair.p_adjusted),
                    "test": pair.test,
                    "effect_size": _finite(pair.effect_size),
                    "probability_of_improvement": _plain(vars(pair.improvement)),
                    "verdict": pair.verdict,
                }
                for pair in self.statistics.pairs
            ],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        width = max(len(run.name) for run in self.runs)
        lines = []
        for run in self.runs:
            mean, iqm = run.mean, run.iqm
            lines.append(
                f"{run.name:<{width}}  n {len(run.scores)}  mean {mean.estimate:.4g} [{mean.low:.4g}, {mean.high:.4g}]"
                f"  IQM {iqm.estimate:.4g} [{iqm.low:.4g}, {iqm.high:.4g}]"
            )
        return "\n".join([*lines, self.verdict, *self.notes])

    def __repr__(self) -> str:
        return f"RunComparison({len(self.runs)} runs on {self.runs[0].spec.env}: {self.verdict})"


def compare(
    runs: Sequence[Run | str | Path],
    names: Sequence[str] | None = None,
    *,
    paired: bool = False,
    estimate: str = "mean",
    confidence: float = 0.95,
    correction: str = "holm",
    threshold: float | None = None,
) -> RunComparison:
    """Which of several runs is better, on the returns of their greedy policies.

    Args:
        runs: two or more, or their folders. A folder without an evaluation of its last step is loaded and evaluated.
        names: of the runs; by default those of their folders, or algorithm and number.
        paired: compare seed by seed: where a seed decides something that runs have in common, such as the world.
        estimate: "mean" or "iqm".
        confidence: 1 - confidence is the probability that any claim made is false.
        correction: for the number of pairs: "holm", "benjamini_hochberg" or "none".
        threshold: a training return; the steps that each seed needed to reach it are told too.

    Returns:
        A RunComparison.

    Raises:
        OptionError: fewer than two runs, of different environments, one without a seed that has a score, or an option
            that is none.
        FolderError: a folder is damaged or holds no run.
    """
    if isinstance(runs, str | Path) or len(runs) < 2:
        rule = "must hold at least two runs"
        raise option_error("compare", "runs", rule, runs, "Add one to compare with.")
    if names is not None and (len(names) != len(runs) or len(set(names)) < len(names)):
        raise option_error(
            "compare", "names", f"must be {len(runs)} different names", names, "Name each run."
        )
    labels = list(names) if names is not None else _labels(runs)
    found = tuple(
        replace(scores_of(run, name), confidence=confidence) for run, name in zip(runs, labels, strict=True)
    )
    notes = _notes(found)
    for run in found:
        if not len(run.scores):
            raise option_error("compare", "runs", "must have a seed with a score", run.name, "Leave it out.")
    scores: Mapping[str, np.ndarray] = {run.name: run.scores for run in found}
    if paired:
        common = sorted(set.intersection(*(set(run.seeds) for run in found)))
        if len(common) < max(len(run.seeds) for run in found):
            notes.append(f"Paired on the {len(common)} seeds that all runs have a score for.")
        scores = {run.name: run.scores[[run.seeds.index(s) for s in common]] for run in found}
    compared = stats.compare_all(scores, paired, estimate, confidence, correction)
    return RunComparison(found, compared, threshold, tuple(notes))


def scores_of(run: Run | str | Path, name: str = "") -> RunScores:
    """The scores of a run or of its folder, as `compare` takes them.

    Raises:
        FolderError: the folder is damaged or holds no run.
        CheckpointError: nothing was evaluated, and there is no checkpoint to evaluate.
    """
    if isinstance(run, Run):
        return _of_run(run, name or run.spec.algorithm)
    kept = RunFolder(run)
    every = kept.store.evaluations()
    evaluations = {one.seed: one for one in every if one.policy == "greedy"}  # the latest of each seed
    last = max((found.step for found in evaluations.values()), default=-1)
    if last < kept.steps:
        try:
            return _of_run(load(run), name or kept.path.name)
        except (OptionError, CheckpointError):
            if not evaluations:
                raise
    seeds = [seed for seed in kept.spec.seeds if seed in evaluations and evaluations[seed].step == last]
    failures = kept.failures()
    scored = [seed for seed in seeds if seed not in failures]
    chosen = [evaluations[seed] for seed in scored]
    baselines = {}
    for policy in ("untrained", "random", "optimal"):
        others = {one.seed: one.mean for one in every if one.policy == policy}
        if others:
            baselines[policy] = float(np.mean(list(others.values())))
    there = "return" in kept.store.metric_names()
    series = kept.store.metric("return") if there else None
    return RunScores(
        name or kept.path.name,
        kept.spec,
        last,
        tuple(scored),
        np.array([one.mean for one in chosen]),
        all(one.exact for one in chosen),
        max((one.episodes for one in chosen), default=0),
        failures,
        baselines,
        np.empty(0, np.int64) if series is None else series.steps,
        np.empty((len(scored), 0)) if series is None else _rows(series, scored),
    )


def _rows(series: MetricSeries, seeds: Sequence[int]) -> np.ndarray:
    """(seeds, n) values of these seeds; NaN of one that was never measured."""
    rows = np.full((len(seeds), len(series.steps)), np.nan)
    for i, seed in enumerate(seeds):
        if seed in series.seeds:
            rows[i] = series.values[series.seeds.index(seed)]
    return rows


def _of_run(run: Run, name: str) -> RunScores:
    episodes = run.spec.eval_episodes or EVAL_EPISODES
    evaluation = run.evaluate(episodes)
    keep = [i for i, seed in enumerate(run.spec.seeds) if seed not in run.failures]
    found = run.baselines(episodes) | ({} if run.model is None else {"optimal": run.optimum()})
    curve = run.metrics("return")
    return RunScores(
        name,
        run.spec,
        run.steps,
        tuple(run.spec.seeds[i] for i in keep),
        evaluation.returns[keep],
        evaluation.exact,
        evaluation.episodes,
        run.failures,
        {policy: one.mean for policy, one in found.items()},
        curve.steps,
        curve.values[keep],
    )


def _labels(runs: Sequence[Run | str | Path]) -> list[str]:
    """Names of folders, or of algorithms; numbered where they would be the same."""
    plain = []
    for run in runs:
        folder = run.folder if isinstance(run, Run) else Path(run)
        plain.append(
            run.spec.algorithm if folder is None and isinstance(run, Run) else Path(str(folder)).name
        )
    if len(set(plain)) < len(plain):
        plain = [f"{name} ({i})" if plain.count(name) > 1 else name for i, name in enumerate(plain, 1)]
    return plain


def _notes(runs: Sequence[RunScores]) -> list[str]:
    """What makes a comparison less than it seems.

    Raises:
        OptionError: the runs are of different environments.
    """
    first = runs[0]
    for run in runs[1:]:
        if (run.spec.env, run.spec.env_kwargs) != (first.spec.env, first.spec.env_kwargs):
            rule = "must be of one environment, with the same options"
            got = [f"{one.spec.env} {one.spec.env_kwargs or ''}".strip() for one in (first, run)]
            raise option_error("compare", "runs", rule, got, "Compare within an environment.")
    notes = []
    budgets = [run.steps for run in runs]
    if max(budgets) > _SAME_BUDGET * min(budgets):
        told = ", ".join(f"{run.name} {run.steps:,}" for run in runs)
        notes.append(f"The budgets differ (steps of a seed: {told}).")
    for run in runs:
        if run.steps < run.spec.total_steps:
            told = f"{run.steps:,} of {run.spec.total_steps:,} steps of each seed"
            notes.append(f"{run.name} is not finished: {told}.")
    for one, other in itertools.combinations(runs, 2):
        if one.steps == other.steps and one.spec.digest == other.spec.digest:
            notes.append(f"{one.name} and {other.name} are the same run: nothing can differ.")
    for run in runs:
        if run.failures:
            n = len(run.failures) + len(run.scores)
            notes.append(f"{run.name}: {len(run.failures)} of {n} seeds failed and have no score.")
    few = [run.name for run in runs if len(run.scores) < 10]
    if few:
        notes.append(f"Fewer than 10 seeds ({', '.join(few)}): intervals from so few are rough.")
    sampled = sorted({run.eval_episodes for run in runs if not run.exact})
    if sampled:
        notes.append(f"Scores are means of {' or '.join(map(str, sampled))} episodes, with their own noise.")
    return notes


def _finite(x: float) -> float | None:
    return float(x) if math.isfinite(x) else None


def _plain(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _finite(x) if isinstance(x, float) else x for key, x in table.items()}
