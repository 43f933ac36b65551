"""What came out: the verdict in a sentence, every seed's return, estimates with intervals, and the baselines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from qfix.envs.catalogue import Measure
from qfix.errors import counted
from qfix.evaluation import LONGEST_EPISODE
from qfix.report.chart import SIZE, Axes, listed, number_text, percent, span, ticks
from qfix.report.dossier import Dossier, Scores
from qfix.report.markup import Html, details, joined, plain, section, table, tag
from qfix.report.tables import gap_text
from qfix.stats import interval, iqm
from qfix.stats.intervals import FEW_SEEDS, Interval

FEW_ROWS, MOST_ROWS = 5, 1_000
"""Seeds up to which the table of all points is unfolded, and that it lists at all."""

POLICIES = {
    "greedy": "greedy policy",
    "exploratory": "exploring policy",
    "training": "while training",
    "untrained": "untrained",
    "random": "random actions",
    "optimal": "optimal policy",
}
_LEARNED = ("greedy", "exploratory", "training")
_METHODS = {
    "t": "Student’s t",
    "winsorised_t": "winsorised t",
    "studentised": "bootstrap-t",
    "bca": "BCa bootstrap",
}


def main_scores(dossier: Dossier) -> tuple[str, Scores] | None:
    """What the run is judged by: its greedy policies; where they were not evaluated, what it got while training."""
    for policy in ("greedy", "training"):
        if policy in dossier.scores:
            return policy, dossier.scores[policy]
    return None


def verdict(dossier: Dossier) -> str:
    """The result in a sentence or two."""
    judged = main_scores(dossier)
    if judged is None:
        return "Nothing to judge yet: no episode has ended and no policy was evaluated."
    policy, scores = judged
    values = np.array(list(scores.returns.values()))
    n = len(values)
    who = "The greedy policy returns" if policy == "greedy" else "While training, an episode returned"
    mean = float(values.mean())
    if n == 1:
        said = f"{who} {number_text(mean)}"
    else:
        found = _interval(values, "mean")
        spread = ""
        if found is not None and np.isfinite([found.low, found.high]).all() and found.high > found.low:
            spread = f" (95 % interval {number_text(found.low)} to {number_text(found.high)})"
        said = f"{who} {number_text(mean)} on average over {n} seeds{spread}"
    alone = " One seed says little of others." if n == 1 else ""
    if dossier.measured is not None:
        return f"{_beside(*dossier.measured)} {said}{_caution(dossier, policy)}.{alone}"
    standing = _standing(dossier, policy, values)
    return f"{said}{standing}.{alone}"


def _beside(measure: Measure, values: dict[int, float]) -> str:
    """What the world tells of the policies beside their returns, as a sentence."""
    found = np.array(list(values.values()))
    mean = f"{gap_text(float(found.mean()))}" + (
        f" on average over {len(found)} seeds" if len(found) > 1 else ""
    )
    return f"The {measure.name} is {mean}: {measure.meaning}."


def _caution(dossier: Dossier, policy: str) -> str:
    """Why a return says little."""
    assert dossier.measured is not None
    return f", by which it is not to be judged: {dossier.measured[0].caution}" if policy == "greedy" else ""


def _standing(dossier: Dossier, policy: str, values: np.ndarray) -> str:
    """How that stands to the optimum and to chance."""
    n, gaps = len(values), list(dossier.gap.values())
    exact = sum(gap < 1e-9 for gap in gaps) if policy == "greedy" else 0
    if exact and exact == len(gaps):
        return " and is optimal" + (f" in all {n} seeds" if n > 1 else "")
    chance, best = _level(dossier, "random"), _level(dossier, "optimal")
    said = f", optimal in {exact} of them" if exact else ""
    if chance is None:
        return said
    mean = float(values.mean())
    told = f"random actions get {number_text(chance)}"
    if policy == "greedy" and best is not None and best > chance:
        told += f", the optimal policy {number_text(best)}"
        share = (mean - chance) / (best - chance)
        if not exact and 0 < share <= 1:
            told += f": {share:.1%} of the way" if share < 0.9995 else ": practically the optimum"
    found = _interval(values, "mean")
    low, high = (mean, mean) if found is None else (found.low, found.high)
    if high < chance:
        told += ". That is worse than chance"
    elif np.isfinite(low) and low <= chance:
        told += ". That is not told apart from chance"
    return f"{said}; {told}"


def _level(dossier: Dossier, policy: str) -> float | None:
    scores = dossier.scores.get(policy)
    return None if scores is None else float(np.mean(list(scores.returns.values())))


def result(dossier: Dossier) -> Html:
    """The section."""
    parts: list[Html | str | None] = []
    if dossier.scores:
        parts += [_strip(dossier), _estimates(dossier), *_remarks(dossier), _points(dossier)]
    else:
        parts.append(tag("p", "No policy was evaluated and no episode has ended.", class_="none"))
        parts += _remarks(dossier)
    return section("result", "Result", *parts)


def _estimates(dossier: Dossier) -> Html:
    rows, classes = [], []
    for policy, name in POLICIES.items():
        scores = dossier.scores.get(policy)
        if scores is None:
            continue
        values = np.array(list(scores.returns.values()))
        alone = policy in ("random", "optimal")
        if len(values) == 1:
            estimates = [number_text(values[0]), "", ""]
        else:
            estimates = list(_both(values, policy in _LEARNED))
        beside = [] if dossier.measured is None else [_measured_text(dossier, policy)]
        rows.append([name, "" if alone else str(len(values)), *estimates, *beside, scores.told])
        classes.append("" if policy in _LEARNED else "baseline")
    beside = [] if dossier.measured is None else [dossier.measured[0].name]
    head = ["policy", "n", "mean", "IQM", "method", *beside, "how it was found"]
    return table(head, rows, "Return of an episode, undiscounted", classes, tight=True)


def _measured_text(dossier: Dossier, policy: str) -> str:
    """What the world tells of a row's policy, mean over seeds; of the learned one alone."""
    if dossier.measured is None or policy != "greedy":
        return ""
    return gap_text(float(np.mean(list(dossier.measured[1].values()))))


