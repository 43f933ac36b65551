"""`qfix play FOLDER`: watch a learned policy, on the terminal or as a film."""

from __future__ import annotations

import io
import os
import re
import sys
from typing import TextIO

from qfix.cli import arguments as read
from qfix.cli.arguments import Option
from qfix.cli.kept import CHECKPOINT, ENV, SEED, checkpoint_named, folder_named, load_trained
from qfix.errors import EnvironmentFault, OptionError

_USAGE = "qfix play FOLDER [--option value ...]"
_ABOUT = (
    "Let a learned policy play fresh episodes, those of `qfix evaluate`, and watch: on the terminal, where the "
    "environment can be drawn in characters, or as a film."
)
OPTIONS = (
    Option("video", "Make a film instead: a name that ends in .mp4 or .gif.", read.word, "FILE"),
    SEED,
    Option("episodes", "How many, one after the other.", read.whole, "N", "1"),
    Option("policy", "greedy, or exploratory: as it acts while it learns.", read.word, "NAME", "greedy"),
    Option(
        "stages",
        "Policies to show, of which the last is the learned one and the first has learned nothing; the seed is trained "
        "anew for those between.",
        read.whole,
        "N",
        "1",
    ),
    Option("eval-seed", "Seed of the episodes.", read.whole, "N", "0"),
    CHECKPOINT,
    Option(
        "pause",
        "Seconds between two pictures on a terminal; 0: one below the other.",
        read.number,
        "X",
        "0.2",
    ),
    ENV,
    Option("help", "Show this."),
)


def run(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    opened = read.opening(
        arguments, OPTIONS, _USAGE, _ABOUT, episodes=1, policy="greedy", eval_seed=0, stages=1
    )
    if opened is None:
        return 0
    words, own = opened
    folder = folder_named(words, "qfix play")
    kept = load_trained(folder, own["env"], checkpoint_named(own["checkpoint"]), ".policy()")
    from qfix.loop import telling
    from qfix.playback import play

    try:
        with telling(own["video"] is not None) as tell:
            played = play(
                kept,
                own["seed"],
                own["episodes"],
                own["policy"],
                own["eval_seed"],
                own["video"],
                pause_seconds=pause_of(own["pause"]),
                env=own["env"],
                file=screen(),
                stages=own["stages"],
                tell=tell,
            )
    except OptionError as error:
        raise OptionError(
            read.as_typed(str(error), OPTIONS).replace("option of Run ", "option of play ")
        ) from error
    except EnvironmentFault as fault:
        if type(fault.__cause__).__name__ == "DependencyNotInstalled":
            raise OptionError(str(fault)) from fault  # not the environment's to mend
        raise
    if played.path is not None:
        for i, (returned, lasted) in enumerate(zip(played.returns, played.lengths, strict=True)):
            print(f"episode {i + 1}: return {returned:g}, {lasted:,} steps")
        print(f"film  {played.path}")
    return 0


class _Plain(io.TextIOBase):
    """Standard output, without the colours that an environment draws with."""

    def write(self, text: str) -> int:
        return sys.stdout.write(re.sub(r"\x1b\[[0-9;]*m", "", text))

    def flush(self) -> None:
        sys.stdout.flush()

    def isatty(self) -> bool:
        return sys.stdout.isatty()


def screen() -> TextIO:
    """Standard output; without colours where it is no terminal, or NO_COLOR says so."""
    plain = bool(os.environ.get("NO_COLOR")) or not sys.stdout.isatty()
    return _Plain() if plain else sys.stdout  # type: ignore[return-value]


def pause_of(given: float | None) -> float:
    """Seconds between two pictures: none where nobody watches.

    Raises:
        OptionError: they are below 0.
    """
    if given is None:
        return 0.2 if sys.stdout.isatty() else 0.0
    if not 0.0 <= given <= 60.0:
        raise OptionError(f"The '--pause' option must be in [0, 60] seconds. Got {given}. Write --pause 0.2.")
    return given
