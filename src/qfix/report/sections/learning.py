"""How it learned: the return of training episodes, every seed visible, and what was measured on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qfix.algorithms import names_of
from qfix.errors import counted
from qfix.report.chart import (
    Axes,
    Band,
    Key,
    Line,
    Mark,
    chart,
    drawable,
    listed,
    mean_of,
    number_text,
    span,
    thinned,
)
from qfix.report.dossier import Dossier
from qfix.report.learning_curve import WINDOW, learning_curve, smoothed, steps_text, visible_range
from qfix.report.markup import Html, section, tag
from qfix.report.sections.result import POLICIES
from qfix.runs.spec import FILMS

MOST_SEEDS = 300
"""Seeds that get a line of their own."""
_POINTS = 24_000  # in all thin lines of the learning curve; those of a small chart have a quarter
_SAME = 1e-5  # of the largest number: what differs by less is one and the same
_NARROWEST = 1e-2  # of the largest number: the height of an axis
_LATEST = "of the latest update"
_MOST_OTHERS = 12  # charts of metrics that nothing here knows


def learning(dossier: Dossier) -> Html:
    """The section of the learning curve."""
    spec, n = dossier.spec, len(dossier.spec.seeds)
    seeds = [seed for seed in spec.seeds if seed in dossier.episodes and len(dossier.episodes[seed].returns)]
    if not seeds:
        said = "No episode has ended, so there is no learning curve."
        return section("learning", "Learning", tag("p", said, class_="none"))
    each = [dossier.episodes[seed] for seed in seeds]
    returns = [np.where(drawable(e.returns), e.returns, np.nan) for e in each]
    curve = learning_curve(returns, [e.lengths for e in each], dossier.steps)
    if not np.isfinite(curve.returns).any():
        said = "No return is a finite number, so there is no learning curve."
        return section("learning", "Learning", tag("p", said, class_="none"))
    levels = {
        name: float(np.mean(list(scores.returns.values())))
        for name, scores in dossier.scores.items()
        if name in ("random", "optimal")
    }
    greedy = dossier.scores.get("greedy")
    ends = np.array([] if greedy is None else list(greedy.returns.values()))
    axes = Axes(
        (0.0, float(max(dossier.steps, 1))),
        visible_range(curve, ends, levels),
        steps_text,
        number_text,
        "steps of each seed" if n > 1 else "steps",
    )
    mean = mean_of(curve.returns)
    thick = smoothed(mean, WINDOW if len(mean) >= 3 * WINDOW else 3)
    drawn: list[Line | Band | Mark] = []
    for name, level in levels.items():
        if axes.y[0] <= level <= axes.y[1]:
            drawn.append(Line(np.array(axes.x), np.array([level, level]), f"rule {name}"))
    drawn += _lines(curve.steps, curve.returns, seeds, dossier, _POINTS)
    drawn.append(Line(curve.steps, thick, "mean", "mean, smoothed"))
    drawn += [Mark(axes.x[1], y, "dot", f"greedy policy: {number_text(y)}") for y in ends[:MOST_SEEDS]]
    thin = seed_keys(dossier, seeds) if n > 1 else [Key("seed", "mean of a stretch")]
    keys = [*thin, Key("mean", "their mean, smoothed" if n > 1 else "smoothed")]
    keys += [Key("dot", f"greedy policy{'' if n == 1 else ' of each seed'}")] if len(ends) else []
    far = []
    for name, level in levels.items():
        inside = axes.y[0] <= level <= axes.y[1]
        text = f"{POLICIES[name]} {number_text(level)}"
        if inside:
            keys.append(Key(f"rule {name}", text))
        else:
            far.append(f"{text} lies {'below' if level < axes.y[0] else 'above'}")
    unended = n - len(seeds)
    note = listed(
        [
            "of the episodes that ended in each stretch of training, exploration included",
            *far,
            f"{unended} of {n} seeds have not ended an episode" if unended else None,
            f"{MOST_SEEDS} of {len(seeds):,} seeds drawn" if len(seeds) > MOST_SEEDS else None,
        ]
    )
    last = thick[np.isfinite(thick)]
    said = (
        f"Learning curve: return of training episodes of {counted(len(seeds), 'seed')} over {dossier.steps:,} steps, "
        f"from {number_text(float(last[0]))} to {number_text(float(last[-1]))}"
    )
    figure = chart("Return of an episode while training", note, said, axes, drawn, keys, tall=True)
    return section("learning", "Learning", figure, _film(dossier))


def _film(dossier: Dossier) -> Html | None:
    """A link to the film of the training, if there is one beside the page."""
    found = next((name for name in FILMS if (dossier.folder.path / name).is_file()), None)
    if found is None:
        return None
    return tag(
        "p", "How it acted at four stages of the training: ", tag("a", found, href=found), ".", class_="note"
    )


def seed_keys(dossier: Dossier, seeds: Sequence[int]) -> list[Key]:
    """What the thin lines are, where there are several."""
    if len(seeds) < 2:
        return []
    failed = sum(seed in dossier.failures for seed in seeds)
    keys = [Key("seed", "a seed")] if failed < len(seeds) else []
    return [*keys, *([Key("seed failed", "a seed that failed")] if failed else [])]


def _lines(
    x: NDArray[np.float64], rows: NDArray[np.float64], seeds: Sequence[int], dossier: Dossier, points: int
) -> Iterator[Line]:
    """A thin line for each seed, marked where the seed failed."""
    few = np.unique(np.linspace(0, len(seeds) - 1, min(len(seeds), MOST_SEEDS)).astype(int))
    most = int(np.clip(points // len(few), 24, 200))
    thin_x, thin_rows = thinned(x, rows[few], most)
    crowd = " crowd" if len(few) > 12 else ""
    for i, row in zip(few, thin_rows):
        failed = " failed" if seeds[i] in dossier.failures else ""
        name = f"seed {seeds[i]}{', failed' if failed else ''}"
        yield Line(thin_x, row, f"seed{crowd}{failed}", name)


# What was measured


def training(dossier: Dossier) -> Html:
    """The section of the metrics, as small charts on one time axis."""
    metrics = _Metrics(dossier)
    charts = [made for make in _CHARTS if (made := make(metrics)) is not None]
    titled = {each.name for each in _SIMPLE}
    others = [name for name in dossier.metrics if name not in titled and name not in _KNOWN]
    simple = [*_SIMPLE, *(_Simple(name, name) for name in others[:_MOST_OTHERS])]
    charts += [made for each in simple if (made := metrics.simple(each)) is not None]
    same = (
        tag("p", "Unchanged: ", listed(metrics.constants), ".", class_="note") if metrics.constants else None
    )
    if not charts and same is None:
        said = f"Nothing was measured yet; metrics are taken every {dossier.spec.metrics_every:,} steps of a seed."
        return section("training", "While it learned", tag("p", said, class_="none"))
    drawn = tag("div", *charts, class_="charts") if charts else None
    return section("training", "While it learned", drawn, same)


class _Simple(NamedTuple):
    """A metric with a chart of its own."""

    name: str
    title: str
    note: str = ""
    of_networks: str = ""
    """The note where networks learned, if that is another."""
    from_zero: bool = False


class _Metrics:
    """What was measured, as arrays."""

    def __init__(self, dossier: Dossier) -> None:
        self._dossier = dossier
        self._end = float(max(dossier.steps, 1))
        self.of_networks = dossier.spec.algorithm in names_of("deep")
        self.constants: list[str] = []
        """What was asked for and has never changed, as texts."""

    def rows(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64], list[int]]:
        """Steps, values (seeds, n) and seeds; empty where nothing finite was measured."""
        series = self._dossier.metrics.get(name)
        if series is None or not drawable(series.values).any():
            return np.empty(0), np.empty((0, 0)), []
        values = np.where(drawable(series.values), series.values, np.nan)
        return series.steps.astype(np.float64), values, list(series.seeds)

    def over_seeds(self, name: str, pick: Callable[..., NDArray[np.float64]]) -> NDArray[np.float64]:
        """(n,) of the seeds' values, by fmin, fmax or the mean."""
        _, values, seeds = self.rows(name)
        if not seeds:
            return np.empty(0)
        return mean_of(values) if pick is mean_of else np.asarray(pick(values, axis=0), np.float64)

    def axes(self, y: tuple[float, float], text: Callable[[float], str] = number_text) -> Axes:
        """All charts have one time axis."""
        return Axes((0.0, self._end), y, steps_text, text)

    def seed_lines(self, name: str) -> list[Line]:
        """A thin line a seed, and the thick mean."""
        x, values, seeds = self.rows(name)
        lines = list(_lines(x, values, seeds, self._dossier, _POINTS // 4)) if len(seeds) > 1 else []
        return [*lines, Line(*self.thin(x, mean_of(values)), "mean", "mean" if len(seeds) > 1 else "")]

    def keys(self, seeds: Sequence[int]) -> list[Key]:
        """The legend of `seed_lines`."""
        return [*seed_keys(self._dossier, seeds), Key("mean", "mean")] if len(seeds) > 1 else []

    @staticmethod
    def thin(
        x: NDArray[np.float64], row: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """At most 200 points of one line."""
        steps, rows = thinned(x, row[None], 200)
        return steps, rows[0]

    def simple(self, each: _Simple) -> Html | None:
        """A chart of one metric; None where nothing was measured, or it never changed, which is noted."""
        _, values, seeds = self.rows(each.name)
        if not seeds:
            return None
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        largest = max(abs(low), abs(high))
        if high - low <= _SAME * largest and np.isfinite(values).sum() > 1:
            self.constants.append(f"{each.title} {number_text(float(f'{high:.4g}'))}")
            return None
        bottom, top = span([values, _apart(low, high, _NARROWEST * largest)], [0.0] if each.from_zero else [])
        bottom = min(0.0, low) if each.from_zero else bottom
        said = f"{each.title} over the training: at last {_last_text(mean_of(values))}"
        note = each.of_networks if each.of_networks and self.of_networks else each.note
        axes = self.axes((bottom, max(top, bottom + 1e-12)))
        return chart(each.title, note, said, axes, self.seed_lines(each.name), self.keys(seeds))


def _apart(low: float, high: float, least: float) -> tuple[float, float]:
    """Two numbers, apart by so much at least: digits at an axis would be the same."""
    room = max(0.0, least - (high - low)) / 2
    return low - room, high + room


def _last_text(row: NDArray[np.float64]) -> str:
    known = row[np.isfinite(row)]
    return number_text(float(known[-1])) if len(known) else "unknown"


def _td_error(metrics: _Metrics) -> Html | None:
    x, size, seeds = metrics.rows("td_error")
    if not seeds:
        return None
    low, high = (metrics.over_seeds(f"td_error_{q}", mean_of) for q in ("p05", "p95"))
    band = len(low) == len(x) and len(high) == len(x)
    drawn: list[Line | Band | Mark] = []
    if band:
        steps, lower = metrics.thin(x, low)
        drawn.append(Band(steps, lower, metrics.thin(x, high)[1]))
    drawn += metrics.seed_lines("td_error")
    axes = metrics.axes(span([size, low, high], [0.0]))
    said = f"Mean absolute TD error over the training: at last {_last_text(mean_of(size))}"
    keys = [Key("mean", "mean |δ|"), *([Key("band", "δ from p05 to p95")] if band else [])]
    when = "of the latest gradient step" if metrics.of_networks else "of the latest 256 updates"
    return chart("TD error", when, said, axes, drawn, keys)


def _q_range(metrics: _Metrics) -> Html | None:
    x, lowest, seeds = metrics.rows("q_min")
    _, highest, others = metrics.rows("q_max")
    if not seeds or not others or lowest.shape != highest.shape:
        return None
    low, high = metrics.over_seeds("q_min", np.fmin.reduce), metrics.over_seeds("q_max", np.fmax.reduce)
    steps, lower = metrics.thin(x, low)
    drawn: list[Line | Band | Mark] = [Band(steps, lower, metrics.thin(x, high)[1])]
    keys = [Key("band", "lowest to highest"), Key("mean", "mean")]
    bottom, top = span([low, high], [0.0])
    note = "action values" + (", all seeds" if len(seeds) > 1 else "")
    bound = metrics.over_seeds("q_bound", np.fmax.reduce)
    known = bound[np.isfinite(bound)] if len(bound) else bound
    if len(known):
        limit = float(known[-1])
        if limit <= 4 * max(-bottom, top):
            near = [x for x in (-limit, limit) if (top if x > 0 else -bottom) > limit / 4]
            bottom, top = span([[bottom, top]], near, 0.02)
            drawn += [
                Line(*metrics.thin(x, sign * bound), "bound", f"bound {number_text(sign * limit)}")
                for sign in (-1, 1)
            ]
            keys.append(Key("bound", f"±{number_text(limit)}, no return exceeds it"))
        else:
            note += f"; no return exceeds ±{number_text(limit)}, far outside"
    if metrics.rows("q_mean")[2]:
        drawn.append(
            Line(*metrics.thin(metrics.rows("q_mean")[0], metrics.over_seeds("q_mean", mean_of)), "mean")
        )
    said = f"Action values: at last from {_last_text(low)} to {_last_text(high)}"
    return chart("Range of Q", note, said, metrics.axes((bottom, top)), drawn, keys)


def _exploration(metrics: _Metrics) -> Html | None:
    x, rate, rated = metrics.rows("exploration_rate")
    _, share, shared = metrics.rows("exploratory_share")
    if not rated and not shared:
        return None
    drawn: list[Line | Band | Mark] = []
    keys = []
    if shared:
        drawn += metrics.seed_lines("exploratory_share")
        keys.append(Key("mean", "share of exploratory actions"))
    if rated:
        drawn.append(Line(*metrics.thin(x, mean_of(rate)), "bound", "scheduled rate"))
        keys.append(Key("bound", "scheduled rate"))
    top = span([rate, share], [0.0])[1]
    said = f"Share of exploratory actions: at last {_last_text(mean_of(share)) if shared else 'unknown'}"
    return chart("Exploration", "since the measurement before", said, metrics.axes((0.0, top)), drawn, keys)


def _coverage(metrics: _Metrics) -> Html | None:
    note = "share of the state-action pairs that were ever updated"
    _, values, seeds = metrics.rows("coverage")
    if not seeds:
        return None
    said = f"Coverage over the training: at last {_last_text(mean_of(values))}"
    keys = metrics.keys(seeds)
    axes = metrics.axes((0.0, 1.0), lambda share: f"{share:.0%}")
    return chart("Coverage", note, said, axes, metrics.seed_lines("coverage"), keys)


_CHARTS: tuple[Callable[[_Metrics], Html | None], ...] = (
    _td_error,
    _q_range,
    _exploration,
    _coverage,
)
_SIMPLE = (
    _Simple("entropy", "Entropy of the policy", "in nats", from_zero=True),
    _Simple("temperature", "Temperature", "worth of a nat of entropy", from_zero=True),
    _Simple("value_loss", "Squared error of the critic", _LATEST, from_zero=True),
    _Simple(
        "explained_variance",
        "Explained variance",
        "share of that of the returns, by the values before learning",
    ),
    _Simple("value_mean", "Mean value", "of the states of the latest rollout, before learning"),
    _Simple(
        "approx_kl",
        "How far the policy has moved",
        "KL from the policy of the rollout, at the end, in nats",
        "",
        True,
    ),
    _Simple(
        "clip_fraction", "Clipped ratios", "share of them beyond the bounds, latest update", from_zero=True
    ),
    _Simple(
        "first_ratio", "First ratio", "largest of new to old probability before learning; 1, or they disagree"
    ),
    _Simple("policy_loss", "Loss of the policy", _LATEST),
    _Simple("loss", "Loss", _LATEST),
    _Simple("grad_norm", "Length of the gradient", "before it was clipped, latest update", from_zero=True),
    _Simple(
        "policy_grad_norm",
        "Gradient of the policy",
        "length of its part, before it was clipped",
        from_zero=True,
    ),
    _Simple(
        "value_grad_norm",
        "Gradient of the critic",
        "length of its part, before it was clipped",
        from_zero=True,
    ),
    _Simple("gradient_steps", "Gradient steps", _LATEST, from_zero=True),
    _Simple("step_size", "Step size", "mean of the latest 256 updates", "learning rate now", True),
    _Simple("episode_length", "Length of an episode", "mean of the latest 100", from_zero=True),
)
_KNOWN = (
    "return",
    "episodes",
    "running_length",
    "q_min",
    "q_max",
    "q_mean",
    "q_std",
    "td_error",
    "td_error_p05",
    "td_error_p50",
    "td_error_p95",
    "coverage",
    "exploratory_share",
    "exploration_rate",
    "q_bound",
)
