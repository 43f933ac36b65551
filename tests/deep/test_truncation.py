"""What is kept of a step that ends an episode: its own final observation, and whether anything follows it.

An environment that says where it is: it starts at (0, 0), counts up, is cut off at the third step with the observation
(3, 9), and terminates at the second step of an episode whose first action was 1, with (2, 7).
"""

from functools import partial
from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deep.running import gallery, shared_trainer, trainer_of
from qfix.deep import ppo, pqn
from qfix.deep.layers import Weights
from qfix.deep.streams import episode_keys, seed_words
from qfix.envs.jax.finite import FiniteMDPEnv
from qfix.envs.jax.protocol import Step

SPACE = gymnasium.spaces.Box(0, 9, (2,), np.float32)
GAMMA = 0.9


class At(NamedTuple):
    steps: object
    ends: object


class Ended:
    """The environment as a `JaxEnv`."""

    observation_space = SPACE
    action_space = gymnasium.spaces.Discrete(2)
    max_episode_steps = None

    def reset(self, key):
        return At(jnp.int32(0), jnp.bool_(False)), jnp.zeros(2, jnp.float32)

    def step(self, state, action, key):
        steps = state.steps + 1
        ends = jnp.where(state.steps == 0, action == 1, state.ends)
        terminated, truncated = ends & (steps == 2), steps == 3
        mark = jnp.where(terminated, 7, jnp.where(truncated, 9, 0))
        seen = jnp.stack([steps, mark]).astype(jnp.float32)
        return Step(At(steps, ends), seen, steps.astype(jnp.float32), terminated, truncated)


class EndedHost(gymnasium.Env):
    """The environment as Gymnasium has it, on the host or by its twin."""

    observation_space = SPACE
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, twin=False):
        if twin:
            self.jax_env = Ended()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.ends = action == 1 if self.steps == 0 else self.ends
        self.steps += 1
        terminated, truncated = bool(self.ends and self.steps == 2), self.steps == 3
        seen = np.array([self.steps, 7 if terminated else 9 if truncated else 0], np.float32)
        return seen, float(self.steps), terminated, truncated, {}


def made(algorithm, driver, **options):
    if algorithm != "ppo":
        options["epsilon"] = 1.0
    return trainer_of(
        algorithm,
        partial(EndedHost, driver == "device"),
        driver,
        (3,),
        hidden=(4,),
        num_envs=3,
        gamma=GAMMA,
        **options,
    )


@pytest.mark.parametrize("driver", ["device", "host"])
def test_a_memory_keeps_final_observations(driver):
    trainer = made("dqn", driver, learning_starts=1_000, buffer_size=90, n_step=3, reward_scale=0.5)
    state, records = trainer.advance(trainer.start(), 90)
    kept = trainer.pack(state)
    prefix = "0.memory.steps." if driver == "device" else "0.memory."
    names = ("obs", "next_obs", "reward", "terminated", "ended")
    obs, next_obs, reward, terminated, ended = (
        kept[prefix + name].reshape(30, 3, *kept[prefix + name].shape[1:])[..., :] for name in names
    )
    np.testing.assert_array_equal(terminated, next_obs[..., 1] == 7)
    np.testing.assert_array_equal(ended & ~terminated, next_obs[..., 1] == 9)
    assert terminated.sum() > 5
    assert (ended & ~terminated).sum() > 5
    np.testing.assert_array_equal(reward, 0.5 * next_obs[..., 0])  # as it is learned from
    # a step leads on to where the next one begins, and after an end that is the start
    np.testing.assert_array_equal(obs[1:][~ended[:-1]], next_obs[:-1][~ended[:-1]])
    assert (obs[1:][ended[:-1]] == 0).all()
    assert set(np.concatenate(records.lengths[0])) == {2, 3}
    assert set(np.concatenate(records.returns[0])) == {3.0, 6.0}

    # and a window of three steps ends with the episode, at its final observation
    if driver == "device":
        memory = state.seeds[0].memory
        batch = trainer._device._replay.sample(memory, jnp.arange(90, dtype=jnp.uint32)).batch
    else:
        batch = state.seeds[0].memory.sample(np.arange(90, dtype=np.uint32)).batch
    for b in range(69):
        at, mark = np.asarray(batch.next_obs[b])
        first = int(batch.obs[b][0])
        assert mark == (7 if at == 2 else 9)
        rewards = range(first + 1, int(at) + 1)
        np.testing.assert_allclose(
            batch.reward[b], 0.5 * sum(GAMMA**i * r for i, r in enumerate(rewards)), rtol=1e-6
        )
        np.testing.assert_allclose(batch.discount[b], 0 if mark == 7 else GAMMA ** len(rewards), rtol=1e-6)


