"""Which of several runs is better, on one score a seed; larger is better.

`compare_two` holds two against each other, `compare_all` every pair, with p-values corrected for their number m:

    Holm                 p̃_(i) = max_{j ≤ i} min(1, (m - j + 1) p_(j))      with probability 1 - α no false alarm
    Benjamini-Hochberg   p̃_(i) = min_{j ≥ i} min(1, m p_(j) / j)            on average at most α of the alarms false

for p_(1) ≤ ... ≤ p_(m). The tests are those of `qfix.stats.difference`; their real rates of false alarms are in
docs/statistics.md.

Source: Holm (1979) Scandinavian Journal of Statistics 6; Benjamini and Hochberg (1995) JRSS B 57.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from qfix.errors import option_error, unknown_name
from qfix.stats.difference import (
    COMPARED,
    Floats,
    as_scores,
    check_between,
    check_choice,
    check_paired,
    count_permutations,
    effect_size,
    has_spread,
)
from qfix.stats.estimates import ESTIMATES
from qfix.stats.improvement import Improvement, probability_of_improvement
from qfix.stats.judge import FEWEST_SEEDS, TESTS, judge
from qfix.stats.power import detectable_shift

CORRECTIONS = ("holm", "benjamini_hochberg", "none")
MOST_NAMES = 8
"""A verdict lists no more."""
FOUND_WITH = 0.8
"""Probability with which the difference named in a verdict would have been found."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two samples of scores held against each other. `print` gives the verdict."""

    a: str
    """Name of the first."""
    b: str
    """Name of the second."""
    estimate: str
    """"mean" or "iqm"."""
    paired: bool
    """Seed by seed?"""
    test: str
    """The test that gave p; "none" where there are too few seeds for any."""
    n_a: int
    """Seeds of a."""
    n_b: int
    """Seeds of b."""
    value_a: float
    """Estimate of a."""
    value_b: float
    """Estimate of b."""
    difference: float
    """a - b; of paired seeds with "iqm", the IQM of their differences."""
    low: float
    """Lower end of the interval of the difference; -inf where none can be given."""
    high: float
    """Upper end; inf where none can be given."""
    confidence: float
    """Of the interval: of all of a `compare_all` together."""
    p_value: float
    """Two-sided, of this pair by itself."""
    p_adjusted: float
    """Corrected for the number of pairs; `p_value` where there is one."""
    alpha: float
    """A difference is claimed where p_adjusted ≤ alpha."""
    effect_size: float
    """In standard deviations (`qfix.stats.difference.effect_size`); 0 without a difference, ±inf without spread."""
    improvement: Improvement
    """P(a > b) + ½ P(a = b), with its interval at 1 - alpha."""
    std_error: float
    """Of the difference; NaN where unknown."""
    df: float
    """Degrees of freedom of its t."""
    spread: bool
    """Do the scores (paired, the differences) vary from seed to seed?"""
    pairs: int = 1
    """How many pairs were compared together."""

    @property
    def shown(self) -> bool:
        """Is one of the two shown to be better?"""
        return self.p_adjusted <= self.alpha

    @property
    def better(self) -> str | None:
        """Name of the one shown to be better; None if neither is."""
        if not self.shown:
            return None
        return self.a if self.difference > 0 else self.b

    @property
    def detectable(self) -> float:
        """The true difference these seeds find with probability 0.8, if scores spread as they did here; inf if none.

        Solved from the noncentral t with the standard error and degrees of freedom seen, at alpha / pairs.
        """
        if self._hopeless or not self.std_error > 0 or min(self.n_a, self.n_b) < FEWEST_SEEDS:
            return math.inf
        return self.std_error * detectable_shift(self.df, FOUND_WITH, self.alpha / self.pairs)

    @property
    def verdict(self) -> str:
        """What may be concluded, in words."""
        first, second = (self.a, self.b) if self.difference >= 0 else (self.b, self.a)
        gap, sure = abs(self.difference), f"{1 - self.alpha:.4g}"
        ends = (self.low, self.high) if self.difference >= 0 else (-self.high, -self.low)
        between = f" [{ends[0]:.4g}, {ends[1]:.4g}]" if math.isfinite(ends[0]) else ""
        p = f"p = {self.p_adjusted:.2g}"
        told = f"{between} ({sure} interval, {p})" if between else f" ({p})"
        if self.shown:
            return f"{first} is better than {second} by {gap:.4g}{told}."
        nothing = f"No difference between {self.a} and {self.b} could be shown"
        if min(self.n_a, self.n_b) < FEWEST_SEEDS:
            return f"{nothing}: {self._counts} are too few to tell anything. Run at least {FEWEST_SEEDS} of each."
        if not self.spread and gap == 0:
            return f"{nothing}: every seed of both scored {self.value_a:.4g} ({self._counts})."
        if not self.spread:
            needed = f"at least {_fewest_without_spread(self.alpha / self.pairs, self.paired)} of each"
            seen = f"{first} scored {gap:.4g} more than {second} in every seed"
            return f"{nothing}: {seen}, but {self._counts} are too few to rule out chance. Run {needed}."
        if self._hopeless:
            return f"{nothing}, and with {self._counts} none can be ({p}, and no p is below {self._least_p:.2g})."
        ahead = f"{first} is ahead by {gap:.4g}" if gap else "they are level"
        seen = f"{nothing}: {ahead}{told}."
        if math.isinf(self.detectable):
            return seen
        would = f"A true difference of {self.detectable:.3g} would have been found with probability {FOUND_WITH:g}."
        return f"{seen} {would}"

    @property
    def _least_p(self) -> float:
        """The least p a permutation test can have."""
        # with unequal numbers no other way to deal need be as extreme
        alike = 2 if self.paired or self.n_a == self.n_b else 1
        return alike / count_permutations(self.n_a, self.n_b, self.paired)

    @property
    def _hopeless(self) -> bool:
        """Are there too few permutations for any difference to be shown?"""
        return self.test.endswith("permutation") and self._least_p > self.alpha / self.pairs

    @property
    def _counts(self) -> str:
        if self.paired:
            return _count(self.n_a, "pair") + " of seeds"
        return f"{self.n_a} and {_count(self.n_b, 'seed')}"

    def __str__(self) -> str:
        return self.verdict

    def __repr__(self) -> str:
        return f"Comparison({self.verdict})"


