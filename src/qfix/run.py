"""A run and what can be asked of it: values, policy, episodes, evaluation, distance to the optimum."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard

import gymnasium
import numpy as np
from safetensors.numpy import save_file

from qfix.errors import EnvironmentFault, ModelError, OptionError, option_error
from qfix.mdp import FiniteMDP, Solution, expected_return, policy_value, solve, start_value
from qfix.mdp.simulate import episode_seed
from qfix.runs import RunSpec

_EVALUATION = 1 << 33  # index of the evaluation's own episodes, beyond any environment's
LONGEST_EPISODE = 10_000  # steps after which an evaluated episode without a time limit is cut


@dataclass(frozen=True)
class Episodes:
    """Finished training episodes, in order."""

    returns: list[np.ndarray]
    """For each seed (episodes,) undiscounted returns."""
    lengths: list[np.ndarray]
    """For each seed (episodes,) steps."""

    def __repr__(self) -> str:
        return f"Episodes({', '.join(str(len(r)) for r in self.returns)} for {len(self.returns)} seeds)"


@dataclass(frozen=True)
class Evaluation:
    """Undiscounted returns of policies on episodes that were not trained on."""

    returns: np.ndarray
    """(seeds,) mean return of an episode under each seed's policy."""
    episodes: int
    """Episodes a seed; 0 where the returns are exact."""
    exact: bool
    """Whether the returns are expectations computed from the model, without sampling."""

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.returns))

    def __repr__(self) -> str:
        how = "exact" if self.exact else f"{self.episodes} episodes a seed"
        return f"Evaluation(mean return {self.mean:.6g} over {len(self.returns)} seeds, {how})"


