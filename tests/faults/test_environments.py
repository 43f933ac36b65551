"""Environments that raise, lie, never end or hang: the seed and the episode are named, what was learned is kept."""

import sys
import time
import tracemalloc
import warnings

import gymnasium
import numpy as np
import pytest

import qfix
from qfix.runs import RunFolder, StoreReader, alerts, recorder

AT = 250  # the step that goes wrong


class Corridor(gymnasium.Env):
    """Ten states in a row; the last one ends the episode with 1. Something goes wrong at one step of one seed."""

    observation_space = gymnasium.spaces.Discrete(10)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, wrong=None, at=AT, only_first=False):
        self.wrong, self.at, self.only_first = wrong, at, only_first
        self.steps = self.place = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self.steps == 0:
            Corridor.made += 1
            self.number = Corridor.made
        self.place = 0
        return 0, {}

    def step(self, action):
        self.steps += 1
        self.place += 1
        if self.steps == self.at and not (self.only_first and self.number > 1) and self.wrong:
            return self.wrong(self)
        return self.place, float(self.place == 9), self.place == 9, False, {}


@pytest.fixture(autouse=True)
def _counted():
    Corridor.made = 0


def raises(world):
    raise RuntimeError("the cable came loose")


def hangs(world):
    until = time.monotonic() + 30.0
    while time.monotonic() < until:
        pass
    return 0, 0.0, False, False, {}


WRONG = {
    "raises": (raises, "it raised RuntimeError: the cable came loose"),
    "a reward of NaN": (lambda w: (w.place, np.nan, False, False, {}), "its reward must be finite. Got nan"),
    "an infinite reward": (lambda w: (w.place, -np.inf, False, False, {}), "its reward must be finite"),
    "text for a reward": (lambda w: (w.place, "1", False, False, {}), "reward"),
    "NaN for a place": (lambda w: (np.nan, 0.0, False, False, {}), "observation"),
    "outside": (lambda w: (10, 0.0, False, False, {}), "its observation must lie in Discrete"),
    "below": (lambda w: (-1, 0.0, False, False, {}), "its observation must lie in Discrete"),
    "None": (lambda w: (None, 0.0, False, False, {}), ""),
    "too few answers": (lambda w: (0, 0.0), "it raised ValueError"),
    "hangs": (hangs, "it has not answered within the time limit of 0.2 seconds a step"),
}
LIMIT = {"hangs": {"step_time_limit": 0.2}}


@pytest.mark.parametrize("kind", WRONG)
def test_a_fault_names_seed_and_episode_and_all_before_it_is_kept(tmp_path, kind):
    """Nine steps an episode: step 250 is step 6 of episode 27, the 28th."""
    wrong, said = WRONG[kind]
    options = {"total_steps": 1_000, "metrics_every": 50, "seeds": [4]} | LIMIT.get(kind, {})
    folder = tmp_path / "run"
    with pytest.raises(qfix.EnvironmentFault) as told:
        qfix.train(lambda: Corridor(wrong), "sarsa", out=folder, **options)
    message = str(told.value)
    assert "(seed 4, episode 27, step 6)" in message
    assert said in message
    assert [len(r) for r in told.value.run.episodes.returns] == [27]

    kept = RunFolder(folder)
    assert kept.status == "failed"
    assert "episode 27" in kept.failures()[4]
    assert len(kept.store.all_episodes()[4].returns) == 27
    assert kept.store.metric("return").steps.tolist() == [50, 100, 150, 200]

    run = qfix.load(folder, env=lambda: Corridor())
    assert run.steps == AT - 1
    assert "episode 27" in run.failures[4]
    honest = qfix.train(lambda: Corridor(), "sarsa", **options | {"total_steps": AT - 1})
    assert len(honest.episodes.returns[0]) == 27
    assert np.array_equal(run.policy().action_values(np.arange(10)), told.value.run.q[0])
    run.resume()
    assert run.status == "finished"
    assert run.failures == {}
    assert RunFolder(folder).status == "finished"


@pytest.mark.parametrize("kind", ["raises", "outside", "hangs"])
def test_one_seed_that_fails_does_not_stop_the_others(tmp_path, kind):
    options = {"total_steps": 600, "metrics_every": 50, "seeds": 3, "eval_episodes": 3} | LIMIT.get(kind, {})
    with pytest.warns(UserWarning, match="1 of 3 seeds failed. seed 0: .*episode 27"):
        run = qfix.train(
            lambda: Corridor(WRONG[kind][0], only_first=True), "sarsa", out=tmp_path / "run", **options
        )
    assert list(run.failures) == [0]
    honest = qfix.train(lambda: Corridor(), "sarsa", **options)
    assert np.array_equal(run.q[1:], honest.q[1:])
    loaded = qfix.load(tmp_path / "run", env=lambda: Corridor())
    assert list(loaded.failures) == [0]
    assert [len(r) for r in loaded.episodes.returns] == [27, 66, 66]
    assert np.array_equal(loaded.q, run.q)


