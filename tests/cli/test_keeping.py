"""Runs that are stopped and gone on with, from the shell: `qfix resume` and `qfix train --resume`."""

import dataclasses
import errno
import json
import shutil
import signal
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import qfix
from qfix.cli.result import Wishes
from qfix.runs import RunFolder
from qfix.runs.lock import RunLock

LAKE = "runs/frozenlake-q_learning"


def stopped(out, env="FrozenLake-v1", **options):
    """A run that was interrupted soon after its first step; its steps so far."""
    options = {"total_steps": 300_000, "seeds": 2} | options
    with pytest.raises(qfix.Interrupted) as caught:
        qfix.train(env, out=out, progress=lambda *_: signal.raise_signal(signal.SIGINT), **options)
    return caught.value.run.steps


@pytest.fixture
def _modules_beside(monkeypatch):
    here = Path(__file__).parent
    monkeypatch.setattr(sys, "path", [str(here), str(here.parent), *sys.path])


# resume


def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(qfix_command):
    made = stopped(LAKE)
    assert 0 < made < 300_000
    answer = qfix_command("resume", LAKE, "--no-pictures")
    assert answer.code == 0
    assert answer.err.startswith("Restored: ")
    assert f"To go: {300_000 - made:,} steps" in answer.err
    assert answer.err.count("\n") == 1
    assert f"kept in  {LAKE}\n" in answer.out
    whole = qfix.train("FrozenLake-v1", total_steps=300_000, seeds=2)
    kept = qfix.load(LAKE)
    assert np.array_equal(kept.q, whole.q)
    for mine, its in zip(kept.episodes.returns, whole.episodes.returns, strict=True):
        assert np.array_equal(mine, its)
    result = json.loads(Path(LAKE, "result.json").read_text())
    assert (result["status"], result["steps"]) == ("finished", 300_000)
    assert result["evaluation"]["returns"] == whole.evaluate().returns.tolist()
    assert sorted(RunFolder(LAKE).evaluations()) == [0, 1]


def test_a_finished_run_says_so_and_can_be_extended(qfix_command):
    qfix.train("FrozenLake-v1", total_steps=2_000, out=LAKE)
    before = qfix_command("resume", LAKE)
    assert before.code == 0
    assert before.out == (
        f"{LAKE} is finished: all 2,000 steps of each seed are made.\n"
        f"To extend it: qfix resume {LAKE} --total-steps 4_000\n"
    )
    assert not Path(LAKE, "result.json").exists()
    told = json.loads(qfix_command("resume", LAKE, "--json").out)
    assert (told["status"], told["steps"], told["folder"]) == ("finished", 2_000, LAKE)
    answer = qfix_command("resume", LAKE, "--total-steps", "4_000", "--json", "--no-pictures")
    document = json.loads(answer.out)
    assert (document["steps"], document["folder"]) == (4_000, LAKE)
    assert document["restored"][0] in answer.err
    assert qfix.load(LAKE).steps == 4_000
    assert qfix_command("resume", LAKE, "--total-steps", "4000").code == 0
    shorter = qfix_command("resume", LAKE, "--total-steps", "3000")
    assert shorter.code == 2
    assert "The '--total-steps' option of resume must be a whole number, 4,000 or more" in shorter.err
    assert shorter.err.count("\n") == 1


def test_a_finished_run_without_its_evaluation_names_the_command(qfix_command):
    qfix.train("FrozenLake-v1", total_steps=2_000, out=LAKE)
    qfix.load(LAKE).resume(3_000)
    told = f"It is not evaluated yet: qfix evaluate {LAKE}\n"
    assert told in qfix_command("resume", LAKE).out, "the evaluation that there is, is of step 2,000"
    assert Wishes(Path(LAKE), None, False, False, False, False).farewell == (
        f"Interrupted. Trained, but not evaluated: qfix evaluate {LAKE}"
    )
    assert qfix_command("evaluate", LAKE).code == 0
    assert told not in qfix_command("resume", LAKE).out
    said = Wishes(Path(LAKE), None, False, False, False, False).farewell
    assert said == f"Interrupted. The run is finished, and kept in {LAKE}"


