"""`qfix train ENV [ALGORITHM]`: learn, then say how good it is and where it is kept."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from qfix.algorithms import ALGORITHMS, algorithm
from qfix.cli import arguments as read
from qfix.cli.arguments import Option, Words
from qfix.cli.environment import (
    env_options,
    environment_options,
    make_typed_env,
    split_env_words,
    with_truths,
)
from qfix.cli.result import OPTIONS as RESULT_OPTIONS
from qfix.cli.result import VIDEO, Wishes, check_filmable, conclude, of_training
from qfix.cli.settings import NOTHING, Settings, in_file, read_settings, understand, without
from qfix.cli.signals import say_when_stopped
from qfix.errors import EnvironmentFault, OptionError, QfixError, from_elsewhere, parts_of
from qfix.presets import preset

_USAGE = "qfix train ENV [ALGORITHM] [--option value ...]"
_ABOUT = (
    "Train an algorithm on an environment, by Gymnasium's id or a world of qfix (`qfix list`). Without "
    "ALGORITHM the observation space decides. The run is kept in a folder under runs/ from its first moment on: "
    "Ctrl-C stops it, `qfix resume` goes on with it."
)
_EXAMPLE = """\
Options from a file, settings.toml:
  total_steps = 2_000_000
  seeds = [0, 1, 2]
  gamma = 0.95
  epsilon = "Linear(1, 0.05, 500_000)"

  [env]
  map_name = "8x8"
