"""Runs that are looked at from the shell: `qfix evaluate`, `list runs`, `report`, `play` and `replay`."""

import json
import shutil
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import qfix
from qfix.cli.runs import row_of
from qfix.playback import replay
from qfix.runs import RunFolder

LAKE = "runs/lake"
DEALER = "runs/dealer"


@pytest.fixture
def lake(qfix_command):
    return qfix.train("FrozenLake-v1", total_steps=3_000, seeds=2, out=LAKE)


@pytest.fixture
def dealer(qfix_command):
    return qfix.train("Blackjack-v1", total_steps=500, seeds=2, out=DEALER, eval_episodes=3)


# evaluate


def test_an_exact_evaluation_is_that_of_python_and_kept(qfix_command, lake):
    document = json.loads(qfix_command("evaluate", LAKE, "--json").out)
    assert document["evaluation"]["returns"] == lake.evaluate().returns.tolist()
    assert document["exploratory"]["returns"] == lake.evaluate(policy="exploratory").returns.tolist()
    assert document["evaluation"]["exact"] is True
    assert document["gap"] == lake.optimality_gap().tolist()
    assert document["baselines"]["optimal"]["mean"] == lake.optimum().mean
    assert set(document["baselines"]) == {"optimal", "random", "untrained"}
    assert (document["kept"], document["folder"]) == (True, LAKE)
    kept = RunFolder(LAKE).evaluations("exploratory")
    assert [kept[seed].mean for seed in (0, 1)] == document["exploratory"]["returns"]


def test_an_evaluation_is_a_table_of_both_policies(qfix_command, lake):
    answer = qfix_command("evaluate", LAKE)
    assert (answer.code, answer.err) == (0, "")
    assert "q_learning on FrozenLake-v1: 2 seeds, after 3,000 of 3,000 steps each" in answer.out
    rows = {row.split()[0]: row.split()[1:] for row in answer.out.splitlines() if row.strip()}
    assert rows["seed"] == ["greedy", "exploratory", "gap"]
    assert rows["0"][:2] == [f"{lake.evaluate(policy=p).returns[0]:.3f}" for p in ("greedy", "exploratory")]
    assert rows["random"] == ["0.014"]
    assert "95 % intervals (t, n = 2 seeds): mean [" in answer.out
    assert f"kept in  {LAKE}/metrics.db" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


def test_a_sampled_evaluation_has_its_episodes_seed_and_standard_error(qfix_command, dealer):
    answer = qfix_command("evaluate", DEALER, "--episodes", "20", "--seed", "5", "--json")
    document = json.loads(answer.out)
    found = dealer.evaluate(20, 5)
    assert document["evaluation"]["returns"] == found.returns.tolist()
    assert document["evaluation"]["standard_errors"] == found.standard_errors.tolist()
    assert (document["evaluation"]["episodes"], document["eval_seed"]) == (20, 5)
    kept = [e for e in RunFolder(DEALER).store.evaluations() if (e.policy, e.eval_seed) == ("greedy", 5)]
    assert np.array_equal([e.returns for e in kept], found.samples)
    text = qfix_command("evaluate", DEALER, "--episodes", "20", "--seed", "5").out
    assert f"{found.returns[0]:.3f} ± {found.standard_errors[0]:.2g}" in text
    assert "mean of 20 fresh episodes, ± its standard error" in " ".join(text.split())
    assert "gap" not in text


def test_an_earlier_checkpoint_can_be_evaluated(qfix_command, lake):
    lake.resume(6_000)
    early = json.loads(qfix_command("evaluate", LAKE, "--checkpoint", "3000", "--json").out)
    assert (early["steps"], early["spec"]["total_steps"]) == (3_000, 6_000)
    assert json.loads(qfix_command("evaluate", LAKE, "--json").out)["steps"] == 6_000
    assert {e.step for e in RunFolder(LAKE).store.evaluations()} == {3_000, 6_000}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--checkpoint 2999",
            "of step 2,999. There are checkpoints of the steps 3000. Use --checkpoint 3000.\n",
        ),
        ("--checkpoint first", "must be last, best or the step of a checkpoint. Got 'first'"),
        ("--episodes 0", "The '--episodes' option of evaluate must be at least 1"),
        ("--episodes many", "The '--episodes' option must be a whole number"),
        ("--seed -1", "The '--seed' option of evaluate must be a whole number, 0 or above"),
    ],
)
def test_a_mistake_is_one_line(qfix_command, lake, words, message):
    answer = qfix_command("evaluate", LAKE, *words.split())
    assert answer.code == 2
    assert answer.out == ""
    assert message in answer.err
    assert answer.err.count("\n") == 1


