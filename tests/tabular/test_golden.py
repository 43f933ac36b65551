"""Numbers worked by hand: what one learner makes of a few transitions chosen for it."""

import numpy as np
import pytest

from qfix.envs.world import make_world
from qfix.tabular import kernel as loops
from qfix.tabular._compile import kernel
from tabular.running import config_of, named_model, trainer_on

NORTH, EAST, SOUTH, WEST = range(4)


class Hand:
    """A live learner that is led by the hand: the action it believes to have taken is set beforehand."""

    def __init__(self, algorithm, **options):
        self.world = make_world("Grid4x3")
        config = config_of(algorithm, gamma=0.9, alpha=0.5, epsilon=0.0, **options)
        self.trainer = trainer_on(named_model("Grid4x3"), config, driver="live")
        self.state = self.trainer.start()
        label = f"{algorithm}_dense"
        self.observe = kernel(loops.observe_live, label)

    def q(self, cell, action):
        return float(self.trainer.action_values(self.state)[self.world.state(cell), action])

    def start(self, cell):
        self.observe(self.state.agents[0], True, self.world.state(cell), 0.0, False, False)

    def go(self, action, cell, reward=0.0, terminated=False, truncated=False):
        """From where it is, `action` leads to `cell`."""
        agent = self.state.agents[0]
        agent.registers.counts[2] = action
        answer = self.observe(agent, False, self.world.state(cell), float(reward), terminated, truncated)
        assert answer >= 0

    def visit_diamond(self):
        self.start((3, 3))
        self.go(EAST, (4, 3), 1.0, terminated=True)


def test_grid4x3_by_hand():
    """α = 1/2, γ = 0.9: 0 → 0.5 → 0.75 → 0.875; and one step back, 0.5 · 0.9 · 0.5 = 0.225."""
    hand = Hand("q_learning")
    seen = []
    for _ in range(3):
        hand.visit_diamond()
        seen.append(hand.q((3, 3), EAST))
    assert seen == [0.5, 0.75, 0.875]
    hand = Hand("q_learning")
    hand.visit_diamond()
    hand.start((3, 2))
    hand.go(NORTH, (3, 3))
    assert hand.q((3, 2), NORTH) == 0.225
    lit = hand.trainer.action_values(hand.state) != 0.0
    assert lit.sum() == 2, "nothing else was touched"


def approach_the_diamond(hand):
    """(1,3) → (2,3) → (3,3) → diamond, once."""
    hand.start((1, 3))
    hand.go(EAST, (2, 3))
    hand.go(EAST, (3, 3))
    hand.go(EAST, (4, 3), 1.0, terminated=True)
    return [hand.q((column, 3), EAST) for column in (1, 2, 3)]


@pytest.mark.parametrize(
    ("algorithm", "options", "values"),
    [
        ("q_learning", {}, [0.0, 0.0, 0.5]),
        ("monte_carlo", {}, [0.405, 0.45, 0.5]),  # α γ², α γ, α
        ("n_step_sarsa", {"n": 2}, [0.0, 0.45, 0.5]),
        ("n_step_tree_backup", {"n": 2}, [0.0, 0.45 / 4, 0.5]),  # at the next state four actions tie: π = 1/4
        ("sarsa_lambda", {"lambda_": 0.8}, [0.2592, 0.36, 0.5]),  # α (γλ)², α γλ, α
        ("watkins_q_lambda", {"lambda_": 0.8}, [0.2592, 0.36, 0.5]),  # what ties with the best is greedy
        ("prioritized_sweeping", {"planning_steps": 5}, [0.10125, 0.225, 0.5]),  # α (α γ)², α² γ, α
    ],
)
def test_one_success_reaches_as_far_back_as_the_learner_sees(algorithm, options, values):
    np.testing.assert_allclose(approach_the_diamond(Hand(algorithm, **options)), values, rtol=0, atol=1e-15)


def test_a_truncated_step_is_worth_what_follows_it():
    """After one visit of the diamond, a step into (3,3) that is cut off there learns α γ · 0.5 all the same."""
    hand = Hand("q_learning")
    hand.visit_diamond()
    hand.start((3, 2))
    hand.go(NORTH, (3, 3), truncated=True)
    assert hand.q((3, 2), NORTH) == 0.225
    hand.start((3, 2))
    hand.go(NORTH, (3, 3), terminated=True, truncated=True)
    assert hand.q((3, 2), NORTH) == 0.1125, "what is terminated has no value, truncated or not"
