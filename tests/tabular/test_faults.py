"""Environments that break their contract in the middle of a run: one clear error, and nothing lost."""

import re
import signal
import threading
import time

import gymnasium
import numpy as np
import pytest

from qfix.errors import EnvironmentFault, OptionError, SpaceError
from qfix.tabular.trainer import TabularTrainer
from tabular.running import config_of, flat, random_world, separating, trainer_on
from tabular.twins import episode_seed

SEED, EPISODE, STEP = 6, 12, 3  # where it breaks, if it was not told otherwise


class Fragile(gymnasium.Env):
    """Five states in a row, five steps an episode; `fault` says what comes back at one step of one episode."""

    observation_space = gymnasium.spaces.Discrete(5)
    action_space = gymnasium.spaces.Discrete(2)
    healthy = False

    def __init__(self, fault):
        self.fault = fault

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.is_the_one = 0, seed == episode_seed(SEED, 0, EPISODE)
        if self.is_the_one and self.fault == "reset" and not Fragile.healthy:
            raise OSError("the simulator is gone")
        return 0, {}

    def step(self, action):
        self.at += 1
        at, reward = self.at - 1, float(action)
        if self.is_the_one and at == STEP and not Fragile.healthy:
            at, reward = self.break_down(at, reward)
        return at, reward, self.at == 5, False, {}

    def break_down(self, at, reward):
        match self.fault:
            case "raises":
                raise ZeroDivisionError("division by zero")
            case "reward":
                return at, np.float64("nan")
            case "infinite":
                return at, -np.inf
            case "above":
                return 5, reward
            case "below":
                return -1, reward
            case "fraction":
                return 1.5, reward
            case "missing":
                return None, reward
            case "text":
                return at, "much"
            case "digits":
                return at, "1.0"
        return at, reward


def trainer_of(env_of, algorithm="q_learning", **options):
    config = config_of(algorithm, gamma=0.9, alpha=0.5, epsilon=1.0, **options)
    return TabularTrainer(config, env_of(), env_of, None, [SEED])


FAULTS = {
    "raises": r"it raised ZeroDivisionError: division by zero",
    "reward": r"its reward must be finite\. Got np\.float64\(nan\)",
    "infinite": r"its reward must be finite\. Got -inf",
    "above": r"observation .*\b5\b.* Discrete\(5\)|observation must lie in Discrete\(5\)\. Got 5",
    "below": r"observation .*-1.* Discrete\(5\)|observation must lie in Discrete\(5\)\. Got -1",
    "fraction": r"observation 1\.5, which is not in its space Discrete\(5\)",
    "missing": r"observation None, which is not in its space Discrete\(5\)",
    "text": r"its reward must be a number\. Got 'much'",
    "digits": r"its reward must be a number\. Got '1\.0'",
}