def test_where_nothing_can_be_trained_nothing_is_announced_or_shown(qfix_command, monkeypatch):
    qfix.train("FrozenLake-v1", total_steps=2_000, out=LAKE)
    with RunLock(LAKE):
        locked = qfix_command("resume", LAKE, "--total-steps", "3000")
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    refused = qfix_command("resume", LAKE, "--total-steps", "3000")
    for answer, said in ((locked, "is being written by"), (refused, f"Cannot write to {LAKE}")):
        assert (answer.code, answer.out) == (2, "")
        assert said in answer.err
        assert answer.err.count("\n") == 1


def test_a_run_stopped_before_its_first_checkpoint_starts_anew(qfix_command):
    stopped(LAKE, total_steps=20_000)
    shutil.rmtree(f"{LAKE}/checkpoints")
    shutil.copytree(LAKE, "lost")
    answer = qfix_command("resume", LAKE, "--no-pictures")
    assert answer.code == 2, "its store knows that there was one"
    assert "no intact checkpoint" in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.usefixtures("_modules_beside")
def test_a_run_of_a_module_is_told_how_to_be_resumed(qfix_command):
    line = "train fragile:tests/Fragile-v0 --env.rarity 1000000 --total-steps 300 --eval-episodes 3 --no-pictures"
    assert qfix_command(*line.split()).code == 0
    folder = "runs/fragile-q_learning"
    finished = qfix_command("resume", folder, "--env", "fragile:tests/Fragile-v0")
    assert f"qfix resume {folder} --env fragile:tests/Fragile-v0 --total-steps 600" in finished.out
    assert qfix_command(*line.split(), "--resume").code == 0
    gymnasium.registry.pop("tests/Fragile-v0")
    sys.modules.pop("fragile")
    page = Path(qfix_command("report", folder).out.strip()).read_text()
    assert "qfix train fragile:tests/Fragile-v0 q_learning" in page
    assert "env=&#x27;fragile:tests/Fragile-v0&#x27;" in page
    for command, more in (
        ("resume", ()),
        ("evaluate", ()),
        ("play", ()),
        ("replay", ()),
        ("export", ("--onnx", "x")),
    ):
        answer = qfix_command(command, folder, *more)
        assert answer.code == 2
        assert "Write --env fragile:tests/Fragile-v0 if you trust it" in answer.err
        assert "Did you mean" not in answer.err
    assert "fragile" not in sys.modules
    with pytest.raises(qfix.OptionError, match=r"env='fragile:tests/Fragile-v0'\) if you trust it"):
        qfix.load(folder)
    # of a run that was kept before modules were
    spec = dataclasses.replace(qfix.RunSpec.load(folder), env_module="")
    spec.save(folder)
    answer = qfix_command("resume", folder)
    assert "There is no environment 'tests/Fragile-v0'." in answer.err
    assert "name both: --env module:tests/Fragile-v0" in answer.err
    assert "Did you mean" not in answer.err
    answer = qfix_command(
        "resume", folder, "--env", "fragile:tests/Fragile-v0", "--total-steps", "600", "--no-pictures"
    )
    assert answer.code == 0
    assert "600 steps" in answer.out


def test_metrics_are_mirrored_where_it_is_asked_for(qfix_command):
    line = "train qfix/Grid4x3-v0 --total-steps 400 --no-pictures --track tensorboard --metrics-every 50"
    assert qfix_command(*line.split()).code == 0
    run = qfix.load("runs/grid4x3-q_learning")
    assert run.metrics("return").steps.tolist() == list(range(50, 401, 50))
    assert list(Path(run.folder, "tensorboard", "seed_0").iterdir())


def test_an_interrupted_live_run_is_not_evaluated_and_says_who_does(qfix_command, monkeypatch):
    made = stopped("runs/dealer", "Blackjack-v1", total_steps=5_000)
    resume = qfix.Run.resume

    def interrupted(run, total_steps, progress, **options):
        return resume(run, total_steps, lambda *_: signal.raise_signal(signal.SIGINT), **options)

    monkeypatch.setattr(qfix.Run, "resume", interrupted)
    answer = qfix_command("resume", "runs/dealer", "--no-pictures")
    assert answer.code == 130
    assert "not evaluated, as the training was interrupted; `qfix evaluate runs/dealer` does it" in " ".join(
        answer.out.split()
    )
    assert answer.err.splitlines()[-1] == "Interrupted. Go on with it: qfix resume runs/dealer"
    assert qfix.load("runs/dealer").steps > made


# train --resume


