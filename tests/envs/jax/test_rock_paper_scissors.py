"""RockPaperScissors in JAX plays as the Gymnasium environment does: the same answers, ties as often each way."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from qfix.envs.jax.rock_paper_scissors import MatchState, RockPaperScissors
from qfix.envs.rock_paper_scissors import PAYOFF

GAME = RockPaperScissors()
COUNTS = [(i, j, k) for i in range(5) for j in range(5) for k in range(5)]


def test_the_rewards_of_every_memory_are_gymnasiums():
    """Every memory of up to four of each move, each action: 64 rounds show the same rewards in both. With ties of at
    most three, one reward is missed with probability below 3 (2/3)^64 = 2e-11. One seed."""
    env = gymnasium.make("qfix/RockPaperScissors-v0").unwrapped
    env.reset(seed=0)
    keys = jax.random.split(jax.random.key(0), 64)
    play = jax.jit(jax.vmap(GAME.step, (None, None, 0)))
    for counts in COUNTS:
        state = MatchState(jnp.array(counts, jnp.int32))
        for action in range(3):
            step = play(state, action, keys)
            theirs = set()
            for _ in keys:
                env.counts = np.array(counts)
                theirs.add(env.step(action)[1])
                np.testing.assert_array_equal(step.state.counts[0], env.counts)
            assert set(np.asarray(step.reward).tolist()) == theirs
            assert not np.asarray(step.terminated | step.truncated).any()


def test_ties_are_broken_evenly():
    """Chi-square: 6,000 answers to nothing (three ways) and to two rocks and scissors (two), at 1e-6."""
    keys = jax.random.split(jax.random.key(1), 6_000)
    for counts, action, rewards in (
        ((0, 0, 0), 0, (-1, 0, 1)),
        ((2, 1, 0), 0, (-1,)),
        ((2, 0, 1), 2, (-1, 1)),
    ):
        losses = np.array(counts) @ PAYOFF
        answers = np.flatnonzero(losses == losses.min())
        assert sorted(PAYOFF[action, answers]) == list(rewards)
        step = jax.vmap(GAME.step, (None, None, 0))(MatchState(jnp.array(counts, jnp.int32)), action, keys)
        found = [int((np.asarray(step.reward) == r).sum()) for r in rewards]
        assert sum(found) == 6_000
        assert len(found) == 1 or scipy.stats.chisquare(found).pvalue > 1e-6


def test_a_habit_loses_a_match_and_no_habit_does_not():
    """100 rounds of rock lose 99 or more; of 200 matches at 1/3 each the mean is 0 within 5 sigma, false alarm 6e-7."""

    def play(key, mixed):
        def play_round(state, key):
            move, chance = jax.random.split(key)
            action = jnp.where(mixed, jax.random.randint(move, (), 0, 3), 0)
            step = GAME.step(state, action, chance)
            return step.state, step.reward

        return jax.lax.scan(play_round, GAME.reset(key)[0], jax.random.split(key, 100))[1]

    keys = jax.random.split(jax.random.key(2), 200)
    assert np.asarray(jax.vmap(play, (0, None))(keys, False))[:, 1:].max() == -1.0
    mixed = np.asarray(jax.vmap(play, (0, None))(keys, True))
    assert abs(mixed.mean()) < 5 * np.sqrt(2 / 3 / mixed.size)


def test_spaces_and_types():
    env = gymnasium.make("qfix/RockPaperScissors-v0")
    assert (GAME.observation_space, GAME.action_space) == (env.observation_space, env.action_space)
    assert GAME.max_episode_steps == env.spec.max_episode_steps == 100
    with jax.enable_x64(True):
        state, seen = GAME.reset(jax.random.key(0))
        step = GAME.step(state, jnp.int32(1), jax.random.key(1))
    assert seen.dtype == step.observation.dtype == step.state.counts.dtype == np.int32
    assert seen.shape == step.observation.shape == step.reward.shape == ()
    assert step.reward.dtype == np.float32
    assert int(seen) == int(step.observation) == 0
