"""Baird's star, Sutton & Barto, Section 11.2: seven states whose values are all zero, and features that can say so.

Off policy, semi-gradient TD(0) makes the weights grow without end. TDC follows the gradient of the projected Bellman
error, and does not.

Promise: after 5,000 steps the largest weight is above 10,000 with semi-gradient TD and below 10 with TDC.
"""

import numpy as np

from qfix.core import td, traces
from qfix.envs.baird import CENTRE, DASHED, SOLID, behaviour_policy, features, initial_weights, target_policy

GAMMA, STEPS, BETA = 0.99, 5_000, 0.05


def largest_weight(alpha: float, corrected: bool, seed: int) -> float:
    x, w, h = features(), initial_weights(), np.zeros(8)
    ratio = target_policy()[0] / behaviour_policy()[0]
    rng = np.random.default_rng(seed)
    state = int(rng.integers(7))
    for _ in range(STEPS):
        action = SOLID if rng.random() < behaviour_policy()[state, SOLID] else DASHED
        following = CENTRE if action == SOLID else int(rng.integers(CENTRE))
        now, then, rho = x[state], x[following], ratio[action]
        error = td.td_error(td.one_step(0.0, GAMMA, then @ w), now @ w)
        expected = h @ now
        w = w + alpha * rho * error * now
        if corrected:
            w = w + traces.gradient_correction(alpha * rho, GAMMA, expected) * then
            h = h + traces.gradient_auxiliary_step(BETA * rho, error, expected) * now
        state = following
    return float(np.abs(w).max())


def main() -> tuple[float, float]:
    seeds = range(5)
    semi = [largest_weight(0.01, False, seed) for seed in seeds]
    tdc = [largest_weight(0.005, True, seed) for seed in seeds]
    print(f"largest weight after {STEPS:,} steps, five seeds")
    print(f"semi-gradient TD from {min(semi):.1e} to {max(semi):.1e}")
    print(f"TDC              from {min(tdc):.2f} to {max(tdc):.2f}")
    assert min(semi) > 1e4
    assert max(tdc) < 10.0
    return min(semi), max(tdc)


if __name__ == "__main__":
    main()
