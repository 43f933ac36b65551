"""All that a page says of a run: what its folder tells, and what was learned where a checkpoint can be loaded.

The folder is enough. The learner is asked in addition, where there is one: for values, policy, visits, and for returns
that are exact and cost no sampling.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from qfix.envs.catalogue import Measure
from qfix.errors import QfixError
from qfix.experiment import load
from qfix.report.chart import LARGEST
from qfix.run import Run
from qfix.runs import RunFolder, RunSpec
from qfix.runs.reader import Alert, Episodes, Evaluation, Event, MetricSeries

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Scores:
    """What the seeds of a run earn under one policy."""

    returns: dict[int, float]
    """By seed, finite numbers only, none so large that sums overflow."""
    absent: int
    """Seeds without one."""
    told: str
    """How it was found out."""
    step: int
    """Of the training, when it was."""


@dataclass(frozen=True)
class Dossier:
    """A run at one moment."""

    folder: RunFolder
    spec: RunSpec
    status: str
    steps: int
    """Steps of a seed that are known to have been made."""
    failures: dict[int, str]
    episodes: dict[int, Episodes]
    """Of each seed that has some."""
    metrics: dict[str, MetricSeries]
    alerts: list[Alert]
    events: list[Event]
    scores: dict[str, Scores]
    """By policy: greedy, exploratory, training, untrained, random, optimal."""
    gap: dict[int, float]
    """Exact J* - J by seed, where a model is known; infinite where a policy never ends."""
    run: Run | None
    """What was learned; None where it cannot be loaded."""
    measured: tuple[Measure, dict[int, float]] | None = None
    """What the world tells of the policies beside their returns, and that by seed; None of most worlds."""
    notes: list[str] = field(default_factory=list)
    """What a reader should know of how this came about."""
    absent: str = ""
    """Why there is no `run`; empty where there is."""

    @property
    def progress(self) -> float:
        """Share of the budget that was used, in [0, 1]."""
        return min(1.0, self.steps / self.spec.total_steps)


def gather(path: str | Path, run: Run | None = None) -> Dossier:
    """Read a run's folder, and load what was learned if it can be.

    Args:
        path: of the folder.
        run: the run itself, if it is at hand: one whose environment was passed as an object cannot be loaded.

    Raises:
        FolderError: there is no run in the folder, or its record is damaged.
    """
    folder = RunFolder(path)
    notes: list[str] = []
    absent = ""
    if run is None:
        run, absent = _loaded(folder, notes)
    store = folder.store
    episodes = store.all_episodes()
    metrics = {name: store.metric(name) for name in store.metric_names()}
    last = [int(series.steps[-1]) for series in metrics.values() if len(series.steps)]
    last += [int(each.ends[-1]) for each in episodes.values() if len(each.ends)]
    steps = max([folder.steps, *last])
    scores = _kept(folder)
    gap: dict[int, float] = {}
    if run is not None and run.model is not None:
        exact, gap, fault = _exactly(run)
        scores |= exact
        notes += fault
    training = {seed: _tail(each.returns) for seed, each in episodes.items()}
    scores["training"] = _scores(training, folder.spec.seeds, "last tenth of the episodes, exploring", steps)
    return Dossier(
        folder,
        folder.spec,
        folder.status,
        steps,
        folder.failures(),
        episodes,
        metrics,
        store.alerts(),
        store.events(),
        {name: found for name, found in scores.items() if found.returns},
        gap,
        run,
        _measured(run),
        notes,
        absent,
    )


def _measured(run: Run | None) -> tuple[Measure, dict[int, float]] | None:
    if run is None or run.measure is None:
        return None
    return run.measure, {seed: run.measure(run.policy(seed)) for seed in run.spec.seeds}


def _loaded(folder: RunFolder, notes: list[str]) -> tuple[Run | None, str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            run = load(folder.path)
        except QfixError as fault:
            return None, str(fault)
    notes += [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    if run.steps == 0 and folder.spec.total_steps > 0:
        return None, "The run has no checkpoint yet."
    return run, ""


def _kept(folder: RunFolder) -> dict[str, Scores]:
    """The latest evaluations in the store, those of one step."""
    found: dict[str, list[Evaluation]] = {}
    for each in folder.store.evaluations():
        found.setdefault(each.policy, []).append(each)
    scores = {}
    for policy, all_of_it in found.items():
        step = max(each.step for each in all_of_it)
        latest = {each.seed: each for each in all_of_it if each.step == step}
        one = next(iter(latest.values()))
        told = "exact" if one.exact else f"mean of {one.episodes:,} fresh episodes"
        seeds = folder.spec.seeds if policy not in ("random", "optimal") else tuple(latest)
        scores[policy] = _scores({s: each.mean for s, each in latest.items()}, seeds, told, step)
    return scores


def _exactly(run: Run) -> tuple[dict[str, Scores], dict[int, float], list[str]]:
    """What a model tells without sampling, now, and the gap to its optimum."""
    try:
        found = {"greedy": run.evaluate(), "optimal": run.optimum()} | run.baselines()
        gaps = run.optimality_gap()
    except QfixError as fault:
        return {}, {}, [f"The policies could not be evaluated. {fault}"]
    seeds = run.spec.seeds
    scores = {}
    for policy, each in found.items():
        own = seeds if len(each.returns) == len(seeds) else seeds[:1]
        scores[policy] = _scores(dict(zip(own, each.returns.tolist())), own, "exact", run.steps)
    return scores, dict(zip(seeds, gaps.tolist(), strict=True)), []


def _scores(returns: Mapping[int, float], seeds: tuple[int, ...], told: str, step: int) -> Scores:
    known = {seed: float(x) for seed, x in returns.items() if seed in seeds and abs(x) < LARGEST}
    return Scores(known, len(seeds) - len(known), told, step)


def _tail(returns: NDArray[np.float64]) -> float:
    tail = returns[-max(1, len(returns) // 10) :]
    return float(tail.mean()) if len(tail) else math.nan


def attempt(ask: Callable[[], Answer]) -> Answer | str:
    """An answer, or why there is none."""
    try:
        return ask()
    except QfixError as fault:
        return str(fault)
