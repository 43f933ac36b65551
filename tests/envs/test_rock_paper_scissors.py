"""RockPaperScissors: habits are punished, a third each is safe."""

import math

import gymnasium
import numpy as np
import pytest

from qfix.envs.rock_paper_scissors import PAYOFF, exploitability
from qfix.errors import OptionError


def play(policy, seed, rounds=100):
    env = gymnasium.make("qfix/RockPaperScissors-v0")
    env.reset(seed=seed)
    rewards = []
    for t in range(rounds):
        _, reward, terminated, truncated, _ = env.step(policy(t))
        rewards.append(reward)
    assert not terminated
    assert truncated == (rounds == 100)
    return np.array(rewards)


@pytest.mark.parametrize("action", [0, 1, 2])
def test_every_constant_policy_loses(action):
    for seed in range(10):
        assert np.all(play(lambda t: action, seed)[1:] == -1.0)


def test_a_mixed_policy_loses_its_exploitability():
    """Rounds 51 to 100 of 100 matches, when the opponent knows the mix: within 5 sigma, false alarm 6e-7."""
    rng, mix = np.random.default_rng(1), [0.6, 0.2, 0.2]
    rewards = np.concatenate([play(lambda t: int(rng.choice(3, p=mix)), seed)[50:] for seed in range(100)])
    assert exploitability(mix) == pytest.approx(0.4)
    assert rewards.mean() == pytest.approx(-0.4, abs=5 * np.sqrt(0.64 / len(rewards)))


def test_a_third_each_expects_nothing():
    """100 matches of 100 rounds, variance 2/3 a round: |mean| < 5 sigma = 0.041; false alarm 6e-7."""
    rng = np.random.default_rng(0)
    rewards = np.concatenate([play(lambda t: int(rng.integers(3)), seed) for seed in range(100)])
    assert abs(rewards.mean()) < 5 * np.sqrt(2 / 3 / len(rewards))


def test_exploitability_exact():
    assert exploitability([1 / 3, 1 / 3, 1 / 3]) == pytest.approx(0.0, abs=1e-15)
    for pure in np.eye(3):
        assert exploitability(pure) == 1.0
    assert exploitability([0.5, 0.5, 0.0]) == 0.5
    assert exploitability([0.5, 0.25, 0.25]) == 0.25
    np.testing.assert_array_equal(PAYOFF, -PAYOFF.T)


def test_the_probabilities_of_a_network_are_taken():
    """float32, which sum to 1 but for 1e-7."""
    mix = np.array([0.6, 0.3, 0.1], np.float32) * np.float32(1 + 3e-7)
    assert float(mix.sum()) != 1.0
    assert exploitability(mix) == pytest.approx(0.5, abs=1e-6)
    assert exploitability(np.full(3, 1 / 3, np.float32)) == pytest.approx(0.0, abs=1e-6)


def expected_return(mix, rounds):
    """Of a match with a policy that remembers nothing, exact: over all the moves there may have been."""
    total = 0.0
    for t in range(rounds):
        for i in range(t + 1):
            for j in range(t - i + 1):
                counts = np.array([i, j, t - i - j])
                ways = math.factorial(t) // math.prod(math.factorial(int(n)) for n in counts)
                losses = counts @ PAYOFF
                total += ways * np.prod(mix**counts) * (mix @ PAYOFF[:, losses == losses.min()].mean(axis=1))
    return total


def test_the_only_best_mix_is_a_third_each():
    """From 1/3 each to the border, in 12 directions, the expected return of 8 rounds falls all the way: so a policy
    gradient leads to 1/3, and not around it."""
    third = np.full(3, 1 / 3)
    assert expected_return(third, 8) == pytest.approx(0.0, abs=1e-12)
    for angle in np.linspace(0.0, 2 * np.pi, 12, endpoint=False):
        way = np.cos(angle + np.array([0.0, -2 * np.pi / 3, 2 * np.pi / 3]))
        way /= -3 * way.min()
        returns = [expected_return(third + share * way, 8) for share in np.linspace(0.0, 1.0, 9)]
        assert np.all(np.diff(returns) < -1e-3)


@pytest.mark.parametrize("mix", [[1.0, 1.0, 0.0], [0.5, 0.5], [1.5, -0.5, 0.0], [float("nan")] * 3])
def test_a_mix_that_is_none(mix):
    with pytest.raises(OptionError, match="'mix' parameter of exploitability"):
        exploitability(mix)


def test_misuse_is_refused():
    env = gymnasium.make("qfix/RockPaperScissors-v0").unwrapped
    env.reset(seed=0)
    with pytest.raises(OptionError, match="must be 0, 1 or 2"):
        env.step(3)
    assert env.render() is None


def test_text():
    env = gymnasium.make("qfix/RockPaperScissors-v0", render_mode="ansi")
    env.reset(seed=0)
    env.step(0)
    env.step(0)
    assert env.render().splitlines()[0] == "rock     100.0%  " + "#" * 20
    assert env.render().splitlines()[3] == "you rock, opponent paper"
