"""Training as a user asks for it: picks the algorithm, owns the loop, the progress and the signals.

Nothing here knows how anything is learned. A family of algorithms gives a *trainer*, a state machine:

    start() -> State
    advance(state, steps) -> (State, Records)    exactly that many steps of every seed
    pack(state) -> {name: array}                 all of it, and unpack(arrays) -> State
    policy(state, seed) -> Policy                predict, action_values, probabilities
    action_values(state, seed) -> array
    steps_done(state) -> list of int
    trace(state, at_most, place) -> steps        the next episode of one seed, made as by advance and told

with two laws: `advance(n)` then `advance(m)` is `advance(n + m)`, and `unpack(pack(s))` goes on as `s` would.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from qfix.assembly import (
    FEATURES,
    STEP_TIME_LIMIT,
    Copies,
    choose_algorithm,
    described_features,
    env_maker,
    make_config,
    model_for,
    own_options,
    printable_name,
    seed_trainer_for,
    trainer_class,
    trainer_for,
)
from qfix.errors import CheckpointError, FolderError, OptionError, counted, is_whole, option_error
from qfix.explore import Schedule, convergence_warning
from qfix.loop import Progress, carry_on, check_checkpoint_seconds, evaluating, keep_while
from qfix.presets import preset
from qfix.run import Run
from qfix.runs import Checkpoint, Recorder, RunFolder, RunSpec, StoreReader, list_checkpoints, read_checkpoint
from qfix.runs.recorder import CHECKPOINT_SECONDS
from qfix.runs.schema import LONGEST_MESSAGE, plain_text
from qfix.runs.spec import COMPUTING, STORE, is_module, survives_json, versions
from qfix.tracking import check_trackers
from qfix.workers import check_workers

SNAPSHOT_EPISODES = (1, 50, 500)
EVAL_EPISODES = 100


def train(
    env: str | gymnasium.Env[Any, Any] | Callable[[], gymnasium.Env[Any, Any]],
    algorithm: str | None = None,
    *,
    total_steps: int | None = None,
    seeds: int | Sequence[int] = 1,
    env_kwargs: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    progress: bool | Progress = False,
    driver: str = "auto",
    snapshot_episodes: Sequence[int] = SNAPSHOT_EPISODES,
    require_convergence: bool = False,
    features: np.ndarray | None = None,
    metrics_every: int | None = None,
    eval_episodes: int | None = None,
    track: str | Sequence[str] = (),
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    step_time_limit: float | None = STEP_TIME_LIMIT,
    workers: int | None = None,
    **options: Any,
) -> Run:
    """Train an algorithm on an environment.

    Args:
        env: an id of Gymnasium's registry, a function that makes an environment, or an environment, of which
            every seed gets a copy.
        algorithm: its name; None chooses by the observation space (`q_learning` in a table where it is discrete,
            else `dqn`).
        total_steps: environment steps of each seed, exactly; where they are made in units of several environments,
            rounded up to whole units. None for the trainer's own default.
        seeds: a count n for 0..n-1, or a list of whole numbers. Each is an independent run.
        env_kwargs: options of the environment; only with an id.
        out: folder in which to keep the run while it is trained, new or empty: `load` and `resume` take it up again,
            whatever has stopped it. None keeps it in memory.
        progress: True for a progress bar on a terminal, or a function of (steps done, steps in all, seconds).
        driver: of learners on tables "compiled", "live", or "auto": compiled where the environment has a table of
            transitions; of learners on networks "device", "host", or "auto": device where it is written in JAX, has
            such a twin, or has a table of transitions.
        snapshot_episodes: of learners on tables, keep a copy of the first seed's action values when these episodes are
            over.
        require_convergence: warn unless the step size satisfies the Robbins-Monro conditions.
        features: (S, K) linear features of discrete observations, in place of a table.
        metrics_every: steps of a seed between two measurements (`run.metrics`); by default about 100 in all.
        eval_episodes: with `out`, episodes of the evaluation that is kept at the end, where it cannot be computed
            exactly; by default 100, 0 for no evaluation.
        track: with `out`, mirrors of the metrics: "tensorboard" (files in the folder), "wandb".
        checkpoint_seconds: with `out`, time between two checkpoints; longer where one takes long to write, so that
            they take 1 % of the time at most.
        step_time_limit: seconds that a reset or a step of a live environment may take before its seed counts as
            failed; None for any.
        workers: processes that train seeds at the same time, each seed in its own; 1 for this process alone. None
            takes one for each core where that is quicker: live, with several seeds, an environment by its id, and
            more than some seconds to go. Results do not depend on it.
        options: of the algorithm, such as gamma, alpha and epsilon; `qfix train ENV ALGORITHM --help` lists them. Those
            that are not given are the defaults, or of `qfix.presets` where it has the environment.

    Returns:
        A Run.

    Raises:
        UnknownNameError: no such environment or algorithm.
        OptionError: an option is unknown or out of range, or `out` is not free or not writable; before any
            work starts.
        SpaceError: the spaces do not fit the algorithm.
        EnvironmentFault: the environments of all seeds raised or broke their contract; its `run` has what was
            learned. If some seeds go on, a warning tells, and `run.failures`.
        FolderError: the disk refuses to keep the run; its `run` has what was learned.
        Interrupted: Ctrl-C or SIGTERM; a KeyboardInterrupt whose `run` has what was learned.
    """
    seed_list = _seeds(seeds)
    _check_counts(total_steps, metrics_every, eval_episodes)
    check_checkpoint_seconds("train", checkpoint_seconds)
    trackers = check_trackers([track] if isinstance(track, str) else track)
    if trackers and out is None:
        raise option_error("train", "track", "needs a folder to keep the run in", track, "Give out='runs/x'.")
    make = env_maker(env, env_kwargs, len(seed_list))
    made = env if isinstance(env, gymnasium.Env) else make()
    name = algorithm or choose_algorithm(made.observation_space, made.action_space)
    config = make_config(name, {**preset(made.spec.id if made.spec else None, name), **options})
    model = model_for(made, config.gamma, driver)
    trainer = trainer_class(name)(
        config,
        made,
        make,
        model,
        seed_list,
        driver,
        snapshot_episodes,
        features,
        total_steps,
        step_time_limit,
    )
    config = trainer.config
    if require_convergence:
        _warn_of_divergence(config)
    by_id = isinstance(env, str)
    kwargs = dict(env_kwargs or {}) if by_id else own_options(made)
    module = env.rpartition(":")[0] if isinstance(env, str) else ""
    spec = RunSpec(
        env=made.spec.id if made.spec is not None else printable_name(str(made)),
        env_kwargs=kwargs,
        algorithm=name,
        config=config.to_dict() | described_features(features),
        seeds=seed_list,
        total_steps=trainer.total_steps,
        driver=trainer.driver,
        metrics_every=metrics_every or _metrics_every(trainer.total_steps, trainer.driver),
        snapshot_episodes=tuple(sorted(set(snapshot_episodes))),
        eval_episodes=EVAL_EPISODES if eval_episodes is None else eval_episodes,
        versions=versions((*COMPUTING, *trainer.computed_with)),
        env_given="id" if by_id and survives_json(kwargs) else "object",
        env_module=module if is_module(module) else "",
    )
    build = seed_trainer_for(spec, env, env_kwargs, features, step_time_limit)
    check_workers(workers, build, seed_list)
    recorder = None if out is None else Recorder.create(out, spec, checkpoint_seconds=checkpoint_seconds)
    try:
        run = Run(spec, trainer, trainer.start(), made, model, isinstance(make, Copies) and make.shared)
        run.build, run.workers = build, workers
    except BaseException:
        if recorder is not None:
            recorder.close()
        raise
    if recorder is None:
        carry_on(run, progress)
        return run
    keep_while(run, recorder, progress, trackers)
    if spec.eval_episodes:
        with evaluating(progress is True and run.model is None):
            keep_evaluations(run, spec.eval_episodes)
    return run


def load(
    folder: str | Path,
    env: str | gymnasium.Env[Any, Any] | Callable[[], gymnasium.Env[Any, Any]] | None = None,
    checkpoint: int | str = "last",
    step_time_limit: float | None = STEP_TIME_LIMIT,
) -> Run:
    """The run kept in a folder, as it was at a checkpoint: ask it anything, or `resume` it.

    The folder may be a stranger's: nothing in it is executed, and of its environment no more than an id of the registry
    and plain options are believed.

    Args:
        folder: of the run.
        env: the environment, or what makes it, if it was given to `train` as an object.
        checkpoint: "last", "best" (highest mean return while training) or a step. Where the last is damaged the one
            before is taken, with a warning.
        step_time_limit: seconds that a step of a live environment may take, as in `train`.

    Returns:
        A Run. `run.restored` says what was brought back, and what of a live environment could not be.

    Raises:
        FolderError: there is no run in the folder, or it is damaged.
        CheckpointError: it has no intact checkpoint; `StoreReader` can still read its metrics.
        OptionError: the environment has to be given, or does not fit the run.
    """
    path = Path(folder)
    spec = RunFolder(path).spec
    seen = list_checkpoints(path)  # before: what a writer adds meanwhile is not to be rolled back
    found = _checkpoint_of(path, spec, checkpoint)
    try:
        run = _restored(path, spec, env, found, step_time_limit)
    except (FolderError, OptionError) as fault:
        said = plain_text(str(fault), LONGEST_MESSAGE)  # it may quote what a stranger wrote
        raise type(fault)(f"The run in {path} cannot be loaded. {said}") from fault
    except MemoryError as fault:
        said = f"what its spec.json describes needs more memory than there is ({plain_text(str(fault), 200)})"
        raise FolderError(f"The run in {path} cannot be loaded: {said}. Use a larger machine.") from fault
    run.folder, run.checkpoints_seen = path, seen
    run.status = "finished" if run.steps >= spec.total_steps else "interrupted"
    for line in () if found is None else found.skipped:
        warnings.warn(
            f"A checkpoint of {path} is damaged, and the one before it is used. {line}", stacklevel=2
        )
    changed = spec.version_differences(dataclasses.replace(spec, versions=versions(spec.versions)))
    if changed:
        told = f"{path} was made with other versions ({', '.join(changed)} now)"
        warnings.warn(f"{told}: it goes on, but perhaps not to the bit.", stacklevel=2)
    return run


def resume(
    folder: str | Path,
    total_steps: int | None = None,
    *,
    env: str | gymnasium.Env[Any, Any] | Callable[[], gymnasium.Env[Any, Any]] | None = None,
    progress: bool | Progress = False,
    track: str | Sequence[str] = (),
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    step_time_limit: float | None = STEP_TIME_LIMIT,
    workers: int | None = None,
) -> Run:
    """Go on with the run in a folder as if nothing had happened; see `load` and `Run.resume`.

    Raises:
        LockedError: another process is writing the run.
        FolderError, CheckpointError, OptionError, EnvironmentFault, Interrupted: as in `load` and `train`.
    """
    run = load(folder, env, step_time_limit=step_time_limit)
    names = [track] if isinstance(track, str) else track
    run.resume(total_steps, progress, names, checkpoint_seconds, workers)
    if run.spec.eval_episodes:
        with evaluating(progress is True and run.model is None):
            keep_evaluations(run, run.spec.eval_episodes)
    return run


def keep_evaluations(run: Run, episodes: int, seed: int = 0, exploratory: bool = False) -> None:
    """Evaluate a run and its baselines, and keep the results in its folder.

    Raises:
        LockedError: another process is writing the run.
        EnvironmentFault: the environment raised.
    """
    found = {"greedy": run.evaluate(episodes, seed)} | run.baselines(episodes, seed)
    if exploratory:
        found["exploratory"] = run.evaluate(episodes, seed, "exploratory")
    if run.model is not None:
        found["optimal"] = run.optimum()
    if run.folder is None:
        return
    try:
        with Recorder.addition(run.folder) as store:
            for policy, evaluation in found.items():
                for i, value in enumerate(evaluation.returns):
                    samples = None if evaluation.samples is None else evaluation.samples[i]
                    store.add_evaluation(
                        run.steps,
                        run.spec.seeds[i],
                        policy,
                        float(value),
                        0.0 if samples is None else float(samples.std()),
                        exact=evaluation.exact,
                        eval_seed=seed,
                        episodes=evaluation.episodes,
                        returns=samples,
                    )
    except FolderError as fault:
        fault.run = run
        raise


def _checkpoint_of(path: Path, spec: RunSpec, wanted: int | str) -> Checkpoint | None:
    """The checkpoint; None where the run was stopped before its first."""
    if not list_checkpoints(path) and wanted == "last":
        if not os.path.lexists(path / STORE):
            return None  # killed between its first two files
        lost = [e for e in StoreReader(path / STORE).events() if e.kind == "checkpoint" and e.step > 0]
        if not lost:
            return None
    return read_checkpoint(path, wanted)  # type: ignore[arg-type]


def _restored(
    path: Path, spec: RunSpec, env: Any, found: Checkpoint | None, step_time_limit: float | None
) -> Run:
    arrays = {} if found is None else found.arrays
    trainer, made, model, make = trainer_for(spec, env, arrays=arrays, step_time_limit=step_time_limit)
    state = trainer.start() if found is None else trainer.unpack(arrays, given_away=True)
    run = Run(spec, trainer, state, made, model, isinstance(make, Copies) and make.shared)
    run.build = seed_trainer_for(
        spec,
        spec.env if env is None else env,
        spec.env_kwargs,
        arrays.get(FEATURES) if "features" in spec.config else None,
        step_time_limit,
    )
    if found is None:
        run.restored = ["nothing, as it was stopped before its first checkpoint: it starts anew"]
        return run
    info = found.info
    if not _fits(info, run) or run.steps != found.step:
        raise CheckpointError(f"The manifest of {found.path} does not fit its arrays.")
    run.recall(StoreReader(path / STORE), found)
    run.restored = [
        f"{trainer.kept} of {counted(len(spec.seeds), 'seed')} at step {found.step:,}",
        *state.notes,
    ]
    return run


def _fits(info: dict[str, Any], run: Run) -> bool:
    """Whether what a checkpoint says beside its arrays is what a run says."""

    def is_number(value: Any, least: float) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= 1e300

    if set(info) != set(run.checkpoint_info()):
        return False
    episodes, first, score = info["episodes"], info["first"], info["score"]
    return (
        isinstance(episodes, dict)
        and set(episodes) == {str(seed) for seed in run.spec.seeds}
        and all(is_whole(n) and 0 <= n <= 2**62 for n in episodes.values())
        and is_number(info["seconds"], 0.0)
        and (first is None or (isinstance(first, list) and len(first) == 2))
        and all(is_number(x, 0.0) for x in first or ())
        and (score is None or is_number(score, -1e300))
    )


def _metrics_every(total_steps: int, driver: str) -> int:
    """Two hundred measurements of a long run. A compiled one makes 50,000 steps in the time of some measurements."""
    if driver != "compiled":
        return max(1, total_steps // 100)
    return max(1, total_steps // 200, min(50_000, total_steps // 20))


def _check_counts(total_steps: int | None, metrics_every: int | None, eval_episodes: int | None) -> None:
    for name, value, least, remedy in (
        ("total_steps", total_steps, 1, "Use 100_000."),
        ("metrics_every", metrics_every, 1, "Use 1_000."),
        ("eval_episodes", eval_episodes, 0, "Use 100, or 0 for no evaluation."),
    ):
        if value is not None and (not is_whole(value) or not least <= value <= 2**62):
            rule = "must be a whole number above 0" if least else "must be a whole number, 0 or above"
            raise option_error("train", name, rule, value, remedy)


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    remedy = "Use seeds=10 for ten runs, or a list such as [0, 1, 2]."
    if is_whole(seeds):
        if seeds < 1:
            raise option_error("train", "seeds", "must be at least 1", seeds, remedy)
        return tuple(range(int(seeds)))
    listed = list(seeds) if isinstance(seeds, Sequence | np.ndarray) and not isinstance(seeds, str) else None
    if not listed or any(not is_whole(s) or not 0 <= s < 2**63 for s in listed):
        raise option_error(
            "train", "seeds", "must be a count or a list of whole numbers, 0 or above", seeds, remedy
        )
    if len(set(listed)) < len(listed):
        raise option_error("train", "seeds", "must not repeat a seed", seeds, remedy)
    return tuple(int(s) for s in listed)


def _warn_of_divergence(config: Any) -> None:
    alpha = config.alpha
    if not isinstance(alpha, Schedule):
        return
    by_visits = any(field.name == "alpha" for field in dataclasses.fields(config))
    said = convergence_warning(alpha) if by_visits else convergence_warning(alpha, "learning_rate", "step")
    if said is not None:
        warnings.warn(said, stacklevel=3)  # where `train` is called