class Run:
    """Training, as far as it has gone.

    Attributes:
        spec: what is run.
        model: the environment's finite model, or None.
        trainer, state: of the family of algorithms; what the figures of a family look into.
        status: "running", "finished", "interrupted" or "failed".
        signal: number of the signal that interrupted it, or None.
        snapshots: action values of the first seed after some episodes.
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
        self.model = model
        self.env = env
        self._shared = shared  # whether `env` is the very one that is trained in
        self._displaced = False  # whether an evaluation has left it in the middle of another episode
        self.status = "running"
        self.signal: int | None = None
        self.snapshots: list[Any] = []
        self.trainer = trainer
        self.state = state
        self._returns: list[list[np.ndarray]] = [[] for _ in spec.seeds]
        self._lengths: list[list[np.ndarray]] = [[] for _ in spec.seeds]
        self._marks: list[tuple[int, float]] = []  # (steps, seconds) after each advance

    def advance(self, steps: int) -> None:
        """Exactly `steps` more environment steps of every seed.

        Raises:
            EnvironmentFault: the environment raised or broke its contract.
        """
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
        self._marks.append((self.steps, time.perf_counter() - begun))

    def _note(self, records: Any) -> None:
        for kept, new in ((self._returns, records.returns), (self._lengths, records.lengths)):
            for pieces, more in zip(kept, new, strict=True):
                pieces.extend(more)
        self.snapshots.extend(records.snapshots)

    # What happened

    @property
    def seconds(self) -> float:
        """Time spent in training, compiling included."""
        return sum(taken for _, taken in self._marks)

    @property
    def steps(self) -> int:
        """Steps that every seed has made."""
        return min(self.trainer.steps_done(self.state))

    @property
    def compiling_seconds(self) -> float:
        """Time of the first advance: of one step, and of compiling or loading its kernels."""
        return self._marks[0][1] if self._marks else 0.0

    @property
    def speed(self) -> float:
        """Environment steps a second, all seeds together, without the first advance, which may compile."""
        marks = self._marks if len(self._marks) < 2 else self._marks[1:]
        first = 0 if len(self._marks) < 2 else self._marks[0][0]
        seconds = sum(s for _, s in marks)
        return (self.steps - first) * len(self.spec.seeds) / seconds if seconds > 0 else 0.0

    @property
    def episodes(self) -> Episodes:
        """Finished training episodes of each seed."""
        return Episodes(
            [np.concatenate([np.empty(0), *pieces]) for pieces in self._returns],
            [np.concatenate([np.empty(0, np.int64), *pieces]) for pieces in self._lengths],
        )

    # What was learned

    @property
    def q(self) -> np.ndarray | list[np.ndarray]:
        """(seeds, S, A) action values; a list of one array a seed where stores differ in size."""
        values = [self.trainer.action_values(self.state, i) for i in range(len(self.spec.seeds))]
        return np.stack(values) if len({v.shape for v in values}) == 1 else values

    def policy(self, seed: int | None = None) -> Any:
        """The policy learned by one of the seeds; by default the first.

        Raises:
            OptionError: the run has no such seed.
        """
        return self.trainer.policy(self.state, self._place(seed))

    def _place(self, seed: int | None) -> int:
        if seed is None:
            return 0
        if seed not in self.spec.seeds:
            rule = f"must be one of {list(self.spec.seeds)}"
            raise option_error("Run", "seed", rule, seed, f"Use seed={self.spec.seeds[0]}.")
        return self.spec.seeds.index(seed)

    # How good it is

    def evaluate(self, episodes: int = 1000, seed: int = 0) -> Evaluation:
        """Mean undiscounted return of each seed's greedy policy, under the environment's time limit.

        Exact where the model is known; else over fresh episodes, whose seeds no training episode has. Training goes on
        from where it was: an environment that could not be copied is brought back there by the seed and the actions
        of its episode.

        Args:
            episodes: how many a seed, where they are sampled.
            seed: of the evaluation episodes; the same seed gives every policy the same episodes.

        Raises:
            OptionError: fewer than one episode, or no seed.
            EnvironmentFault: the environment raised.
        """
        return self._evaluate([self.policy(s) for s in self.spec.seeds], episodes, seed)

    def baselines(self, episodes: int = 1000, seed: int = 0) -> dict[str, Evaluation]:
        """What the policy was before training, and what random actions get, by the measure of `evaluate`."""
        fresh = self.trainer.start()
        untrained = [self.trainer.policy(fresh, i) for i in range(len(self.spec.seeds))]
        before = self._evaluate(untrained, episodes, seed)
        chance = self._evaluate([RandomPolicy(self.env.action_space, seed)], episodes, seed)
        return {"untrained": before, "random": chance}

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
                gaps.append(max(0.0, best - policy_value(model, self._actions(self.policy(seed)))))
            except ModelError:
                gaps.append(np.inf)
        return np.array(gaps)

    def _known_model(self) -> FiniteMDP:
        if self.model is None:
            raise ModelError(
                f"The environment '{self.spec.env}' has no finite model, so its optimum is not known. Compare with "
                f"run.baselines(), or train on an environment with a table of transitions."
            )
        return self.model

    def _actions(self, policy: Any) -> np.ndarray:
        """(S,) actions of a policy in a finite model, or (S, A) probabilities of a random one."""
        assert self.model is not None
        if isinstance(policy, RandomPolicy):
            return np.full((self.model.n_states, self.model.n_actions), 1.0 / self.model.n_actions)
        space = self.env.observation_space
        first = int(getattr(space, "start", 0))
        states = np.arange(first, first + self.model.n_states)
        return policy.predict(states) - int(getattr(self.env.action_space, "start", 0))

    def _evaluate(self, policies: Sequence[Any], episodes: int, seed: int) -> Evaluation:
        if not is_whole(episodes) or episodes < 1:
            rule = "must be at least 1, and a whole number"
            raise option_error("evaluate", "episodes", rule, episodes, "Use episodes=1000.")
        if not is_whole(seed) or not 0 <= seed < 2**63:
            raise option_error("evaluate", "seed", "must be a whole number, 0 or above", seed, "Use seed=0.")
        if self.model is not None:
            limit = self.model.max_episode_steps or LONGEST_EPISODE
            exact = [expected_return(self.model, self._actions(p), limit) for p in policies]
            return Evaluation(np.array(exact), 0, True)
        sampled = [np.mean([self._play(p, seed, i) for i in range(episodes)]) for p in policies]
        return Evaluation(np.array(sampled), episodes, False)

    def _play(self, policy: Any, seed: int, episode: int) -> float:
        env = self.env
        self._displaced = self._shared
        total, steps = 0.0, 0
        try:
            observation, _ = env.reset(seed=int(episode_seed(seed, _EVALUATION, episode)))
            while steps < LONGEST_EPISODE:
                steps += 1
                observation, reward, terminated, truncated, _ = env.step(policy.predict(observation))
                total += float(reward)
                if terminated or truncated:
                    break
        except Exception as fault:
            raise EnvironmentFault(
                f"The environment '{self.spec.env}' failed in an evaluation (seed {seed}, episode {episode}, step "
                f"{steps}): it raised {type(fault).__name__}: {str(fault).rstrip('.')}. Mend the environment, or "
                f"judge by run.episodes."
            ) from fault
        return total

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
            "steps_per_second": round(self.speed, 1),
            "episodes": [len(r) for r in episodes.returns],
            "training_return": [float(r.mean()) if len(r) else None for r in tail],
        }
        return result

    def save(self, folder: str | Path) -> Path:
        """Write `result.json` and the learner's state (`state.safetensors`) to a folder.

        Raises:
            OptionError: the folder cannot be written.
        """
        path = Path(folder)
        try:
            path.mkdir(parents=True, exist_ok=True)
            arrays = {k: np.ascontiguousarray(v) for k, v in self.trainer.pack(self.state).items()}
            save_file(arrays, path / "state.safetensors")
            (path / "result.json").write_text(json.dumps(self.to_dict(), indent=1) + "\n")
        except OSError as fault:
            raise _unwritable(path, fault) from fault
        return path

    def __repr__(self) -> str:
        spec = self.spec
        return f"Run({spec.algorithm} on {spec.env}, {len(spec.seeds)} seeds x {self.steps:,} steps, {self.status})"


def claim_folder(folder: str | Path) -> Path:
    """Make the folder of a run, so that a bad name is known before any work.

    Raises:
        OptionError: the folder holds something already, or cannot be written.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        taken = next(path.iterdir(), None) is not None
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as fault:
        raise _unwritable(path, fault) from fault
    if taken:
        rule = "must be a new or an empty folder; this one holds something already"
        raise option_error("train", "out", rule, str(path), "Choose another name, or remove the folder.")
    return path


def is_whole(x: Any) -> TypeGuard[int]:
    """A whole number, NumPy's included; True and False are not meant as numbers."""
    return isinstance(x, int | np.integer) and not isinstance(x, bool)


def _unwritable(path: Path, fault: OSError) -> OptionError:
    return OptionError(
        f"The 'out' parameter of train must be a folder that can be written. Got {str(path)!r}: {fault.strerror}. "
        f"Use another folder, or out=None to keep the run in memory."
    )


class RandomPolicy:
    """Every action with the same probability."""

    def __init__(self, action_space: gymnasium.Space[Any], seed: int = 0) -> None:
        self._space = action_space
        self._rng = np.random.default_rng(seed)

    def predict(self, obs: Any, deterministic: bool = True) -> int:
        """Any action of a discrete space."""
        space = self._space
        assert isinstance(space, gymnasium.spaces.Discrete)
        return int(space.start + self._rng.integers(space.n))
