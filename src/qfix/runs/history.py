"""What has happened in a training, seed by seed: episodes, metrics, snapshots, alerts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qfix.errors import EnvironmentFault, FolderError, counted, unknown_name
from qfix.runs.alerts import Alert, Watchman
from qfix.runs.reader import StoreReader
from qfix.runs.store import MetricStore

_OF_EPISODES = ("return", "episode_length", "episodes", "running_length")
_MOST_PIECES = 512  # arrays of a seed; a small one weighs more than its numbers
_BLOCK = 1 << 22  # episodes that are written in a row
_LATEST = 100  # episodes whose mean is the metric "return"


class Snapshot(NamedTuple):
    """Values of the first seed as they were when it finished an episode."""

    episode: int
    step: int
    action_values: np.ndarray


class Records(NamedTuple):
    """What happened during an advance of a trainer."""

    returns: list[list[np.ndarray]]  # of the episodes that ended, a list of pieces for each seed
    lengths: list[list[np.ndarray]]
    snapshots: list[Snapshot]
    failures: dict[int, str]  # seeds, by their place, whose environment failed in it, and why


def settle_faults(failures: dict[int, str], records: Records, faults: Mapping[int, EnvironmentFault]) -> None:
    """Note the seeds whose environment has failed in an advance, and raise where none is left.

    Args:
        failures: of the state, by the place of the seed; takes the new ones, as `records` does.
        records: of the advance.
        faults: what was raised, by the place of the seed.

    Raises:
        EnvironmentFault: every seed has failed, this time or before; its `records` has the episodes of this advance.
    """
    n_seeds = len(records.returns)
    for i in sorted(faults):
        failures[i] = records.failures[i] = str(faults[i])
    if faults and len(failures) == n_seeds:
        last = faults[max(faults)]
        if n_seeds > 1:
            told = EnvironmentFault(f"All {n_seeds} seeds have failed. The last: {last}")
            told.__cause__ = last.__cause__
            last = told
        last.records = records
        raise last


@dataclass(frozen=True)
class Episodes:
    """Finished training episodes, in order."""

    returns: list[np.ndarray]
    """For each seed (episodes,) undiscounted returns."""
    lengths: list[np.ndarray]
    """For each seed (episodes,) steps."""

    def __repr__(self) -> str:
        told = ", ".join(str(len(r)) for r in self.returns)
        return f"Episodes({told} for {counted(len(self.returns), 'seed')})"


class Metric(NamedTuple):
    """A metric over the training."""

    steps: np.ndarray
    """(n,) environment steps of each seed."""
    values: np.ndarray
    """(seeds, n); NaN where there is none."""


class History:
    """What has happened in a training so far.

    Args:
        seeds: of the run. Methods know a seed by its place among them.
        learned: names of the metrics that the trainer measures.
        judges_returns: whether to warn where returns fall.

    Attributes:
        names: of the metrics: those of the episodes, and the trainer's.
        measured: (step, (names, seeds) values) of every measurement.
        snapshots: action values of the first seed after some episodes.
        alerts: what deserved a warning, in order.
        counts: (seeds,) finished episodes.
        played: (seeds,) steps in them.
    """

    def __init__(self, seeds: Sequence[int], learned: Sequence[str], judges_returns: bool = True) -> None:
        self.names = (*_OF_EPISODES, *learned)
        self.measured: list[tuple[int, np.ndarray]] = []
        self.snapshots: list[Snapshot] = []
        self.alerts: list[Alert] = []
        self.counts = np.zeros(len(seeds), np.int64)
        self.played = np.zeros(len(seeds), np.int64)
        self._seeds = tuple(seeds)
        self._returns: list[list[np.ndarray]] = [[] for _ in seeds]
        self._lengths: list[list[np.ndarray]] = [[] for _ in seeds]
        # returns and lengths of the last episodes
        self._latest = [(np.empty(0), np.empty(0)) for _ in seeds]
        self._watchmen = [Watchman(seed, judges_returns) for seed in seeds]

    # What happens

    def add_episodes(self, i: int, returns: np.ndarray, lengths: np.ndarray) -> None:
        """Episodes that a seed has finished."""
        for pieces, more in ((self._returns[i], returns), (self._lengths[i], lengths)):
            pieces.append(more)
            if len(pieces) > _MOST_PIECES:
                pieces[:] = [np.concatenate(pieces)]
        self.counts[i] += len(lengths)
        self.played[i] += lengths.sum()
        one, other = self._latest[i]
        self._latest[i] = (
            np.concatenate([one, returns[-_LATEST:]])[-_LATEST:],
            np.concatenate([other, lengths[-_LATEST:]])[-_LATEST:],
        )

    def measure(self, step: int, learned: np.ndarray, going: Sequence[int]) -> tuple[np.ndarray, list[Alert]]:
        """Add a measurement; (names, seeds) values of all metrics, and the alerts that they raise.

        Args:
            step: of each seed.
            learned: (metrics of the trainer, seeds).
            going: places of the seeds that have not failed; the others have no values any more.
        """
        values = np.empty((len(self.names), len(self._seeds)))
        for i, (returns, lengths) in enumerate(self._latest):
            any_ended = len(returns) > 0
            values[0, i] = returns.sum() / len(returns) if any_ended else np.nan
            values[1, i] = lengths.sum() / len(lengths) if any_ended else np.nan
        values[2] = self.counts
        values[3] = step - self.played
        values[len(_OF_EPISODES) :] = learned
        return values, self._observe(step, values, going)

    def _observe(self, step: int, values: np.ndarray, going: Sequence[int]) -> list[Alert]:
        values[:, [i for i in range(values.shape[1]) if i not in going]] = np.nan
        self.measured.append((step, values))
        alerts = []
        for i in going:
            named = dict(zip(self.names, values[:, i].tolist(), strict=True))
            alerts += self._watchmen[i].observe(step, named)
        self.alerts += alerts
        return alerts

    # What can be asked

    def __repr__(self) -> str:
        told = (
            counted(len(self._seeds), "seed"),
            counted(int(self.counts.sum()), "episode"),
            f"{counted(len(self.measured), 'measurement')} of {len(self.names)} metrics",
            counted(len(self.snapshots), "snapshot"),
            counted(len(self.alerts), "alert"),
        )
        return f"History({', '.join(told)})"

    @property
    def episodes(self) -> Episodes:
        """Finished training episodes of each seed."""
        for pieces in (*self._returns, *self._lengths):
            if len(pieces) > 1:
                pieces[:] = [np.concatenate(pieces)]
        return Episodes(
            [pieces[0] if pieces else np.empty(0) for pieces in self._returns],
            [pieces[0] if pieces else np.empty(0, np.int64) for pieces in self._lengths],
        )

    def metric(self, name: str) -> Metric:
        """A metric over the training.

        Raises:
            UnknownNameError: there is no such metric; suggests the nearest.
        """
        if name not in self.names:
            raise unknown_name("metric", name, self.names)
        row = self.names.index(name)
        steps = np.array([step for step, _ in self.measured], np.int64)
        values = [values[row] for _, values in self.measured]
        return Metric(steps, np.array(values).reshape(len(values), len(self._seeds)).T)

    def latest_return(self, going: Sequence[int]) -> float | None:
        """Mean return of the last episodes, over seeds; None where there is no such number."""
        means = [self._latest[i][0].mean() for i in going if len(self._latest[i][0])]
        mean = float(np.mean(means)) if means else np.nan
        return mean if np.isfinite(mean) else None

    # In a store

    def write(self, store: MetricStore) -> None:
        """Add all of it to a store that has nothing yet."""
        episodes = self.episodes
        for seed, returns, lengths in zip(self._seeds, episodes.returns, episodes.lengths, strict=True):
            for first in range(0, len(lengths), _BLOCK):
                block = slice(first, first + _BLOCK)
                last_step = int(lengths[: block.stop].sum())
                store.add_episodes(seed, first, last_step, returns[block], lengths[block])
        for step, values in self.measured:
            store.add_metrics(step, self._seeds, self.names, values)
        for shot in self.snapshots:
            store.add_snapshot(self._seeds[0], *shot)
        for alert in self.alerts:
            store.add_alert(*alert)

    def recall(self, reader: StoreReader, step: int, counts: Mapping[int, int]) -> None:
        """Take up what happened until a step of each seed; nothing has happened yet.

        Args:
            reader: of the store that has it.
            step: of each seed.
            counts: finished episodes of each seed by then.

        Raises:
            FolderError: the store has fewer episodes.
        """
        for i, seed in enumerate(self._seeds):
            n = counts[seed]
            returns, lengths, _ = reader.episodes(seed)
            if len(returns) < n:
                raise FolderError(
                    f"{reader.path} has {len(returns):,} episodes of seed {seed}, and its checkpoint counts {n:,}. "
                    f"Put the two that belong together into the folder."
                )
            if n:
                self.add_episodes(i, returns[:n], lengths[:n])
        for at, values in self._kept_measurements(reader):
            if at <= step:
                self._observe(at, values, np.flatnonzero(~np.isnan(values[2])).tolist())
        self.snapshots = [
            Snapshot(shot.episode, shot.step, shot.values) for shot in reader.snapshots() if shot.step <= step
        ]

    def _kept_measurements(self, reader: StoreReader) -> Iterator[tuple[int, np.ndarray]]:
        """(step, (names, seeds) values) of every measurement in a store; NaN where there is none."""
        there = set(reader.metric_names())
        series = {name: reader.metric(name) for name in self.names if name in there}
        steps = np.unique(np.concatenate([np.empty(0, np.int64), *(one.steps for one in series.values())]))
        values = np.full((len(steps), len(self.names), len(self._seeds)), np.nan)
        places = {seed: i for i, seed in enumerate(self._seeds)}
        for k, name in enumerate(self.names):
            if name in series:
                at = np.searchsorted(steps, series[name].steps)
                for seed, row in zip(series[name].seeds, series[name].values, strict=True):
                    if seed in places:
                        values[at, k, places[seed]] = row
        yield from zip(steps.tolist(), values, strict=True)