def _both(values: np.ndarray, learned: bool) -> Iterator[Html | str]:
    """Mean, IQM and how their intervals were made; a baseline without spread needs none."""
    if not learned and len(set(values.tolist())) == 1:
        yield from (number_text(values[0]), number_text(values[0]), "")
        return
    of_mean, of_iqm = _interval(values, "mean"), _interval(values, "iqm")
    yield _with_limits(float(values.mean()), of_mean)
    yield _with_limits(iqm(values), of_iqm)
    methods = dict.fromkeys(
        _METHODS.get(each.method, each.method) for each in (of_mean, of_iqm) if each is not None
    )
    yield " and ".join(methods)


def _with_limits(value: float, found: Interval | None) -> Html:
    limits = None
    if found is not None and np.isfinite([found.low, found.high]).all():
        limits = tag("span", f"{number_text(found.low)} to {number_text(found.high)}", class_="limits")
    return joined([tag("span", number_text(value), class_="value"), limits], " ")


def _interval(values: np.ndarray, estimate: str) -> Interval | None:
    """The interval by the method that suits; None for one seed, which shows no spread."""
    return _intervals(tuple(values.tolist()), estimate) if len(values) > 1 else None


@lru_cache(maxsize=32)  # picture, table and sentence ask for the same ones, and they are resampled
def _intervals(values: tuple[float, ...], estimate: str) -> Interval:
    return interval(values, estimate)


