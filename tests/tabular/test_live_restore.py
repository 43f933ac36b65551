"""Live environments brought back to the middle of an episode: what is kept for it, and what is said where it fails."""

import random

import gymnasium
import numpy as np
import pytest

from envs.walks import SOURCES, Noise, Walk
from qfix.errors import EnvironmentFault
from qfix.mdp.simulate import episode_seed
from qfix.tabular.trainer import TabularTrainer
from tabular.running import config_of, flat

SEED, STEPS = 3, 31


def trainer_of(make, **options):
    config = config_of("q_learning", gamma=0.9, alpha=0.37, epsilon=0.5)
    return TabularTrainer(config, make(), make, None, [SEED], **options)


def halved(make, other=None, steps=STEPS):
    """A state after some steps, and the same unpacked in another trainer."""
    trainer = trainer_of(make)
    state, _ = trainer.advance(trainer.start(), steps)
    resumed = trainer_of(other or make)
    return trainer, state, resumed, resumed.unpack(trainer.pack(state))


def assert_goes_on_alike(trainer, state, resumed, again, steps=100):
    state, records = trainer.advance(state, steps)
    again, later = resumed.advance(again, steps)
    np.testing.assert_array_equal(flat(records.returns[0]), flat(later.returns[0]))
    one, two = trainer.pack(state), resumed.pack(again)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


# Generators of wrappers


class Wandering(gymnasium.Wrapper):
    """Now and then takes an action of its own, sampled from the space."""

    def step(self, action):
        wild = self.action_space.sample()
        return self.env.step(wild if wild == 0 else action)


class Late(Noise):
    """Has its generator only once it was reset, as some do."""

    def __init__(self, env):
        gymnasium.Wrapper.__init__(self, env)

    def reset(self, **options):
        if "source" not in vars(self):
            self.source = np.random.default_rng()
        return self.env.reset(**options)


@pytest.mark.parametrize("kind", SOURCES)
def test_generators_of_wrappers_go_on(kind):
    """They are seeded by the clock, so that only what was packed can make them alike. There are two, layers apart."""
    make = lambda: Noise(gymnasium.wrappers.TimeLimit(Noise(Walk(), SOURCES[kind]()), 50), SOURCES[kind]())  # noqa: E731
    trainer, state, resumed, again = halved(make)
    assert again.notes == [f"seed {SEED}: restored in the middle of the episode, 3 steps replayed"]
    assert_goes_on_alike(trainer, state, resumed, again)


@pytest.mark.parametrize("wrapper", [Wandering, Late])
def test_spaces_and_late_generators_go_on(wrapper):
    """A space's generator is made by its first sample, here in the first of two advances."""
    make = lambda: wrapper(Walk())  # noqa: E731
    trainer = trainer_of(make)
    state, _ = trainer.advance(trainer.start(), 10 if wrapper is Wandering else 0)
    state, _ = trainer.advance(state, STEPS - trainer.steps_done(state)[0])
    resumed = trainer_of(make)
    again = resumed.unpack(trainer.pack(state))
    assert again.notes == [f"seed {SEED}: restored in the middle of the episode, 3 steps replayed"]
    assert_goes_on_alike(trainer, state, resumed, again)


def test_the_generator_that_reset_seeds_is_not_kept():
    trainer = trainer_of(lambda: gymnasium.wrappers.TimeLimit(Walk(), 50))
    state, _ = trainer.advance(trainer.start(), STEPS)
    assert trainer.pack(state)["0.world.generators"].size == 0


def test_a_generator_that_is_gone_is_told():
    noisy = lambda: Noise(Walk(), np.random.default_rng(1))  # noqa: E731
    for other in (Walk, lambda: Noise(Walk(), random.Random(1)), lambda: Noise(Walk(), None)):
        *_, again = halved(noisy, other)
        assert again.notes == [
            f"seed {SEED}: episode 4 could not be restored: it has not the random generators that it had; "
            f"a fresh episode was begun"
        ]