def test_train_with_resume_begins_then_goes_on_then_is_finished(qfix_command):
    line = "train FrozenLake --total-steps 300_000 --seeds 2 --resume --no-pictures"
    stopped(LAKE)
    answer = qfix_command(*line.split())
    assert answer.code == 0
    assert answer.err.startswith("Restored: ")
    assert qfix.load(LAKE).status == "finished"
    assert "is finished" in qfix_command(*line.split()).out
    assert [path.name for path in Path("runs").iterdir()] == ["frozenlake-q_learning"]
    answer = qfix_command(*line.split(), "--out", "elsewhere")
    assert answer.code == 0
    assert answer.err == ""
    assert np.array_equal(qfix.load("elsewhere").q, qfix.load(LAKE).q)


def test_what_is_laid_over_the_budget_is_no_difference_of_an_extended_run(qfix_command):
    """Its epsilon falls over the first budget still, and nobody has asked for another."""
    qfix.train("FrozenLake-v1", total_steps=2_000, out=LAKE).resume(total_steps=3_000)
    answer = qfix_command("train", "FrozenLake", "--resume", "--total-steps", "2000")
    assert f"{LAKE} holds another run: --total-steps is 3,000 there and 2,000 here. Begin" in answer.err
    answer = qfix_command("train", "FrozenLake", "--resume", "--total-steps", "2000", "--epsilon", "0.5")
    told = "--epsilon is Linear(1.0, 0.05, 1000) there and Constant(0.5) here; --total-steps is 3,000 there"
    assert told in answer.err


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [("a2c", {}), ("dqn", {"num_envs": 6})],
)
def test_a_budget_that_was_rounded_up_is_asked_for_as_it_was(qfix_command, algorithm, options):
    run = qfix.train("CartPole-v1", algorithm, total_steps=1_001, out="here", eval_episodes=1, **options)
    assert run.steps > 1_001
    typed = [word for name, n in options.items() for word in (f"--{name}", f"{n}")]
    line = ("train", "CartPole", algorithm, *typed, "--out", "here", "--resume", "--total-steps")
    assert "here is finished" in qfix_command(*line, "1001").out
    more = qfix_command(*line, "90001")
    assert more.code == 2
    assert f"--total-steps is {run.steps:,} there and 90,0" in more.err
    if algorithm == "a2c":  # what `resume` extends, it takes to the step; nothing is laid over this budget
        run.resume(run.steps + 1)
        assert "here is finished" in qfix_command(*line, f"{run.steps}").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--gamma 0.9", "--gamma is 0.99 there and 0.9 here"),
        ("--seeds 3", "--seeds is [0, 1] there and [0, 1, 2] here"),
        ("--driver live", "--driver is compiled there and live here"),
        ("--env.map-name 8x8", "--env.map-name is its default there and 8x8 here"),
        ("--metrics-every 7", "there and 7 here"),
        ("--eval-episodes 7", "--eval-episodes is 100 there and 7 here"),
        ("--total-steps 4000", "To extend it: `qfix resume runs/frozenlake-q_learning --total-steps 4_000`"),
        ("--total-steps 1000", "--total-steps is 2,000 there and 1,000 here"),
        ("--total-steps 0", "--total-steps is 2,000 there and 0 here"),
        ("--seeds 0", "--seeds is [0, 1] there and [] here"),
    ],
)
def test_another_run_is_not_gone_on_with_and_the_difference_is_named(qfix_command, words, message):
    qfix.train("FrozenLake-v1", total_steps=2_000, seeds=2, out=LAKE)
    line = {"--total-steps": "2000", "--seeds": "2"} | dict([words.split()])
    answer = qfix_command(
        "train", "FrozenLake", "--resume", *(word for pair in line.items() for word in pair)
    )
    assert answer.code == 2
    assert f"Error: {LAKE} holds another run: " in answer.err
    assert message in answer.err
    assert "Begin anew without --resume" in answer.err
    assert answer.err.count("\n") == 1
    assert qfix.load(LAKE).steps == 2_000


def test_all_that_differs_is_named(qfix_command):
    qfix.train("FrozenLake-v1", total_steps=2_000, out=LAKE)
    line = "train FrozenLake --resume --total-steps 9000 --gamma 0.9 --epsilon linear(1,0.1,1000)"
    told = qfix_command(*line.split()).err
    assert "--gamma is 0.99 there and 0.9 here; " in told
    assert "--epsilon is " in told
    assert "; --total-steps is 2,000 there and 9,000 here. Begin anew" in told
    assert "To extend it" not in told