def _remarks(dossier: Dossier) -> Iterator[Html]:
    """Notes that belong under the table."""
    spec, n = dossier.spec, len(dossier.spec.seeds)
    failed = len(dossier.failures)
    told = [
        tag(
            "b",
            f"{failed} of {n} seeds failed" if failed else f"No failures among {n} seeds" if n > 1 else "",
        )
    ]
    if failed:
        told.append(
            Html(" and count with what they had learned until then." if "greedy" in dossier.scores else ".")
        )
    elif n > 1:
        told.append(Html("."))
    lines: list[Html] = [joined(told)] if failed or n > 1 else []
    judged = main_scores(dossier)
    if judged is not None and len(judged[1].returns) > 1:
        found = _interval(np.array(list(judged[1].returns.values())), "iqm")
        lines.append(
            tag(
                "span",
                "Intervals: 95 % confidence, over the seeds. IQM: the mean of the middle half of them.",
            )
        )
        if found is not None and found.note:
            lines.append(tag("span", found.note, class_="warning"))
    elif n == 1:
        lines.append(
            tag(
                "span",
                f"One seed shows no spread, so there is no interval: run at least 3, better {FEW_SEEDS}.",
                class_="warning",
            )
        )
    for policy in ("greedy", "exploratory"):
        scores = dossier.scores.get(policy)
        if scores is None:
            continue
        if scores.absent:
            lines.append(
                tag("span", f"{POLICIES[policy]}: {scores.absent} of {n} seeds have no finite return.")
            )
        if scores.step < dossier.steps:
            when = f"{POLICIES[policy]}: evaluated at step {scores.step:,}, before what is recorded since."
            lines.append(tag("span", when))
    if "greedy" not in dossier.scores:
        ask = (tag("code", "qfix evaluate"), " does that.")
        lines.append(tag("span", "The greedy policy was not evaluated: ", *ask))
    model = None if dossier.run is None else dossier.run.model
    if model is not None and model.max_episode_steps is None and "greedy" in dossier.scores:
        lines.append(tag("span", f"Episodes of an evaluation are cut at {LONGEST_EPISODE:,} steps."))
    if dossier.gap:
        gamma = spec.config.get("gamma")
        lines.append(
            tag(
                "span",
                f"Gap: to the optimum, exact: J* − J, discounted by γ = {gamma}, by solving the model.",
            )
        )
    yield tag("ul", *(tag("li", line) for line in lines), class_="remarks")


def _points(dossier: Dossier) -> Html:
    """Every seed in a table."""
    seeds = dossier.spec.seeds
    shown = seeds[:MOST_ROWS]
    columns = [p for p in _LEARNED if p in dossier.scores and len(dossier.scores[p].returns)]
    head = ["seed", *(POLICIES[p] for p in columns)]
    head += ["gap"] if dossier.gap else []
    head += [] if dossier.measured is None else [dossier.measured[0].name]
    head += ["episodes", "steps", "state"]
    steps = _steps_of_seeds(dossier)
    rows, classes = [], []
    for seed in shown:
        cells: list[str] = [str(seed)]
        for policy in columns:
            value = dossier.scores[policy].returns.get(seed)
            cells.append("–" if value is None else number_text(value))
        if dossier.gap:
            cells.append(gap_text(dossier.gap.get(seed, np.nan)))
        if dossier.measured is not None:
            cells.append(gap_text(dossier.measured[1][seed]))
        each = dossier.episodes.get(seed)
        cells += [f"{0 if each is None else len(each.returns):,}", f"{steps[seed]:,}"]
        failure = dossier.failures.get(seed)
        rows.append([*cells, "ok" if failure is None else f"failed: {plain(failure, 120)}"])
        classes.append("" if failure is None else "failed")
    more = "" if len(shown) == len(seeds) else f"; the first {len(shown):,} of {len(seeds):,}"
    made = table(head, rows, f"Seed by seed{more}", classes)
    name = f"All points: {len(seeds):,} seeds" if len(seeds) > 1 else "The seed by itself"
    return details(name, made, open_=len(seeds) <= FEW_ROWS)


def _steps_of_seeds(dossier: Dossier) -> dict[int, int]:
    """Steps that each seed is known to have made; of one that failed, up to its last measurement or episode."""
    last = dict.fromkeys(dossier.spec.seeds, 0)
    for series in dossier.metrics.values():
        known = np.isfinite(series.values)
        ends = np.where(known.any(axis=1), len(series.steps) - 1 - known[:, ::-1].argmax(axis=1), -1)
        for seed, end in zip(series.seeds, ends.tolist()):
            if end >= 0:
                last[seed] = max(last.get(seed, 0), int(series.steps[end]))
    for seed, each in dossier.episodes.items():
        if len(each.ends):
            last[seed] = max(last.get(seed, 0), int(each.ends[-1]))
    kept = dossier.folder.steps
    return {seed: n if seed in dossier.failures else max(n, kept) for seed, n in last.items()}


# Every seed on a line


