"""A run and what can be asked of it: values, policy, episodes, metrics, evaluation, distance to the optimum."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from qfix.calibration import Calibration, calibrate
from qfix.envs.catalogue import Measure, measure_of
from qfix.errors import EnvironmentFault, ModelError, counted, is_whole, option_error
from qfix.evaluation import (
    LONGEST_EPISODE,
    Evaluation,
    Kind,
    Policy,
    RandomPolicy,
    evaluate_by_playing,
    evaluate_exactly,
    greedy_actions,
)
from qfix.loop import go_on
from qfix.mdp import FiniteMDP, Solution, expected_return, policy_value, solve, start_value
from qfix.runs import Alert, Checkpoint, Recorder, RunSpec, StoreReader
from qfix.runs.history import Episodes, History, Metric, Snapshot
from qfix.runs.recorder import CHECKPOINT_SECONDS
from qfix.workers import Build


class Run:
    """Training, as far as it has gone.

    Attributes:
        spec: what is run.
        model: the environment's finite model; None where there is none, or nothing of these policies follows from it.
        trainer, state: of the family of algorithms; what the figures of a family look into.
        status: "running", "finished", "interrupted" or "failed".
        signal: number of the signal that interrupted it, or None.
        torn: whether it was stopped in the middle of a step, so that only its folder can be gone on with.
        history: what has happened.
        folder: where it is kept, or None.
        restored: what was restored, and what could not be, if it comes from a folder.
        checkpoints_seen: steps of the checkpoints in the folder when it was loaded or last kept.
        recorder: keeps it in its folder while it is trained, else None.
        mirrors: called with (step, seeds, names, values) whenever metrics are measured.
        build: makes the trainer of a seed in another process, or None where the environment is an object.
        workers: processes that may train its seeds at the same time; None for whatever is quickest.
    """

    def __init__(
        self,
        spec: RunSpec,
        trainer: Any,
        state: Any,
        env: gymnasium.Env[Any, Any],
        model: FiniteMDP | None,
        shared: bool = False,
    ) -> None:
        self.spec = spec
        # where a policy remembers, or a mask allows it some actions alone, nothing of it is told by states
        self.model = None if trainer.remembers or trainer.has_masks else model
        self.env = env
        self._shared = shared  # whether `env` is the very one that is trained in
        self._displaced = False  # whether an evaluation has left it in the middle of another episode
        self.status = "running"
        self.signal: int | None = None
        self.torn = False
        self.folder: Path | None = None
        self.restored: list[str] = []
        self.checkpoints_seen: list[int] = []
        self.recorder: Recorder | None = None
        self.mirrors: list[Callable[[int, Sequence[int], Sequence[str], np.ndarray], None]] = []
        self.build: Build | None = None
        self.workers: int | None = None
        self.trainer = trainer
        self.state = state
        self.history = History(spec.seeds, trainer.metric_names, measure_of(spec.env) is None)
        self._seconds = 0.0
        self._first: tuple[int, float] | None = None  # steps and seconds of the first advance
        self._evaluated: dict[tuple[Any, ...], Evaluation] = {}
        self._kept_failures = set(self._failed)  # places of seeds whose failure is in the folder

    # Going on

    def advance(self, steps: int) -> None:
        """Exactly `steps` more environment steps of every seed that has not failed.

        Raises:
            EnvironmentFault: the environment raised or broke its contract in every seed.
        """
        every = self.spec.metrics_every
        now = self.steps
        target = now + steps
        while now < target:
            stop = min(target, now - now % every + every)
            self._advance(stop - now)
            now = stop
            if now % every == 0:
                self._measure(now)

    def _advance(self, steps: int) -> None:
        begun = time.perf_counter()
        if self._displaced:
            # unpacking brings a live environment back to where its episode was
            self.state = self.trainer.unpack(self.trainer.pack(self.state))
            self._displaced = False
        try:
            self.state, records = self.trainer.advance(self.state, steps)
        except EnvironmentFault as fault:
            self._note(fault.records)
            raise
        self._note(records)
        taken = time.perf_counter() - begun
        self._seconds += taken
        if self._first is None:
            unit = self.trainer.unit_steps  # begun when its first step is asked for, and then made whole
            self._first = (-(-self.steps // unit) * unit, taken)

    def _note(self, records: Any) -> None:
        for i, (returns, lengths) in enumerate(zip(records.returns, records.lengths, strict=True)):
            for returned, lasted in zip(returns, lengths, strict=True):
                self.history.add_episodes(i, returned, lasted)
                if self.recorder is not None:
                    seed, first = self.spec.seeds[i], int(self.history.counts[i]) - len(lasted)
                    last_step = int(self.history.played[i])
                    self.recorder.store.add_episodes(seed, first, last_step, returned, lasted)
        self._kept_failures &= self._failed.keys() - records.failures.keys()  # tried again, it may fail again
        self.keep_failures()
        self.history.snapshots += records.snapshots
        if self.recorder is not None:
            for shot in records.snapshots:
                self.recorder.store.add_snapshot(self.spec.seeds[0], *shot)

    def _measure(self, step: int) -> None:
        """Metrics at a step that is a multiple of `spec.metrics_every`: they do not depend on how it was reached."""
        learned = self.trainer.measure(self.state)
        going = self._going
        values, alerts = self.history.measure(step, learned, going)
        seeds = [self.spec.seeds[i] for i in going]
        if self.recorder is not None:
            self.recorder.store.add_metrics(step, seeds, self.metric_names, values[:, going])
            for alert in alerts:
                self.recorder.store.add_alert(*alert)
        for mirror in self.mirrors:
            mirror(step, seeds, self.metric_names, values[:, going])

    def resume(
        self,
        total_steps: int | None = None,
        progress: Any = False,
        track: Sequence[str] = (),
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        workers: int | None = None,
    ) -> Run:
        """Go on as if nothing had happened, until every seed has made all its steps.

        A run in a folder is recorded there on: what was recorded after the checkpoint it comes from is removed, and
        the training makes it again.

        Args:
            total_steps: of each seed in all, to extend the run; schedules that were laid over the first budget stay
                as they were. None for the budget it has.
            progress: True for a progress bar on a terminal, or a function of (steps done, steps in all, seconds).
            track: mirrors of the metrics: "tensorboard", "wandb", if it is kept in a folder.
            checkpoint_seconds: time between two checkpoints, if it is kept in a folder; see `train`.
            workers: processes that train its seeds at the same time; see `train`.

        Returns:
            Itself.

        Raises:
            OptionError: the run has made more steps than `total_steps`.
            LockedError: another process writes the run, or it has gone on since it was loaded.
            FolderError: it was stopped in the middle of a step, and has to be loaded again; or the disk refuses.
            EnvironmentFault, Interrupted: as in `train`.
        """
        go_on(self, total_steps, progress, track, checkpoint_seconds, workers)
        return self

    # What happened

    @property
    def failures(self) -> dict[int, str]:
        """What the environment of a seed did that ended its training, by seed."""
        return {self.spec.seeds[i]: said for i, said in self._failed.items()}

    @property
    def _failed(self) -> dict[int, str]:
        failed: dict[int, str] = self.state.failures
        return failed

    @property
    def _going(self) -> list[int]:
        """Places of the seeds that have not failed."""
        return [i for i in range(len(self.spec.seeds)) if i not in self._failed]

    @property
    def seconds(self) -> float:
        """Time spent in training, compiling included."""
        return self._seconds

    @property
    def steps(self) -> int:
        """Steps that every seed has made, those that failed aside."""
        made = self.trainer.steps_done(self.state)
        return min((n for i, n in enumerate(made) if i not in self._failed), default=max(made))

    @property
    def compiling_seconds(self) -> float:
        """Time of the first advance: of one step, and of compiling or loading its kernels."""
        return self._first[1] if self._first is not None else 0.0

    @property
    def speed(self) -> float:
        """Environment steps a second, all seeds together, without the first advance, which may compile.

        0 where no others were made.
        """
        if self._first is None:
            return 0.0
        made, seconds = self.steps - self._first[0], self._seconds - self._first[1]
        return made * len(self.spec.seeds) / seconds if made > 0 and seconds > 0 else 0.0

    @property
    def episodes(self) -> Episodes:
        """Finished training episodes of each seed."""
        return self.history.episodes

    @property
    def snapshots(self) -> list[Snapshot]:
        """Action values of the first seed after some episodes."""
        return self.history.snapshots

    @property
    def alerts(self) -> list[Alert]:
        """What deserved a warning, in order."""
        return self.history.alerts

    @property
    def metric_names(self) -> tuple[str, ...]:
        """What `metrics` can be asked for."""
        return self.history.names

    def metrics(self, name: str) -> Metric:
        """A metric over the training, measured every `spec.metrics_every` steps.

        Args:
            name: one of `metric_names`, such as "return", "td_error" or "q_max".

        Raises:
            UnknownNameError: there is no such metric; suggests the nearest.
        """
        return self.history.metric(name)

    # What was learned

    @property
    def q(self) -> np.ndarray | list[np.ndarray]:
        """(seeds, S, A) action values; a list of one array a seed where stores differ in size."""
        values = [self.trainer.action_values(self.state, i) for i in range(len(self.spec.seeds))]
        return np.stack(values) if len({v.shape for v in values}) == 1 else values

    def policy(self, seed: int | None = None, exploratory: bool = False) -> Policy:
        """The policy learned by one of the seeds.

        Args:
            seed: one of `spec.seeds`; by default the first.
            exploratory: how it acts while it learns, at this moment, in place of the greedy policy.

        Raises:
            OptionError: the run has no such seed.
        """
        place = self._place(seed)
        policy: Policy = (self.trainer.behaviour if exploratory else self.trainer.policy)(self.state, place)
        return policy

    def _place(self, seed: int | None) -> int:
        if seed is None:
            return 0
        if seed not in self.spec.seeds:
            rule = f"must be one of {list(self.spec.seeds)}"
            raise option_error("Run", "seed", rule, seed, f"Use seed={self.spec.seeds[0]}.")
        return self.spec.seeds.index(seed)

    # How good it is

    @property
    def measure(self) -> Measure | None:
        """What the world tells of policies beside their returns; None of most, and of policies that remember."""
        return None if self.trainer.remembers else measure_of(self.spec.env)

    def lend(self) -> None:
        """Somebody is about to step `env`: training brings it back to where its episode was."""
        self._displaced = self._shared

    def evaluate(self, episodes: int = 1000, seed: int = 0, policy: Kind = "greedy") -> Evaluation:
        """Mean undiscounted return of each seed's policy, under the environment's time limit.

        Exact where the model is known; else over fresh episodes, whose seeds no training episode has. Training goes on
        from where it was: an environment that could not be copied is brought back there by the seed and the actions
        of its episode.

        Args:
            episodes: how many a seed, where they are sampled.
            seed: of the evaluation episodes; the same seed gives every policy the same episodes.
            policy: "greedy", or "exploratory": as it acts while it learns, at this moment.

        Raises:
            OptionError: fewer than one episode, or no seed.
            EnvironmentFault: the environment raised.
        """
        if policy not in ("greedy", "exploratory"):
            rule = "must be 'greedy' or 'exploratory'"
            raise option_error("evaluate", "policy", rule, policy, "Use policy='greedy'.")
        _check_evaluation(episodes, seed)

        def policies() -> list[Policy]:
            return [self.policy(s, exploratory=policy == "exploratory") for s in self.spec.seeds]

        return self._evaluate(policy, policies, episodes, seed)

    def baselines(self, episodes: int = 1000, seed: int = 0) -> dict[str, Evaluation]:
        """What the policy was before training, and what random actions get, by the measure of `evaluate`."""
        _check_evaluation(episodes, seed)

        def untrained() -> list[Policy]:
            fresh = self.trainer.start()
            return [self.trainer.policy(fresh, i) for i in range(len(self.spec.seeds))]

        def chance() -> list[Policy]:
            return [RandomPolicy(self.env.action_space, seed)]

        return {
            "untrained": self._evaluate("untrained", untrained, episodes, seed),
            "random": self._evaluate("random", chance, episodes, seed),
        }

    def optimum(self) -> Evaluation:
        """What the optimal policy of the model gets, by the measure of `evaluate`.

        The policy is optimal for the discounted value without a time limit, as the gap has it.

        Raises:
            ModelError: the environment has no finite model.
        """
        model = self._known_model()
        limit = model.max_episode_steps or LONGEST_EPISODE
        return Evaluation(np.array([expected_return(model, self.solution.policy, limit)]), 0, True)

    @cached_property
    def solution(self) -> Solution:
        """The exact optimum of the model, at the run's gamma.

        Raises:
            ModelError: the environment has no finite model.
        """
        return solve(self._known_model())

    def optimality_gap(self) -> np.ndarray:
        """(seeds,) J* − J: what the greedy policy's discounted value falls short of the optimum, exactly.

        J = Σ_s start(s) v_π(s) at the run's gamma, by solving, not sampling. Infinite where, undiscounted, an
        episode under the greedy policy may go on for ever and go on being rewarded.

        Undiscounted, J* is the best of the policies that terminate from every state. A policy that comes to rest
        where nothing is paid has a J all the same, and a gap of 0 where that is no less than J*: it may be more,
        where to terminate costs something.

        Raises:
            ModelError: the environment has no finite model.
        """
        model = self._known_model()
        best = start_value(model, self.solution.v)
        gaps = []
        for seed in self.spec.seeds:
            try:
                actions = greedy_actions(model, self.env, self.policy(seed))
                gaps.append(max(0.0, best - policy_value(model, actions)))
            except ModelError:
                gaps.append(np.inf)
        return np.array(gaps)

    def value_distance(self) -> np.ndarray:
        """(seeds,) max |q - q*| over the states in which something is decided, and their actions.

        q is in units of reward, whatever scale it was learned in.

        Raises:
            ModelError: the environment has no finite model, or rewards were clipped, so that q is of another.
        """
        model = self._known_model()
        if self.spec.config.get("reward_clip") is not None:
            raise ModelError(
                f"The values of this run are of rewards clipped to {self.spec.config['reward_clip']}, and those of the "
                f"model are not. Train without reward_clip to hold them against the optimum."
            )
        active = ~model.terminal
        best = self.solution.q[active]
        found = [
            np.abs(self.trainer.action_values(self.state, i)[active] / self.trainer.value_scale - best).max()
            for i in range(len(self.spec.seeds))
        ]
        return np.array(found)

    def calibration(self, episodes: int = 20, seed: int = 0) -> Calibration:
        """Learned values against what greedy episodes earn: over-estimation, and TD errors on steps not trained on.

        Args:
            episodes: how many a seed.
            seed: of the episodes.

        Raises:
            OptionError: fewer than one episode, or no seed.
        """
        _check_evaluation(episodes, seed)
        self.lend()
        policies = [self.policy(s) for s in self.spec.seeds]
        gamma: float = self.trainer.config.gamma
        trainer = self.trainer
        return calibrate(
            self.env, policies, gamma, trainer.learned_reward, trainer.value_scale, episodes, seed
        )

    def _known_model(self) -> FiniteMDP:
        if self.trainer.remembers:
            raise ModelError(
                "A recurrent network acts by what it has seen, not by the state alone, so that nothing of it is "
                "computed from a model. Judge it by run.evaluate(), or train without gru."
            )
        if self.trainer.has_masks:
            raise ModelError(
                f"The environment '{self.spec.env}' says at each step which actions are allowed, and only these were "
                f"learned, so that nothing is computed from a model, which has them all. Judge the run by "
                f"run.evaluate(), which obeys the masks, or train with driver='device', which leaves them aside."
            )
        if self.model is None:
            raise ModelError(
                f"The environment '{self.spec.env}' has no finite model, so its optimum is not known. Compare with "
                f"run.baselines(), or train on an environment with a table of transitions."
            )
        return self.model

    def _evaluate(
        self, name: str, policies: Callable[[], Sequence[Policy]], episodes: int, seed: int
    ) -> Evaluation:
        """What policies get; they are made only where it is not known already."""
        asked = (name, episodes, seed, self.steps)
        if asked not in self._evaluated:
            kind: Kind = "exploratory" if name == "exploratory" else "greedy"
            if self.model is not None:
                self._evaluated[asked] = evaluate_exactly(self.model, self.env, policies(), kind)
            else:
                self.lend()
                self._evaluated[asked] = evaluate_by_playing(self.env, policies(), episodes, seed, kind)
            measure = self.measure
            if measure is not None:
                told = {measure.name: np.array([measure(policy) for policy in policies()])}
                self._evaluated[asked] = replace(self._evaluated[asked], measured=told)
        return self._evaluated[asked]

    # Keeping it

    def to_dict(self) -> dict[str, Any]:
        """The result in JSON form: what was run, and what came out, seed by seed."""
        episodes = self.episodes
        tail = [r[-max(1, len(r) // 10) :] for r in episodes.returns]
        result: dict[str, Any] = {
            "spec": self.spec.to_dict(),
            "digest": self.spec.digest,
            "status": self.status,
            "steps": self.steps,
            "seconds": round(self.seconds, 6),
            "compiling_seconds": round(self.compiling_seconds, 6),
            "steps_per_second": round(self.speed, 1) or None,
            "episodes": [len(r) for r in episodes.returns],
            "training_return": [float(r.mean()) if len(r) else None for r in tail],
            "failures": {str(seed): said for seed, said in self.failures.items()},
            "alerts": [alert._asdict() for alert in self.alerts],
        }
        return result

    def save(self, folder: str | Path) -> Path:
        """Keep the run in a new folder, from which `qfix.load` brings it back to the bit.

        Raises:
            OptionError: the folder holds something already, or cannot be written.
            FolderError: the disk refuses.
        """
        recorder = Recorder.create(folder, self.spec)
        try:
            self.history.write(recorder.store)
            self.keep_failures(recorder, every=True)
            recorder.checkpoint(self.steps, self.trainer.pack(self.state), self.checkpoint_info())
            recorder.event(self.steps, self.status)
        finally:
            recorder.close()
        return recorder.folder

    def keep_failures(self, recorder: Recorder | None = None, every: bool = False) -> None:
        """Note in the folder which seeds have failed, those aside that are there already unless `every`."""
        recorder = self.recorder if recorder is None else recorder
        if recorder is None:
            return
        for i, said in self._failed.items():
            if every or i not in self._kept_failures:
                recorder.event(self.steps, "seed_failed", f"seed {self.spec.seeds[i]}: {said}")
        self._kept_failures.update(self._failed)

    def checkpoint_info(self) -> dict[str, Any]:
        """What a checkpoint says beside the arrays."""
        return {
            "episodes": dict(zip(map(str, self.spec.seeds), self.history.counts.tolist(), strict=True)),
            "seconds": self._seconds,
            "first": None if self._first is None else list(self._first),
            "score": self.history.latest_return(self._going),
        }

    def recall(self, reader: StoreReader, checkpoint: Checkpoint) -> None:
        """Take up what happened until a checkpoint was made; `state` is that of the checkpoint already.

        Raises:
            FolderError: the store does not fit the checkpoint.
        """
        counts = {seed: checkpoint.info["episodes"][str(seed)] for seed in self.spec.seeds}
        self.history.recall(reader, checkpoint.step, counts)
        self._seconds = checkpoint.info["seconds"]
        first = checkpoint.info["first"]
        self._first = None if first is None else (first[0], first[1])

    def __repr__(self) -> str:
        spec = self.spec
        made = f"{counted(len(spec.seeds), 'seed')} x {self.steps:,} steps"
        return f"Run({spec.algorithm} on {spec.env}, {made}, {self.status})"


def _check_evaluation(episodes: int, seed: int) -> None:
    if not is_whole(episodes) or episodes < 1:
        rule = "must be at least 1, and a whole number"
        raise option_error("evaluate", "episodes", rule, episodes, "Use episodes=1000.")
    if not is_whole(seed) or not 0 <= seed < 2**63:
        raise option_error("evaluate", "seed", "must be a whole number, 0 or above", seed, "Use seed=0.")
