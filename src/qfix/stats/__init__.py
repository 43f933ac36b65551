"""What may be concluded from a few seeds. Arrays in, results out: nothing here knows of runs or environments."""

from qfix.stats import sequential
from qfix.stats.bootstrap import bootstrap
from qfix.stats.comparison import Comparison, Comparisons, compare_all, compare_two
from qfix.stats.curves import (
    CurveSummary,
    StepsToThreshold,
    area_under_curve,
    steps_to_threshold,
    summarise_curves,
)
from qfix.stats.estimates import iqm, mean, median, optimality_gap
from qfix.stats.improvement import Improvement, probability_of_improvement
from qfix.stats.intervals import Interval, interval
from qfix.stats.power import detectable_difference, power, required_seeds
from qfix.stats.tolerance import Tolerance, seeds_needed, tolerance

__all__ = [
    "Comparison",
    "Comparisons",
    "CurveSummary",
    "Improvement",
    "Interval",
    "StepsToThreshold",
    "Tolerance",
    "area_under_curve",
    "bootstrap",
    "compare_all",
    "compare_two",
    "detectable_difference",
    "interval",
    "iqm",
    "mean",
    "median",
    "optimality_gap",
    "power",
    "probability_of_improvement",
    "required_seeds",
    "seeds_needed",
    "sequential",
    "steps_to_threshold",
    "summarise_curves",
    "tolerance",
]
