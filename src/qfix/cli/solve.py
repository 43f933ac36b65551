"""`qfix solve ENV`: the exact answer, with its certificate and a picture."""

from __future__ import annotations

import json
from typing import Any

from qfix.cli import arguments as read
from qfix.cli.arguments import Option
from qfix.cli.environment import (
    env_options,
    environment_options,
    make_typed_env,
    split_env_words,
    with_truths,
)
from qfix.cli.tables import put_table
from qfix.errors import ModelError, OptionError

_USAGE = "qfix solve ENV [--option value ...]"
_ABOUT = (
    "Optimal values and policy of an environment with a known table of transitions, computed to a certified "
    "error: FrozenLake, CliffWalking, Taxi and the worlds of qfix."
)
OPTIONS = (
    Option("gamma", "Discount of future rewards, in [0, 1].", read.number, "X", "0.99, or the world's own"),
    Option(
        "method",
        "auto, value_iteration, gauss_seidel, modified_policy_iteration, policy_iteration or linear_program.",
        read.word,
        "NAME",
        "auto",
    ),
    Option("tol", "Largest error of a value to be certified.", read.number, "X", "1e-8"),
    Option("json", "Print values, policy and certificate as one JSON document."),
    Option("help", "Show this; after ENV with its options."),
)


def run(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    words = read.split(arguments, ["json", "help"])
    env_words, own_words = split_env_words(words.options)
    if "help" in own_words:
        groups: dict[str, list[Option]] = {"Options": list(OPTIONS)}
        if words.positional:
            groups[f"Options of {words.positional[0]}"] = environment_options(words.positional[0])
        print(read.help_text(_USAGE, _ABOUT, groups))
        return 0
    if len(words.positional) != 1:
        got = f" Got {' '.join(words.positional)!r}." if words.positional else ""
        raise OptionError(f"`qfix solve` needs one environment.{got} Write `qfix solve FrozenLake-v1`.")
    own = {"gamma": None, "method": "auto", "tol": 1e-8, "json": False}
    own |= read.understand(own_words, OPTIONS, "qfix solve")
    try:
        env = words.positional[0]
        return _solve(env, with_truths(env, env_options(env_words)), own)
    except (OptionError, ModelError) as error:
        raise type(error)(read.as_typed(str(error), OPTIONS)) from error


def _solve(env_id: str, env_kwargs: dict[str, Any], own: dict[str, Any]) -> int:
    from qfix.assembly import known_model
    from qfix.mdp import FiniteMDP, solve, start_value

    made = make_typed_env(env_id, env_kwargs)
    name = made.spec.id if made.spec is not None else env_id
    # a world of qfix has a discount of its own
    world = getattr(made.unwrapped, "mdp", None)
    usual = world.gamma if isinstance(world, FiniteMDP) else 0.99
    model = known_model(made, usual if own["gamma"] is None else own["gamma"])
    if model is None:
        raise ModelError(
            f"The environment '{name}' has no table of transitions, so it cannot be solved exactly. Learn on it: "
            f"`qfix train {name}`; or solve one that has, as `qfix solve FrozenLake-v1`."
        )
    solution = solve(model, own["method"], own["tol"])
    start = start_value(model, solution.v)
    if own["json"]:
        document = {
            "env": name,
            "env_kwargs": env_kwargs,
            "gamma": model.gamma,
            "start_value": start,
            "v": solution.v.tolist(),
            "q": solution.q.tolist(),
            "policy": solution.policy.tolist(),
            "bound": solution.bound,
            "residual": solution.residual,
            "iterations": solution.iterations,
            "method": solution.method,
            "converged": solution.converged,
        }
        print(json.dumps(document))
        return 0
    _show(made, name, model, solution, start)
    return 0


def _show(made: Any, name: str, model: Any, solution: Any, start: float) -> None:
    from rich.console import Console

    from qfix.envs.layouts import layout_of
    from qfix.report.summary import caption_of
    from qfix.report.terminal_map import state_table, value_map

    console = Console(highlight=False)
    console.print(
        f"[bold]{name}[/]: {model.n_states:,} states, {model.n_actions} actions, discount {model.gamma}"
    )
    certified = f"every value within {solution.bound:.1e} of the truth"
    asked = "" if solution.converged else f", more than the {solution.tol:.1e} asked for"
    console.print(f"{certified}{asked} ({solution.method}, {solution.iterations:,} iterations)", style="dim")
    console.print(f"value at the start: [bold]{start:.6g}[/]")
    console.print()
    layout = layout_of(made)
    picture = None if layout is None else value_map(solution.q, layout, model.terminal, console.width)
    if picture is None:
        put_table(console, state_table(solution.q, solution.policy))
        return
    console.print(picture)
    console.print()
    said = "; ".join(filter(None, ("value of the best action, and which it is", caption_of(made))))
    console.print(said, style="dim")
