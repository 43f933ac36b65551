"""Proportional priorities: what both memories share of them.

    P(i) = s_i / Σ_j s_j        with  s_i = p_i^α clipped to [1e-30, 1e28]

p_i is the priority a caller gives to transition i, |td error| + ε; α = 0 is uniform. A new transition gets the largest
priority so far, 1 before any was given. Draws are stratified: with B to draw, draw b is the transition in which

    u_b = (b + bits_b / 2^32) / B · Σ_j s_j

falls when transitions lie one after another, each as wide as its s. Clipping keeps the sum of up to 2^30 of them
finite and above 0 in float32: whatever the priorities, a draw finds a transition that was written.

**Sum tree.** A level has the sums of 16 neighbours each of the level below, down to the s themselves: one node's
children fill one or two cache lines, and a million transitions need five levels. Whatever changes is summed again from
its children, so that rounding never adds up over updates.

Source: Schaul, Quan, Antonoglou & Silver (2016), Prioritized Experience Replay, section 3.3 and appendix B.2.1.
Deviations:
1. s is clipped; the paper relies on ε alone.
2. Largest priority "so far" is over all that were ever given, not over those still held, as in the paper's algorithm 1.
"""

from __future__ import annotations

from qfix.core._array import Array, namespace

FAN_OUT = 16
LEAST, MOST = 1e-30, 1e28  # of p^α


def importance_weights(probability: Array, size: Array, beta: Array) -> Array:
    """Weights that undo, in part, that some transitions are drawn more often than others.

        w_j = (size · P_j)^−β / max_k (size · P_k)^−β

    Reduces to 1 for all where β = 0 or where all are equally likely.

    Args:
        probability: (B,) P_j > 0, from `Sample`.
        size: transitions held, >= 1; a number or a scalar array.
        beta: in [0, 1]; 1 undoes all of it. A number or a scalar array.

    Returns:
        (B,) in (0, 1], the largest exactly 1.

    Source: Schaul et al. (2016), section 3.4. Deviation: the maximum is over the batch, as in their code, not over
    the memory.
    """
    xp = namespace(probability)
    least = xp.min(probability)
    # The size cancels, and with it a way for the power to overflow. It is an argument because the equation has it.
    return (least / probability) ** beta


def level_lengths(n: int) -> list[int]:
    """Lengths of the levels of a tree over `n` leaves, leaves first, each a multiple of 16 and the last 16.

    >>> level_lengths(1000)
    [1008, 64, 16]
    """
    lengths: list[int] = []
    while not lengths or n > 1:
        n = -(-n // FAN_OUT)
        lengths.append(n * FAN_OUT)
    return lengths
