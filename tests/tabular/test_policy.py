import gymnasium
import numpy as np

from qfix.tabular.sarsa_lambda import Config
from qfix.tabular.trainer import TabularTrainer


def mountain_car(seeds=(0,)):
    env = gymnasium.make("MountainCar-v0")
    return TabularTrainer(Config(), env, lambda: gymnasium.make("MountainCar-v0"), None, seeds, "live")


def test_asking_a_policy_on_tiles_does_not_disturb_the_learner():
    trainer = mountain_car()
    asked, left_alone = trainer.start(), trainer.start()
    for _ in range(20):
        asked, _ = trainer.advance(asked, 13)
        left_alone, _ = trainer.advance(left_alone, 13)
        policy = trainer.policy(asked)
        for position in np.linspace(-1.0, 0.5, 9):
            policy.predict(np.array([position, 0.01], np.float32))
    ours, theirs = trainer.pack(asked), trainer.pack(left_alone)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_policy_on_tiles_is_left_alone_by_further_training():
    trainer = mountain_car()
    state, _ = trainer.advance(trainer.start(), 500)
    policy = trainer.policy(state)
    where = np.array([-0.5, 0.0], np.float32)
    before = policy.action_values(where)
    trainer.advance(state, 500)
    assert np.array_equal(policy.action_values(where), before)
    assert before.shape == (3,)
    assert policy.predict(np.stack([where, where])).shape == (2,)
