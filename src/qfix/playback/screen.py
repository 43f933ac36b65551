"""Episodes on the terminal: a picture in characters for every step, or a line."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

import gymnasium
import numpy as np

from qfix.assembly import env_for
from qfix.errors import EnvironmentFault, OptionError
from qfix.mdp.simulate import episode_seed
from qfix.playback.replaying import Replay, Step
from qfix.playback.scene import Scene, plain, render_modes


def show(replay: Replay, env: Any = None, file: TextIO | None = None, pause_seconds: float = 0.0) -> None:
    """Put a training episode on the terminal.

    Environments on a grid, and those that render as text, are drawn at every step; of others the steps are listed.

    Args:
        replay: of an episode.
        env: the environment, or what makes it, where it was given to `train` as an object; with render_mode="ansi" if
            it can. Without it the steps are listed.
        file: to write to; by default standard output.
        pause_seconds: between two pictures; above 0, a terminal shows them in one place.

    Raises:
        EnvironmentFault: the environment raised, or has not repeated the episode.
    """
    put(texts(replay, env), file, pause_seconds)


def put(pieces: Iterable[str], file: TextIO | None = None, pause_seconds: float = 0.0) -> None:
    """Write lines and pictures; with a pause, on a terminal, each picture in the place of the one before."""
    out = sys.stdout if file is None else file
    moving = pause_seconds > 0.0 and out.isatty()
    above = 0  # lines of the picture that is to be replaced
    for piece in pieces:
        if moving and above:
            out.write(f"\x1b[{above}F\x1b[J")
        out.write(piece + "\n")
        out.flush()
        above = piece.count("\n") + 1 if "\n" in piece else 0
        if above and pause_seconds > 0.0:
            time.sleep(pause_seconds)


def texts(replay: Replay, env: Any = None) -> Iterator[str]:
    """What `show` shows, piece by piece: a title, and for each step a picture of several lines, or a line.

    Args:
        replay, env: as there.
    """
    scene = _scene(replay, env)
    yield (
        f"{replay.spec.algorithm} on {replay.spec.env}, seed {replay.seed}, episode {replay.episode}: "
        f"{len(replay.steps):,} steps, return {replay.total:g}"
    )
    total = 0.0
    pictures = iter(()) if scene is None else _pictures(replay, scene)
    first = next(pictures, None)
    if first is not None:
        yield f"{first}\nstart"
    for i, step in enumerate(replay.steps):
        total += step.reward
        word = f"action {step.action}" if scene is None else scene.word(step.action)
        known = "" if np.isnan(step.td_error) else f", TD error {step.td_error:.4g}"
        value = step.values[step.action - _first_action(replay, step)]
        how = (", exploratory" if step.explored else "") + ending(step.terminated, step.truncated)
        line = f"{i + 1}: {word}, reward {step.reward:g}, return {total:g}, value {value:.4g}{known}{how}"
        picture = None if first is None else next(pictures)
        if picture is not None:
            yield f"{picture}\n{line}"
        else:
            yield f"{i + 1}: at {plain(step.observation)} {line.partition(': ')[2]}"


def ending(terminated: bool, truncated: bool) -> str:
    """How an episode ended, to be put behind its last step."""
    return ", terminated" if terminated else ", truncated" if truncated else ""


def _first_action(replay: Replay, step: Step) -> int:
    """Number of the first action: `greedy` is the environment's number of the largest of the values."""
    return step.greedy - int(step.values.argmax())


def _scene(replay: Replay, env: Any) -> Scene | None:
    """The environment made to be drawn; None where it has to be given and was not."""
    try:
        made = env_for(replay.spec, env, None, "show")
        if made.render_mode != "ansi" and "ansi" in render_modes(made) and not isinstance(env, gymnasium.Env):
            made = env_for(replay.spec, env, "ansi", "show")
    except OptionError:
        if env is not None:
            raise
        return None
    return Scene(made)


def _pictures(replay: Replay, scene: Scene) -> Iterator[str]:
    """A picture before the first step and after each; none at all where there are none."""
    first = replay.steps[0].observation
    if scene.shows(first):
        yield scene.text(first) or ""
        for step in replay.steps:
            yield scene.text(step.next_observation) or ""
    elif scene.env.render_mode == "ansi":
        yield from _taxi(replay, scene) if scene.is_taxi else _again(replay, scene)


def _again(replay: Replay, scene: Scene) -> Iterator[str]:
    """A live environment that is given the episode's seed and its actions."""
    if replay.spec.driver != "live":
        return
    env = scene.env
    observation, _ = env.reset(seed=int(episode_seed(replay.seed, 0, replay.episode)))
    yield scene.text(observation) or ""
    for i, step in enumerate(replay.steps):
        observation, reward, terminated, truncated, _ = env.step(step.action)
        if (reward, terminated, truncated) != (step.reward, step.terminated, step.truncated):
            raise EnvironmentFault(
                f"'{replay.spec.env}' has not repeated episode {replay.episode} of seed {replay.seed} to be drawn: "
                f"step {i + 1} was rewarded with {reward}, and with {step.reward} when it was replayed. Give an "
                f"environment that is made as it was for the training."
            )
        yield scene.text(observation) or ""


def _taxi(replay: Replay, scene: Scene) -> Iterator[str]:
    """Taxi draws the state that it is told to be in."""
    world: Any = scene.env.unwrapped
    scene.env.reset(seed=0)
    world.s, world.lastaction = int(replay.steps[0].observation), None
    yield scene.text(world.s) or ""
    for step in replay.steps:
        world.s, world.lastaction = int(step.next_observation), step.action
        yield scene.text(world.s) or ""
