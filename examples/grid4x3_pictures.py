"""How value spreads from the diamond back to the start, in four pictures.

Promise: after the first success a single cell is lit, the one beside the diamond (0.5); after 50 episodes the
glow has reached the start; after 500 the values are 0.9 to the power of the distance, and greedy moves are
shortest ways. The pictures of these very tables are written beside the numbers.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import qfix
from qfix.envs.world import make_world
from qfix.report.figures import draw_figures
from qfix.report.summary import summarise


def main(folder: Path | None = None) -> dict[str, float]:
    world = make_world("Grid4x3")
    run = qfix.train(
        "qfix/Grid4x3-v0", "q_learning", gamma=0.9, alpha=0.5, epsilon=0.5, total_steps=20_000
    )  # fmt: skip
    first, fiftieth, last = (shot.action_values.max(axis=1) for shot in run.snapshots)
    beside, start = world.state((3, 3)), world.state((1, 1))

    assert run.episodes.returns[0][0] == 1.0  # the first episode of seed 0 happens to find the diamond
    assert np.flatnonzero(first).tolist() == [beside]
    assert first[beside] == 0.5
    assert 0.0 < fiftieth[start] <= 0.9**4 + 1e-12
    live = ~run.model.terminal
    assert np.abs(last - run.solution.v)[live].max() < 1e-3
    distances = np.log(last[live]) / np.log(0.9)
    assert np.abs(distances - distances.round()).max() < 0.02

    greedy = run.snapshots[-1].action_values.argmax(axis=1)
    assert np.allclose(qfix.evaluate_policy(run.model, greedy), run.solution.v)

    paths = draw_figures(summarise(run), folder or Path(tempfile.mkdtemp()))
    print(
        f"1 episode: one lit cell, {first[beside]}; 50: start {fiftieth[start]:.3f}; 500: {last[start]:.4f}"
    )
    print("pictures:", *(path.name for path in paths))
    return {"after 1": first[beside], "after 50": fiftieth[start], "after 500": last[start]}


if __name__ == "__main__":
    main(Path("grid4x3"))
