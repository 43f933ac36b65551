"""`qfix train ENV [ALGORITHM]`: learn, then say how good it is and where it is kept."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from qfix.algorithms import ALGORITHMS, algorithm
from qfix.cli import arguments as read
from qfix.cli.arguments import Option
from qfix.cli.environment import (
    env_options,
    environment_options,
    make_typed_env,
    split_env_words,
    with_truths,
)
from qfix.cli.signals import EXIT_CODES, say_when_stopped
from qfix.errors import EnvironmentFault, Interrupted, OptionError, QfixError

_USAGE = "qfix train ENV [ALGORITHM] [--option value ...]"
_ABOUT = (
    "Train an algorithm on an environment, by Gymnasium's id or a world of qfix (`qfix list`). Without "
    "ALGORITHM the observation space decides. Results and pictures go to a folder under runs/."
)


def _seeds(name: str, text: str) -> int | list[int]:
    if "," in text:
        return [read.whole(name, part.strip()) for part in text.split(",") if part.strip()]
    return read.whole(name, text)


OPTIONS = (
    Option(
        "total-steps",
        "Environment steps of each seed, exactly; by default enough for a first look.",
        read.whole,
        "N",
    ),
    Option("seeds", "How many independent runs, or which: 8, or 0,1,5.", _seeds, "N|N,N", "1"),
    Option(
        "out", "Folder to keep the run in, new or empty; none: keep nothing.", read.word, "DIR", "runs/..."
    ),
    Option(
        "driver",
        "auto, compiled (all in one kernel; needs a table of transitions) or live (any environment).",
        read.word,
        "NAME",
        "auto",
    ),
    Option(
        "eval-episodes",
        "Episodes a seed to evaluate on, where the answer cannot be computed exactly.",
        read.whole,
        "N",
        "100",
    ),
    Option("require-convergence", "Warn unless the step size satisfies the Robbins-Monro conditions."),
    Option("json", "Print the result as one JSON document."),
    Option("no-progress", "No progress bar."),
    Option("no-pictures", "Draw nothing."),
    Option("help", "Show this; after ENV or ALGORITHM with their options."),
)
_FLAGS = [option.name for option in OPTIONS if option.read is None]


def run(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    words = read.split(arguments, _FLAGS)
    env_words, own_words = split_env_words(words.options)
    if "help" in own_words:
        return _help(words.positional, env_words)
    env, name = _positional(words.positional)
    from qfix.experiment import choose_algorithm

    env_kwargs = with_truths(env, env_options(env_words))
    made = make_typed_env(env, env_kwargs)
    name = name or choose_algorithm(made.observation_space)
    options = read.options_of_config(importlib.import_module(algorithm(name).module).Config)
    # an option may mean the train command or the algorithm; no name is in both
    known = [*OPTIONS, *options]
    try:
        values = read.understand(own_words, known, f"qfix train {shlex.quote(env)} {name}")
        own = {o.parameter: values.pop(o.parameter, None) for o in OPTIONS}
        own["eval_episodes"] = _episodes(own["eval_episodes"])
        return _train(env, env_kwargs, name, values, own, made.spec.id if made.spec else env)
    except EnvironmentFault:
        raise
    except QfixError as error:
        raise type(error)(read.as_typed(str(error), known)) from error


def _train(
    env: str, env_kwargs: dict[str, Any], name: str, options: dict[str, Any], own: dict[str, Any], env_id: str
) -> int:
    from qfix.experiment import train

    folder = _folder(own["out"], env_id, name)
    fault = None
    try:
        result = train(
            env,
            name,
            total_steps=own["total_steps"],
            seeds=1 if own["seeds"] is None else own["seeds"],
            env_kwargs=env_kwargs,
            out=folder,
            progress=not own["no_progress"],
            driver=own["driver"] or "auto",
            require_convergence=bool(own["require_convergence"]),
            **options,
        )
    except EnvironmentFault as stopped:
        if stopped.run is None or not any(len(r) for r in stopped.run.episodes.returns):
            raise
        fault, result = stopped, stopped.run
    except Interrupted as stopped:
        result = stopped.run
    if folder is not None:
        say_when_stopped(f"Interrupted. What was learned is in {folder}.")
    _show(result, folder, own)
    if fault is not None:
        print("Error:", " ".join(str(fault).split()), file=sys.stderr)
        return 1
    return 0 if result.signal is None else EXIT_CODES[result.signal]


def _show(result: Any, folder: Path | None, own: dict[str, Any]) -> None:
    from qfix.report.summary import summarise

    with _waiting(result.model is None and not own["no_progress"]):
        summary = summarise(result, own["eval_episodes"])
    document = summary.to_dict() | {"folder": None if folder is None else str(folder), "figures": []}
    if folder is not None:
        if not own["no_pictures"]:
            from qfix.report.figures import draw_figures

            document["figures"] = [str(path) for path in draw_figures(summary, folder / "figures")]
        (folder / "result.json").write_text(json.dumps(document, indent=1) + "\n")
    if own["json"]:
        print(json.dumps(document, indent=1))
        return
    _print_result(summary, document)


def _waiting(long: bool) -> AbstractContextManager[object]:
    """Say on a terminal what takes its time: an evaluation that cannot be computed has to be played."""
    if not long or not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status("evaluating ...")


def _print_result(summary: Any, document: dict[str, Any]) -> None:
    from rich.console import Console

    from qfix.loop import speed_text
    from qfix.report.summary import run_title
    from qfix.report.tables import result_table

    run, spec = summary.run, summary.run.spec
    console = Console(highlight=False)
    n = len(spec.seeds)
    each = f"{n} seeds, {run.steps:,} steps each" if n > 1 else f"{run.steps:,} steps"
    if run.status != "finished":
        each += f" of {spec.total_steps:,} ({run.status})"
    console.print(f"[bold]{run_title(spec)}[/]: {each}, {spec.driver}")
    trained = run.seconds - run.compiling_seconds
    first = f", after {run.compiling_seconds:.1f} s of compiling" if run.compiling_seconds > 1 else ""
    console.print(f"{trained:.2f} s, {speed_text(run.speed)}{first}", style="dim")
    console.print()
    console.print(result_table(summary))
    if document["folder"] is None:
        return
    console.print()
    console.print(f"kept in  {document['folder']}", soft_wrap=True)
    for path in document["figures"]:
        console.print(f"picture  {path}", soft_wrap=True)
    if document["figures"] and not any(path.endswith("values.png") for path in document["figures"]):
        console.print("No value map: the states lie neither on a grid nor in two dimensions.", style="dim")


def _episodes(given: int | None) -> int:
    if given is not None and given < 1:
        raise OptionError(
            f"The '--eval-episodes' option must be at least 1. Got {given}. Write --eval-episodes 100."
        )
    return given or 100


def _positional(words: list[str]) -> tuple[str, str | None]:
    if not words:
        raise OptionError(
            "`qfix train` needs an environment. Write `qfix train FrozenLake-v1`; see `qfix list`."
        )
    if words[0] in ALGORITHMS:
        other = words[1] if len(words) > 1 else "FrozenLake-v1"
        raise OptionError(
            f"'{words[0]}' is an algorithm; the environment comes first. Write `qfix train {other} {words[0]}`."
        )
    if len(words) > 2:
        raise OptionError(
            f"`qfix train` takes an environment and an algorithm. Got also {' '.join(words[2:])!r}. "
            f"Options begin with two hyphens, as in --seeds 8."
        )
    if len(words) == 2:
        algorithm(words[1])
    return words[0], words[1] if len(words) == 2 else None


def _help(positional: list[str], env_words: dict[str, str | None]) -> int:
    groups: dict[str, list[Option]] = {"Options": list(OPTIONS)}
    ending = "An algorithm's own options: qfix train ENV ALGORITHM --help"
    algorithms = [w for w in positional if w in ALGORITHMS]
    envs = [w for w in positional if w not in ALGORITHMS][:1]
    if len(positional) > 1 and not algorithms:
        algorithm(positional[1])
    if envs:
        from qfix.experiment import choose_algorithm

        made = make_typed_env(envs[0], with_truths(envs[0], env_options(env_words)))
        algorithms = algorithms or [choose_algorithm(made.observation_space)]
        groups[f"Options of {made.spec.id if made.spec else envs[0]}"] = environment_options(envs[0])
    if algorithms:
        config = importlib.import_module(algorithm(algorithms[0]).module).Config
        groups = {f"Options of {algorithms[0]}": read.options_of_config(config)} | groups
        ending = ""
    print(read.help_text(_USAGE, _ABOUT, groups, ending))
    return 0


def _folder(out: str | None, env_id: str, name: str) -> Path | None:
    """The folder named, or the first free one of runs/ENV-ALGORITHM, -2, -3, ..."""
    if out is not None:
        return None if out.lower() == "none" else Path(out)
    slug = re.sub(r"-v\d+$", "", env_id.rpartition("/")[2]).lower()
    base = Path("runs") / f"{re.sub(r'[^a-z0-9_.]+', '-', slug)}-{name}"
    path, count = base, 1
    while path.exists() and any(path.iterdir()):
        count += 1
        path = base.with_name(f"{base.name}-{count}")
    return path
