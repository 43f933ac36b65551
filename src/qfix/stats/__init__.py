"""What may be concluded from a few seeds. Arrays in, results out: nothing here knows of runs or environments."""

from qfix.stats.bootstrap import bootstrap
from qfix.stats.estimates import iqm, mean, median, optimality_gap
from qfix.stats.intervals import Interval, interval
from qfix.stats.tolerance import Tolerance, seeds_needed, tolerance

__all__ = [
    "Interval",
    "Tolerance",
    "bootstrap",
    "interval",
    "iqm",
    "mean",
    "median",
    "optimality_gap",
    "seeds_needed",
    "tolerance",
]
