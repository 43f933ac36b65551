"""A training episode again: the run is trained anew up to its first step, and then every step is told.

Seeds are independent and training is deterministic, so this needs one seed and nothing but the run's spec. What comes
out is compared with what was recorded, episode by episode: it is that very episode, or an error.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qfix.algorithms import names_of
from qfix.assembly import trainer_for
from qfix.errors import FolderError, is_whole, option_error
from qfix.run import Run
from qfix.runs import RunFolder, RunSpec, read_checkpoint
from qfix.runs.spec import versions

_AT_ONCE = 2_000_000  # steps between two moments at which Ctrl-C is heard


class Step(NamedTuple):
    """A step of a training episode, as it was made and learned from."""

    number: int
    """Environment steps the seed had made before this one."""
    observation: Any
    """What the action was chosen at."""
    action: int
    """As the environment takes it."""
    reward: float
    next_observation: Any
    terminated: bool
    truncated: bool
    values: np.ndarray
    """(A,) learned action values at the observation, before the step was learned from."""
    greedy: int
    """The action of the highest value, the first of several."""
    explored: bool
    """Whether the action was exploratory: random, or not of the highest value when it was chosen."""
    td_error: float
    """Of the last update that was made at this step; NaN where none was."""


@dataclass(frozen=True)
class Replay:
    """A training episode, step by step."""

    spec: RunSpec
    """Of the run."""
    seed: int
    episode: int
    """Its number among the finished episodes of the seed, from 0 on."""
    steps: tuple[Step, ...]
    total: float
    """Undiscounted return."""

    def __repr__(self) -> str:
        where = f"seed {self.seed}, episode {self.episode}"
        return f"Replay({self.spec.env}, {where}: {len(self.steps)} steps, return {self.total:g})"


def replay(
    source: Run | str | Path, seed: int | None = None, episode: int | None = None, env: Any = None
) -> Replay:
    """That very training episode again, step by step.

    The time it takes is that of training one seed up to the end of the episode.

    Args:
        source: a run, or the folder of one; checkpoints are needed only where the run has features.
        seed: one of the run's; by default the first.
        episode: number of a finished episode, from 0 on; by default the last.
        env: of a folder, the environment, or what makes it, where it was given to `train` as an object.

    Returns:
        A Replay; `show` puts it on the terminal.

    Raises:
        OptionError: no such seed or episode; says which there are. Or the environment has to be given.
        FolderError: no run in the folder, or the episode does not come out as it was recorded: with other versions,
            or in an environment that does not repeat itself.
        EnvironmentFault: the environment raised.
    """
    spec = source.spec if isinstance(source, Run) else RunFolder(source).spec
    if spec.algorithm in names_of("deep"):
        rule = "must be of a learner on tables: training episodes of networks are not told step by step"
        remedy = "Use `qfix play` to see its policy."
        raise option_error("replay", "source", rule, spec.algorithm, remedy)
    seed = _checked_seed(spec, seed)
    place = spec.seeds.index(seed)
    if isinstance(source, Run):
        returns, lengths = source.episodes.returns[place], source.episodes.lengths[place]
        number = _checked_episode(spec, seed, episode, len(returns))
        trainer = source.trainer
        source.lend()
        state = trainer.start()
        # the other seeds stay where they are
        state.failures = {i: "is not replayed" for i in range(len(spec.seeds)) if i != place}
    else:
        folder = RunFolder(source)
        returns, lengths, _ = folder.store.episodes(seed)
        number = _checked_episode(spec, seed, episode, len(returns))
        arrays = read_checkpoint(folder.path).arrays if "features" in spec.config else None
        trainer, *_ = trainer_for(spec, env, (seed,), arrays, "replay")
        state, place = trainer.start(), 0
    recorded = _Recorded(spec, seed, returns, lengths)
    state = _train_up_to(trainer, state, place, recorded, number)
    told = trainer.trace(state, int(lengths[number]), place)
    steps = tuple(Step(*step) for step in told)
    total = 0.0
    for step in steps:
        total += step.reward
    ended = steps[-1].terminated or steps[-1].truncated
    recorded.compare(number, np.array([total]), np.array([len(steps) if ended else len(steps) + 1]))
    return Replay(spec, seed, number, steps, total)


@dataclass(frozen=True)
class _Recorded:
    """What was recorded of a seed's episodes."""

    spec: RunSpec
    seed: int
    returns: np.ndarray
    lengths: np.ndarray

    def compare(self, first: int, returns: np.ndarray, lengths: np.ndarray) -> None:
        """Hold episodes against what was recorded of those from `first` on.

        Raises:
            FolderError: they are others.
        """
        here = slice(first, first + len(returns))
        same = (self.returns[here] == returns) & (self.lengths[here] == lengths)
        if same.all():
            return
        k = int(np.flatnonzero(~same)[0])
        number = first + k
        then = f"return {self.returns[number]:g} after {self.lengths[number]:,} steps then"
        now = f"return {returns[k]:g} after {lengths[k]:,} steps now"
        if lengths[k] > self.lengths[number]:
            now = "not ended by then now"
        said = f"Episode {number} of seed {self.seed} does not come out as it was recorded: {then}, {now}."
        raise FolderError(f"{said} {self._why()}")

    def _why(self) -> str:
        spec = self.spec
        changed = spec.version_differences(dataclasses.replace(spec, versions=versions(spec.versions)))
        if changed:
            return f"It was made with other versions ({', '.join(changed)} now): install those to replay it."
        if spec.driver == "live":
            return (
                f"Either '{spec.env}' does not repeat itself after reset(seed=...), or an episode was given up on the "
                f"way, as after a fault or where a resume could not restore it."
            )
        return "The record, the environment or this version of qfix has changed since."


def _checked_seed(spec: RunSpec, seed: int | None) -> int:
    if seed is None:
        return spec.seeds[0]
    if not is_whole(seed) or seed not in spec.seeds:
        known = (
            f"one of {list(spec.seeds)}" if len(spec.seeds) <= 20 else f"one of the {len(spec.seeds)} seeds"
        )
        raise option_error(
            "replay", "seed", f"must be {known} of the run", seed, f"Use seed={spec.seeds[0]}."
        )
    return int(seed)


def _checked_episode(spec: RunSpec, seed: int, episode: int | None, finished: int) -> int:
    if finished == 0:
        rule = f"must be finished, and seed {seed} has finished none"
        raise option_error("replay", "episode", rule, episode, "Train for longer, or use another seed.")
    if episode is None:
        return finished - 1
    if not is_whole(episode) or not 0 <= episode < finished:
        rule = f"must be in 0..{finished - 1}: seed {seed} has finished so many"
        raise option_error("replay", "episode", rule, episode, f"Use episode={finished - 1} for the last.")
    return int(episode)


def _train_up_to(trainer: Any, state: Any, place: int, recorded: _Recorded, number: int) -> Any:
    """Train one seed from its start to the first step of an episode, and compare what comes before it."""
    remaining = int(recorded.lengths[:number].sum())
    ended = 0
    while remaining > 0:
        state, records = trainer.advance(state, min(remaining, _AT_ONCE))
        remaining -= _AT_ONCE
        returns = np.concatenate([np.empty(0), *records.returns[place]])
        lengths = np.concatenate([np.empty(0, np.int64), *records.lengths[place]])
        room = number - ended
        recorded.compare(ended, returns[:room], lengths[:room])
        ended += len(returns)
    if ended != number:
        # the episode that was running when the steps were made has not ended: it is longer than it was
        recorded.compare(ended, np.array([np.nan]), np.array([recorded.lengths[ended] + 1]))
    return state