def test_another_algorithm_in_that_folder_is_another_run(qfix_command):
    qfix.train("FrozenLake-v1", total_steps=500, out="here")
    answer = qfix_command("train", "FrozenLake", "sarsa", "--resume", "--out", "here")
    assert answer.code == 2
    assert "q_learning on FrozenLake-v1, and not sarsa on FrozenLake-v1" in answer.err


# Films


def film_of(folder):
    """The only film in a folder; None where there is none."""
    found = list(Path(folder, "figures").glob("stages.*"))
    assert len(found) <= 1
    return found[0] if found else None


def test_a_film_is_made_of_a_finished_run_and_of_no_other(qfix_command, monkeypatch):
    train = qfix.train

    def interrupted(*words, progress, **options):
        return train(*words, progress=lambda *_: signal.raise_signal(signal.SIGINT), **options)

    line = "train FrozenLake --out here --total-steps 300_000 --video --no-pictures"
    with monkeypatch.context() as patched:
        patched.setattr("qfix.experiment.train", interrupted)
        answer = qfix_command(*line.split())
    assert answer.code == 130
    command = "qfix resume here --video"
    assert f"film     none before the training is finished: {command}" in answer.out.splitlines()
    assert answer.err.splitlines()[-1] == f"Interrupted. Go on with it: {command}"
    assert film_of("here") is None
    answer = qfix_command("resume", "here", "--video", "--no-pictures")
    assert answer.code == 0
    made = film_of("here")
    assert f"film     {made}" in answer.out.splitlines()
    made.unlink()
    answer = qfix_command(*line.split(), "--resume")  # finished, but without its film
    assert f"film     {made}" in answer.out.splitlines()
    assert film_of("here") == made
    assert json.loads(Path("here/result.json").read_text())["film"] == str(made)
    made.unlink()
    assert json.loads(qfix_command("resume", "here", "--video", "--json").out)["film"] == str(made)
    # what shows the run before is not kept
    assert qfix_command("resume", "here", "--total-steps", "310_000", "--no-pictures").code == 0
    assert film_of("here") is None


# Faults


@pytest.mark.usefixtures("_modules_beside")
def test_a_seed_that_fails_is_told_and_does_not_count(qfix_command):
    line = "train fragile:tests/Fragile-v0 --seeds 3 --total-steps 360 --eval-episodes 2 --no-pictures --json"
    answer = qfix_command(*line.split())
    document = json.loads(answer.out)
    assert answer.code == 1
    failed = [int(seed) for seed in document["failures"]]
    assert document["n_failed"] == len(failed) == 1, "by the seeds of its episodes; chosen so"
    assert answer.err.startswith("Error: 1 of 3 seeds failed. seed ")
    assert "the cable came loose" in answer.err
    assert answer.err.count("\n") == 1
    assert document["estimates"]["mean"]["n"] == 2
    counted = [x for seed, x in enumerate(document["evaluation"]["returns"]) if seed not in failed]
    assert document["estimates"]["mean"]["estimate"] == pytest.approx(np.mean(counted))
    listed = json.loads(qfix_command("list", "runs", "--json").out)
    assert (listed[0]["seeds"], listed[0]["failed"]) == (3, 1)
    told = qfix_command("evaluate", "runs/fragile-q_learning", "--episodes", "2")
    assert f"{failed[0]} failed" in told.out
    assert "1 of 3 seeds; it counts for nothing" in " ".join(told.out.split())


@pytest.mark.usefixtures("_modules_beside")
def test_an_evaluation_that_fails_does_not_hide_what_was_learned(qfix_command):
    line = "train crumbling:tests/Crumbles-v0 --total-steps 400 --no-pictures"
    for more in ((), ("--out", "none")):
        answer = qfix_command(*line.split(), *more)
        assert answer.code == 1
        assert "400 steps, live" in answer.out
        assert "not evaluated, as the environment failed" in answer.out
        assert answer.err.startswith("Error: The environment 'tests/Crumbles-v0' failed in an evaluation")
        assert answer.err.count("\n") == 1
    result = json.loads(Path("runs/crumbles-q_learning/result.json").read_text())
    assert (result["status"], result["evaluation"]) == ("finished", None)


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_refuses_the_run_leaves_the_result_on_the_screen(qfix_command, monkeypatch):
    monkeypatch.setattr("qfix.runs.checkpoint.write_new", full)
    answer = qfix_command("train", "FrozenLake", "--total-steps", "2000")
    assert answer.code == 1
    assert "optimal      0.740" in answer.out
    assert "kept in" not in answer.out
    assert "No space left on device" in answer.err
    assert answer.err.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("place", ["qfix.runs.files.write_new", "qfix.report.figures.draw_figures"])
