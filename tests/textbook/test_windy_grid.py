"""SARSA in the wind. Sutton & Barto (2018), Example 6.5: ε = 0.1, α = 0.5, undiscounted, 8,000 steps."""

import numpy as np

from tabular.running import config_of, flat, greedy_route, named_model, train

SEEDS = range(20)
GRID = named_model("WindyGrid")


def test_episodes_come_faster_as_sarsa_learns():
    """The book's curve passes 8,000 steps at about 170 episodes, at the end about 17 steps each for the best.

    Measured over seeds 0..19: 157 episodes (145 to 174), the last 20 of them 23 steps long. Standard errors 2
    and 1; thresholds 10 of them away.
    """
    *_, records = train(GRID, config_of("sarsa", gamma=1.0, alpha=0.5, epsilon=0.1), 8_000, seeds=SEEDS)
    lengths = [flat(pieces) for pieces in records.lengths]
    assert 130 < np.mean([len(x) for x in lengths]) < 180
    assert np.mean([x[:10].mean() for x in lengths]) > 100
    assert np.mean([x[-20:].mean() for x in lengths]) < 35


def test_fifteen_steps_at_best():
    """Q-learning's greedy route after 30,000 steps; deterministic, so exact once learned: 20 of 20 seeds."""
    trainer, state, _ = train(
        GRID, config_of("q_learning", gamma=1.0, alpha=0.5, epsilon=0.1), 30_000, seeds=SEEDS
    )
    start = int(GRID.start.argmax())
    routes = [len(greedy_route(GRID, trainer.action_values(state, i), start)) - 1 for i in range(len(SEEDS))]
    assert routes == [15] * len(SEEDS)