def test_an_episode_on_the_device_is_a_function_of_seed_environment_and_episode():
    """Made again from its key alone: reset by the key folded with 0, the t-th step by the key folded with t."""
    trainer = shared_trainer("rainbow", "gallery", "device")
    state, _ = trainer.advance(trainer.start(), 450)
    steps = trainer.pack(state)
    env, words = FiniteMDPEnv(gallery()), jnp.asarray(seed_words(9))
    step, reset = jax.jit(env.step), jax.jit(env.reset)
    index, episode, t = 1, 0, 0
    for row in range(150):
        at = row * 3 + index
        kept = {name: steps[f"1.memory.steps.{name}"][at] for name in ("obs", "action", "next_obs", "ended")}
        key = episode_keys(words, jnp.full(3, episode))[index]
        if t == 0:
            world, seen = reset(jax.random.fold_in(key, 0))
        assert int(seen) == kept["obs"]
        made = step(world, kept["action"], jax.random.fold_in(key, t + 1))
        assert int(made.observation) == kept["next_obs"]
        assert steps["1.memory.steps.reward"][at] == made.reward
        world, seen, t = made.state, made.observation, t + 1
        if kept["ended"]:
            episode, t = episode + 1, 0
    assert episode > 30


@pytest.mark.parametrize("algorithm", [pqn, ppo], ids=["pqn", "ppo"])
@pytest.mark.parametrize("driver", ["device", "host"])
def test_a_rollout_bootstraps_truncated_steps_from_final_observations(driver, algorithm, monkeypatch):
    """Values that are ten times the first number and the second added tell which observation was looked at."""
    seen = []

    def bootstrap(setup, learner, observation, mask, state):
        return 10 * observation[:, 0] + observation[:, 1]

    def update(setup, learner, steps, rates, key):
        jax.debug.callback(lambda *arrays: seen.append(arrays), *steps[:8])
        return learner, setup.config.measuring.blank_report(setup.config.data.batch_size)

    monkeypatch.setattr(algorithm, "bootstrap", bootstrap)
    monkeypatch.setattr(algorithm, "update", update)
    name = algorithm.__name__.rpartition(".")[2]
    trainer = made(name, driver, num_steps=10, num_minibatches=2, lambda_=0.6)
    trainer.advance(trainer.start(), 60)
    jax.effects_barrier()
    assert len(seen) == 2
    for obs, _, reward, discount, ended, _, value_final, value_last in (
        tuple(map(np.asarray, arrays)) for arrays in seen
    ):
        at = reward  # of the step's own observation
        cut, over = ended & (at == 3), ended & (at == 2)
        assert cut.sum() > 1
        assert over.sum() > 1
        np.testing.assert_array_equal(value_final, np.where(cut, 39, 0))
        np.testing.assert_allclose(discount, np.where(over, 0, GAMMA), rtol=1e-6)
        np.testing.assert_array_equal(value_last, np.where(ended[-1], 0, 10 * at[-1]))
        assert (obs[1:][ended[:-1]] == 0).all()


@pytest.mark.parametrize(
    "shared", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["apart", "shared"]
)
@pytest.mark.parametrize("driver", ["device", "host"])
def test_a_recurrent_policy_is_in_the_state_that_its_episode_has_led_to(driver, shared, monkeypatch):
    """No gradient step is made. Unrolled again in NumPy, from rollout to rollout: the states that rollouts begin with,
    the log-probabilities of actions, and values of final observations, seen from the state behind the step."""
    seen = []

    def update(setup, learner, steps, rates, key):
        jax.debug.callback(lambda *arrays: seen.append(arrays), *steps[:8], steps.state)
        return learner, setup.config.measuring.blank_report(setup.config.data.batch_size)

    monkeypatch.setattr(ppo, "update", update)
    options = {"num_steps": 7, "num_minibatches": 3, "gru": 5, "shared_torso": shared, "orthogonal": False}
    trainer = made("ppo", driver, **options)
    state, _ = trainer.advance(trainer.start(), 84)
    jax.effects_barrier()
    assert len(seen) == 4
    net, vector = trainer.network, trainer.policy(state).weights
    w = Weights(dict(vector), net.layout)
    now, cuts, moved = np.zeros((3, net.n_state), np.float32), 0, 0
    for rollout in seen:
        obs, action, reward, _, ended, log_prob, value_final, value_last, begun = map(np.asarray, rollout)
        np.testing.assert_allclose(begun, now, atol=1e-6)
        moved += np.abs(now).max() > 0.1
        for t in range(7):
            outputs, behind = net.observe(np, w, obs[t], now)
            told = net.actions.log_prob(outputs, action[t])
            np.testing.assert_allclose(log_prob[t, :, 0], told, atol=1e-5)
            cut = ended[t] & (reward[t] == 3)
            final = np.stack([reward[t], np.where(cut, 9, 7)], axis=-1).astype(np.float32)
            worth = net.value(np, w, final, behind)
            np.testing.assert_allclose(value_final[t], np.where(cut, worth, 0), atol=1e-5)
            cuts += cut.sum()
            now = np.where(ended[t][:, None], 0, behind)
        following = np.where(ended[-1], 0, reward[-1])[:, None] * np.float32([1, 0])
        np.testing.assert_allclose(value_last, net.value(np, w, following, now), atol=1e-5)
    assert cuts > 5
    assert moved >= 2