@dataclass(frozen=True, repr=False)
class Comparisons:
    """Every pair of several runs, and which of them may be the best. `print` gives the verdict."""

    names: tuple[str, ...]
    """Highest estimate first."""
    values: tuple[float, ...]
    """Their estimates."""
    pairs: tuple[Comparison, ...]
    """Every pair, the one with the higher estimate first."""
    correction: str
    """How p-values were corrected."""
    confidence: float
    """With Holm, the probability that no claim made here is false."""

    def pair(self, a: str, b: str) -> Comparison:
        """The comparison of two of them, in whichever order it was made."""
        for name in (a, b):
            if name not in self.names:
                raise unknown_name("run", name, self.names)
        return next(pair for pair in self.pairs if {pair.a, pair.b} == {a, b})

    @property
    def candidates(self) -> tuple[str, ...]:
        """Those not shown to be worse than any other. With Holm the best is among them as surely as told."""
        worse = {pair.b if pair.better == pair.a else pair.a for pair in self.pairs if pair.shown}
        return tuple(name for name in self.names if name not in worse)

    @property
    def best(self) -> str | None:
        """The one that all others were shown to be worse than, or worse than some other; None if more are left."""
        left = self.candidates
        return left[0] if len(left) == 1 else None

    @property
    def verdict(self) -> str:
        """What may be concluded of all, in words."""
        count, how = (
            len(self.names),
            _CORRECTED[self.correction].format(pairs=_count(len(self.pairs), "pair")),
        )
        left = self.candidates
        out = [name for name in self.names if name not in left]
        if len(left) == 1:
            return f"{left[0]} is the best of {count}: every other was shown to be worse ({how})."
        if len(left) == count:
            return f"None of {_listed(self.names)} could be shown to be better or worse than another ({how})."
        ahead = f"{left[0]} is ahead, but {_listed(left[1:])} cannot be told from it"
        return f"{ahead}; {_listed(out)} {'was' if len(out) == 1 else 'were'} shown to be worse ({how})."

    def __str__(self) -> str:
        return self.verdict

    def __repr__(self) -> str:
        return f"Comparisons({self.verdict})"


