"""`qfix replay FOLDER --seed S --episode E`: that very training episode again, step by step."""

from __future__ import annotations

import sys
from pathlib import Path

from qfix.cli import arguments as read
from qfix.cli.arguments import Option
from qfix.cli.kept import ENV, asked_in_shell, folder_named
from qfix.cli.play import pause_of, screen
from qfix.errors import OptionError

_USAGE = "qfix replay FOLDER [--option value ...]"
_ABOUT = (
    "Show a training episode again, step by step: where the learner was, what it did and got, and what it believed "
    "then. The seed is trained anew up to there, and what comes out is held against what was recorded."
)
OPTIONS = (
    Option("seed", "One of the run's seeds; by default its first.", read.whole, "N"),
    Option("episode", "Number of a finished episode, from 0 on; by default the last.", read.whole, "N"),
    Option(
        "pause", "Seconds between two steps on a terminal; 0: one below the other.", read.number, "X", "0.2"
    ),
    ENV,
    Option("help", "Show this."),
)


def run(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    opened = read.opening(arguments, OPTIONS, _USAGE, _ABOUT)
    if opened is None:
        return 0
    words, own = opened
    folder = folder_named(words, "qfix replay", " --seed 0 --episode 812")
    pause = pause_of(own["pause"])
    from qfix.playback import replay, show

    with asked_in_shell(folder, own["env"], "; qfix.playback.replay takes env, too"):
        try:
            _announce(folder, own["seed"], own["episode"])
            episode = replay(folder, own["seed"], own["episode"], own["env"])
            show(episode, own["env"], screen(), pause)
        except OptionError as error:
            typed = [option for option in OPTIONS if option is not ENV]
            raise OptionError(read.as_typed(str(error), typed)) from error
    return 0


def _announce(folder: Path, seed: int | None, episode: int | None) -> None:
    """Say what is about to take its time; nothing where there is no such seed or episode."""
    from qfix.runs import RunFolder

    run = RunFolder(folder)
    seed = run.spec.seeds[0] if seed is None else seed
    if seed not in run.spec.seeds:
        return
    ends = run.store.episodes(seed).ends
    number = len(ends) - 1 if episode is None else episode
    if 0 <= number < len(ends):
        print(f"training seed {seed} again up to step {ends[number]:,} ...", file=sys.stderr)
