"""Taxi: eight seeds at once, on as many cores as there are.

Promise: every seed ends within 0.1 of the optimal return, and a seed is the same to the bit whether it is trained
alone or among others.
"""

import numpy as np

import qfix

OPTIONS = {"gamma": 0.99, "alpha": 1.0, "epsilon": 0.2, "total_steps": 2_000_000}


def main() -> float:
    run = qfix.train("Taxi-v4", "q_learning", seeds=8, **OPTIONS)
    gaps = run.optimality_gap()
    print(f"return by seed {run.evaluate().returns.round(2)}")
    print(f"gap to the optimum by seed {gaps.round(3)}")
    alone = qfix.train("Taxi-v4", "q_learning", seeds=[5], **OPTIONS)
    assert np.array_equal(alone.q[0], run.q[5])
    assert gaps.max() < 0.1
    return float(gaps.max())


if __name__ == "__main__":
    main()