_CORRECTED = {
    "holm": "Holm's correction for {pairs}",
    "benjamini_hochberg": "false discoveries limited among {pairs}",
    "none": "{pairs}, not corrected",
}


def compare_two(
    a: ArrayLike,
    b: ArrayLike,
    paired: bool = False,
    estimate: str = "mean",
    confidence: float = 0.95,
    seed: int = 0,
    *,
    test: str = "auto",
    names: tuple[str, str] = ("a", "b"),
) -> Comparison:
    """Is one of two runs better? The difference, its interval, a p-value, an effect size, and the verdict in words.

    Unpaired, Welch's t test (of IQMs: Yuen's); paired by seed, Student's on the differences. Where these cannot be
    trusted, the permutation test has to agree (`qfix.stats.judge`). The interval holds 0 where p > 1 - confidence,
    and only there.

    Args:
        a: (n_a,) scores of the seeds of one run; larger is better.
        b: (n_b,) of the other.
        paired: the same seeds in the same order, where a seed decides something both have in common (the world, say).
        estimate: "mean" or "iqm"; paired, of the differences.
        confidence: of the interval; 1 - confidence is the rate of false alarms.
        seed: of the permutations that are drawn where there are more than 20 000.
        test: "auto", "t" alone or "permutation" alone.
        names: of the two, for the words.

    Raises:
        OptionError: a score that is not finite, pairs that do not match, or an unknown option.

    >>> print(compare_two([5.1, 6.0, 5.4, 6.2, 5.8], [4.0, 4.4, 3.6, 4.9, 4.3], names=("dyna", "sarsa")))
    dyna is better than sarsa by 1.46 [0.7807, 2.139] (0.95 interval, p = 0.0011).
    """
    owner = "compare_two"
    x, y = as_scores(owner, names[0], a), as_scores(owner, names[1], b)
    _check(owner, paired, estimate, confidence, test, x, y)
    rng = np.random.default_rng(seed)
    return _compare(x, y, names, paired, estimate, confidence, test, 1 - confidence, rng)


def compare_all(
    scores: Mapping[str, ArrayLike],
    paired: bool = False,
    estimate: str = "mean",
    confidence: float = 0.95,
    correction: str = "holm",
    seed: int = 0,
    *,
    test: str = "auto",
) -> Comparisons:
    """Every pair of several runs, corrected for how many pairs there are, and which may be the best.

    Intervals are at 1 - α/m each, so that all m together hold their differences with probability ≥ confidence. Holm's
    p-values are never larger than those that go with them, so that a claimed difference can have 0 in its interval.

    Args:
        scores: name to (n,) scores of its seeds; at least two names.
        paired, estimate, confidence, seed, test: as in `compare_two`.
        correction: "holm", "benjamini_hochberg" or "none".

    Raises:
        OptionError: as in `compare_two`, with the name of the run; fewer than two runs.

    >>> print(compare_all({"x": [1, 2, 3, 2], "y": [2, 1, 3, 3], "z": [9, 8, 9, 8]}))
    z is the best of 3: every other was shown to be worse (Holm's correction for 3 pairs).
    """
    owner = "compare_all"
    if len(scores) < 2:
        raise option_error(
            owner, "scores", "must hold at least two runs", list(scores), "Add one to compare with."
        )
    check_choice(owner, "correction", correction, CORRECTIONS)
    table = {name: as_scores(owner, name, x) for name, x in scores.items()}
    of = {
        name: float(ESTIMATES[estimate].of(x[:, None])) for name, x in table.items() if estimate in COMPARED
    }
    names = tuple(sorted(table, key=lambda name: -of.get(name, 0.0)))
    for a, b in itertools.combinations(names, 2):
        _check(owner, paired, estimate, confidence, test, table[a], table[b])
    rng = np.random.default_rng(seed)
    count = math.comb(len(names), 2)
    alone = 1 if correction == "none" else count
    each = [
        _compare(
            table[a], table[b], (a, b), paired, estimate, confidence, test, (1 - confidence) / alone, rng
        )
        for a, b in itertools.combinations(names, 2)
    ]
    adjusted = adjust([pair.p_value for pair in each], correction)
    pairs = tuple(replace(pair, p_adjusted=p, pairs=alone) for pair, p in zip(each, adjusted, strict=True))
    return Comparisons(names, tuple(of[name] for name in names), pairs, correction, confidence)