def test_a_disk_that_refuses_the_result_is_an_error_after_it(qfix_command, monkeypatch, place):
    qfix.train("FrozenLake-v1", total_steps=500, out=LAKE)
    if place.endswith("write_new"):
        shutil.copytree(LAKE, "kept")  # spec.json is written with it, too
        monkeypatch.setattr("qfix.runs.spec.write_atomically", lambda *_: None)
    monkeypatch.setattr(place, full)
    answer = qfix_command("resume", LAKE, "--total-steps", "600")
    assert answer.code == 1
    assert "optimal      0.740" in answer.out
    error = answer.err.splitlines()[-1]
    assert error.startswith("Error: Cannot ")
    assert "No space left on device. Free space" in error
    assert qfix.load(LAKE).steps == 600


def test_two_writers_are_one_too_many(qfix_command):
    made = stopped(LAKE, total_steps=20_000)
    with RunLock(LAKE):
        answer = qfix_command("resume", LAKE)
        assert answer.code == 2
        assert "is being written by process" in answer.err.splitlines()[-1]
        line = "train FrozenLake --total-steps 20000 --seeds 2 --resume"
        assert qfix_command(*line.split()).code == 2
        evaluated = qfix_command("evaluate", LAKE)
        assert evaluated.code == 0
        assert "Not kept. " in evaluated.out
        assert json.loads(qfix_command("evaluate", LAKE, "--json").out)["kept"] is False
        assert json.loads(qfix_command("list", "runs", "--json").out)[0]["status"] == "running"
    assert qfix.load(LAKE).steps == made
    assert RunFolder(LAKE).evaluations() == {}


@pytest.mark.parametrize("command", ["resume", "evaluate", "report", "play", "replay"])
def test_what_is_no_run_is_one_line(qfix_command, command):
    Path("empty").mkdir()
    Path("damaged").mkdir()
    Path("damaged/spec.json").write_text("{")
    Path("file").write_text("")
    for words, message in (
        ([], f"`qfix {command}` needs the folder of a run. Write `qfix {command} runs/"),
        (["a", "b"], "takes one folder. Got also 'b'"),
        (["nowhere"], "There is no folder nowhere. `qfix list runs` shows"),
        (["file"], "There is no folder file"),
        (["empty"], "empty is not the folder of a run"),
        (
            ["damaged"],
            "Expecting property name enclosed in double quotes: line 1 column 2 (char 1). Restore it from",
        ),
        (["empty", "--jsom"], "There is no option '--jsom'"),
    ):
        answer = qfix_command(command, *words)
        assert answer.code == 2
        assert answer.out == ""
        assert message in answer.err
        assert answer.err.startswith("Error: ")
        assert answer.err.count("\n") == 1
    assert f"Usage: qfix {command} FOLDER" in qfix_command(command, "--help").out


@pytest.mark.parametrize("command", ["resume", "evaluate", "play", "replay"])
def test_an_environment_that_was_an_object_is_for_python(qfix_command, command):
    qfix.train(lambda: gymnasium.make("FrozenLake-v1"), total_steps=500, out="mine")
    answer = qfix_command(command, "mine")
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert "Load it in Python: qfix.load('mine', env=lambda: MyEnv())" in answer.err
    assert qfix_command("list", "runs", ".").code == 0


@pytest.mark.parametrize("command", ["resume", "evaluate", "play"])
def test_damaged_checkpoints_are_named(qfix_command, command):
    qfix.train("FrozenLake-v1", total_steps=500, out=LAKE)
    (state,) = Path(LAKE).rglob("state.safetensors")
    state.write_bytes(state.read_bytes()[:100])
    answer = qfix_command(command, LAKE)
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert "state.safetensors has 100 bytes" in answer.err
