"""Training as a user asks for it: budgets, seeds, folders, progress, faults, signals."""

import itertools
import os
import signal
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import qfix
from qfix.assembly import choose_algorithm, known_model
from qfix.envs.table_env import TableEnv
from qfix.loop import speed_text
from qfix.runs import RunFolder

GRID = "qfix/Grid4x3-v0"


def same(one, other):
    """Equal to the bit: values and episodes."""
    return (
        np.array_equal(one.q, other.q)
        and all(map(np.array_equal, one.episodes.returns, other.episodes.returns))
        and all(map(np.array_equal, one.episodes.lengths, other.episodes.lengths))
    )


# Budget and seeds


@pytest.mark.parametrize("total_steps", [1, 2, 999, 12_345])
def test_a_budget_is_spent_exactly(total_steps):
    run = qfix.train(GRID, total_steps=total_steps, seeds=2)
    assert run.steps == total_steps
    assert run.status == "finished"
    assert all(lengths.sum() <= total_steps < lengths.sum() + 101 for lengths in run.episodes.lengths)


def test_a_count_of_seeds_is_a_list_from_zero():
    count = qfix.train(GRID, total_steps=2_000, seeds=3)
    listed = qfix.train(GRID, total_steps=2_000, seeds=[0, 1, 2])
    assert count.spec.seeds == (0, 1, 2)
    assert same(count, listed)


def test_a_seed_is_the_same_alone_and_among_others_and_another_seed_is_not():
    many = qfix.train(GRID, total_steps=3_000, seeds=[5, 1, 7])
    alone = qfix.train(GRID, total_steps=3_000, seeds=[7])
    assert np.array_equal(many.q[2], alone.q[0])
    assert not np.array_equal(many.episodes.lengths[0], many.episodes.lengths[1])


@pytest.mark.parametrize("world", [GRID, "qfix/MaximizationBias-v0", "qfix/Warehouse-v0"])
def test_live_and_compiled_stepping_give_the_same_run(world):
    live = qfix.train(world, total_steps=3_000, seeds=2, driver="live")
    compiled = qfix.train(world, total_steps=3_000, seeds=2, driver="compiled")
    assert (live.spec.driver, compiled.spec.driver) == ("live", "compiled")
    assert same(live, compiled)


@pytest.mark.parametrize("inner", [None, 7])
@pytest.mark.parametrize("outer", [None, 5, 9])
def test_live_and_compiled_episodes_are_cut_at_the_same_step(inner, outer):
    env = TableEnv(qfix.FiniteMDP.from_env(GRID, 0.9, max_episode_steps=inner or -1))
    env = env if outer is None else gymnasium.wrappers.TimeLimit(env, outer)
    live, compiled = (qfix.train(env, total_steps=2_000, driver=d) for d in ("live", "compiled"))
    assert same(live, compiled)
    limit = min(x for x in (inner, outer, 10**6) if x is not None)
    longest = live.episodes.lengths[0].max()
    assert longest == limit if limit < 10**6 else longest > 9


def test_how_often_the_loop_looks_up_changes_nothing(monkeypatch):
    calm = qfix.train(GRID, total_steps=5_000)
    monkeypatch.setattr("qfix.loop._CHUNK_SECONDS", 1e-9)
    assert same(calm, qfix.train(GRID, total_steps=5_000))


# What is refused before any work


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alhpa": 0.1}, "q_learning has no option 'alhpa'. Did you mean 'alpha'?"),
        ({"alpha": 1.5}, r"The 'alpha' parameter of q_learning must be in \[0, 1\]. Got 1.5"),
        ({"gamma": -0.1}, "'gamma' parameter of q_learning must be in"),
        ({"total_steps": 0}, "'total_steps' parameter of train must be a whole number above 0"),
        ({"total_steps": 1e5}, "'total_steps' parameter of train must be a whole number"),
        ({"seeds": 0}, "'seeds' parameter of train must be at least 1"),
        ({"seeds": [1, 1]}, "must not repeat a seed"),
        ({"seeds": [-1]}, "whole numbers, 0 or above"),
        ({"seeds": []}, "must be a count or a list"),
        ({"driver": "fast"}, "must be one of auto, compiled, live"),
        ({"store": "tiled"}, "can be 'tiled' only for observations in a Box"),
    ],
)
def test_a_bad_option_is_named(options, message):
    with pytest.raises(qfix.OptionError, match=message):
        qfix.train("FrozenLake-v1", "q_learning", **options)


