"""Planning: what was seen once is enough. Sutton & Barto (2018), Example 8.1: ε = α = 0.1, γ = 0.95."""

import numpy as np
import pytest

from tabular.running import config_of, flat, named_model, train

SEEDS = range(30)


def episode_lengths(planning_steps, total_steps, episodes):
    """Steps of each of the first episodes, averaged over the seeds."""
    config = config_of("dyna_q", gamma=0.95, alpha=0.1, epsilon=0.1, planning_steps=planning_steps)
    *_, records = train(named_model("DynaMaze"), config, total_steps, seeds=SEEDS)
    return np.array([flat(pieces)[:episodes] for pieces in records.lengths]).mean(axis=0)


def test_fifty_planning_steps_solve_the_maze_in_a_few_episodes():
    """14 steps are the shortest way, ε-greedy walks about 16. Figure 8.2: episode 3 with 50 planning steps, about
    10 with 5, about 25 without.

    Measured over seeds 0..29: with 50, episodes 3 to 5 take 18 steps; with 5, 57 down to 22; without, over 270
    up to the sixth and below 20 from the thirtieth on. Thresholds are a factor of 1.5 away; the standard error of
    the means is below 10 %, so a false alarm has probability below 1e-5.
    """
    fifty, five, none = (
        episode_lengths(50, 6_000, 20),
        episode_lengths(5, 15_000, 20),
        episode_lengths(0, 40_000, 50),
    )
    assert fifty[2:5].mean() < 27
    assert 27 < five[2:4].mean() < 90
    assert five[9:20].mean() < 27
    assert none[2:6].mean() > 150
    assert none[40:].mean() < 27


def test_prioritized_sweeping_solves_it_too():
    """Section 8.4. Measured over seeds 0..29 with 5 updates a step: 16 to 18 steps from the third episode on."""
    config = config_of(
        "prioritized_sweeping", gamma=0.95, alpha=0.9, epsilon=0.1, planning_steps=5, theta=1e-4
    )
    *_, records = train(named_model("DynaMaze"), config, 6_000, seeds=SEEDS)
    lengths = np.array([flat(pieces)[:10] for pieces in records.lengths]).mean(axis=0)
    assert lengths[2:].mean() == pytest.approx(17, abs=4)