Then `qfix train FrozenLake-v1 q_learning --config settings.toml --seeds 8`: what is typed wins over the file."""


def _seeds(name: str, text: str) -> int | list[int]:
    if "," in text:
        return [read.whole(name, part.strip()) for part in text.split(",") if part.strip()]
    return read.whole(name, text)


OPTIONS = (
    Option(
        "total-steps",
        "Environment steps of each seed; by default enough for a first look: of tables 1,000,000 compiled and 200,000 "
        "live, of networks 100,000 on the device and 50,000 on the host. Tables make them exactly, networks round them "
        "up to whole units of work.",
        read.whole,
        "N",
    ),
    Option("seeds", "How many independent runs, or which: 8, or 0,1,5.", _seeds, "N|N,N", "1"),
    Option(
        "out", "Folder to keep the run in, new or empty; none: keep nothing.", read.word, "DIR", "runs/..."
    ),
    Option("resume", "Go on with the run in that folder, if there is one and it is this very run."),
    Option(
        "driver",
        "How the environment is stepped: auto; of tables compiled (all in one kernel; needs a table of transitions) or "
        "live (any environment); of networks device (needs an environment in JAX, or a table) or host (any).",
        read.word,
        "NAME",
        "auto",
    ),
    Option(
        "eval-episodes",
        "Episodes a seed to evaluate on, where the answer cannot be computed exactly; 0: do not evaluate.",
        read.whole,
        "N",
        "100",
    ),
    Option(
        "metrics-every",
        "Steps of a seed between two measurements; by default about 100 in all.",
        read.whole,
        "N",
    ),
    Option(
        "config",
        "TOML file with options of train and of the algorithm, and those of the environment in its table [env]; "
        "what is typed here wins over it.",
        read.word,
        "FILE",
    ),
    VIDEO,
    Option("require-convergence", "Warn unless the step size satisfies the Robbins-Monro conditions."),
    *RESULT_OPTIONS,
    Option("help", "Show this; after ENV or ALGORITHM with their options."),
)
# what an option means for one family of algorithms, by the folder it is in
_OF_FAMILY = {
    "tabular": {
        "total-steps": "Environment steps of each seed, exactly; by default enough for a first look: 1,000,000 "
        "compiled, 200,000 live.",
        "driver": "auto, compiled (all in one kernel; needs a table of transitions) or live (any environment).",
    },
    "deep": {
        "total-steps": "Environment steps of each seed, all its environments together, rounded up to whole units of "
        "work; by default enough for a first look: 100,000 on the device, 50,000 on the host.",
        "driver": "auto, device (all in one program; needs an environment in JAX, or a table of transitions) or host "
        "(any environment).",
    },
}
_FLAGS = [option.name for option in OPTIONS if option.read is None]


def run(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    words = _with_algorithm(read.split(arguments, _FLAGS))
    env_words, own_words = split_env_words(words.options)
    if "help" in own_words:
        return _help(words.positional, env_words)
    settings = _settings(words.options)
    env, name = _positional(words.positional)
    from qfix.assembly import choose_algorithm

    try:
        env_kwargs = with_truths(env, settings.env | env_options(env_words))
        made = make_typed_env(env, env_kwargs)
    except OptionError as error:
        said = in_file(str(error), settings)
        if settings.env and settings.path not in said:
            said += f" There are options of it in '{settings.path}', table [env]."
        raise OptionError(said) from error
    if name is None:
        name = choose_algorithm(made.observation_space, made.action_space)
        words = read.give_back(words, _options_of(name))
        _positional(words.positional)
        own_words = split_env_words(words.options)[1]
    # an option may mean the train command or the algorithm; no name is in both
    known = [*OPTIONS, *_options_of(name)]
    try:
        values = understand(settings, known)
        _require_own(own_words, known, name)
        values |= read.understand(own_words, known, f"qfix train {shlex.quote(env)} {name}")
        own = {o.parameter: values.pop(o.parameter, None) for o in OPTIONS}
        return _train(env, env_kwargs, name, values, own, made)
    except EnvironmentFault:
        raise
    except QfixError as error:
        raise type(error)(in_file(read.as_typed(str(error), known), settings)) from error


def _options_of(name: str) -> list[Option]:
    return read.options_of_config(importlib.import_module(algorithm(name).module).Config)


def _require_own(words: Mapping[str, str | None], known: list[Option], name: str) -> None:
    """That no option is of other algorithms, and of this one in no other name.

    Raises:
        OptionError: one is; says of which.
    """
    names = [option.name for option in known]
    parameters = [option.parameter for option in known]
    for option in words:
        theirs = option.replace("-", "_")
        if option in names or parts_of(theirs, parameters) or from_elsewhere(theirs, parameters):
            continue
        owners = [other for other in ALGORITHMS if option in (o.name for o in _options_of(other))]
        if owners:
            listed = ", ".join(owners[:4]) + (", ..." if len(owners) > 4 else "")
            why = ""
            if option in ("epsilon", "explore"):  # whoever acts by values has both
                why = f"; {name} explores by its policy, from which it draws its actions"
            raise OptionError(
                f"There is no option '--{option}' of {name}. It is one of {listed}{why}. "
                f"`qfix train ENV {name} --help` lists those there are."
            )


def _with_algorithm(words: Words) -> Words:
    """The words understood by the algorithm among them, whose options say which words are values of options."""
    own = {option.name for option in OPTIONS}
    after_options = [text for name in words.taken if name not in own and (text := words.options[name])]
    for name in (word for word in [*words.positional, *after_options] if word in ALGORITHMS):
        settled = read.give_back(words, _options_of(name))
        if name in settled.positional:
            return settled
    if not words.positional and "help" not in words.options:
        # the environment may stand after an option of the algorithm that it decides on
        for env in after_options:
            with suppress(QfixError):
                settled = read.give_back(words, _options_of(_usual_algorithm(env)))
                if env in settled.positional:
                    return settled
    return words


def _usual_algorithm(env: str) -> str:
    from qfix.assembly import choose_algorithm

    made = make_typed_env(env, {})
    return choose_algorithm(made.observation_space, made.action_space)


def _settings(words: Mapping[str, str | None]) -> Settings:
    """What the file says that is named, if one is, and the command line does not say."""
    if "config" not in words:
        return NOTHING
    path = words["config"]
    if not path:
        raise OptionError("The '--config' option needs a value. Got none. Write --config settings.toml.")
    return without(read_settings(path), words.keys() - {"config"})


def _train(
    env: str, env_kwargs: dict[str, Any], name: str, options: dict[str, Any], own: dict[str, Any], made: Any
) -> int:
    env_id = made.spec.id if made.spec is not None else env
    folder = _named_folder(own["out"], env_id, name)
    if own["video"]:
        check_filmable(made, folder)
    if own["resume"]:
        if folder is None:
            raise OptionError("The '--resume' option needs a folder. Got --out none. Leave one of them out.")
        if (folder / "spec.json").exists():
            from qfix.cli.resume import go_on
            from qfix.cli.same_run import load_same_run

            kept = load_same_run(folder, env, env_kwargs, name, options, own, made)
            return go_on(kept, Wishes.of(own, folder, env), None, own)
    elif own["out"] is None:
        folder = _free_folder(env_id, name)

    from qfix.experiment import train

    def training() -> Any:
        return train(
            env,
            name,
            total_steps=own["total_steps"],
            seeds=1 if own["seeds"] is None else own["seeds"],
            env_kwargs=env_kwargs,
            out=folder,
            progress=not own["no_progress"],
            driver=own["driver"] or "auto",
            require_convergence=bool(own["require_convergence"]),
            metrics_every=own["metrics_every"],
            eval_episodes=own["eval_episodes"],
            **of_training(own),
            **options,
        )

    while True:
        wishes = Wishes.of(own, folder, env)
        say_when_stopped(lambda wishes=wishes: wishes.farewell)  # type: ignore[misc]
        try:
            return conclude(training, wishes)
        except OptionError:
            if own["out"] is not None or own["resume"]:
                raise
            # two that begin at once find the same name free, and one of them is later
            free = _free_folder(env_id, name)
            if free == folder:
                raise
            folder = free


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
    ending = f"{_EXAMPLE}\n\nAn algorithm's own options: qfix train ENV ALGORITHM --help"
    algorithms = [w for w in positional if w in ALGORITHMS]
    envs = [w for w in positional if w not in ALGORITHMS][:1]
    if len(positional) > 1 and not algorithms:
        algorithm(positional[1])
    if envs:
        from qfix.assembly import choose_algorithm

        made = make_typed_env(envs[0], with_truths(envs[0], env_options(env_words)))
        algorithms = algorithms or [choose_algorithm(made.observation_space, made.action_space)]
        groups[f"Options of {made.spec.id if made.spec else envs[0]}"] = environment_options(envs[0])
    if algorithms:
        title, options = f"Options of {algorithms[0]}", _options_of(algorithms[0])
        given = preset(made.spec.id, algorithms[0]) if envs and made.spec else {}
        if given:
            title += f", with its preset for {made.spec.id}"
            options = [
                o._replace(default=read.typed(given[o.parameter])) if o.parameter in given else o
                for o in options
            ]
        family = algorithm(algorithms[0]).module.split(".")[1]
        said = _OF_FAMILY.get(family, {})
        groups["Options"] = [o._replace(summary=said.get(o.name, o.summary)) for o in OPTIONS]
        groups = {title: options} | groups
        ending = ""
    print(read.help_text(_USAGE, _ABOUT, groups, ending))
    return 0


def _named_folder(out: str | None, env_id: str, name: str) -> Path | None:
    """The folder named, or runs/ENV-ALGORITHM; None where nothing is to be kept."""
    if out is not None:
        return None if out.lower() == "none" else Path(out)
    return Path("runs") / _slug(env_id, name)


def _free_folder(env_id: str, name: str) -> Path:
    """The first free one of runs/ENV-ALGORITHM, -2, -3, ..."""
    path = base = Path("runs") / _slug(env_id, name)
    count = 1
    while _is_taken(path):
        count += 1
        path = base.with_name(f"{base.name}-{count}")
    return path


def _is_taken(path: Path) -> bool:
    try:
        return path.exists() and any(path.iterdir())
    except OSError:
        return True  # a file, or a folder that may not be looked into


def _slug(env_id: str, name: str) -> str:
    env = re.sub(r"-v\d+$", "", env_id.rpartition("/")[2]).lower()
    return f"{re.sub(r'[^a-z0-9_.]+', '-', env)}-{name}"