def test_a_bad_name_is_answered_with_the_nearest():
    with pytest.raises(qfix.UnknownNameError, match="Did you mean 'FrozenLake-v1'"):
        qfix.train("FrozenLak-v1")
    with pytest.raises(qfix.UnknownNameError, match="Did you mean 'q_learning'"):
        qfix.train("FrozenLake-v1", "qlearning")


def test_spaces_that_do_not_fit_are_named_with_a_remedy():
    with pytest.raises(qfix.SpaceError, match="must be Discrete"):
        qfix.train("Pendulum-v1", "dqn")
    with pytest.raises(qfix.SpaceError, match="tile_range="):
        qfix.train("CartPole-v1", "sarsa_lambda")


@pytest.mark.parametrize("kind", ["taken", "a file", "under a file"])
def test_a_bad_folder_is_found_before_training(tmp_path, kind, monkeypatch):
    monkeypatch.setattr("qfix.loop._loop", lambda *_: pytest.fail("training began"))
    (tmp_path / "notes.txt").write_text("mine")
    out = {
        "taken": tmp_path,
        "a file": tmp_path / "notes.txt",
        "under a file": tmp_path / "notes.txt" / "x",
    }
    with pytest.raises(qfix.OptionError, match="'out' parameter of train must be"):
        qfix.train(GRID, total_steps=10, out=out[kind])


# Keeping it


def test_a_run_is_kept_in_an_empty_folder(tmp_path):
    run = qfix.train(GRID, total_steps=500, out=tmp_path / "a" / "b")
    kept = RunFolder(tmp_path / "a" / "b")
    assert kept.status == "finished"
    assert kept.spec == run.spec
    assert kept.steps == 500
    assert same(qfix.load(kept.path), run)


def test_no_folder_is_written_where_none_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    qfix.train(GRID, total_steps=100)
    assert list(tmp_path.iterdir()) == []


# Progress and signals


def test_progress_is_reported_in_rising_steps():
    seen = []
    qfix.train(GRID, total_steps=50_000, progress=lambda *report: seen.append(report))
    steps, totals, seconds = zip(*seen)
    assert steps[-1] == 50_000
    assert set(totals) == {50_000}
    assert all(a < b for a, b in itertools.pairwise(steps))
    assert all(a <= b for a, b in itertools.pairwise(seconds))


def test_a_progress_bar_is_shown_on_terminals_only(capfd):
    qfix.train(GRID, total_steps=1_000, progress=True)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("driver", ["compiled", "live"])
def test_a_signal_stops_between_two_steps_and_keeps_what_was_learned(tmp_path, number, driver):
    before = signal.getsignal(number)

    def interrupt(*_):
        if interrupt.due:
            interrupt.due = False
            os.kill(os.getpid(), number)

    interrupt.due = True
    with pytest.raises(qfix.Interrupted, match="Interrupted after") as stop:
        qfix.train(
            GRID, total_steps=10**12, seeds=2, out=tmp_path, progress=interrupt, driver=driver, epsilon=0.1
        )
    run = stop.value.run
    assert isinstance(stop.value, KeyboardInterrupt)
    assert run.status == "interrupted"
    assert run.signal == number
    assert signal.getsignal(number) is before
    assert RunFolder(tmp_path).steps == run.steps > 1
    assert RunFolder(tmp_path).status == "interrupted"
    # what was learned is what the same number of steps gives undisturbed
    assert same(run, qfix.train(GRID, total_steps=run.steps, seeds=2, driver=driver, epsilon=0.1))


