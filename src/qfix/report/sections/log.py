"""What was noticed and what happened: alerts, and the events of the run."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from qfix.report.dossier import Dossier
from qfix.report.markup import Child, Html, details, section, table, tag
from qfix.runs.reader import Alert, Event

MOST_ALERTS, MOST_EVENTS = 100, 200
_KINDS = {
    "return_drop": "the return fell",
    "q_beyond_bound": "values beyond what any return can be",
    "q_dead": "nothing is being learned",
    "not_finite": "NaN or infinity",
    "endless_episode": "an episode does not end",
}


def findings(dossier: Dossier) -> Html:
    """The section of failures and alerts."""
    parts: list[Child] = []
    if dossier.failures:
        rows = [[str(seed), said] for seed, said in list(dossier.failures.items())[:MOST_ALERTS]]
        more = (
            f", the first {MOST_ALERTS} of {len(dossier.failures):,}"
            if len(rows) < len(dossier.failures)
            else ""
        )
        caption = f"Seeds that failed{more}"
        parts.append(table(["seed", "what ended it"], rows, caption, ["failed"] * len(rows)))
    if dossier.alerts:
        parts.append(_kinds(dossier.alerts))
        shown = dossier.alerts[:MOST_ALERTS]
        more = (
            f", the first {MOST_ALERTS} of {len(dossier.alerts):,}"
            if len(shown) < len(dossier.alerts)
            else ""
        )
        rows = [
            [f"{alert.step:,}", "all" if alert.seed is None else str(alert.seed), alert.kind, alert.message]
            for alert in shown
        ]
        every = table(["step", "seed", "kind", "message"], rows, f"Alerts{more}")
        parts.append(details(f"All alerts: {len(dossier.alerts):,}", every))
    for note in dossier.notes:
        parts.append(tag("p", note, class_="warning"))
    if not parts:
        parts.append(tag("p", "No alerts. Watched are NaN, values beyond their bound, a falling return, "
                              "values that do not move and episodes that do not end.", class_="none"))  # fmt: skip
    return section("findings", "Findings so far", *parts)


def _kinds(alerts: list[Alert]) -> Html:
    """Alerts by kind: how many, in which seeds, when first, and one of them in words."""
    found: dict[str, list[Alert]] = {}
    for alert in alerts:
        found.setdefault(alert.kind, []).append(alert)
    rows = []
    for kind, some in list(found.items())[:MOST_ALERTS]:
        seeds = {alert.seed for alert in some}
        said = f"step {some[0].step:,}: {some[0].message}"
        rows.append([_KINDS.get(kind, kind), f"{len(some):,}", f"{len(seeds):,}", said])
    head = ["alert", "times", "seeds", "the first"]
    return table(head, rows, "Alerts by kind", ["alert"] * len(rows))


def history(dossier: Dossier) -> Html:
    """The section of the events."""
    events = [event for event in dossier.events if event.kind != "checkpoint"]
    checkpoints = [event for event in dossier.events if event.kind == "checkpoint"]
    shown = events[-MOST_EVENTS:]
    rows = [[time_text(e.time), f"{e.step:,}", e.kind.replace("_", " "), e.message] for e in shown]
    more = f", the last {MOST_EVENTS} of {len(events):,}" if len(shown) < len(events) else ""
    parts: list[Child] = []
    if rows:
        parts.append(table(["time (UTC)", "step", "event", ""], rows, f"Events{more}"))
    else:
        parts.append(tag("p", "Nothing has happened yet.", class_="none"))
    if checkpoints:
        parts.append(tag("p", _checkpoints(checkpoints), class_="note"))
    return section("history", "What happened", *parts)


def _checkpoints(events: list[Event]) -> str:
    last = events[-1]
    count = "One checkpoint" if len(events) == 1 else f"{len(events):,} checkpoints, the last"
    return f"{count} at step {last.step:,}, {time_text(last.time)} UTC."


def time_text(seconds: float) -> str:
    """A time since 1970 in UTC.

    >>> time_text(0.0), time_text(float("nan"))
    ('1970-01-01 00:00:00', 'unknown')
    """
    if not math.isfinite(seconds) or not 0 <= seconds < 253_402_300_800:
        return "unknown"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