def test_a_generator_that_is_gone_is_told_once():
    """What it was is not kept with the episodes that are begun without it."""
    _, _, resumed, again = halved(lambda: Noise(Walk(), np.random.default_rng(1)), Walk)
    again, _ = resumed.advance(again, 3)
    once_more = trainer_of(Walk).unpack(resumed.pack(again))
    assert once_more.notes == [f"seed {SEED}: restored in the middle of the episode, 3 steps replayed"]


# Environments that do not repeat themselves


class Fickle(Walk):
    """As it was made to be: ends early, sees something else, raises or hangs."""

    def __init__(self, flaw=None):
        super().__init__()
        self.flaw = flaw

    def step(self, action):
        at, reward, terminated, truncated, info = super().step(action)
        match self.flaw:
            case "ends" if self.steps == 2:
                terminated = True
            case "sees" if self.steps == 3:
                at = (at + 1) % 10
            case "raises":
                raise OSError("the simulator is gone")
        return at, reward, terminated, truncated, info


@pytest.mark.parametrize(
    ("flaw", "why"),
    [
        ("ends", "it ended after 2 of its 3 actions"),
        ("sees", "its seed and its 3 actions led to another observation"),
        ("raises", "it raised OSError: the simulator is gone"),
    ],
)
def test_an_environment_that_does_not_repeat_itself_begins_afresh(flaw, why):
    trainer, state, resumed, again = halved(Fickle, lambda: Fickle(flaw))
    assert again.notes == [f"seed {SEED}: episode 4 could not be restored: {why}; a fresh episode was begun"]
    env = again.worlds[0].env
    env.flaw = None
    before = trainer.action_values(state)
    np.testing.assert_array_equal(resumed.action_values(again), before)
    again, records = resumed.advance(again, 7)
    # the same episode, from its beginning
    assert env.seeds[-1] == int(episode_seed(SEED, 0, 4))
    assert resumed.steps_done(again) == [STEPS + 7]
    np.testing.assert_array_equal(flat(records.lengths[0]), [7])


def test_nothing_is_said_where_nothing_was_running():
    trainer, state, resumed, again = halved(Walk, steps=28)
    assert not state.worlds[0].running
    assert again.notes == []
    assert_goes_on_alike(trainer, state, resumed, again)


# How actions are kept


@pytest.mark.parametrize(("n_actions", "size"), [(3, 1), (256, 1), (257, 8)])
def test_actions_take_few_bytes_and_come_back(n_actions, size):
    make = lambda: Walk(n_actions)  # noqa: E731
    trainer, state, resumed, again = halved(make)
    actions = trainer.pack(state)["0.world.actions"]
    assert actions.nbytes == 3 * size
    assert_goes_on_alike(trainer, state, resumed, again)


def test_a_state_can_be_packed_again_after_an_interruption():
    """Ctrl-C in the middle of a step: the episode is begun afresh, and nothing else is lost."""

    class Interrupted(Walk):
        def step(self, action):
            if self.steps == 3 and len(self.seeds) == 4:
                raise KeyboardInterrupt
            return super().step(action)

    trainer = trainer_of(Interrupted)
    state = trainer.start()
    with pytest.raises(KeyboardInterrupt):
        trainer.advance(state, 100)
    assert trainer.steps_done(state) == [24]
    resumed = trainer_of(Walk)
    _, records = resumed.advance(resumed.unpack(trainer.pack(state)), 7)
    np.testing.assert_array_equal(flat(records.lengths[0]), [7])


def test_a_fault_in_the_replay_is_no_error():
    class Picky(Walk):
        def reset(self, *, seed=None, options=None):
            if len(self.seeds) == 0 and seed != int(episode_seed(SEED, 0, 0)):
                raise EnvironmentFault("it must begin with its first episode")
            return super().reset(seed=seed)

    *_, again = halved(Picky)
    assert "it must begin with its first episode; a fresh episode was begun" in again.notes[0]