def test_a_second_signal_is_not_held_back(tmp_path):
    class Stubborn(gymnasium.Wrapper):
        def step(self, action):
            Stubborn.steps += 1
            if Stubborn.steps > 500:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
            return super().step(action)

    Stubborn.steps = 0
    env = Stubborn(gymnasium.make("FrozenLake-v1"))
    with pytest.raises(KeyboardInterrupt):
        qfix.train(env, total_steps=10**9, out=tmp_path)
    assert RunFolder(tmp_path).status == "interrupted"


# Faults


def test_a_fault_carries_the_run_and_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parent), *sys.path])
    with pytest.raises(
        qfix.EnvironmentFault, match=r"seed 0, episode 55, step 4.*the cable came loose"
    ) as caught:
        qfix.train("crumbling:tests/Crumbles-v0", total_steps=10_000, out=tmp_path)
    run = caught.value.run
    assert run.status == "failed"
    assert run.steps == 499
    assert len(run.episodes.returns[0]) == 55
    assert run.q[0][8].max() > 0
    assert run.policy(0).predict(8) in (0, 1)
    assert RunFolder(tmp_path).status == "failed"
    assert len(RunFolder(tmp_path).store.episodes(0).returns) == 55


# What is chosen


def test_the_observation_space_decides():
    assert choose_algorithm(gymnasium.spaces.Discrete(3)) == "q_learning"
    assert choose_algorithm(gymnasium.spaces.Box(0, 1, (2,))) == "dqn"
    box = gymnasium.spaces.Box(0, 1, (2,))
    assert choose_algorithm(box, gymnasium.spaces.Discrete(2)) == "dqn"
    for actions in (box, gymnasium.spaces.MultiDiscrete([2, 3]), gymnasium.spaces.MultiBinary(2)):
        assert choose_algorithm(gymnasium.spaces.Discrete(4), actions) == "ppo"


def test_a_model_is_known_through_wrappers_that_change_nothing():
    assert known_model(gymnasium.make("FrozenLake-v1"), 0.9).gamma == 0.9
    assert known_model(gymnasium.make("CartPole-v1"), 0.9) is None
    changed = gymnasium.wrappers.TransformReward(gymnasium.make("FrozenLake-v1"), lambda r: 2 * r)
    assert known_model(changed, 0.9) is None


@pytest.mark.parametrize(
    ("name", "space"),
    [
        ("action_space", gymnasium.spaces.Discrete(400)),
        ("action_space", gymnasium.spaces.Discrete(3)),
        ("action_space", gymnasium.spaces.MultiDiscrete([2, 2])),
        ("observation_space", gymnasium.spaces.Discrete(17)),
        ("observation_space", gymnasium.spaces.Box(0.0, 1.0)),
    ],
)
def test_a_table_of_another_size_than_the_spaces_is_no_model(name, space):
    """The compiled kernels would read beyond it."""
    env = gymnasium.make("FrozenLake-v1")
    setattr(env.unwrapped, name, space)
    assert known_model(env, 0.9) is None


def test_an_environment_with_a_torn_table_is_stepped_live():
    env = gymnasium.make("FrozenLake-v1")
    env.unwrapped.P = {s: dict(actions) for s, actions in env.unwrapped.P.items()}
    del env.unwrapped.P[7][3]  # a hole in the ice, where nobody decides anything
    with pytest.warns(UserWarning, match=r"stepped live.*state 7.*action 3"):
        assert qfix.train(env, total_steps=100).spec.driver == "live"
    assert qfix.train(env, total_steps=100, driver="live").spec.driver == "live"
    with pytest.raises(qfix.ModelError, match=r"state 7.*action 3"):
        qfix.train(env, total_steps=100, driver="compiled")


