"""As a user has it: trained into a folder, loaded, resumed, asked."""

import gymnasium
import numpy as np
import pytest

import qfix
from qfix.errors import OptionError
from qfix.playback.replaying import replay

TINY = {"hidden": (8,), "num_envs": 2, "progress": False}


def same(one, other):
    for name in one.policy().weights:
        np.testing.assert_array_equal(one.policy().weights[name], other.policy().weights[name])
    for a, b in zip(one.episodes.returns, other.episodes.returns, strict=True):
        np.testing.assert_array_equal(a, b)


def test_on_the_device(tmp_path):
    """ProbeBandit: arms that pay 0, 0.1, 0.2 and 0.5, plus or minus 1.

    Some 750 tosses of each arm, all of them remembered: the standard deviation of a mean is 0.04, the tolerance above
    six of them (false alarm below 1e-8) and room for the last steps of the optimiser, whose step size falls to 0.
    """
    options = TINY | {
        "epsilon": 1.0,
        "gamma": 0.9,
        "batch_size": 128,
        "learning_starts": 500,
        "learning_rate": "Linear(0.01, 0, 3_000)",
        "loss": "squared",
    }
    world = "qfix/ProbeBandit-v0"
    run = qfix.train(world, "dqn", total_steps=3_000, seeds=2, **options)
    assert (run.spec.driver, run.status, run.steps) == ("device", "finished", 3_000)
    assert run.q.shape == (2, 2, 4)
    assert np.abs(run.q[:, 0] - [0.0, 0.1, 0.2, 0.5]).max() < 0.3
    policy = run.policy()
    assert policy.predict(0) == 3
    np.testing.assert_array_equal(policy.predict([0, 0]), [3, 3])
    np.testing.assert_allclose(policy.action_values([0, 1]), run.q[0], rtol=1e-6)
    assert len(run.episodes.returns[0]) == 3_000

    # interrupted and resumed it is as if it had not been, to the bit
    part = qfix.train(world, "dqn", total_steps=1_501, seeds=2, out=tmp_path / "part", **options)
    assert part.steps == 1_502  # whole units
    resumed = qfix.resume(tmp_path / "part", total_steps=3_000, progress=False)
    same(resumed, run)
    np.testing.assert_array_equal(resumed.q, run.q)
    assert set(run.metric_names) >= {"q_max", "td_error", "loss", "grad_norm"}
    assert np.isfinite(run.metrics("loss").values[..., -1]).all()


@pytest.fixture
def half(tmp_path):
    run = qfix.train(
        "CartPole-v1",
        "pqn",
        driver="host",
        total_steps=320,
        out=tmp_path / "half",
        num_steps=8,
        num_minibatches=2,
        **TINY,
    )
    return run, tmp_path / "half"


def test_on_the_host_and_resumed(half, tmp_path):
    run, folder = half
    assert (run.spec.driver, run.steps) == ("host", 320)
    again = qfix.resume(folder, total_steps=640, progress=False)
    assert again.steps == 640
    assert len(again.episodes.returns[0]) > len(run.episodes.returns[0])
    same(qfix.load(folder), again)

    policy = again.policy()
    env = gymnasium.make("CartPole-v1")
    obs, _ = env.reset(seed=0)
    action = policy.predict(obs)
    assert isinstance(action, int)
    batch = policy.predict(np.stack([obs, obs, -obs]))
    assert batch.shape == (3,)
    assert batch[0] == batch[1] == action
    np.testing.assert_allclose(policy.probabilities(obs).sum(), 1.0)
    np.testing.assert_allclose(policy.action_values(obs)[None], policy.action_values(obs[None]), rtol=1e-5)
    with pytest.raises(qfix.SpaceError, match="must lie in Box"):
        policy.predict(obs[:3])
    with pytest.raises(
        qfix.OptionError, match=r"q of Run|'q' .* can be listed only where states are numbered"
    ):
        _ = again.q
    chances = again.policy(exploratory=True).probabilities(obs)
    assert chances.min() > 0


def test_training_episodes_are_not_replayed_and_that_is_said_before_any_work(tmp_path):
    run = qfix.train(
        "qfix/ProbeBoth-v0",
        "dqn",
        total_steps=20,
        learning_starts=20,
        hidden=(4,),
        out=tmp_path / "run",
        eval_episodes=0,
    )
    for source in (run, tmp_path / "run"):
        with pytest.raises(OptionError, match="must be of a learner on tables"):
            replay(source)


def test_a_run_with_masks_is_evaluated_on_episodes():
    """Nothing was learned of what a mask forbids, so that a model, which allows all, says nothing of the policy."""
    options = {"total_steps": 40, "learning_starts": 20, "hidden": (4,), "num_envs": 2}
    run = qfix.train("Taxi-v4", "dqn", **options)
    assert (run.spec.driver, run.model) == ("host", None)
    found = run.evaluate(episodes=2)
    assert (found.exact, found.episodes) == (False, 2)
    assert found.samples.min() >= -200  # an action that is forbidden costs 10
    for ask in (run.optimality_gap, run.optimum, lambda: run.solution):
        with pytest.raises(qfix.ModelError, match=r"which actions are allowed.*run\.evaluate\(\)"):
            ask()
    with pytest.warns(UserWarning, match=r"device driver leaves that aside.*'host' obeys"):
        aside = qfix.train("Taxi-v4", "dqn", driver="device", **options)
    assert aside.evaluate().exact


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"learning_starts": 41}, "learning_starts is 41, and total_steps is 40"),
        ({"learning_starts": 8, "gru": 2, "burn_in": 8}, "a sequence of 24 steps of each of 2"),
    ],
)
def test_a_budget_in_which_nothing_is_learned_is_told(options, said):
    few = {"total_steps": 40, "hidden": (4,), "num_envs": 2, "train_every": 1}
    with pytest.warns(UserWarning, match=f"No gradient step will be made: .*{said}"):
        run = qfix.train("CartPole-v1", "dqn", **few, **options)
    untrained = run.trainer.policy(run.trainer.start())
    for name, weights in run.policy().weights.items():
        np.testing.assert_array_equal(weights, untrained.weights[name])
    run.resume(total_steps=60)
    assert np.isfinite(run.metrics("loss").values[0, -1])
