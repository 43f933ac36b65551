"""Seeds in processes of their own: the same results, and one that dies takes no other with it."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest

import frail
import qfix
from qfix import loop
from qfix.run import Run
from qfix.runs import StoreReader
from qfix.workers import choice, team

OPTIONS = {"algorithm": "q_learning", "alpha": 0.3, "gamma": 0.9, "epsilon": 0.4, "metrics_every": 75}


def train(fault="none", steps=1_000, seeds=(3, frail.SEED, 8), **options):
    return qfix.train(f"frail/{fault}-v0", total_steps=steps, seeds=seeds, **(OPTIONS | options))


def assert_alike(one, other, leave_out=()):
    """Two runs have learned and recorded the same, seeds at some places aside."""
    kept = [i for i in range(len(one.spec.seeds)) if i not in leave_out]
    for name in one.metric_names:
        a, b = one.metrics(name), other.metrics(name)
        np.testing.assert_array_equal(a.steps, b.steps)
        np.testing.assert_array_equal(a.values[kept], b.values[kept], name)
    for i in kept:
        np.testing.assert_array_equal(one.episodes.returns[i], other.episodes.returns[i])
        np.testing.assert_array_equal(one.episodes.lengths[i], other.episodes.lengths[i])
    a, b = one.trainer.pack(one.state), other.trainer.pack(other.state)
    assert a.keys() == b.keys()
    for name in a:
        if int(name.partition(".")[0]) in kept:
            np.testing.assert_array_equal(a[name], b[name], name)
    if 0 in kept:
        assert len(one.snapshots) == len(other.snapshots)
        for x, y in zip(one.snapshots, other.snapshots, strict=True):
            assert x[:2] == y[:2]
            np.testing.assert_array_equal(x.action_values, y.action_values)
    places = {one.spec.seeds[i] for i in kept}
    assert [a for a in one.alerts if a.seed in places] == [a for a in other.alerts if a.seed in places]


def rows(folder):
    """What a store tells, in its order."""
    reader = StoreReader(Path(folder) / "metrics.db")
    return repr(
        (
            [(name, reader.metric(name)) for name in reader.metric_names()],
            [
                (seed, one.returns.tolist(), one.lengths.tolist())
                for seed, one in reader.all_episodes().items()
            ],
            reader.alerts(),
            reader.snapshots(),
        )
    )


# The same results


@pytest.mark.parametrize("n", [2, 3])
def test_results_do_not_depend_on_the_number_of_workers(n, tmp_path):
    """Tiles, an episode that goes on at the end, snapshots of the first seed."""
    options = {"total_steps": 1_500, "seeds": [4, 0, 9], "metrics_every": 400, "snapshot_episodes": [1, 3, 5]}
    options |= {"eval_episodes": 2}
    one = qfix.train("MountainCar-v0", "sarsa_lambda", **options, workers=1, out=tmp_path / "one")
    other = qfix.train("MountainCar-v0", "sarsa_lambda", **options, workers=n, out=tmp_path / "other")
    assert len(one.snapshots) == 3
    assert isinstance(other.trainer, type(one.trainer))
    assert_alike(one, other)
    assert rows(tmp_path / "one") == rows(tmp_path / "other")
    assert one.spec.digest == other.spec.digest
    np.testing.assert_array_equal(one.evaluate(2).returns, other.evaluate(2).returns)


def test_a_model_and_features_go_to_other_processes_too():
    options = {"total_steps": 3_000, "seeds": 2, "features": np.eye(16)[:, :9] + 0.1}
    one, other = (qfix.train("FrozenLake-v1", "q_learning", **options, workers=n) for n in (1, 2))
    assert one.spec.driver == "compiled"
    assert_alike(one, other)


def test_an_interrupted_run_goes_on_with_any_number_of_workers(tmp_path):
    def interrupt(made, total, seconds):
        if made >= 300:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(qfix.Interrupted) as caught:
        train(steps=3_000, out=tmp_path / "run", workers=2, progress=interrupt, eval_episodes=0)
    # a chunk has eight times the steps of the one before at most
    assert 300 <= caught.value.run.steps < 3_000
    assert not multiprocessing.active_children()
    assert_alike(qfix.resume(tmp_path / "run", workers=2), train(steps=3_000))
    longer = qfix.resume(tmp_path / "run", 3_400, workers=3)
    assert_alike(longer.resume(3_500, workers=1), train(steps=3_500))


def test_a_second_signal_ends_a_run_at_once(tmp_path):
    def interrupt(made, total, seconds):
        if made >= 300:
            signal.raise_signal(signal.SIGINT)  # to this thread, so that the second is none of the first
            signal.raise_signal(signal.SIGINT)

    run = train(steps=100, out=tmp_path, workers=2, eval_episodes=0)
    trainer = run.trainer
    with pytest.raises(KeyboardInterrupt) as caught:
        run.resume(3_000, interrupt, workers=2)
    assert not isinstance(caught.value, qfix.Interrupted)
    assert not multiprocessing.active_children()
    assert run.trainer is trainer
    assert 100 <= run.steps < 3_000
    assert_alike(qfix.resume(tmp_path), train(steps=3_000))


def test_an_environment_that_raises_fails_as_in_one_process():
    with pytest.warns(UserWarning, match="1 of 3 seeds failed"):
        one, other = (train("raises", workers=n) for n in (1, 2))
    assert one.failures == other.failures
    assert f"(seed {frail.SEED}, episode {frail.EPISODE}, step {frail.STEP - 1})" in one.failures[frail.SEED]
    assert_alike(one, other)
    with pytest.raises(qfix.EnvironmentFault, match="All 2 seeds have failed") as caught:
        train("raises", seeds=[frail.SEED, 7], workers=2, env_kwargs={"seeds": (frail.SEED, 7)})
    assert caught.value.run.status == "failed"
    assert len(caught.value.run.episodes.returns[1]) == frail.EPISODE


# Processes that die


@pytest.mark.parametrize(
    ("fault", "said"),
    [("killed", "SIGKILL"), ("segfault", "SIGSEGV"), ("exits", "exit code 7")],
)
def test_a_process_that_dies_loses_its_seed_only(fault, said, tmp_path):
    with pytest.warns(UserWarning, match="1 of 3 seeds failed"):
        run = train(fault, workers=2, out=tmp_path, eval_episodes=0)
    message = run.failures[frail.SEED]
    assert f"its process died ({said})" in message
    assert list(run.failures) == [frail.SEED]
    assert run.status == "finished"
    assert not multiprocessing.active_children()
    assert_alike(run, train(), leave_out=[1])

    # what it had learned when it answered last is there, to the bit, and named
    made = run.trainer.steps_done(run.state)[1]
    named = re.search(rf"\(seed {frail.SEED}, episode (\d+) or later, after step ([\d,]+)\)", message)
    assert int(named[2].replace(",", "")) == made
    assert made // frail.LENGTH == int(named[1]) == len(run.episodes.returns[1]) <= frail.EPISODE
    assert made <= frail.EPISODE * frail.LENGTH + frail.STEP
    np.testing.assert_array_equal(run.q[1], train(steps=made, seeds=[frail.SEED]).q[0])

    kept = qfix.load(tmp_path)
    assert kept.failures == run.failures
    with pytest.warns(UserWarning, match="1 of 3 seeds failed"):
        kept.resume(1_100, workers=2)
    assert kept.trainer.steps_done(kept.state) == [1_100, made, 1_100]


def test_if_the_steps_cannot_be_made_again_what_was_packed_is_kept(tmp_path):
    with pytest.warns(UserWarning, match="1 of 3 seeds failed"):
        run = train("cursed", workers=2, env_kwargs={"folder": str(tmp_path)})
    assert "its process died (exit code 7). What was learned when it was packed" in run.failures[frail.SEED]
    assert run.trainer.steps_done(run.state) == [
        1_000,
        1,
        1_000,
    ]  # it was packed when the processes were started
    assert_alike(run, train(), leave_out=[1])


def test_if_all_processes_die_what_was_learned_is_kept():
    seeds = (frail.SEED, 7)
    with pytest.raises(qfix.EnvironmentFault, match=r"All 2 seeds .* died \(SIGKILL\)") as caught:
        train("killed", seeds=seeds, workers=2, env_kwargs={"seeds": seeds})
    run = caught.value.run
    assert run.status == "failed"
    assert list(run.failures) == list(seeds)
    assert 0 < run.steps <= frail.EPISODE * frail.LENGTH + frail.STEP
    for i, made in enumerate(run.trainer.steps_done(run.state)):
        assert len(run.episodes.returns[i]) == made // frail.LENGTH


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            "sleeps",
            rf"failed \(seed {frail.SEED}, episode {frail.EPISODE}, step 2\): it has not answered within",
        ),
        ("stuck", rf"seed {frail.SEED}, episode .* or later.* in native code, so its process was ended"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="locks a mutex of Linux")
def test_a_process_that_hangs_loses_its_seed_only(fault, said):
    with pytest.warns(UserWarning, match="1 of 3 seeds failed"):
        run = train(fault, workers=3, step_time_limit=0.4)
    assert list(run.failures) == [frail.SEED]
    assert re.search(said, run.failures[frail.SEED])
    assert "limit of 0.4 seconds" in run.failures[frail.SEED]
    assert_alike(run, train(), leave_out=[1])
    assert not multiprocessing.active_children()


# What another process cannot make


def test_what_another_process_cannot_make_is_told_before_any_work(tmp_path):
    class Here(frail.Frail):
        pass

    gymnasium.register("frail/Here-v0", entry_point=Here)
    given = {
        "a lambda": lambda: frail.Frail(),
        "an object": frail.Frail(),
        "registered here": "frail/Here-v0",
        "made elsewhere": "frail/made-v0",
    }
    try:
        for what, env in given.items():
            with pytest.raises(
                qfix.OptionError, match=r"'workers' parameter of train must be 1 .*Got 2\."
            ) as told:
                qfix.train(env, "q_learning", total_steps=100, seeds=2, workers=2, out=tmp_path / "run")
            assert "'module:Id-v0' or a function of that module; or use workers=1." in str(told.value)
            assert not (tmp_path / "run").exists(), what
        assert "no simulator.cfg" in str(told.value)
        for wrong in (0, -1, 1.5, "2", True):
            with pytest.raises(
                qfix.OptionError, match=r"'workers' .* must be a whole number above 0, or None"
            ):
                train(workers=wrong)
    finally:
        del gymnasium.registry["frail/Here-v0"]


def test_a_function_of_a_module_and_an_id_of_a_module_can_be_made_elsewhere():
    expected = train(steps=300)
    assert_alike(qfix.train(frail.healthy, total_steps=300, seeds=[3, 6, 8], workers=2, **OPTIONS), expected)
    by_module = qfix.train("frail:frail/none-v0", total_steps=300, seeds=[3, 6, 8], workers=2, **OPTIONS)
    assert_alike(by_module, expected)


# Whether to, where nobody has said


@pytest.fixture
def eager(monkeypatch):
    """Other processes are worth it from the first moment; tells how many were started."""
    monkeypatch.setattr(choice, "WORTH_SECONDS", {"live": 0.0})
    monkeypatch.setattr(loop, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(choice, "usable_cores", lambda: 2)
    started = []
    start = team.start_process

    def count(target):
        started.append(target)
        return start(target)

    monkeypatch.setattr(team, "start_process", count)
    return started


def test_long_live_runs_take_processes_by_themselves(eager):
    run = train(steps=1_000)
    assert len(eager) == 3
    assert_alike(run, train(workers=1))
    assert len(eager) == 3


def test_what_another_process_would_do_otherwise_is_done_here(eager):
    with pytest.warns(UserWarning, match=r"trained in one process .* lead to something else there"):
        run = train("other")
    assert len(eager) == 3
    assert_alike(run, train(workers=1))
    with pytest.warns(UserWarning, match="trained in one process .* no simulator.cfg"):
        assert_alike(train("made"), run)


def test_where_no_process_can_be_started_there_is_this_one(eager, monkeypatch):
    def refuse(target):
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(team, "start_process", refuse)
    with pytest.warns(UserWarning, match="trained in one process .* temporarily unavailable"):
        assert_alike(train(steps=300), train(steps=300, workers=1))


def test_short_compiled_and_single_runs_stay_in_one_process(eager):
    qfix.train("FrozenLake-v1", total_steps=5_000, seeds=3)
    train(seeds=1)
    qfix.train(frail.healthy, total_steps=300, seeds=2, **OPTIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        qfix.train(lambda: frail.Frail(), total_steps=300, seeds=2, **OPTIONS)
    assert not eager


def test_what_is_worth_a_process(monkeypatch):
    monkeypatch.setattr(choice, "usable_cores", lambda: 4)
    spec = SimpleNamespace(seeds=range(6), driver="live", total_steps=101_000)
    build = SimpleNamespace(by_id=True)
    run = SimpleNamespace(spec=spec, failures={}, workers=None, build=build, steps=1_000)
    assert choice.processes_due(run, 0.5, 1_000) == 4
    assert choice.processes_due(run, 0.09, 1_000) == 1  # 9 seconds to go
    run.failures = dict.fromkeys(range(3))
    assert choice.processes_due(run, 0.5, 1_000) == 3
    run.failures = dict.fromkeys(range(5))
    assert choice.processes_due(run, 0.5, 1_000) == 1
    run.workers, run.failures = 5, {}
    assert choice.processes_due(run, 0.0, 0) == 5


# Signals, and a parent that dies

SCRIPT = """
import sys
import qfix
sys.path.insert(0, sys.argv[2])
import frail
run = qfix.train(
    "frail/none-v0", "q_learning", alpha=0.3, gamma=0.9, epsilon=0.4, total_steps=10**8, seeds=[3, 6, 8], workers=2,
    env_kwargs={"folder": sys.argv[3]}, out=sys.argv[1], metrics_every=70_000, checkpoint_seconds=0.2,
)
"""


def started(tmp_path):
    """A script without a main guard, in a group of its own, when its workers are at work; and their ids."""
    (tmp_path / "pids").mkdir()
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    words = [sys.executable, script, tmp_path / "run", Path(__file__).parent, tmp_path / "pids"]
    process = subprocess.Popen(words, start_new_session=True, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if len(list((tmp_path / "run" / "checkpoints").glob("*"))) >= 2:
            break
        time.sleep(0.05)
    assert process.poll() is None, process.stderr.read()
    pids = {int(path.name) for path in (tmp_path / "pids").iterdir()} - {process.pid}
    assert len(pids) == 4  # a trial and three seeds
    return process, pids


def gone(pids):
    """Whether the processes end."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_ends_a_run_in_order(number, tmp_path):
    process, pids = started(tmp_path)
    os.killpg(process.pid, number)
    said = process.communicate(timeout=60)[1]
    assert "Interrupted after" in said
    assert said.count("Traceback") == 1  # the script's own
    assert gone(pids)
    run = qfix.load(tmp_path / "run", env="frail/none-v0")
    assert not run.failures
    assert run.restored[0].endswith(f"step {run.steps:,}")
    expected = train(steps=run.steps, metrics_every=70_000, env_kwargs={"folder": str(tmp_path / "pids")})
    np.testing.assert_array_equal(run.q, expected.q)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_process_outlives_a_parent_that_is_killed(tmp_path):
    process, pids = started(tmp_path)
    assert any(alive(pid) for pid in pids)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert gone(pids)
    process.stderr.close()
    assert isinstance(qfix.load(tmp_path / "run", env="frail/none-v0"), Run)