@pytest.mark.parametrize(
    ("written", "meant"),
    [("learning_rate", "alpha"), ("seed", "seeds"), ("total_timesteps", "total_steps"), ("gama", "gamma")],
)
def test_a_name_from_elsewhere_suggests_the_one_used_here(written, meant):
    with pytest.raises(qfix.OptionError, match=f"no option '{written}'. Did you mean '{meant}'"):
        qfix.train(GRID, **{written: 1})
    with pytest.raises(qfix.OptionError, match="Options of the environment go into env_kwargs"):
        qfix.train(GRID, is_slippery=False)


def test_runs_of_other_worlds_or_features_have_another_digest():
    def digest(size, **options):
        env = gymnasium.make("FrozenLake-v1", map_name=size)
        return qfix.train(env, total_steps=1, **options).spec.digest

    runs = [digest("4x4"), digest("8x8"), *(digest("4x4", features=k * np.eye(16)) for k in (1.0, 2.0))]
    assert len(set(runs)) == 4
    assert digest("4x4") == runs[0]


def test_convergence_is_warned_of_where_it_was_asked_for():
    with pytest.warns(UserWarning, match="alpha|step size"):
        qfix.train(GRID, total_steps=10, alpha=0.1, require_convergence=True)
    with pytest.warns(UserWarning, match=r"^learning_rate=Constant\(0.001\) does not"):
        qfix.train(GRID, "a2c", total_steps=10, learning_rate=1e-3, require_convergence=True)
    qfix.train(GRID, total_steps=10, alpha="Polynomial(1, 0.7, by=visit)", require_convergence=True)


@pytest.mark.parametrize(("speed", "text"), [(68.44e6, "68.4 M"), (1234.0, "1.23 k"), (7.0, "7"), (0.0, "0")])
def test_a_speed_has_three_digits_and_a_unit(speed, text):
    assert speed_text(speed) == f"{text} steps/s"


# Environments given as such


class Counting(gymnasium.Wrapper):
    """Hides the table."""


@pytest.mark.parametrize("given", ["environment", "function"])
def test_seeds_do_not_disturb_one_another_in_an_environment_that_was_given(given):
    """They take turns in the middle of episodes, so each needs its own."""
    env = Counting(gymnasium.make(GRID))
    run = qfix.train(
        env if given == "environment" else lambda: Counting(gymnasium.make(GRID)), total_steps=3_000, seeds=3
    )
    assert same(run, qfix.train(GRID, total_steps=3_000, seeds=3, driver="live"))


def test_an_environment_that_cannot_be_copied_serves_one_seed():
    class Single(Counting):
        def __deepcopy__(self, memo):
            raise TypeError("a socket cannot be copied")

    env = Single(gymnasium.make(GRID))
    assert qfix.train(env, total_steps=200).steps == 200
    with pytest.raises(qfix.OptionError, match=r"must be copied for 2 seeds.*Give a function that makes one"):
        qfix.train(env, total_steps=200, seeds=2)


def test_evaluating_in_an_environment_that_cannot_be_copied_leaves_training_alone():
    """One world serves both: the training episode that an evaluation breaks into is gone back to."""

    class Single(Counting):
        def __deepcopy__(self, memo):
            raise TypeError("a socket cannot be copied")

    runs = []
    for evaluated in (False, True):
        run = qfix.train(Single(gymnasium.make("qfix/Warehouse-v0")), total_steps=777, epsilon=0.3)
        for _ in range(3):
            if evaluated:
                run.evaluate(episodes=3)
            run.advance(101)
        runs.append(run)
    assert runs[1].episodes.lengths[0].sum() < runs[1].steps  # an episode was under way
    assert same(*runs)


def test_what_is_no_environment_is_refused():
    with pytest.raises(qfix.OptionError, match="'env' parameter of train must be an id"):
        qfix.train(7)
    with pytest.raises(qfix.OptionError, match="'env_kwargs' parameter of train needs the id"):
        qfix.train(gymnasium.make(GRID), env_kwargs={"slip": 0.1})
