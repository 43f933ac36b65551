"""A car learns to steer: the same road driven at four stages of the training, as the policy draws its actions then.

Promise: untrained, the car is off the road within 120 of the 600 steps; at the end it stays on it throughout, and earns
more than 560 of 600, for the middle of the road and a steady wheel, more than at any stage before. Of
15 other seeds the first stage lasted 16 to 20 steps, and the last earned 581 to 586, the one before it at most 424.
"""

from __future__ import annotations

import io
from pathlib import Path

import qfix
from qfix.playback import Played, play


def main(film: Path | None = None, total_steps: int = 60_000) -> Played:
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
    main(Path("lane.gif"), 100_000)