def adjust(p_values: Sequence[float], correction: str = "holm") -> list[float]:
    """p-values corrected for their number; see the head of this module.

    Args:
        p_values: (m,) in [0, 1].
        correction: "holm", "benjamini_hochberg" or "none".

    >>> [round(p, 3) for p in adjust([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    check_choice("adjust", "correction", correction, CORRECTIONS)
    p = np.asarray(p_values, dtype=np.float64)
    order, m = np.argsort(p, kind="stable"), len(p)
    rank = np.arange(1, m + 1)
    if correction == "holm":
        stepped = np.maximum.accumulate((m - rank + 1) * p[order])
    elif correction == "benjamini_hochberg":
        stepped = np.minimum.accumulate((m * p[order] / rank)[::-1])[::-1]
    else:
        stepped = p[order]
    out = np.empty(m)
    out[order] = np.minimum(stepped, 1.0)
    return out.tolist()


def _check(
    owner: str, paired: bool, estimate: str, confidence: float, test: str, a: Floats, b: Floats
) -> None:
    check_choice(owner, "estimate", estimate, COMPARED)
    check_choice(owner, "test", test, TESTS)
    check_between(owner, "confidence", confidence, 0, 1, "Use confidence=0.95.")
    if paired:
        check_paired(owner, a, b)


def _compare(
    a: Floats,
    b: Floats,
    names: tuple[str, str],
    paired: bool,
    estimate: str,
    confidence: float,
    test: str,
    each: float,
    rng: np.random.Generator,
) -> Comparison:
    """One pair, its interval at 1 - each."""
    found, said, used = judge(a, b, estimate, paired, test, each, rng)
    of = ESTIMATES[estimate].of
    return Comparison(
        *names,
        estimate=estimate,
        paired=paired,
        test=used,
        n_a=len(a),
        n_b=len(b),
        value_a=float(of(a[:, None])),
        value_b=float(of(b[:, None])),
        difference=found.value,
        low=said.low,
        high=said.high,
        confidence=confidence,
        p_value=said.p_value,
        p_adjusted=said.p_value,
        alpha=1 - confidence,
        effect_size=effect_size(a, b, paired),
        improvement=probability_of_improvement(a, b, paired, confidence),
        std_error=found.std_error,
        df=found.df,
        spread=has_spread(a, b, paired),
    )


def _fewest_without_spread(alpha: float, paired: bool) -> int:
    """Seeds from which a difference in every one of them rules out chance."""
    return next(n for n in itertools.count(FEWEST_SEEDS) if 2 / count_permutations(n, n, paired) <= alpha)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _listed(names: Sequence[str]) -> str:
    if len(names) > MOST_NAMES:
        names = [*names[: MOST_NAMES - 1], f"{len(names) - MOST_NAMES + 1} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
