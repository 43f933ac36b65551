"""A policy at work in a fresh environment, on the terminal or as a film."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import gymnasium
import numpy as np

from qfix.assembly import env_for
from qfix.envs.drawing import headed
from qfix.errors import EnvironmentFault, QfixError, is_whole, option_error
from qfix.evaluation import LONGEST_EPISODE, Kind, Policy, allowed
from qfix.experiment import load
from qfix.mdp.simulate import evaluation_seed
from qfix.playback.scene import Image, Scene, plain, render_modes
from qfix.playback.screen import ending, put
from qfix.playback.stages import stages_of
from qfix.playback.video import check_film, write_film
from qfix.run import Run

_HOLD_SECONDS = 1.0  # that the last picture of an episode stays
_STAGE_SECONDS = 6.0  # of an episode that a film of several stages shows, and its end
_GIF_FRAMES_A_SECOND = 10  # about as many, of several stages: the format keeps every picture whole
_GIF_WIDE = 400  # pixels from which such a picture is halved


class Played(NamedTuple):
    """What came of it."""

    returns: list[float]
    """Undiscounted, of each episode."""
    lengths: list[int]
    """Steps of each episode."""
    path: Path | None
    """Of the film; None where it was shown on the terminal."""


class _Moment(NamedTuple):
    """The start of an episode, or what a step has led to."""

    observation: Any
    action: Any  # an int or an array; None at the start
    reward: float
    total: float
    step: int
    terminated: bool
    truncated: bool
    learned: int = 0  # steps that the policy had learned from

    @property
    def is_last(self) -> bool:
        return self.terminated or self.truncated or self.step >= LONGEST_EPISODE


def play(
    source: Run | str | Path,
    seed: int | None = None,
    episodes: int = 1,
    policy: Kind = "greedy",
    eval_seed: int = 0,
    video: str | Path | None = None,
    env: Any = None,
    file: TextIO | None = None,
    pause_seconds: float = 0.0,
    stages: int = 1,
    tell: Callable[[str], None] = lambda said: None,
) -> Played:
    """Let a learned policy play, and watch.

    The episodes are those that `run.evaluate` samples with the same seed: no training episode is among them. An episode
    without end is cut after 10,000 steps.

    Args:
        source: a run, or the folder of one.
        seed: whose policy; by default that of the run's first seed.
        episodes: how many, one after the other.
        policy: "greedy", or "exploratory": as it acted while it learned, at the end.
        eval_seed: of the episodes.
        video: a name that ends in .gif or .mp4, to make a film there; None shows the episodes on the terminal.
        env: what makes the environment, or one that was made with a `render_mode`, where it was given to `train` as
            an object.
        file: to write to without a film; by default standard output.
        pause_seconds: between two pictures on the terminal; above 0, they are shown in one place.
        stages: policies to show, one after the other: from 2 on, the untrained one, then each after four times the
            steps of the one before, the last of them the learned one, all in the same episodes. Training is
            deterministic: the seed is trained anew up to the last stage but one. A film shows the first six seconds
            of an episode, and its end; a .gif at about ten pictures a second, and wide ones at half their size.
        tell: is called with what is being done, for those who wait.

    Returns:
        Played: the returns, the lengths and the path of the film.

    Raises:
        OptionError: no such seed, policy or kind of film, it cannot be written there, or the environment has to be
            given.
        EnvironmentFault: the environment raised, or a package that it draws with is not installed.
        FolderError: no run in the folder, or it is damaged; or the disk refuses.
    """
    _check(episodes, policy, eval_seed, stages)
    path = None if video is None else check_film(video)
    run = source if isinstance(source, Run) else load(source, env)
    if stages > 1:
        tell("training anew up to the last stage but one")
    shown = stages_of(run, seed, stages, policy == "exploratory")
    scene = Scene(_env(run, isinstance(source, Run), env, film=path is not None))
    played = Played([], [], path)

    def moments() -> Iterator[_Moment]:
        for k, (learned, acting) in enumerate(shown, 1):
            tell(f"drawing stage {k} of {len(shown)}" if len(shown) > 1 else "drawing")
            for i in range(episodes):
                for moment in _moments(scene.env, acting, eval_seed, i, policy):
                    yield moment._replace(learned=learned)
                played.returns.append(moment.total)
                played.lengths.append(moment.step)

    try:
        if path is None:
            put(_texts(scene, moments(), run, episodes, stages), file, pause_seconds)
        else:
            small = stages > 1 and path.suffix.lower() == ".gif"
            every = max(1, round(scene.frames_a_second / _GIF_FRAMES_A_SECOND)) if small else 1
            images = _images(scene, moments(), stages > 1, every, small)
            with _without_a_screen():
                write_film(path, images, scene.frames_a_second / every)
    finally:
        if scene.env is not env and scene.env is not run.env:
            scene.env.close()
    return played


@contextmanager
def _without_a_screen() -> Iterator[None]:
    """SDL, with which Gymnasium draws, looks for no screen meanwhile: it complains where there is none."""
    unset = "SDL_VIDEODRIVER" not in os.environ
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    try:
        yield
    finally:
        if unset:
            os.environ.pop("SDL_VIDEODRIVER", None)


def _check(episodes: int, policy: str, eval_seed: int, stages: int) -> None:
    if not is_whole(stages) or not 1 <= stages <= 20:
        raise option_error("play", "stages", "must be a whole number in 1..20", stages, "Use stages=4.")
    if policy not in ("greedy", "exploratory"):
        rule = "must be 'greedy' or 'exploratory'"
        raise option_error("play", "policy", rule, policy, "Use policy='greedy'.")
    if not is_whole(episodes) or episodes < 1:
        rule = "must be at least 1, and a whole number"
        raise option_error("play", "episodes", rule, episodes, "Use episodes=1.")
    if not is_whole(eval_seed) or not 0 <= eval_seed < 2**63:
        rule = "must be a whole number, 0 or above"
        raise option_error("play", "eval_seed", rule, eval_seed, "Use eval_seed=0.")


def _env(run: Run, in_memory: bool, env: Any, film: bool) -> gymnasium.Env[Any, Any]:
    """The environment, made to be drawn as it is to be."""
    mode = "rgb_array" if film else "ansi"
    if env is None and in_memory:
        if run.spec.env_given == "id":
            env = run.spec.env  # given by who made the run
        else:
            run.lend()
            env = run.env
    found = env_for(run.spec, env)
    if found.render_mode != mode and mode in render_modes(found) and (env is None or isinstance(env, str)):
        found = env_for(run.spec, env, mode)
    if film and found.render_mode != mode:
        if mode not in render_modes(found):
            rule = f"needs pictures, and '{run.spec.env}' draws none"
            raise option_error("play", "video", rule, True, "Leave it out, and watch on the terminal.")
        rule = "must be made with render_mode='rgb_array' for a film"
        raise option_error(
            "play", "env", rule, str(found), "Give env=lambda: MyEnv(render_mode='rgb_array')."
        )
    return found


def _moments(
    env: gymnasium.Env[Any, Any], policy: Policy, seed: int, episode: int, kind: Kind
) -> Iterator[_Moment]:
    """An episode, as `qfix.evaluation` plays it."""
    rng = np.random.default_rng([seed, episode]) if kind == "exploratory" else None
    step, total = 0, 0.0
    try:
        observation, info = env.reset(seed=evaluation_seed(seed, episode))
        policy.reset()
        moment = _Moment(observation, None, 0.0, 0.0, 0, False, False)
        yield moment
        while not moment.is_last:
            mask = allowed(policy, info)
            action = policy.predict(observation, deterministic=kind == "greedy", rng=rng, **mask)
            observation, reward, terminated, truncated, info = env.step(action)
            step, total = step + 1, total + float(reward)
            moment = _Moment(
                observation,
                action if isinstance(action, np.ndarray) and action.ndim else int(action),
                float(reward),
                total,
                step,
                bool(terminated),
                bool(truncated),
            )
            yield moment
    except QfixError:
        raise
    except Exception as fault:
        name = env.spec.id if env.spec is not None else str(env)
        raise EnvironmentFault(
            f"The environment '{name}' failed while it was played (seed {seed}, episode {episode}, step {step}): it "
            f"raised {type(fault).__name__}: {str(fault).rstrip('.')}. Mend the environment."
        ) from fault


def _texts(scene: Scene, moments: Iterator[_Moment], run: Run, episodes: int, stages: int) -> Iterator[str]:
    episode, before = 0, None
    for moment in moments:
        if moment.action is None:
            when = f", after {moment.learned:,} steps of training" if stages > 1 else ""
            yield f"{run.spec.algorithm} on {run.spec.env}{when}, episode {episode % episodes + 1} of {episodes}"
            line = "start"
        else:
            how = ending(moment.terminated, moment.truncated)
            word = scene.word(moment.action)
            line = f"{moment.step}: {word}, reward {moment.reward:g}, return {moment.total:g}{how}"
        picture = scene.text(moment.observation)
        if picture is not None:
            yield f"{picture}\n{line}"
        elif moment.action is not None:
            yield f"{moment.step}: at {plain(before)} {line.partition(': ')[2]}"
        before = moment.observation
        if moment.is_last:
            episode += 1
            yield f"return {moment.total:g} after {moment.step:,} steps"


def _images(
    scene: Scene, moments: Iterator[_Moment], in_stages: bool, every: int, small: bool
) -> Iterator[Image]:
    for moment in moments:
        late = in_stages and moment.step > _STAGE_SECONDS * scene.frames_a_second
        if (late or moment.step % every) and not moment.is_last:
            continue
        image = scene.image(moment.observation, moment.action)
        if small and image.shape[1] >= _GIF_WIDE:
            image = _halved(image)
        if in_stages:
            image = headed(image, f"AFTER {moment.learned} STEPS")
        for _ in range(1 + moment.is_last * round(_HOLD_SECONDS * scene.frames_a_second / every)):
            yield image


def _halved(image: Image) -> Image:
    """Every pixel the mean of four."""
    height, width = (n - n % 2 for n in image.shape[:2])
    blocks = image[:height, :width].reshape(height // 2, 2, width // 2, 2, 3)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)
