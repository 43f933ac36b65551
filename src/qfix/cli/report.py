"""`qfix report FOLDER`: a run as one self-contained page."""

from __future__ import annotations

import json

from qfix.cli import arguments as read
from qfix.cli.arguments import Option
from qfix.cli.kept import ENV, folder_named, load_run

_USAGE = "qfix report FOLDER [--option value ...]"
_ABOUT = (
    "Write report.html into the folder of a run: curves, values, policy, visits, settings and what was found so far, "
    "in one file that needs no network. It works for a run that is being trained, too."
)
OPTIONS = (
    ENV,
    Option("json", "Print the path as a JSON document."),
    Option("help", "Show this."),
)


def run(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    opened = read.opening(arguments, OPTIONS, _USAGE, _ABOUT)
    if opened is None:
        return 0
    words, own = opened
    folder = folder_named(words, "qfix report")
    from qfix.report.page import write_page

    kept = None if own["env"] is None else load_run(folder, own["env"])
    path = write_page(folder, kept)
    print(json.dumps({"report": str(path)}) if own["json"] else path)
    return 0