@pytest.mark.parametrize("store", ["dense", "sparse"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_says_where_and_keeps_what_was_learned(fault, store, monkeypatch):
    trainer = trainer_of(lambda: Fragile(fault), store=store)
    sound = trainer_of(lambda: Fragile("none"), store=store)
    until = 5 * EPISODE + STEP
    state = trainer.start()
    with pytest.raises(EnvironmentFault, match=FAULTS[fault]) as caught:
        trainer.advance(state, 1_000)
    message = str(caught.value)
    assert "Fragile" in message
    assert f"(seed {SEED}, episode {EPISODE}, step {STEP})" in message

    # all of it is there, up to the step before
    assert trainer.steps_done(state) == [until]
    expected, records = sound.advance(sound.start(), until)
    np.testing.assert_array_equal(trainer.action_values(state), sound.action_values(expected))
    np.testing.assert_array_equal(flat(caught.value.records.returns[0]), flat(records.returns[0]))
    assert trainer.policy(state).predict(2) == 1
    packed = trainer.pack(state)

    # it fails again as long as the environment is not mended, and goes on when it is
    with pytest.raises(EnvironmentFault):
        trainer.advance(state, 1_000)
    monkeypatch.setattr(Fragile, "healthy", True)
    state, records = trainer.advance(trainer.unpack(packed), 1_000)
    assert trainer.steps_done(state) == [until + 1_000]
    assert set(flat(records.lengths[0])) == {5}
    np.testing.assert_allclose(trainer.action_values(state)[2:4, 1], [1.9, 1.0], atol=1e-6)


def test_a_fault_in_reset_is_told_alike():
    trainer = trainer_of(lambda: Fragile("reset"))
    with pytest.raises(
        EnvironmentFault, match=rf"episode {EPISODE}, step 0\): it raised OSError: the simulator"
    ):
        trainer.advance(trainer.start(), 1_000)


SEEDS = [1, SEED, 2]
UNTIL = 5 * EPISODE + STEP  # steps that the broken seed makes


def three_seeds(fault="raises"):
    make = lambda: Fragile(fault)  # noqa: E731
    return TabularTrainer(config_of("sarsa", gamma=0.9), make(), make, None, SEEDS)


def test_a_seed_that_fails_does_not_stop_the_others():
    trainer, sound = three_seeds(), three_seeds("none")
    state, records = trainer.advance(trainer.start(), 200)
    expected, healthy = sound.advance(sound.start(), 200)
    assert trainer.steps_done(state) == [200, UNTIL, 200]
    assert [len(flat(x)) for x in records.lengths] == [40, EPISODE, 40]
    assert records.failures.keys() == {1}
    assert (
        f"(seed {SEED}, episode {EPISODE}, step {STEP}): it raised ZeroDivisionError" in records.failures[1]
    )
    assert state.failures == records.failures
    assert healthy.failures == {}
    for i in (0, 2):
        np.testing.assert_array_equal(trainer.action_values(state, i), sound.action_values(expected, i))
        np.testing.assert_array_equal(flat(records.returns[i]), flat(healthy.returns[i]))

    # it stays where it is, and is told of once
    state, records = trainer.advance(state, 50)
    assert trainer.steps_done(state) == [250, UNTIL, 250]
    assert records.failures == {}


def test_a_failure_is_packed_and_lifted(monkeypatch):
    trainer = three_seeds()
    state, _ = trainer.advance(trainer.start(), 200)
    resumed = three_seeds()
    again = resumed.unpack(trainer.pack(state))
    assert again.failures == state.failures
    again, _ = resumed.advance(again, 10)
    assert resumed.steps_done(again) == [210, UNTIL, 210]
    monkeypatch.setattr(Fragile, "healthy", True)
    del again.failures[1]
    again, _ = resumed.advance(again, 90)
    assert resumed.steps_done(again) == [300, UNTIL + 90, 300]
    assert again.failures == {}


class EverySeed(Fragile):
    """Breaks in the second step of the fourth episode of any seed."""

    def __init__(self):
        super().__init__("raises")
        self.resets = 0

    def reset(self, *, seed=None, options=None):
        self.resets += 1
        answer = super().reset(seed=seed)
        self.is_the_one = self.resets == 4
        return answer


def test_it_is_an_error_when_every_seed_has_failed():
    trainer = TabularTrainer(config_of("sarsa", gamma=0.9), EverySeed(), EverySeed, None, SEEDS)
    state = trainer.start()
    with pytest.raises(
        EnvironmentFault, match=r"All 3 seeds have failed.*seed 2, episode 3, step 3"
    ) as caught:
        trainer.advance(state, 200)
    assert trainer.steps_done(state) == [18, 18, 18]
    assert caught.value.records.failures.keys() == {0, 1, 2}
    assert [len(flat(x)) for x in caught.value.records.lengths] == [3, 3, 3]
    # another call tries them all again, and this time they hold
    state, records = trainer.advance(state, 200)
    assert trainer.steps_done(state) == [218, 218, 218]
    assert records.failures == {}


def test_seeds_that_failed_at_different_steps_are_tried_again_up_to_one_step():
    made = []

    class Breaks(EverySeed):
        """The first of the run's environments breaks at its 10th step, the second at its 40th."""

        def __init__(self):
            super().__init__()
            self.steps, self.limit = 0, {0: 10, 1: 40}.get(len(made), 10**6)
            made.append(self)

        def reset(self, *, seed=None, options=None):
            return Fragile.reset(self, seed=seed)

        def step(self, action):
            self.steps += 1
            if self.steps == self.limit:
                raise ZeroDivisionError("division by zero")
            return super().step(action)

    trainer = TabularTrainer(config_of("sarsa", gamma=0.9), Fragile("none"), Breaks, None, [0, 1])
    state = trainer.start()
    with pytest.raises(EnvironmentFault, match="All 2 seeds have failed"):
        trainer.advance(state, 100)
    assert trainer.steps_done(state) == [9, 39]
    state, _ = trainer.advance(state, 1)
    assert trainer.steps_done(state) == [40, 40]


# Hanging


class Slow(Fragile):
    """Sleeps for a minute at one step, or one reset, of seed 6; `naps` seconds at every other."""

    def __init__(self, fault, naps=0.0):
        super().__init__(fault)
        self.naps = naps

    def reset(self, *, seed=None, options=None):
        answer = super().reset(seed=seed)
        if self.is_the_one and self.fault == "hangs in reset":
            time.sleep(60)
        return answer

    def break_down(self, at, reward):
        if self.fault == "hangs":
            time.sleep(60)
        if self.fault == "spins":
            while True:
                pass
        return at, reward

    def step(self, action):
        time.sleep(self.naps)
        return super().step(action)


def slow(fault, seeds=(SEED,), limit=0.3, naps=0.0):
    make = lambda: Slow(fault, naps)  # noqa: E731
    return TabularTrainer(config_of("sarsa", gamma=0.9), make(), make, None, seeds, step_time_limit=limit)


@pytest.mark.parametrize(("fault", "step"), [("hangs", STEP), ("spins", STEP), ("hangs in reset", 0)])
def test_an_environment_that_hangs_is_a_fault(fault, step):
    trainer = slow(fault)
    state = trainer.start()
    before = signal.getsignal(signal.SIGALRM)
    said = rf"episode {EPISODE}, step {step}\): it has not answered within the time limit of 0\.3 seconds"
    with pytest.raises(EnvironmentFault, match=said):
        trainer.advance(state, 1_000)
    assert trainer.steps_done(state) == [5 * EPISODE + step]
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_the_other_seeds_of_one_that_hangs_go_on():
    trainer = slow("hangs", SEEDS)
    state, records = trainer.advance(trainer.start(), 200)
    assert trainer.steps_done(state) == [200, UNTIL, 200]
    assert "step_time_limit" in records.failures[1]


def test_many_steps_may_take_longer_than_the_limit_of_one():
    trainer = slow("none", naps=0.05)
    state, _ = trainer.advance(trainer.start(), 12)
    assert trainer.steps_done(state) == [12]


def test_an_environment_that_hangs_in_the_replay_begins_afresh():
    trainer = slow("none")
    state, _ = trainer.advance(trainer.start(), UNTIL + 1)
    again = slow("hangs").unpack(trainer.pack(state))
    assert "could not be restored: it has not answered within the time limit" in again.notes[0]


def test_time_is_not_taken_from_who_has_the_timer():
    """Nor off the main thread, where there are no signals."""
    told = []
    before = signal.signal(signal.SIGALRM, lambda *_: told.append("mine"))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        trainer = slow("none", naps=0.05)
        trainer.advance(trainer.start(), 8)
        assert told == ["mine"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    aside = threading.Thread(target=lambda: told.append(trainer.advance(trainer.start(), 3)))
    aside.start()
    aside.join()
    assert len(told) == 2


@pytest.mark.parametrize("limit", [0, -1.0, np.inf, np.nan])
def test_a_time_limit_is_a_time(limit):
    with pytest.raises(OptionError, match="'step_time_limit' parameter of train must be a finite number"):
        slow("none", limit=limit)


class Room(gymnasium.Env):
    """A box whose third observation is `bad`."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, bad):
        self.bad, self.steps = bad, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.full(2, 0.5, np.float32) if self.steps < 3 else self.bad, 1.0, False, False, {}


@pytest.mark.parametrize(
    "bad",
    [np.array([0.5, 1.5]), np.array([np.nan, 0.5]), np.zeros(3), np.zeros((2, 1)), 0.5, None, "left"],
    ids=str,
)
def test_an_observation_outside_a_box_is_a_fault(bad):
    trainer = trainer_of(lambda: Room(bad))
    state = trainer.start()
    with pytest.raises(EnvironmentFault, match=r"Room.*\(seed 6, episode 0, step 2\)") as caught:
        trainer.advance(state, 100)
    assert re.search("observation|float|could not convert", str(caught.value))
    assert trainer.steps_done(state) == [2]
    assert np.isfinite(trainer.policy(state).action_values(np.array([0.5, 0.5]))).all()


# Spaces


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (gymnasium.spaces.Box(-1.0, 1.0, (1,)), r"action space of sarsa must be Discrete"),
        (gymnasium.spaces.MultiDiscrete([2, 2]), r"action space of sarsa must be Discrete"),
    ],
)
def test_actions_must_be_numbered(space, said):
    env = Fragile("none")
    env.action_space = space
    with pytest.raises(SpaceError, match=said):
        TabularTrainer(config_of("sarsa"), env, lambda: env, None, [0])


@pytest.mark.parametrize(
    "space",
    [
        gymnasium.spaces.Text(5),
        gymnasium.spaces.Dict(
            {"at": gymnasium.spaces.Discrete(5), "speed": gymnasium.spaces.Box(0, 1, (1,))}
        ),
        gymnasium.spaces.Tuple(
            (gymnasium.spaces.Discrete(2), gymnasium.spaces.Sequence(gymnasium.spaces.Discrete(2)))
        ),
    ],
    ids=["text", "dict with a box", "tuple with a sequence"],
)
def test_observations_that_no_store_keeps_are_refused(space):
    env = Fragile("none")
    env.observation_space = space
    with pytest.raises(SpaceError, match="A table needs a discrete space"):
        TabularTrainer(config_of("q_learning"), env, lambda: env, None, [0])


def test_a_policy_refuses_what_is_no_observation():
    trainer = trainer_on(random_world(), separating("q_learning"))
    policy = trainer.policy(trainer.start())
    for outside in (7, -1, 1.5, [0, 7]):
        with pytest.raises(SpaceError, match=r"Got|gave"):
            policy.predict(outside)
