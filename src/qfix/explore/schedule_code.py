"""A schedule as a row of numbers, and its equations for whoever holds only the row.

Each equation stands once, in `schedule_value`, which is made of operators alone: the schedules themselves
call it, and a compiler takes it as it is (`numba.njit(schedule_value)`). The row is float64:

    index     0     1   2   3   4   5   6   7 .. 6+K      7+K .. 7+2K
    content   kind  by  p0  p1  p2  p3  K   K boundaries  K+1 values

    (the row ends at index 6, with K = 0, unless it is a Piecewise)

    kind 0  Constant     p0 value
    kind 1  Linear       p0 start, p1 end,   p2 duration
    kind 2  Exponential  p0 start, p1 end,   p2 duration, p3 end/start
    kind 3  Decay        p0 start, p1 rate,  p2 end
    kind 4  Inverse      p0 start, p1 scale, p2 end
    kind 5  Polynomial   p0 start, p1 power, p2 offset,   p3 end
    kind 6  Piecewise

    by 0 step, 1 episode, 2 visit, 3 step_in_episode
"""

from __future__ import annotations

CONSTANT = 0
LINEAR = 1
EXPONENTIAL = 2
DECAY = 3
INVERSE = 4
POLYNOMIAL = 5
PIECEWISE = 6

BY_STEP = 0
BY_EPISODE = 1
BY_VISIT = 2
BY_STEP_IN_EPISODE = 3


def schedule_value(code, n):
    """The value of an encoded schedule at counter n; operators alone, so `numba.njit` compiles it unchanged.

        Constant     p0
        Linear       p0 + (p1 − p0) · n / p2         for n < p2, then p1
        Exponential  p0 · p3 ** (n / p2)             for n < p2, then p1
        Decay        max(p2, p0 · p1 ** n)
        Inverse      max(p2, p0 · p1 / (p1 + n))
        Polynomial   max(p3, p0 / (n + p2) ** p1)
        Piecewise    value k, where k counts the boundaries ≤ n

    Args:
        code: float64 row as in the module's docstring; not checked.
        n: counter, ≥ 0; not checked.

    Returns:
        The value. Compiled and plain Python agree to the bit, within 1 ulp where the equation has a power.
    """
    kind = code[0]
    if kind == CONSTANT:
        return code[2]
    if kind == LINEAR:
        if n >= code[4]:
            return code[3]
        return code[2] + (code[3] - code[2]) * (n / code[4])
    if kind == EXPONENTIAL:
        if n >= code[4]:
            return code[3]
        return code[2] * code[5] ** (n / code[4])
    if kind == DECAY:
        # As a float: compilers treat an integer power by another algorithm, with other roundings.
        value = code[2] * code[3] ** (n + 0.0)
        return value if value > code[4] else code[4]
    if kind == INVERSE:
        value = code[2] * (code[3] / (code[3] + n))
        return value if value > code[4] else code[4]
    if kind == POLYNOMIAL:
        value = code[2] / (n + code[4]) ** code[3]
        return value if value > code[5] else code[5]
    pieces = int(code[6])
    k = 0
    while k < pieces and n >= code[7 + k]:
        k += 1
    return code[7 + pieces + k]


def pick_counter(code, step, episode, visit, step_in_episode):
    """The counter that drives an encoded schedule; operators alone, like `schedule_value`.

    Args:
        code: float64 row as in the module's docstring.
        step: environment steps taken so far.
        episode: episodes finished so far.
        visit: earlier visits of this state (exploration) or state-action pair (step size).
        step_in_episode: steps taken so far in this episode.
    """
    by = code[1]
    if by == BY_STEP:
        return step
    if by == BY_VISIT:
        return visit
    if by == BY_EPISODE:
        return episode
    return step_in_episode
