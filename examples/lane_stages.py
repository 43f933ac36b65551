"""A car learns to steer: the same road driven at four stages of the training, as the policy draws its actions then.

Promise: untrained, the car is off the road within 120 of the 600 steps; at the end it stays on it throughout, and earns
more than 560 of 600, for the middle of the road and a steady wheel, more than at any stage before. Of the seeds 1 to
15 the first stage lasted 15 to 19 steps, the one before the last earned 459 to 481, and the last 595 or 596.
"""

from __future__ import annotations

import io
from pathlib import Path

import qfix
from qfix.playback import Played, play


def main(film: Path | None = None, total_steps: int = 100_000) -> Played:
    run = qfix.train("qfix/Lane-v0", "ppo", total_steps=total_steps)
    played = play(
        run, stages=4, policy="exploratory", video=film, file=io.StringIO()
    )  # a film takes a minute to draw
    for lasted, returned in zip(played.lengths, played.returns):
        print(f"on the road for {lasted / 20:4.1f} s, return {returned:.0f}")
    assert played.lengths[0] < 120
    assert played.lengths[-1] == 600
    assert 560 < played.returns[-1] == max(played.returns)
    return played


if __name__ == "__main__":
    main(Path("lane.gif"))
