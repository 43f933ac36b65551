"""The command line. One file a command, imported when it is used: `qfix --help` loads no library."""

from __future__ import annotations

import importlib
import io
import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import NamedTuple

from qfix.cli.signals import immediate_stop
from qfix.errors import EnvironmentFault, OptionError, QfixError, nearest


class Command(NamedTuple):
    """A command of `qfix`."""

    summary: str
    module: str  # has `run(arguments) -> exit code`


COMMANDS: dict[str, Command] = {
    "train": Command("train an algorithm on an environment", "qfix.cli.train"),
    "resume": Command("go on with a run, or extend it", "qfix.cli.resume"),
    "evaluate": Command("what the policies of a run are worth", "qfix.cli.evaluate"),
    "compare": Command("which of several runs is better, and how sure that is", "qfix.cli.compare"),
    "report": Command("a run as one self-contained page", "qfix.cli.report"),
    "play": Command("watch a learned policy, on the terminal or as a film", "qfix.cli.play"),
    "replay": Command("a training episode again, step by step", "qfix.cli.replay"),
    "export": Command("a learned policy as an ONNX model, or as arrays", "qfix.cli.export"),
    "solve": Command("exact values and policy of an environment, certified", "qfix.cli.solve"),
    "list": Command("environments, algorithms and runs", "qfix.cli.listing"),
}

_HELP = """\
Usage: qfix COMMAND ...

Q-learning taken to its fixed point: compiled learners, exact answers, reproducible to the bit.

Commands:
{commands}

Begin with:
  qfix train FrozenLake-v1
  qfix list runs
  qfix solve FrozenLake-v1 --gamma 0.99
  qfix train --help"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, by default that of the process.

    Returns:
        The exit code: 0; 1 where an environment or a disk failed; 2 for an error of the user's; 130 or 143 after Ctrl-C
        or SIGTERM.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # arrows and λ, where the output is not UTF-8
    with immediate_stop(), warnings.catch_warnings():
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        try:
            code = _dispatch(words)
            sys.stdout.flush()
            return code
        except EnvironmentFault as fault:
            return _fail(fault, 1)
        except QfixError as error:
            return _fail(error, 2)
        except BrokenPipeError:
            # the reader has left; what remains in the buffer must not fail again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("--help", "-h", "help"):
        rows = (f"  {name:<10}{command.summary}" for name, command in COMMANDS.items())
        print(_HELP.format(commands="\n".join(rows)))
        return 0
    if words[0] in ("--version", "-V"):
        from qfix import __version__

        print(f"qfix {__version__}")
        return 0
    if words[0] not in COMMANDS:
        near = nearest(words[0], COMMANDS)
        hint = f"Did you mean '{near}'?" if near else f"There are: {', '.join(COMMANDS)}."
        kind = "option" if words[0].startswith("-") else "command"
        raise OptionError(f"There is no {kind} '{words[0]}'. {hint}")
    code: int = importlib.import_module(COMMANDS[words[0]].module).run(words[1:])
    return code


def _fail(error: Exception, code: int) -> int:
    print("Error:", " ".join(str(error).split()), file=sys.stderr)
    return code


def _show_warning(message: Warning | str, *_: object) -> None:
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(message)).removeprefix("WARN: ")  # as Gymnasium writes its own
    print("Warning:", " ".join(text.split()), file=sys.stderr)
