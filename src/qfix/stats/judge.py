"""Is a difference more than chance? Student's t, dealing the scores anew, or both.

Real rates of false alarms at 5 %, of two samples from one population: docs/statistics.md, and the tests.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qfix.stats.difference import (
    Answer,
    Difference,
    Floats,
    count_permutations,
    difference,
    has_spread,
    one_sample,
    scale_of,
    t_test,
    unpaired,
)

TESTS = ("auto", "t", "permutation")
MOST_PERMUTATIONS = 20_000
"""Up to here every permutation is counted; beyond, as many are drawn."""
FEWEST_SEEDS = 3
"""With fewer a t test is wrong in up to 13 % of cases for scores in two clusters; no statement is made."""
LOPSIDED = 1.5
"""From this ratio of the numbers of seeds on, Welch's t alone errs in up to 20 % for skewed or bimodal scores."""
IQM_BY_T = 8
"""From 4 to below this many seeds the t of an IQM alone errs in up to 20 % for scores in two clusters."""


def judge(
    a: Floats, b: Floats, estimate: str, paired: bool, test: str, alpha: float, rng: np.random.Generator
) -> tuple[Difference, Answer, str]:
    """(difference, what the test says, which test it was).

    "auto" takes t. Where t is not to be trusted alone (numbers of seeds in a ratio of `LOPSIDED` or more, or an IQM of
    more than 3 and fewer than `IQM_BY_T`) the permutation test has to agree: the larger p and the wider interval count.
    Where only the scores at the ends differ, an IQM has no standard error, and permutations decide alone.

    Nothing is claimed with fewer than `FEWEST_SEEDS`: p = 1, and the interval is (-inf, inf).
    """
    n, m = len(a), len(b)
    found = difference(a, b, estimate, paired)
    if min(n, m) < FEWEST_SEEDS:
        return found, Answer(1.0, -math.inf, math.inf), "none"
    hidden = found.std_error == 0 and has_spread(a, b, paired)
    if test == "permutation" or hidden:
        return found, permutation_test(a, b, estimate, paired, alpha, rng), "permutation"
    name = "paired t" if paired else "Welch's t"
    ways = count_permutations(n, m, paired)
    said = t_test(found, ways, alpha)
    doubtful = max(n, m) >= LOPSIDED * min(n, m) or (estimate == "iqm" and 3 < min(n, m) < IQM_BY_T)
    if test == "t" or not doubtful or not found.std_error:
        return found, said, name
    other = permutation_test(a, b, estimate, paired, alpha, rng)
    widest = Answer(max(said.p_value, other.p_value), min(said.low, other.low), max(said.high, other.high))
    return found, widest, f"{name} and permutation"


def permutation_test(
    a: Floats, b: Floats, estimate: str, paired: bool, alpha: float, rng: np.random.Generator
) -> Answer:
    """Is the difference 0? By what t would be had the scores been dealt to a and b otherwise.

        p = #{|t*| ≥ |t|} / N

    over all N = C(n_a + n_b, n_a) ways (2ⁿ flips of sign, paired), or, where these are more than 20 000, over that
    many drawn and the one that was seen. If a and b are exchangeable, P(p ≤ α) ≤ α for every population and n. t being
    studentised, the test also holds asymptotically for equal means of unlike populations.

    The interval is d ± q s, with q the value of |t*| that is exceeded just as rarely as the test needs; there is none
    where no p can be as low as α (fewer than 4 seeds on either side, or 6 pairs, at 5 %).

    Source: Chung and Romano (2013) Annals of Statistics 41; Phipson and Smyth (2010), for counting the one seen.
    """
    n = len(a)
    found = difference(a, b, estimate, paired)
    if math.isnan(found.std_error):
        return Answer(1.0, -math.inf, math.inf)
    ways = count_permutations(n, len(b), paired)
    scale = scale_of(a, b)
    if paired:
        signs = (
            _all_signs(n) if ways <= MOST_PERMUTATIONS else rng.choice([-1.0, 1.0], (MOST_PERMUTATIONS, n))
        )
        t = _statistic(signs * (a - b), lambda x: one_sample(x, estimate, scale))
    else:
        both = np.concatenate([a, b])
        order = _all_choices(len(both), n) if ways <= MOST_PERMUTATIONS else _deal(len(both), rng)
        t = _statistic(both[order], lambda x: unpaired(x[:, :n], x[:, n:], estimate, scale))
    seen = _absolute_t(np.float64(found.value), np.float64(found.std_error))
    if ways > MOST_PERMUTATIONS:
        t = np.append(t, seen)
    p = float(np.mean(t >= seen * (1 - 1e-9)))
    allowed = math.floor(alpha * len(t) + 1e-9)
    mirrored = 2 if ways <= MOST_PERMUTATIONS and (paired or n == len(b)) else 1
    q = np.sort(t)[::-1][allowed] * (1 + 1e-9) if allowed >= mirrored else np.inf
    half = q * found.std_error if found.std_error else (0.0 if np.isfinite(q) or p <= alpha else np.inf)
    return Answer(p, float(found.value - half), float(found.value + half))


def _statistic(x: Floats, of: Callable[[Floats], tuple[Floats, Floats, Floats]]) -> Floats:
    d, s, _ = of(x)
    return _absolute_t(d, s)


def _absolute_t(d: Floats | np.float64, s: Floats | np.float64) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.asarray(np.abs(d) / s, dtype=np.float64)
    return np.where(d == 0, 0.0, ratio)


def _all_signs(n: int) -> Floats:
    negative = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    return np.where(negative == 1, -1.0, 1.0)


def _all_choices(total: int, n: int) -> NDArray[np.int64]:
    """(C(total, n), total): the n chosen ones first."""
    chosen = np.array(list(itertools.combinations(range(total), n)))
    mask = np.ones((len(chosen), total), dtype=bool)
    np.put_along_axis(mask, chosen, False, axis=1)
    rest = np.nonzero(mask)[1].reshape(len(chosen), total - n)
    return np.concatenate([chosen, rest], axis=1)


def _deal(total: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.permuted(np.tile(np.arange(total), (MOST_PERMUTATIONS, 1)), axis=1)