def test_a_seed_that_fails_again_and_again_loses_nothing(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(qfix.EnvironmentFault):
        qfix.train(lambda: Corridor(raises, 100), "sarsa", out=folder, total_steps=500, metrics_every=50)
    counts = []
    for _ in range(3):
        with pytest.raises(qfix.EnvironmentFault):
            qfix.resume(folder, env=lambda: Corridor(raises, 100))
        counts.append(len(StoreReader(folder / "metrics.db").all_episodes()[0].returns))
    assert counts == sorted(set(counts))
    assert qfix.resume(folder, env=lambda: Corridor()).steps == 500


def test_a_reset_that_fails_is_named(tmp_path):
    class Unwilling(Corridor):
        def reset(self, *, seed=None, options=None):
            if self.steps > 50:
                raise OSError("no answer")
            return super().reset(seed=seed)

    with pytest.raises(qfix.EnvironmentFault, match=r"seed 0, episode 6, step 0.*OSError: no answer"):
        qfix.train(Unwilling, "q_learning", out=tmp_path / "run", total_steps=500)
    assert qfix.load(tmp_path / "run", env=Corridor).resume().steps == 500


class Endless(Corridor):
    """Goes round for ever."""

    def step(self, action):
        self.place = (self.place + 1) % 10
        return self.place, 0.0, False, False, {}


def test_an_episode_that_never_ends_is_told_and_takes_no_memory(tmp_path, monkeypatch):
    """An action is kept for each step of a running episode, to bring it back: one byte."""
    monkeypatch.setattr(alerts, "LONG_EPISODE", 5_000)
    folder = tmp_path / "run"
    qfix.train(Endless, "q_learning", out=folder, total_steps=2_000, metrics_every=1_000, eval_episodes=0)
    run = qfix.load(folder, env=Endless)
    tracemalloc.start()
    try:
        run.resume(5_000)
        before = tracemalloc.get_traced_memory()[0]
        run.resume(20_000)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 300_000
    (alert,) = [a for a in StoreReader(folder / "metrics.db").alerts() if a.kind == "endless_episode"]
    assert alert.seed == 0
    assert alert.step == 6_000
    assert "episode 0 has not ended after 6,000 steps" in alert.message
    assert run.episodes.returns[0].tolist() == []
    assert [a for a in qfix.load(folder, env=Endless).alerts if a.kind == "endless_episode"] == [
        a for a in run.alerts if a.kind == "endless_episode"
    ]


def test_an_environment_that_hangs_while_it_is_brought_back_begins_its_episode_afresh(tmp_path):
    folder = tmp_path / "run"
    qfix.train(Corridor, "sarsa", out=folder, total_steps=103, eval_episodes=0)
    began = time.monotonic()
    run = qfix.load(folder, env=lambda: Corridor(hangs, at=2), step_time_limit=0.2)
    assert time.monotonic() - began < 20.0
    assert "has not answered within the time limit of 0.2 seconds" in run.restored[1]
    assert run.resume(200).steps == 200


@pytest.mark.parametrize("limit", [0, -1.0, np.inf, np.nan, "60"])
@pytest.mark.parametrize(("algorithm", "driver"), [("q_learning", "live"), ("dqn", "host")])
def test_a_time_limit_that_is_none_is_refused(limit, algorithm, driver):
    with pytest.raises(qfix.OptionError, match="'step_time_limit' parameter of train must be"):
        qfix.train("FrozenLake", algorithm, driver=driver, total_steps=10, step_time_limit=limit)


@pytest.mark.parametrize("seconds", [0, -1.0, np.inf, np.nan, None, "10", True])
def test_a_time_between_checkpoints_that_is_none_is_refused(tmp_path, seconds):
    with pytest.raises(qfix.OptionError, match="'checkpoint_seconds' parameter of train must be"):
        qfix.train("FrozenLake", total_steps=10, out=tmp_path / "run", checkpoint_seconds=seconds)
    assert not (tmp_path / "run").exists()
    run = qfix.train("FrozenLake", total_steps=10, out=tmp_path / "run")
    with pytest.raises(qfix.OptionError, match="'checkpoint_seconds' parameter of resume must be"):
        run.resume(20, checkpoint_seconds=seconds)


def test_the_time_between_checkpoints_is_kept_to(tmp_path, monkeypatch):
    """By a clock that goes a second at each look: of checkpoints that take no time there are more or fewer."""
    monkeypatch.setattr(recorder, "COST_SHARE", 1e9)
    monkeypatch.setattr("qfix.loop._CHUNK_SECONDS", 1e-9)
    seconds = iter(range(10**9))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(seconds)))
    counts = {}
    for every in (20.0, 400.0):
        folder = tmp_path / str(every)
        run = qfix.train(
            "FrozenLake",
            total_steps=100,
            driver="live",
            out=folder,
            checkpoint_seconds=every,
            eval_episodes=0,
        )
        run.resume(200, checkpoint_seconds=every)
        events = StoreReader(folder / "metrics.db").events()
        counts[every] = sum(event.kind == "checkpoint" for event in events)
    assert counts[20.0] > 5 * counts[400.0] > 0


def test_warnings_are_none_where_nothing_is_wrong(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        qfix.train(Corridor, "sarsa", out=tmp_path / "run", total_steps=100, eval_episodes=2)
    assert sys.version_info >= (3, 11)
