"""Training as a user asks for it: picks the algorithm, owns the loop, the progress and the signals.

Nothing here knows how anything is learned. A family of algorithms gives a *trainer*, a state machine:

    start() -> State
    advance(state, steps) -> (State, Records)    exactly that many steps of every seed
    pack(state) -> {name: array}                 all of it, and unpack(arrays) -> State
    policy(state, seed) -> Policy                predict, action_values, probabilities
    action_values(state, seed) -> array
    steps_done(state) -> list of int

with two laws: `advance(n)` then `advance(m)` is `advance(n + m)`, and `unpack(pack(s))` goes on as `s` would.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import hashlib
import importlib
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import gymnasium
import numpy as np

from qfix.algorithms import algorithm as find_algorithm
from qfix.envs.make import make_env
from qfix.errors import EnvironmentFault, Interrupted, ModelError, OptionError, option_error
from qfix.explore import Schedule, convergence_warning
from qfix.mdp import FiniteMDP
from qfix.run import Run, RunSpec, claim_folder, is_whole

SNAPSHOT_EPISODES = (1, 50, 500)
_CHUNK_SECONDS = 0.05  # how long an interruption may wait; a tenth at most, as chunks are guessed

# Wrappers that leave the transitions as the environment's own table has them.
_TRANSPARENT = ("TimeLimit", "OrderEnforcing", "PassiveEnvChecker", "RecordEpisodeStatistics")

# names of other libraries for what is meant here, and the parameters of `train` beside the algorithm's
_ELSEWHERE = {
    "learning_rate": "alpha",
    "lr": "alpha",
    "discount": "gamma",
    "discount_factor": "gamma",
    "exploration": "epsilon",
    "total_timesteps": "total_steps",
    "steps": "total_steps",
    "seed": "seeds",
}
_OF_TRAIN = ("total_steps", "seeds", "env_kwargs", "driver", "progress", "features")

Progress = Callable[[int, int, float], None]


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
    **options: Any,
) -> Run:
    """Train an algorithm on an environment.

    Args:
        env: an id of Gymnasium's registry, a function that makes an environment, or an environment, of which
            every seed gets a copy.
        algorithm: its name; None chooses by the observation space (`q_learning` in a table, `sarsa_lambda` on
            tiles).
        total_steps: environment steps of each seed, exactly; None for the trainer's own default.
        seeds: a count n for 0..n-1, or a list of whole numbers. Each is an independent run.
        env_kwargs: options of the environment; only with an id.
        out: folder in which to keep the run, new or empty; None keeps it in memory.
        progress: True for a progress bar on a terminal, or a function of (steps done, steps in all, seconds).
        driver: "compiled", "live", or "auto": compiled where the environment has a table of transitions.
        snapshot_episodes: keep a copy of the first seed's action values when these episodes are over.
        require_convergence: warn unless the step size satisfies the Robbins-Monro conditions.
        features: (S, K) linear features of discrete observations, in place of a table.
        options: of the algorithm, such as gamma, alpha and epsilon; `qfix train ENV ALGORITHM --help` lists them.

    Returns:
        A Run.

    Raises:
        UnknownNameError: no such environment or algorithm.
        OptionError: an option is unknown or out of range, or `out` is not free or not writable; before any
            work starts.
        SpaceError: the spaces do not fit the algorithm.
        EnvironmentFault: an environment raised or broke its contract; its `run` has what was learned.
        Interrupted: Ctrl-C or SIGTERM; a KeyboardInterrupt whose `run` has what was learned.
    """
    seed_list = _seeds(seeds)
    if total_steps is not None and (not is_whole(total_steps) or total_steps < 1):
        raise option_error(
            "train", "total_steps", "must be a whole number above 0", total_steps, "Use 100_000."
        )
    make = _maker(env, env_kwargs, len(seed_list))
    made = env if isinstance(env, gymnasium.Env) else make()
    name = algorithm or choose_algorithm(made.observation_space)
    row = find_algorithm(name)
    config = make_config(name, options)
    model = _model_for(made, config.gamma, driver)
    module, _, kind = row.trainer.partition(":")
    trainer = getattr(importlib.import_module(module), kind)(
        config,
        made,
        make,
        model,
        seed_list,
        driver,
        snapshot_episodes,
        features,
        total_steps,
    )
    config = trainer.config
    if require_convergence:
        _warn_of_divergence(config)
    spec = RunSpec(
        env=made.spec.id if made.spec is not None else str(made),
        env_kwargs=dict(env_kwargs or {}) if isinstance(env, str) else _own_options(made),
        algorithm=name,
        config=config.to_dict() | _described(features),
        seeds=seed_list,
        total_steps=trainer.total_steps,
        driver=trainer.driver,
    )
    if out is not None:
        claim_folder(out)
    state = trainer.start()
    run = Run(spec, trainer, state, made, model, shared=isinstance(make, _Copies) and make.shared)
    try:
        _loop(run, progress)
    except EnvironmentFault as fault:
        run.status = "failed"
        fault.run = run
        raise
    except KeyboardInterrupt:
        run.status = "interrupted"
        raise
    finally:
        if out is not None and any(trainer.steps_done(run.state)):
            run.save(out)
    if run.status == "interrupted":
        raise Interrupted(run)
    return run


def _maker(env: Any, env_kwargs: Mapping[str, Any] | None, n_seeds: int) -> Callable[[], Any]:
    """What gives every seed an environment of its own: seeds take turns in the middle of their episodes."""
    if isinstance(env, str):
        return lambda: make_env(env, env_kwargs)
    if not isinstance(env, gymnasium.Env) and not callable(env):
        rule = "must be an id, an environment or a function that makes one"
        raise option_error("train", "env", rule, env, "Use for example 'FrozenLake-v1'.")
    if env_kwargs:
        rule = "needs the id of an environment; this one is made elsewhere"
        raise option_error("train", "env_kwargs", rule, dict(env_kwargs), "Pass them where it is made.")
    if not isinstance(env, gymnasium.Env):
        return lambda: make_env(env())

    return _Copies(env, n_seeds)


class _Copies:
    """Copies of an environment; the environment itself where it cannot be copied and one seed asks for it."""

    def __init__(self, env: gymnasium.Env[Any, Any], n_seeds: int) -> None:
        self._env = env
        self._n_seeds = n_seeds
        self.shared = False  # whether the environment itself was handed out

    def __call__(self) -> gymnasium.Env[Any, Any]:
        try:
            return copy.deepcopy(self._env)
        except Exception as fault:  # whatever a simulator's own parts raise when they are copied
            if self._n_seeds == 1:
                self.shared = True
                return self._env
            rule = (
                f"must be copied for {self._n_seeds} seeds, and cannot be ({type(fault).__name__}: {fault})"
            )
            remedy = "Give a function that makes one, such as lambda: MyEnv()."
            raise option_error("train", "env", rule, str(self._env), remedy) from fault


def make_config(name: str, options: Mapping[str, Any]) -> Any:
    """The checked options of an algorithm.

    Raises:
        OptionError: an option is unknown (suggests the nearest) or out of range.
    """
    config_class = importlib.import_module(find_algorithm(name).module).Config
    known = [f.name for f in dataclasses.fields(config_class)]
    for option in options:
        if option not in known:
            names = [*known, *_OF_TRAIN]
            near = difflib.get_close_matches(_ELSEWHERE.get(option, option), names, n=1, cutoff=0.7)
            listed = f"Its options: {', '.join(known)}. Options of the environment go into env_kwargs."
            hint = f"Did you mean '{near[0]}'?" if near else listed
            raise OptionError(f"{name} has no option '{option}'. {hint}")
    return config_class(**options)


def known_model(env: gymnasium.Env[Any, Any], gamma: float) -> FiniteMDP | None:
    """The finite model of an environment, or None.

    An environment has one if it carries a table of transitions, no wrapper changes what is seen of it, and its spaces
    number as many states and actions as the table has.

    Raises:
        ModelError: the table is no model; names the state and the action at fault.
    """
    layer = env
    while isinstance(layer, gymnasium.Wrapper):
        if type(layer).__name__ not in _TRANSPARENT:
            return None
        layer = layer.env
    states, actions = env.observation_space, env.action_space
    discrete = gymnasium.spaces.Discrete
    if not isinstance(states, discrete) or not isinstance(actions, discrete):
        return None
    world = env.unwrapped
    if not isinstance(getattr(world, "mdp", None), FiniteMDP) and getattr(world, "P", None) is None:
        return None
    if getattr(world, "fickle_passenger", False):
        return None  # Taxi's fickle passenger changes his mind beside the table
    model = FiniteMDP.from_env(env, gamma)
    return model if (states.n, actions.n) == (model.n_states, model.n_actions) else None


def _model_for(env: gymnasium.Env[Any, Any], gamma: float, driver: str) -> FiniteMDP | None:
    """The model to train on. A table that is no model is an error, unless it need not be looked at."""
    try:
        return known_model(env, gamma)
    except ModelError as fault:
        if driver == "compiled":
            raise
        if driver == "auto":
            said = f"The environment's table of transitions cannot be used, so it is stepped live. {fault}"
            warnings.warn(said, stacklevel=3)
        return None


def choose_algorithm(space: gymnasium.Space[Any]) -> str:
    """The default algorithm for an observation space: Q-learning in a table, SARSA(λ) on tiles."""
    return "sarsa_lambda" if isinstance(space, gymnasium.spaces.Box) else "q_learning"


def _own_options(env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
    """The options with which an environment was made, as far as they are not those of its id."""
    if env.spec is None:
        return {}
    registered = gymnasium.registry.get(env.spec.id)
    usual = {} if registered is None else registered.kwargs
    return {
        name: value for name, value in env.spec.kwargs.items() if usual.get(name, _own_options) is not value
    }


def _described(features: np.ndarray | None) -> dict[str, str]:
    """Features by their hash, so that runs on other features have another digest."""
    if features is None:
        return {}
    raw = np.ascontiguousarray(features, dtype=np.float64)
    return {"features": f"{raw.shape} sha256 {hashlib.sha256(raw.tobytes()).hexdigest()[:16]}"}


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
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name == "alpha" and isinstance(value, Schedule):
            said = convergence_warning(value)
            if said is not None:
                warnings.warn(said, stacklevel=4)


def _loop(run: Run, progress: bool | Progress) -> None:
    """Advance until the budget is spent or somebody interrupts, a twentieth of a second at a time.

    The first step is made by itself, before signals are caught: it may compile for seconds, and there is
    nothing yet to be saved.
    """
    total = run.spec.total_steps
    started = time.perf_counter()
    with _reporter(progress, run) as report:
        run.advance(1)
        chunk = 1_000 if run.spec.driver == "compiled" else 1
        with _Interruption() as interruption:
            while (made := run.steps) < total and interruption.number is None:
                begun = time.perf_counter()
                run.advance(min(chunk, total - made))
                taken = max(time.perf_counter() - begun, 1e-6)
                chunk = max(1, int(chunk * min(8.0, _CHUNK_SECONDS / taken)))
                report(run.steps, total, time.perf_counter() - started)
        run.signal = interruption.number
    run.status = "interrupted" if run.steps < total else "finished"


class _Interruption:
    """The first Ctrl-C or SIGTERM asks the loop to stop where it can; the second is not held back."""

    def __init__(self) -> None:
        self.number: int | None = None  # of the signal
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}


class _reporter:
    """A progress bar where one is asked for."""

    def __init__(self, progress: bool | Progress, run: Run) -> None:
        self._progress = progress
        self._run = run
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if callable(self._progress):
            return self._progress
        if not self._progress or not sys.stderr.isatty():
            return lambda made, total, seconds: None
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        spec = self._run.spec
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=Console(stderr=True))
        self._bar.start()
        task = self._bar.add_task(
            f"{spec.algorithm} on {spec.env}", total=spec.total_steps, speed="compiling ..."
        )

        def show(made: int, total: int, seconds: float) -> None:
            self._bar.update(task, completed=made, speed=speed_text(self._run.speed))

        return show

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def speed_text(steps_per_second: float) -> str:
    """A speed to be read: 3 digits and a unit.

    >>> speed_text(68_400_000.0)
    '68.4 M steps/s'
    """
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if steps_per_second >= size:
            return f"{steps_per_second / size:.3g} {unit} steps/s"
    return f"{steps_per_second:.3g} steps/s"
