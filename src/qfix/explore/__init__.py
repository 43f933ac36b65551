"""Behaviour: schedules, exploration strategies and initial values."""

from qfix.explore.schedules import (
    Constant,
    Decay,
    Exponential,
    Inverse,
    Linear,
    Piecewise,
    Polynomial,
    Schedule,
    as_schedule,
    pick_counter,
    schedule_from,
    schedule_value,
)

__all__ = [
    "Constant",
    "Decay",
    "Exponential",
    "Inverse",
    "Linear",
    "Piecewise",
    "Polynomial",
    "Schedule",
    "as_schedule",
    "pick_counter",
    "schedule_from",
    "schedule_value",
]
