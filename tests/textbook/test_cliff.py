"""The cliff: learning about what one does against learning about what would be best.

Sutton & Barto (2018), Example 6.6: ε = 0.1, α = 0.5, undiscounted.
"""

import numpy as np
import pytest

from tabular.running import config_of, flat, greedy_route, named_model, train

SEEDS = range(20)
STEPS = 60_000  # about 2,700 episodes of SARSA, 3,400 of Q-learning
EDGE, WIDTH = 2, 12  # the row above the cliff

CLIFF = named_model("CliffWalking-v1", gamma=1.0)


def learned(algorithm, alpha):
    return train(CLIFF, config_of(algorithm, gamma=1.0, alpha=alpha, epsilon=0.1), STEPS, seeds=SEEDS)


@pytest.mark.parametrize(("algorithm", "book", "margin"), [("sarsa", -25.0, 8.0), ("q_learning", -50.0, 6.0)])
def test_return_while_learning(algorithm, book, margin):
    """Mean return of episodes 300 to 499 over seeds 0..19.

    Measured: SARSA -26.9, Q-learning -50.0; standard errors 1.2 and 0.8. The margins are at least 5 standard
    errors from what was measured: a false alarm on fresh seeds has probability below 1e-6.
    """
    *_, records = learned(algorithm, 0.5)
    late = [flat(pieces)[300:500].mean() for pieces in records.returns]
    assert np.mean(late) == pytest.approx(book, abs=margin)


def test_q_learning_walks_along_the_edge_and_sarsa_keeps_away():
    """Greedy routes after 60,000 steps, seeds 0..19.

    The world is deterministic, so Q-learning's route is exact once learned: 20 of 20. SARSA at α = 0.5 is too
    restless to have a route; at 0.1, measured on 200 seeds, 192 keep away from the edge. Fewer than 16 of 20 then has
    a probability of 1e-3 on fresh seeds.
    """
    start = int(CLIFF.start.argmax())
    trainer, state, _ = learned("q_learning", 0.5)
    for i in range(len(SEEDS)):
        route = greedy_route(CLIFF, trainer.action_values(state, i), start)
        assert len(route) - 1 == 13
        assert min(s // WIDTH for s in route) == EDGE
    trainer, state, _ = learned("sarsa", 0.1)
    away = 0
    for i in range(len(SEEDS)):
        route = greedy_route(CLIFF, trainer.action_values(state, i), start)
        on_edge = [s for s in route if s // WIDTH == EDGE and 0 < s % WIDTH < WIDTH - 1]
        away += len(route) - 1 in (15, 17) and not on_edge
    assert away >= 16
