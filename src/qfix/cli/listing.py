"""`qfix list`: what there is, a line each."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable
from pathlib import Path

from qfix.algorithms import ALGORITHMS
from qfix.cli.arguments import Option, help_text, split, understand
from qfix.envs.catalogue import CATALOGUE
from qfix.errors import OptionError, unknown_name

# Gymnasium's own to begin with; the rest of its registry works too
_GYMNASIUM = (
    ("FrozenLake", "cross the ice to the goal, slipping two times in three"),
    ("CliffWalking", "along the edge or round it: the cliff costs 100"),
    ("Taxi", "fetch a passenger and bring him to one of four stands"),
    ("Blackjack", "hit or stick against the dealer"),
    ("MountainCar", "swing up the hill, -1 a step (a network, or sarsa_lambda on tiles)"),
    ("Acrobot", "swing up two links (a network, or sarsa_lambda on tiles)"),
    ("CartPole", "balance a pole (a network; tiles need --tile-range)"),
)
_OPTIONS = (
    Option("json", "With `runs`: print them as one JSON document."),
    Option("help", "Show this."),
)


def run(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    words = split(arguments, ["help", "json"])
    given = understand(words.options, _OPTIONS, "qfix list")
    if "help" in given:
        about = (
            "List the environments and the algorithms, with a line on each; or the runs below a folder, by default "
            "those in runs/: how far they are, what they earn, and how long ago that was."
        )
        print(help_text("qfix list [environments|algorithms|runs [FOLDER]]", about, {"Options": _OPTIONS}))
        return 0
    if words.positional[:1] == ["runs"]:
        from qfix.cli.runs import list_runs

        if len(words.positional) > 2:
            raise OptionError("`qfix list runs` takes one folder. Write `qfix list runs runs/lakes`.")
        folder = Path(words.positional[1]) if len(words.positional) == 2 else None
        return list_runs(folder, "json" in given)
    parts = {"environments": _environments, "algorithms": _algorithms}
    if "json" in given:
        raise OptionError("The '--json' option goes with runs. Write `qfix list runs --json`.")
    if len(words.positional) > 1:
        raise OptionError(
            "`qfix list` takes one word. Write `qfix list environments` or `qfix list algorithms`."
        )
    for name in words.positional or parts:
        if name not in parts:
            raise unknown_name("list", name, [*parts, "runs"])
    print("\n\n".join(parts[name]() for name in words.positional or parts))
    return 0


def _environments() -> str:
    worlds = [(row.id, row.summary) for row in CATALOGUE if not row.summary.startswith("probe")]
    probes = [
        (row.id, row.summary.removeprefix("probe: ")) for row in CATALOGUE if row.summary.startswith("probe")
    ]
    return "\n\n".join(
        (
            _section(
                "Environments of Gymnasium (any other id of its registry works too)",
                _GYMNASIUM,
            ),
            _section("Worlds of qfix", worlds),
            _section("Probes: worlds of a few steps that test one thing each", probes),
        )
    )


def _algorithms() -> str:
    return _section("Algorithms", ((name, row.summary) for name, row in ALGORITHMS.items()))


def _section(title: str, rows: Iterable[tuple[str, str]]) -> str:
    rows = list(rows)
    column = max(len(name) for name, _ in rows) + 4
    width = min(110, shutil.get_terminal_size().columns)
    lines = [title]
    for name, summary in rows:
        said = textwrap.wrap(summary, max(20, width - column))
        lines.append(f"  {name:<{column - 2}}" + ("\n" + " " * column).join(said))
    return "\n".join(lines)