def _strip(dossier: Dossier) -> Html:
    """Dots for the seeds, a bar for the interval, and lines for what to hold them against, on one scale."""
    main = ("greedy", "training", "untrained")
    shown: list[str] = [p for p in main if p in dossier.scores] or list(dossier.scores)
    rows = [(p, dossier.scores[p]) for p in shown]
    values = [list(scores.returns.values()) for _, scores in rows[:2]]
    low, high = span(values, margin=0.0)
    reach = 1.5 * ((high - low) or abs(high) or 1.0)
    levels = {p: level for p in ("random", "optimal") if (level := _level(dossier, p)) is not None}
    near = [level for p, level in levels.items() if p == "optimal" or low - reach <= level <= high + reach]
    for _, scores in rows[:2]:
        found = _interval(np.array(list(scores.returns.values())), "iqm")
        ends = [] if found is None else [found.low, found.high]
        near += [x for x in ends if low - reach <= x <= high + reach]
    low, high = span(values, near)
    axes = Axes((low, high), (0.0, 1.0), number_text, number_text)
    rows = [(p, scores) for p, scores in rows if _within(scores, low, high)]
    lines = [_row(axes, dossier, policy, scores, levels) for policy, scores in rows]
    numbers = [
        tag(
            "span",
            number_text(x),
            class_="odd" if i % 2 else None,
            style=f"left:{percent(x, low, high)}",
        )
        for i, x in enumerate(ticks(low, high, 5))
    ]
    lines.append(
        tag("div", tag("span", class_="who"), tag("div", *numbers, class_="scale"), aria_hidden="true")
    )
    keys = [
        tag("li", tag("i", class_=f"rule {p}"), f"{POLICIES[p]} {number_text(level)}")
        for p, level in levels.items()
    ]
    far = [p for p, level in levels.items() if not low <= level <= high]
    note = listed(
        [
            "each dot a seed",
            "bar: 95 % interval of the IQM" if any(len(v) > 1 for v in values) else None,
            f"not shown, too far away: {', '.join(POLICIES[p] for p in far)}" if far else None,
        ]
    )
    caption = tag("figcaption", tag("b", "Return of an episode"), tag("span", note, class_="note"))
    return tag("figure", caption, tag("ul", *keys, class_="legend") if keys else None, *lines, class_="strip")


def _row(axes: Axes, dossier: Dossier, policy: str, scores: Scores, levels: dict[str, float]) -> Html:
    low, high = axes.x
    inside = _within(scores, low, high)
    outside = len(scores.returns) - len(inside)
    few = np.unique(np.linspace(0, len(inside) - 1, min(len(inside), MOST_ROWS)).astype(int))
    inside = [inside[i] for i in few]
    shapes = []
    for name, level in levels.items():
        if low <= level <= high:
            x = axes.place(level, 0)[0]
            shapes.append(tag("path", d=f"M{x} 0V{SIZE}", class_=f"rule {name}"))
    found = _interval(np.array(list(scores.returns.values())), "iqm")
    if found is not None and np.isfinite([found.low, found.high]).all():
        a, b = axes.place([found.low, found.high], [0, 0])[:, 0]
        shapes.append(tag("path", d=f"M{a} {SIZE // 2}H{b}", class_="interval"))
    for (seed, value), y in zip(inside, _swarm([x for _, x in inside], high - low)):
        x = axes.place(value, 0)[0]
        failed = " failed" if seed in dossier.failures else ""
        name = tag("title", f"seed {seed}: {number_text(value)}{', failed' if failed else ''}")
        shapes.append(tag("path", name, d=f"M{x} {y}h0", class_=f"dot{failed}"))
    every = list(scores.returns.values())
    ends = f"from {number_text(min(every))} to {number_text(max(every))}"
    said = f"{POLICIES[policy]}: {counted(len(every), 'seed')} {ends}"
    drawing = tag(
        "svg", *shapes, viewBox=f"0 0 {SIZE} {SIZE}", preserveAspectRatio="none", role="img", aria_label=said
    )
    who = POLICIES[policy] + (f" ({outside} outside)" if outside else "")
    return tag("div", tag("span", who, class_="who"), drawing)


def _within(scores: Scores, low: float, high: float) -> list[tuple[int, float]]:
    return [(seed, x) for seed, x in scores.returns.items() if low <= x <= high]


def _swarm(values: Sequence[float], width: float) -> list[int]:
    """Heights that keep dots of nearly the same value apart, about the middle."""
    places: dict[int, int] = {}
    heights = []
    for value in values:
        box = round(80 * (value / width))
        nth = places.get(box, 0)
        places[box] = nth + 1
        away = (nth + 1) // 2 * (1 if nth % 2 else -1)
        heights.append(int(np.clip(SIZE // 2 + 130 * away, 60, SIZE - 60)))
    return heights
