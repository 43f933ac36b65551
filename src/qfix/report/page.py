"""report.html: a run in one file, to be read anywhere and for ever, without a network and without a script.

What is in the folder is a stranger's text and reaches the page escaped (`qfix.report.markup`). Beside that the page
forbids itself everything but its own styles and pictures, so that a mistake here would still load and execute nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from qfix.report.chart import listed
from qfix.report.dossier import Dossier, gather
from qfix.report.markup import Html, joined, plain, tag
from qfix.report.sections.learning import learning, training
from qfix.report.sections.log import findings, history
from qfix.report.sections.maps import values, visits
from qfix.report.sections.result import result, verdict
from qfix.report.sections.settings import reproduce, settings
from qfix.report.summary import run_title
from qfix.report.theme import style_sheet
from qfix.run import Run
from qfix.runs.files import write_atomically

REPORT = "report.html"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_STATUS = {
    "running": "is being trained",
    "finished": "finished",
    "interrupted": "interrupted",
    "failed": "failed",
    "killed": "was killed",
}


def write_page(folder: str | Path, run: Run | None = None) -> Path:
    """Write report.html into a run's folder, whole or not at all.

    Args:
        folder: of the run; it may be a stranger's, damaged in its checkpoints, or still being written.
        run: the run, if it is at hand. Needed for values and policy where the environment was passed as an object,
            which cannot be made from the folder.

    Returns:
        Its path.

    Raises:
        FolderError: there is no run in the folder, its record is damaged, or it cannot be written.
    """
    path = Path(folder) / REPORT
    write_atomically(path, page(gather(folder, run)).encode())
    return path


def page(dossier: Dossier) -> str:
    """The page."""
    spec = dossier.spec
    title = plain(run_title(spec), 300)
    sections = [
        result(dossier),
        learning(dossier),
        values(dossier),
        visits(dossier),
        training(dossier),
        findings(dossier),
        settings(dossier),
        reproduce(dossier),
        history(dossier),
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="robots", content="noindex"),
        tag("title", title),
        tag("style", Html(_style())),
    )
    body = tag("body", _header(dossier, title), tag("main", *sections), _footer(dossier))
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _style() -> str:
    return resources.files("qfix.report").joinpath("page.css").read_text(encoding="utf-8") + style_sheet()


def _header(dossier: Dossier, title: str) -> Html:
    spec, n = dossier.spec, len(dossier.spec.seeds)
    state = tag("span", _STATUS[dossier.status], class_=f"status {dossier.status}")
    facts = [
        f"{n:,} seeds" if n > 1 else "1 seed",
        tag("b", f"{len(dossier.failures)} of {n} failed") if dossier.failures else None,
        _budget(dossier),
        f"{sum(len(each.ends) for each in dossier.episodes.values()):,} episodes",
        spec.driver,
        _time(dossier),
    ]
    bar = tag(
        "div", tag("i", style=f"width:{100 * dossier.progress:.1f}%"), class_="progress", aria_hidden="true"
    )
    return tag(
        "header",
        tag("h1", title),
        tag("p", verdict(dossier), class_="verdict"),
        tag("p", state, " ", listed(facts), class_="facts"),
        bar if dossier.status != "finished" else None,
    )


def _budget(dossier: Dossier) -> str:
    total, n = dossier.spec.total_steps, len(dossier.spec.seeds)
    each = " each" if n > 1 else ""
    if dossier.steps >= total:
        return f"{total:,} steps{each}"
    return f"{dossier.steps:,} of {total:,} steps{each} ({dossier.progress:.0%})"


def _time(dossier: Dossier) -> str:
    if dossier.run is None or dossier.run.seconds <= 0:
        return ""
    seconds = dossier.run.seconds
    return f"{seconds:,.1f} s, compiling included" if seconds >= 1 else f"{seconds:.2g} s, compiling included"


def _footer(dossier: Dossier) -> Html:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    version = dossier.spec.versions.get("qfix", "")
    moving = " The run goes on; write the report again to see more." if dossier.status == "running" else ""
    said = joined(
        [
            f"Written {now} from ",
            tag("code", str(dossier.folder.path)),
            f", trained by qfix {version}.",
            moving,
        ]
    )
    return tag("footer", tag("p", said))