def test_a_folder_that_may_only_be_read_is_evaluated_all_the_same(qfix_command, lake, monkeypatch):
    def refuse(*_):
        raise qfix.FolderError(13, "Permission denied")

    monkeypatch.setattr("qfix.runs.recorder.RunLock.acquire", refuse)
    answer = qfix_command("evaluate", LAKE)
    assert answer.code == 0
    assert "Not kept. " in answer.out


# list runs


def test_no_runs_say_how_to_begin(qfix_command):
    answer = qfix_command("list", "runs")
    assert answer == (0, "No runs in runs/. Train one: qfix train FrozenLake-v1\n", "")
    assert json.loads(qfix_command("list", "runs", "--json").out) == []


def test_runs_are_rows_and_the_damaged_do_not_hide_the_rest(qfix_command, lake, dealer, monkeypatch):
    shutil.copytree(LAKE, "runs/torn")
    Path("runs/torn/metrics.db").write_bytes(b"no database")
    Path("runs/torn-spec").mkdir()
    Path("runs/torn-spec/spec.json").write_text("[]")
    monkeypatch.setenv("COLUMNS", "140")
    answer = qfix_command("list", "runs")
    assert (answer.code, answer.err) == (0, "")
    rows = {row.split()[0]: row.split()[1:] for row in answer.out.splitlines() if row.strip()}
    mean = f"{lake.evaluate().mean:.3f}"
    assert rows["lake"][:6] == ["q_learning", "FrozenLake-v1", "2", "3k", mean, "finished"]
    assert rows["dealer"][:5] == ["q_learning", "Blackjack-v1", "2", "500", f"{dealer.evaluate(3).mean:.3f}"]
    assert rows["torn"] == ["damaged"]
    assert rows["torn-spec"] == ["damaged"]
    assert "\ntorn: " in answer.out
    assert "runs/torn/metrics.db" in answer.out
    monkeypatch.setenv("COLUMNS", "70")
    narrow = qfix_command("list", "runs").out
    assert "\n  q_learning on FrozenLake-v1" in narrow
    table, _, _ = narrow.partition("\n\n")
    assert max(map(len, table.splitlines())) <= 70
    listed = json.loads(qfix_command("list", "runs", "--json").out)
    assert [(row["folder"], row["status"]) for row in listed] == [
        ("runs/dealer", "finished"),
        ("runs/lake", "finished"),
        ("runs/torn", "damaged"),
        ("runs/torn-spec", "damaged"),
    ]
    assert (listed[1]["greedy_return"], listed[1]["steps"]) == (pytest.approx(lake.evaluate().mean), 3_000)
    assert listed[2]["steps"] is None


def test_a_run_that_lost_a_part_is_damaged(qfix_command, lake):
    shutil.copytree(LAKE, "runs/storeless")
    Path("runs/storeless/metrics.db").unlink()
    shutil.copytree(LAKE, "runs/unchecked")
    shutil.rmtree("runs/unchecked/checkpoints")
    told = {row["folder"]: row for row in json.loads(qfix_command("list", "runs", "--json").out)}
    assert told["runs/storeless"]["status"] == told["runs/unchecked"]["status"] == "damaged"
    assert told["runs/storeless"]["fault"].startswith("runs/storeless has lost its metrics.db")
    assert told["runs/unchecked"]["fault"].startswith("runs/unchecked has lost its checkpoints")
    answer = qfix_command("evaluate", "runs/storeless")
    assert answer.code == 2
    assert "has lost its metrics.db, with the metrics and episodes of the run. Restore it" in answer.err


