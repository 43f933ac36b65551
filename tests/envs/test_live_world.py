"""Live worlds with no learner about: several of one seed, packed in mid-episode, and brought back each by itself.

How a training's worlds are brought back is in tests/tabular/test_live_restore.py.
"""

import gymnasium
import numpy as np
import pytest

from envs.walks import Noise, Walk
from qfix.envs.live_world import LiveWorld, digest, fault_at
from qfix.errors import OptionError
from qfix.mdp.simulate import episode_seed

SEED, N_ENVIRONMENTS, STEPS = 3, 3, 5
FIRST_ACTION = 1  # of a space Discrete(3, start=1)


class Shifted(Walk):
    """Counts its actions from 1."""

    def step(self, action):
        assert 1 <= action <= 3
        return super().step(action - 1)


def starts(episode=0):
    return [int(episode_seed(SEED, n, episode)) for n in range(N_ENVIRONMENTS)]


def world_of(index):
    # a generator of its own, which nothing but its packed state can bring back
    return LiveWorld(Noise(Shifted(), np.random.default_rng()) if index else Shifted(), 3)


def begun(world, start):
    seen, _ = world.begin(start)
    world.actions, world.action, world.running = world.no_actions(), 0, True
    return seen


def stepped(world, steps):
    """The rewards of some steps, whose actions follow from what was seen."""
    rewards = []
    for _ in range(steps):
        seen, reward, terminated, truncated, _ = world.env.step(world.action + FIRST_ACTION)
        world.actions.append(world.action)
        world.action = seen % 3
        world.sight = digest(seen)
        rewards.append(reward)
        if terminated or truncated:
            world.running = False
    return rewards


def running():
    """Worlds in the middle of their first episodes, and the same as arrays."""
    worlds, arrays = [world_of(n) for n in range(N_ENVIRONMENTS)], {}
    for n, (world, start) in enumerate(zip(worlds, starts(), strict=True)):
        world.look()
        begun(world, start)
        stepped(world, STEPS)
        arrays |= world.pack(f"0.world.{n}.")
    return worlds, arrays


def brought_back(world, start, **changes):
    given = {"first_action": FIRST_ACTION, "sight_of": digest, "time_limit": None} | changes
    return world.bring_back(start, **given)


def test_the_environments_of_one_seed_have_episodes_of_their_own():
    worlds, arrays = running()
    assert len({tuple(world.actions) for world in worlds}) == N_ENVIRONMENTS
    for n, (world, start) in enumerate(zip(worlds, starts(), strict=True)):
        again = world_of(n)
        again.unpack(arrays, f"0.world.{n}.", STEPS)
        assert brought_back(again, start) is None
        assert again.running
        assert stepped(again, 2) == stepped(world, 2)
        assert again.pack("").keys() == world.pack("").keys()
        for name, array in world.pack("").items():
            np.testing.assert_array_equal(again.pack("")[name], array, err_msg=name)


def test_the_episode_of_another_environment_is_not_taken_for_this_one():
    _, arrays = running()
    again = world_of(0)
    again.unpack(arrays, "0.world.0.", STEPS)
    why = brought_back(again, starts()[1])
    assert why == f"its seed and its {STEPS} actions led to another observation"
    assert not again.running


def test_the_digest_is_of_what_the_learner_sees():
    _, arrays = running()
    again = world_of(0)
    again.unpack(arrays, "0.world.0.", STEPS)
    why = brought_back(again, starts()[0], sight_of=lambda seen: digest(np.float32(seen)))
    assert why == f"its seed and its {STEPS} actions led to another observation"
    assert digest(np.zeros(3, np.float32)) == digest(np.zeros(3, np.float32))
    assert digest(np.zeros(3, np.float32)) != digest(np.array([0, 0, 1], np.float32))


@pytest.mark.parametrize("steps", [STEPS - 1, STEPS + 1])
def test_there_is_an_action_for_each_step_that_the_learner_counted(steps):
    _, arrays = running()
    with pytest.raises(OptionError, match=r"'0\.world\.1\.actions'.*an action for each step"):
        world_of(1).unpack(arrays, "0.world.1.", steps)


def test_a_fault_names_the_environment_the_place_and_the_remedy():
    said = str(fault_at("Walk", "seed 3, environment 2, episode 4, step 5", "it raised OSError: gone."))
    assert said.startswith(
        "The environment 'Walk' failed (seed 3, environment 2, episode 4, step 5): it raised OSError: gone. What"
    )
    assert "mend the environment" in said


# Actions that are arrays


class Pushed(gymnasium.Env):
    """Adds up what it is pushed by; its start is drawn."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float64)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.np_random.normal(size=2)
        return self.at.copy(), {}

    def step(self, action):
        assert action.dtype == np.float64
        self.at = self.at * 0.9 + action
        action[:] = 0.0  # it is the environment's own
        return self.at.copy(), 0.0, False, False, {}


def pushed(steps):
    world, rng = LiveWorld(Pushed(), 1, Pushed.action_space), np.random.default_rng(1)
    world.look()
    seen, _ = world.begin(7)
    world.actions, world.running = world.no_actions(), True
    for _ in range(steps):
        action = rng.uniform(-1, 1, 2)
        world.keep(action)
        seen, *_ = world.env.step(action)
    world.sight = digest(seen)
    return world


@pytest.mark.parametrize("steps", [0, 4])
def test_actions_that_are_arrays_are_kept_to_the_bit(steps):
    world = pushed(steps)
    arrays = world.pack("0.world.0.")
    taken = arrays["0.world.0.actions"]
    assert (taken.shape, taken.dtype) == ((steps, 2), np.float64)
    again = LiveWorld(Pushed(), 1, Pushed.action_space)
    again.unpack(arrays, "0.world.0.", steps)
    assert again.bring_back(7, 0, digest, None) is None
    np.testing.assert_array_equal(again.env.at, world.env.at)
    np.testing.assert_array_equal(again.taken, taken)


def test_arrays_that_are_no_actions_are_refused():
    arrays = pushed(4).pack("")
    taken = arrays["actions"]
    outside, nothing = taken.copy(), taken.copy()
    outside[2, 1], nothing[0, 0] = 1.5, np.nan
    for wrong in (outside, nothing, taken[:, :1], taken[:3], taken.astype(np.float32), taken[:, :, None]):
        with pytest.raises(OptionError, match="'actions'"):
            LiveWorld(Pushed(), 1, Pushed.action_space).unpack(arrays | {"actions": wrong}, "", 4)
