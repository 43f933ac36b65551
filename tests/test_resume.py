"""A run that was stopped and taken up again is the run that was never stopped."""

import json
import shutil

import gymnasium
import numpy as np
import pytest

import qfix
from qfix.algorithms import names_of
from qfix.runs import RunFolder

# schedules said in full, so that a budget that grows does not change them
OPTIONS = {"alpha": 0.37, "epsilon": qfix.Linear(0.9, 0.1, 700), "metrics_every": 60, "eval_episodes": 0}


def assert_same(one, other):
    """Values, episodes, metrics, alerts and snapshots."""
    for a, b in zip(one.q, other.q, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(one.episodes.returns, other.episodes.returns, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(one.episodes.lengths, other.episodes.lengths, strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.metric_names == other.metric_names
    for name in one.metric_names:
        np.testing.assert_array_equal(one.metrics(name).steps, other.metrics(name).steps)
        np.testing.assert_array_equal(one.metrics(name).values, other.metrics(name).values, err_msg=name)
    assert one.alerts == other.alerts
    assert len(one.snapshots) == len(other.snapshots)
    for a, b in zip(one.snapshots, other.snapshots, strict=True):
        assert (a.episode, a.step) == (b.episode, b.step)
        np.testing.assert_array_equal(a.action_values, b.action_values)


@pytest.mark.parametrize("driver", ["compiled", "live"])
@pytest.mark.parametrize("algorithm", names_of("tabular"))
def test_a_run_goes_on_as_if_nothing_had_happened(tmp_path, algorithm, driver):
    options = OPTIONS | {"seeds": 2, "driver": driver}
    whole = qfix.train("CliffWalking-v1", algorithm, total_steps=1_000, **options)
    qfix.train("CliffWalking-v1", algorithm, total_steps=333, out=tmp_path / "run", **options)
    run = qfix.resume(tmp_path / "run", total_steps=700)
    assert run.steps == 700
    run = qfix.load(tmp_path / "run").resume(total_steps=1_000)
    assert run.status == "finished"
    assert_same(run, whole)
    assert_same(qfix.load(tmp_path / "run"), whole)
    assert RunFolder(tmp_path / "run").spec == run.spec == whole.spec


@pytest.mark.parametrize(
    ("env", "algorithm", "options"),
    [
        ("MountainCar-v0", "sarsa_lambda", {}),
        ("Blackjack-v1", "monte_carlo", {}),
        ("Blackjack-v1", "q_learning", {"store": "sparse"}),
        ("Taxi-v4", "watkins_q_lambda", {"store": "sparse"}),
        ("FrozenLake-v1", "q_learning", {"features": np.eye(16)[:, ::-1].copy()}),
        ("qfix/RockPaperScissors-v0", "q_learning", {}),
    ],
)
def test_every_store_goes_on(tmp_path, env, algorithm, options):
    options = OPTIONS | {"epsilon": 0.2} | options
    if env == "MountainCar-v0":
        options |= {"alpha": 0.3}
    whole = qfix.train(env, algorithm, total_steps=1_000, **options)
    qfix.train(env, algorithm, total_steps=417, out=tmp_path / "run", **options)
    assert_same(qfix.resume(tmp_path / "run", total_steps=1_000), whole)


def test_default_schedules_stay_those_of_the_first_budget(tmp_path):
    first = qfix.train("FrozenLake-v1", total_steps=1_000, out=tmp_path / "run", eval_episodes=0)
    run = qfix.resume(tmp_path / "run", total_steps=3_000)
    assert run.spec.config == first.spec.config
    assert run.metrics("exploration_rate").values[0, -1] == pytest.approx(0.05)


def test_a_finished_run_has_nothing_to_go_on_with(tmp_path):
    run = qfix.train("FrozenLake-v1", total_steps=100, out=tmp_path / "run")
    assert_same(qfix.resume(tmp_path / "run"), run)
    with pytest.raises(qfix.OptionError, match=r"'total_steps' parameter of resume must be .* 100 or more"):
        qfix.resume(tmp_path / "run", total_steps=99)


def test_an_earlier_checkpoint_can_be_gone_on_with_and_what_came_after_is_given_up(tmp_path):
    options = OPTIONS | {"seeds": 2}
    qfix.train("FrozenLake-v1", total_steps=200, out=tmp_path / "run", **options)
    qfix.resume(tmp_path / "run", total_steps=500)
    run = qfix.load(tmp_path / "run", checkpoint=200)
    assert run.steps == 200
    assert run.metrics("return").steps[-1] == 180
    run.resume(total_steps=400)
    assert_same(run, qfix.train("FrozenLake-v1", total_steps=400, **options))
    assert_same(qfix.load(tmp_path / "run"), run)
    kinds = [event.kind for event in RunFolder(tmp_path / "run").store.events()]
    assert "rolled_back" in kinds
    with pytest.raises(qfix.CheckpointError, match="no intact checkpoint of step 500"):
        qfix.load(tmp_path / "run", checkpoint=500)


def test_two_writers_and_a_run_that_has_gone_on(tmp_path):
    qfix.train("FrozenLake-v1", total_steps=100, out=tmp_path / "run", **OPTIONS)
    one, other = qfix.load(tmp_path / "run"), qfix.load(tmp_path / "run")

    def look(*_):
        with pytest.raises(qfix.LockedError, match="being written by process"):
            other.resume(total_steps=200)

    one.resume(total_steps=200, progress=look)
    with pytest.raises(qfix.LockedError, match="has gone on since it was loaded"):
        other.resume(total_steps=200)
    assert_same(qfix.load(tmp_path / "run"), one)


def test_a_run_in_memory_can_be_saved_anywhere_and_taken_up(tmp_path):
    run = qfix.train("Taxi-v4", "sarsa", total_steps=400, seeds=[5, 9], driver="live", **OPTIONS)
    run.save(tmp_path / "kept")
    assert_same(qfix.load(tmp_path / "kept"), run)
    assert_same(qfix.resume(tmp_path / "kept", total_steps=600), run.resume(total_steps=600))
    with pytest.raises(qfix.OptionError, match="this one holds a run"):
        run.save(tmp_path / "kept")


class Breakable(gymnasium.Wrapper):
    """Raises at steps of the environments that a test has named, by their order; 0 is the one that is looked at."""

    made, breaks = 0, {}

    def __init__(self):
        super().__init__(gymnasium.make("CliffWalking-v1"))
        self.number, self.steps = Breakable.made, 0
        Breakable.made += 1

    def step(self, action):
        self.steps += 1
        if self.steps == Breakable.breaks.get(self.number):
            raise Breakable.breaks.get("kind", OSError)("the cable came loose")
        return super().step(action)


def broken_run(monkeypatch, folder, breaks, **options):
    monkeypatch.setattr(Breakable, "made", 0)
    monkeypatch.setattr(Breakable, "breaks", breaks)
    given = OPTIONS | {"driver": "live", "total_steps": 500, "seeds": 2} | options
    return qfix.train(Breakable, "q_learning", out=folder, **given)


def test_seeds_that_all_failed_are_tried_again_and_none_exceeds_its_budget(tmp_path, monkeypatch):
    with pytest.raises(qfix.EnvironmentFault, match="All 2 seeds"):
        broken_run(monkeypatch, tmp_path / "run", {1: 101, 2: 301})
    assert RunFolder(tmp_path / "run").failures().keys() == {0, 1}
    monkeypatch.setattr(Breakable, "breaks", {})
    run = qfix.resume(tmp_path / "run", env=Breakable)
    assert run.trainer.steps_done(run.state) == [500, 500]
    assert RunFolder(tmp_path / "run").failures() == run.failures == {}
    steps, values = run.metrics("running_length")
    assert (np.diff(steps) > 0).all()
    assert np.nanmin(values) >= 0


def test_a_failure_that_a_resume_from_before_it_undoes_is_no_failure(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    broken_run(monkeypatch, folder, {}, total_steps=200)
    monkeypatch.setattr(Breakable, "made", 0)
    monkeypatch.setattr(Breakable, "breaks", {2: 250})  # seed 1, once its episode is brought back
    with pytest.warns(UserWarning, match="1 of 2 seeds failed"):
        qfix.resume(folder, total_steps=500, env=Breakable)
    assert RunFolder(folder).failures().keys() == {1}
    # it stays failed where it had failed already
    with pytest.warns(UserWarning, match="1 of 2 seeds failed"):
        qfix.resume(folder, total_steps=600, env=Breakable)
    assert RunFolder(folder).failures().keys() == {1}
    monkeypatch.setattr(Breakable, "breaks", {})
    run = qfix.load(folder, env=Breakable, checkpoint=200).resume(total_steps=500)
    assert RunFolder(folder).failures() == run.failures == {}


def test_what_was_stopped_in_the_middle_of_a_step_must_be_loaded_again(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    broken_run(monkeypatch, folder, {}, total_steps=200, seeds=1)
    run = qfix.load(folder, env=Breakable)
    monkeypatch.setattr(Breakable, "breaks", {Breakable.made - 1: 250, "kind": KeyboardInterrupt})
    with pytest.raises(KeyboardInterrupt):
        run.resume(total_steps=500)
    with pytest.raises(qfix.FolderError, match="in the middle of a step"):
        run.resume(total_steps=500)
    monkeypatch.setattr(Breakable, "breaks", {})
    whole = broken_run(monkeypatch, tmp_path / "whole", {}, seeds=1)
    assert_same(qfix.resume(folder, total_steps=500, env=Breakable), whole)


def test_a_failed_seed_is_known_from_the_folder_of_a_run_that_was_saved(tmp_path, monkeypatch):
    with pytest.warns(UserWarning, match="1 of 2 seeds failed"):
        run = broken_run(monkeypatch, None, {1: 101})
    run.save(tmp_path / "kept")
    assert RunFolder(tmp_path / "kept").failures() == run.failures
    assert run.failures.keys() == {0}


class Slippery(gymnasium.Wrapper):
    """Takes another action now and then, by a generator of its own that reset(seed) does not know."""

    def __init__(self, env):
        super().__init__(env)
        self.rng = np.random.default_rng(7)

    def step(self, action):
        return self.env.step(self.env.action_space.n - 1 - action if self.rng.random() < 0.2 else action)


def slippery():
    return Slippery(gymnasium.make("CliffWalking-v1"))


def test_an_environment_given_as_an_object_must_be_given_again(tmp_path):
    options = OPTIONS | {"total_steps": 300}
    whole = qfix.train(slippery, **OPTIONS | {"total_steps": 900})
    qfix.train(slippery, out=tmp_path / "run", **options)
    with pytest.raises(qfix.OptionError, match=r"'env' parameter of load must be given.*lambda: MyEnv"):
        qfix.load(tmp_path / "run")
    with pytest.raises(qfix.OptionError, match="must be 'CliffWalking-v1', as the run was trained in"):
        qfix.load(tmp_path / "run", env="Taxi-v4")
    run = qfix.resume(tmp_path / "run", total_steps=900, env=slippery)
    assert_same(run, whole)
    assert any("replay" in note for note in run.restored)


def test_what_does_not_repeat_itself_is_told_and_begun_afresh(tmp_path):
    class Fickle(gymnasium.Wrapper):
        """Drifts by a generator that all of its kind share and no reset touches."""

        drift = np.random.default_rng(3)

        def step(self, action):
            _, reward, terminated, truncated, info = self.env.step(action)
            if not terminated:
                self.env.unwrapped.s = int(self.drift.integers(36))
            return self.env.unwrapped.s, reward, terminated, truncated, info

    def fickle():
        return Fickle(gymnasium.make("CliffWalking-v1"))

    run = qfix.train(fickle, total_steps=300, out=tmp_path / "run", **OPTIONS)
    n = len(run.episodes.returns[0])
    assert run.state.worlds[0].running
    loaded = qfix.load(tmp_path / "run", env=fickle)
    assert any("fresh episode" in note for note in loaded.restored)
    loaded.resume(total_steps=900)
    assert len(loaded.episodes.returns[0]) > n
    assert RunFolder(tmp_path / "run").status == "finished"


def test_metrics_can_be_asked_for_by_name():
    run = qfix.train("FrozenLake-v1", total_steps=600, seeds=3, **OPTIONS)
    steps, values = run.metrics("td_error")
    assert steps.tolist() == list(range(60, 601, 60))
    assert values.shape == (3, 10)
    with pytest.raises(qfix.UnknownNameError, match="Did you mean 'td_error'"):
        run.metrics("td_eror")


def test_training_and_evaluation_share_no_seed(monkeypatch):
    seen = {"training": set(), "evaluation": set()}

    class Noting(gymnasium.Wrapper):
        phase = "training"

        def reset(self, *, seed=None, **options):
            seen[Noting.phase].add(seed)
            return self.env.reset(seed=seed, **options)

    run = qfix.train(lambda: Noting(gymnasium.make("Blackjack-v1")), total_steps=500, seeds=3)
    Noting.phase = "evaluation"
    run.evaluate(200)
    assert len(seen["training"]) > 500
    assert len(seen["evaluation"]) == 200
    # by construction: below and above 2^63
    assert max(seen["training"]) < 2**63 <= min(seen["evaluation"])


def test_a_run_that_needs_more_memory_than_there_is_cannot_be_loaded(tmp_path):
    qfix.train("FrozenLake-v1", "n_step_sarsa", total_steps=100, out=tmp_path / "run", **OPTIONS)
    path = tmp_path / "run" / "spec.json"
    spec = json.loads(path.read_text())
    spec["config"]["n"] = 10**15
    path.write_text(json.dumps(spec))
    with pytest.raises(qfix.QfixError, match="cannot be loaded"):
        qfix.load(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    (tmp_path / "run" / "metrics.db").unlink()
    with pytest.raises(qfix.FolderError, match="more memory than there is"):
        qfix.load(tmp_path / "run")


def test_a_folder_that_is_no_run_is_told_by_what_it_lacks(tmp_path):
    with pytest.raises(qfix.FolderError, match=r"is not the folder of a run: it has no spec\.json"):
        qfix.load(tmp_path)
    with pytest.raises(qfix.FolderError, match="There is no folder"):
        qfix.load(tmp_path / "nowhere")
