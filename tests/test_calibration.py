"""Values held against what is earned, on worlds that can be worked out by hand."""

import gymnasium
import numpy as np
import pytest

import qfix
from qfix.calibration import calibrate
from qfix.errors import ModelError

GAMMA = 0.5


class Steps(gymnasium.Env):
    """Pays 1, 10 and 2 on three steps, and then ends, or is cut."""

    observation_space = gymnasium.spaces.Discrete(4)
    action_space = gymnasium.spaces.Discrete(2, start=5)

    def __init__(self, cut=False):
        self.cut = cut

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return 0, {"action_mask": np.array([True, False])}

    def step(self, action):
        assert action == 5
        paid = (1.0, 10.0, 2.0)[self.at]
        self.at += 1
        last = self.at == 3
        mask = np.array([not last, False])
        return self.at, paid, last and not self.cut, last and self.cut, {"action_mask": mask}


class Knowing:
    """Says 7, 9, 4 and 100 of the action that is allowed, and 1,000 of the one that is not."""

    takes_masks = True

    def reset(self):
        """Nothing is remembered."""

    def action_values(self, obs):
        return np.array([(7.0, 9.0, 4.0, 100.0)[obs], 1_000.0])

    def predict(self, obs, action_mask):
        return 5 + int(np.flatnonzero(action_mask)[0])


def same(reward):
    return reward


def test_bias_and_errors_by_hand():
    """G = 1 + 5 + 0.5 = 6.5, 10 + 1 = 11, 2; δ = 1 + 4.5 - 7, 10 + 2 - 9, 2 - 4."""
    found = calibrate(Steps(), [Knowing()], GAMMA, same, 1.0, 2, 0)
    np.testing.assert_allclose(found.mean_return, [(6.5 + 11 + 2) / 3])
    np.testing.assert_allclose(found.mean_value, [20 / 3])
    np.testing.assert_allclose(found.bias, [(0.5 - 2 + 2) / 3])
    np.testing.assert_allclose(found.td_error, [(1.5 + 3 + 2) / 3])
    assert "bias +0.1667" in repr(found)


def test_rewards_are_those_that_were_learned_from():
    """Clipped to 4 and in half units: G = 1 + 2 + 0.5, 4 + 1, 2, and the values are halves of what they say."""

    def learned(reward):
        return min(2 * reward, 8.0)

    found = calibrate(Steps(), [Knowing()], GAMMA, learned, 2.0, 1, 0)
    np.testing.assert_allclose(found.mean_return, [(3.5 + 5 + 2) / 3])
    np.testing.assert_allclose(found.mean_value, [10 / 3])


def test_a_cut_says_nothing_of_what_would_have_followed():
    """γ^3 = 1/8 of the value is beyond the cut; nothing may be allowed there, and nothing is taken from it."""
    found = calibrate(Steps(cut=True), [Knowing()], GAMMA, same, 1.0, 1, 0)
    assert np.isnan(found.bias).all()
    assert np.isfinite(found.td_error).all()
    near = calibrate(Steps(cut=True), [Knowing()], 0.2, same, 1.0, 1, 0)  # 0.2^3 = 0.008 of it
    np.testing.assert_allclose(near.bias, [7 - (1 + 2 + 0.08)])


def test_the_distance_to_the_optimum_is_over_states_in_which_something_is_decided():
    run = qfix.train("qfix/ProbeLoop-v0", "q_learning", total_steps=20, gamma=0.9, seeds=2)
    best = run.solution.q[~run.model.terminal]
    np.testing.assert_allclose(
        run.value_distance(), np.abs(run.q[:, ~run.model.terminal] - best).max(axis=(1, 2))
    )
    with pytest.raises(ModelError, match="no finite model"):
        qfix.train("MountainCar-v0", "sarsa_lambda", total_steps=20).value_distance()
    clipped = qfix.train(
        "qfix/ProbeLoop-v0", "dqn", total_steps=20, learning_starts=20, hidden=(4,), reward_clip=0.5
    )
    with pytest.raises(ModelError, match=r"clipped to 0\.5"):
        clipped.value_distance()


def test_a_network_is_told_apart_from_the_truth():
    run = qfix.train(
        "qfix/ProbeConstant-v0", "dqn", total_steps=20, learning_starts=20, hidden=(4,), reward_scale=3.0
    )
    q = run.policy().action_values(0)[0] / 3
    np.testing.assert_allclose(run.value_distance(), [abs(q - 1)], rtol=1e-6)
    np.testing.assert_allclose(run.calibration(2).bias, [q - 1], rtol=1e-6)
