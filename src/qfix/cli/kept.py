"""The run that a command is about: its folder checked, its environment made, errors in the words of a shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qfix.cli import arguments as read
from qfix.cli.arguments import Option
from qfix.errors import CheckpointError, OptionError, UnknownNameError

ENV = Option(
    "env",
    "Id of the environment, where the folder alone is not trusted with it, as module:Name-v0.",
    read.word,
    "ID",
)
CHECKPOINT = Option(
    "checkpoint", "Which: last, best (by the training returns) or its step.", read.word, "WHICH", "last"
)
SEED = Option("seed", "Whose policy: one of the run's seeds; by default its first.", read.whole, "N")


def folder_named(words: Sequence[str], command: str, ending: str = "") -> Path:
    """The one folder that a command is given.

    Raises:
        OptionError: there is none, or more.
    """
    example = f"{command} runs/frozenlake-q_learning{ending}"
    if not words:
        raise OptionError(f"`{command}` needs the folder of a run. Write `{example}`; see `qfix list runs`.")
    if len(words) > 1:
        raise OptionError(
            f"`{command}` takes one folder. Got also {' '.join(words[1:])!r}. "
            f"Options begin with two hyphens, as in `{example}`."
        )
    return Path(words[0])


def load_run(
    folder: Path,
    env: str | None = None,
    checkpoint: int | str = "last",
    python: str = "",
    step_time_limit: float | None = None,
) -> Any:
    """The run kept in a folder.

    Args:
        folder: of the run.
        env: id of its environment, where the folder does not tell or is not trusted.
        checkpoint: "last", "best" or a step.
        python: what to do with the run in Python, where the shell cannot make its environment: ".resume()".
        step_time_limit: seconds that a step of a live environment may take; None for the usual.

    Raises:
        FolderError, CheckpointError: there is no such run or checkpoint, or it is damaged.
        OptionError: its environment cannot be made from here.
    """
    from qfix.experiment import load

    limit = {} if step_time_limit is None else {"step_time_limit": step_time_limit}
    with asked_in_shell(folder, env, python):
        return load(folder, env, checkpoint, **limit)


@contextmanager
def asked_in_shell(folder: Path, env: str | None = None, python: str = "") -> Iterator[None]:
    """Errors over the environment of a run are in the words of the command line; see `load_run`.

    Raises:
        FolderError: there is no run in the folder.
        OptionError: its environment was passed as an object, which a shell cannot make.
    """
    from qfix.runs import RunFolder

    spec = RunFolder(folder).spec
    if spec.env_given == "object" and env is None:
        raise OptionError(
            f"The run in {folder} was trained in an environment that was passed as an object ({spec.env}), which a "
            f"shell cannot make. Load it in Python: qfix.load({str(folder)!r}, env=lambda: MyEnv()){python}"
        )
    try:
        yield
    except OptionError as error:
        message = re.sub(r"The 'env' parameter of \w+", "The '--env' option", str(error))
        message = re.sub(r"Use \w+\(folder, (?:\.\.\., )?env='?([^')]+)'?\)", r"Write --env \1", message)
        raise OptionError(message) from error
    except CheckpointError as error:
        raise CheckpointError(re.sub(r"\bcheckpoint=(\d+)", r"--checkpoint \1", str(error))) from error
    except UnknownNameError as error:
        if env is not None or "environment" not in str(error):
            raise
        told = f"If a module registers it, name both: --env module:{spec.env}"
        said = re.sub(r" Did you mean '[^']*'\?", "", str(error))  # it is no slip of the user's
        raise UnknownNameError(f"{said} {told}") from error


def load_trained(
    folder: Path, env: str | None = None, checkpoint: int | str = "last", python: str = ""
) -> Any:
    """The run kept in a folder, if it has learned anything; see `load_run`.

    Raises:
        CheckpointError: it has no checkpoint yet.
    """
    found = load_run(folder, env, checkpoint, python)
    if found.steps == 0 and not found.checkpoints_seen:
        raise CheckpointError(
            f"The run in {folder} has no checkpoint yet, so nothing of what it learned. If it is being trained, wait "
            f"some seconds; else go on with it: `{resume_command(folder)}`."
        )
    return found


def resume_command(folder: str | Path, env: str | None = None, *more: str) -> str:
    """What to type to go on with a run; see `command_on`."""
    return command_on("resume", folder, env, *more)


def command_on(command: str, folder: str | Path, env: str | None = None, *more: str) -> str:
    """What to type to do something with a run.

    >>> command_on("evaluate", "runs/my lake", "lakes:Lake-v0")
    "qfix evaluate 'runs/my lake' --env lakes:Lake-v0"
    """
    module = ["--env", env] if env is not None and ":" in env else []
    return shlex.join(["qfix", command, str(folder), *module, *more])


def lacks_evaluation(folder: Path) -> bool:
    """Whether a finished run was to be evaluated and has no evaluation of its last step."""
    from qfix.runs import RunFolder

    found = RunFolder(folder)
    if not found.spec.eval_episodes or found.status != "finished":
        return False
    return all(told.step != found.steps for told in found.evaluations().values())


def checkpoint_named(text: str | None) -> int | str:
    """Which checkpoint: last, best or a step.

    Raises:
        OptionError: none of these.
    """
    if text is None or text in ("last", "best"):
        return text or "last"
    try:
        return read.whole("checkpoint", text)
    except OptionError:
        rule = "must be last, best or the step of a checkpoint"
        raise OptionError(
            f"The '--checkpoint' option {rule}. Got {text!r}. Write --checkpoint best."
        ) from None