def test_colours_of_an_environment_are_for_terminals(qfix_command):
    qfix.train("Taxi-v4", total_steps=500, out="runs/taxi", eval_episodes=0)
    for command in ("play", "replay"):
        answer = qfix_command(command, "runs/taxi")
        assert answer.code == 0
        assert "+---------+" in answer.out
        assert "\x1b" not in answer.out


def test_a_package_that_is_missing_is_the_users_to_install(qfix_command, lake, monkeypatch):
    def refuse(*_, **__):
        fault = gymnasium.error.DependencyNotInstalled("no pygame")
        raise qfix.EnvironmentFault("It is not installed.") from fault

    monkeypatch.setattr("qfix.playback.play", refuse)
    assert qfix_command("play", LAKE, "--video", "a.gif") == (2, "", "Error: It is not installed.\n")


def test_a_clock_that_went_backwards_makes_no_run_younger_than_now(lake):
    assert row_of(Path(LAKE), time.time() - 1e6).age_seconds == 0.0
    assert row_of(Path(LAKE), time.time() + 7_200).age_seconds == pytest.approx(7_200, abs=60)


# report, play, replay


def test_the_report_is_a_page_in_the_folder(qfix_command, lake):
    answer = qfix_command("report", LAKE)
    assert answer == (0, f"{LAKE}/report.html\n", "")
    page = Path(LAKE, "report.html").read_text(encoding="utf-8")
    assert "q_learning on FrozenLake-v1" in page
    assert json.loads(qfix_command("report", LAKE, "--json").out) == {"report": f"{LAKE}/report.html"}


def test_a_policy_plays_on_the_terminal_and_in_a_film(qfix_command, lake):
    answer = qfix_command("play", LAKE, "--episodes", "2", "--seed", "1", "--policy", "exploratory")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.count("start\n") == 2
    film = qfix_command("play", LAKE, "--video", "lake.gif")
    assert (film.code, film.err) == (0, "")
    assert film.out.endswith("film  lake.gif\n")
    assert Path("lake.gif").read_bytes().startswith(b"GIF8")


def test_a_training_episode_is_shown_again(qfix_command, lake):
    episode = replay(LAKE, 1, 4)
    answer = qfix_command("replay", LAKE, "--seed", "1", "--episode", "4")
    trained = f"training seed 1 again up to step {lake.episodes.lengths[1][:5].sum()} ...\n"
    assert (answer.code, answer.err) == (0, trained)
    first = answer.out.splitlines()[0]
    assert first.endswith(f"seed 1, episode 4: {len(episode.steps)} steps, return {episode.total:g}")
    assert f"\n{len(episode.steps)}: " in answer.out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("play runs/lake --seed 7", "The '--seed' option of play must be one of [0, 1]"),
        ("play runs/lake --episodes 0", "The '--episodes' option of play must be at least 1"),
        ("play runs/lake --video a.avi", "The '--video' option of play must end in .gif or .mp4"),
        ("play runs/lake --policy bold", "The '--policy' option of play must be 'greedy' or 'exploratory'"),
        ("play runs/lake --pause -1", "The '--pause' option must be in [0, 60] seconds"),
        ("play runs/lake --checkpoint 7", "no intact checkpoint of step 7"),
        ("replay runs/lake --seed 7", "The '--seed' option of replay must be one of [0, 1]"),
        ("replay runs/lake --episode 9999", "The '--episode' option of replay must be in 0.."),
    ],
)
def test_what_cannot_be_watched_is_one_line(qfix_command, lake, line, message):
    answer = qfix_command(*line.split())
    assert answer.code == 2
    assert answer.out == ""
    assert message in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("command", ["evaluate", "play"])
def test_a_run_without_a_checkpoint_has_nothing_to_show(qfix_command, lake, command):
    """As a run is that was killed in its first seconds: a description, and nothing more."""
    Path("begun").mkdir()
    shutil.copy(f"{LAKE}/spec.json", "begun")
    answer = qfix_command(command, "begun")
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert "has no checkpoint yet" in answer.err
    assert "`qfix resume begun`" in answer.err
    (row,) = json.loads(qfix_command("list", "runs", "begun", "--json").out)
    assert (row["status"], row["steps"], row["seeds"]) == ("killed", 0, 2)
