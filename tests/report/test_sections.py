"""What the parts of a page say."""

import shlex
from dataclasses import replace

import numpy as np
import pytest

import qfix
from qfix.cli import main
from qfix.deep import measure, policy_report, soft_report
from qfix.report.dossier import Dossier, Scores, gather
from qfix.report.page import write_page
from qfix.report.sections.learning import training
from qfix.report.sections.log import findings, history, time_text
from qfix.report.sections.result import result, verdict
from qfix.report.sections.settings import command_line, default_options, program, reproduce, settings
from qfix.runs import Recorder, RunFolder, RunSpec
from qfix.runs.reader import Alert, Event, MetricSeries

from .pages import parsed

GRID = "qfix/Grid4x3-v0"


def dossier(scores, gap=None, failures=None, n=None, **fields):
    """Of a run that exists on paper only; `scores` are returns by policy."""
    n = n or max((len(each) for each in scores.values()), default=1)
    spec = RunSpec(GRID, {}, "q_learning", {"gamma": 0.9}, tuple(range(n)), 1_000, "compiled")
    of = {
        name: Scores(dict(enumerate(map(float, each))), n - len(each), "exact", 1_000)
        for name, each in scores.items()
    }
    gaps = {} if gap is None else dict(enumerate(map(float, gap)))
    given = {"alerts": [], "events": []} | fields
    return Dossier(
        None,
        spec,
        "finished",
        1_000,
        failures or {},
        {},
        {},
        given["alerts"],
        given["events"],
        of,
        gaps,
        None,
    )


# The verdict


def test_optimal_in_all_seeds():
    said = verdict(dossier({"greedy": [1, 1, 1], "optimal": [1], "random": [0]}, gap=[0, 0, 1e-12]))
    assert said == "The greedy policy returns 1 on average over 3 seeds and is optimal in all 3 seeds."


def test_optimal_in_some_seeds_tells_how_many_and_the_baselines():
    said = verdict(dossier({"greedy": [1, 1, 0.5], "optimal": [1], "random": [0.1]}, gap=[0, 0, 0.4]))
    assert "optimal in 2 of them; random actions get 0.1, the optimal policy 1" in said


def test_the_way_from_chance_to_the_optimum_is_of_the_mean():
    said = verdict(dossier({"greedy": [0.5, 0.7, 0.6], "optimal": [1], "random": [0.2]}, gap=[0.5, 0.3, 0.4]))
    assert "the optimal policy 1: 50.0% of the way" in said


@pytest.mark.parametrize(
    ("greedy", "random", "said"),
    [
        ([0.0, 1.0, 0.5], 0.4, "not told apart from chance"),
        ([0.5, 0.5001, 0.5002], 0.9, "worse than chance"),
        ([0.3], 0.4, "worse than chance"),
        ([0.4], 0.4, "not told apart from chance"),
    ],
)
def test_no_better_than_chance_is_said(greedy, random, said):
    assert said in verdict(dossier({"greedy": greedy, "random": [random]}))


def test_better_than_chance_is_not_called_chance():
    assert "chance" not in verdict(dossier({"greedy": [0.9, 0.91, 0.92], "random": [0.1]}))


def test_one_seed_is_said_to_be_one():
    said = verdict(dossier({"greedy": [0.5]}))
    assert said == "The greedy policy returns 0.5. One seed says little of others."


def test_without_an_evaluation_training_is_judged():
    assert verdict(dossier({"training": [1, 2, 3]})).startswith(
        "While training, an episode returned 2 on average"
    )
    assert "Nothing to judge" in verdict(dossier({}))


# The result


def test_a_level_far_away_does_not_squeeze_the_seeds():
    """Of the random policy of Taxi, at -771, the seeds at 8 would be one dot."""
    root = parsed(
        result(with_folder(dossier({"greedy": [7.9, 8.0, 8.1], "random": [-771], "optimal": [8.2]})))
    )
    dots = [p for p in root.all("svg")[0].all("path") if "dot" in (p.attributes["class"] or "")]
    places = sorted(int(p.attributes["d"][1:].split()[0]) for p in dots)
    assert places[-1] - places[0] > 300
    assert "too far away: random actions" in root.text


def test_dots_of_equal_seeds_do_not_hide_one_another():
    root = parsed(result(with_folder(dossier({"greedy": [1.0] * 5}))))
    dots = [
        p.attributes["d"] for p in root.all("svg")[0].all("path") if "dot" in (p.attributes["class"] or "")
    ]
    assert len(set(dots)) == 5


def test_seeds_without_a_finite_return_are_counted():
    made = with_folder(dossier({"greedy": [1.0, 2.0]}, n=5))
    assert "3 of 5 seeds have no finite return" in parsed(result(made)).text


def with_folder(made):
    class Folder:
        steps = 1_000

    return Dossier(Folder(), *list(vars(made).values())[1:])


# Settings


def test_options_of_the_preset_are_marked():
    config = {"double": True, "n_step": 3, "learning_rate": "Constant(0.001)", "tau": 0.5}
    spec = RunSpec("CartPole-v1", {}, "dqn", config, (0,), 1_000, "device")
    rows = [row.text for row in parsed(settings(replace(dossier({}), spec=spec))).all("tr")]
    assert [row for row in rows if "(preset)" in row] == ["doubletruetrue (preset)", "n_step33 (preset)"]


def test_what_is_laid_over_the_first_budget_is_unchanged_after_an_extension(tmp_path):
    run = qfix.train(GRID, "q_learning", total_steps=500, out=tmp_path / "run")
    run.resume(total_steps=900)
    made = gather(tmp_path / "run", run)
    assert "(changed)" not in parsed(settings(made)).text
    # but to do it again it has to be said
    assert "--epsilon=Linear(1.0, 0.05, 250)" in command_line(made.spec)


def test_options_that_differ_from_their_defaults_are_marked(tmp_path):
    run = qfix.train(GRID, "sarsa_lambda", total_steps=500, alpha=0.3, lambda_=0.5, out=tmp_path / "run")
    root = parsed(settings(gather(tmp_path / "run", run)))
    changed = {
        row.inside[0].text: row.text for row in root.all("tr") if row.attributes.get("class") == "changed"
    }
    assert set(changed) == {"alpha", "lambda"}
    assert "Constant(0.3)" in changed["alpha"]
    assert "Inverse(0.5, 100, by='visit') (changed)" in changed["alpha"]


def test_values_that_a_network_does_not_keep_are_not_told_of(tmp_path):
    for algorithm, options, told in (
        ("sarsa", {}, True),
        ("dqn", {"hidden": (4,), "learning_starts": 10}, False),
    ):
        out = tmp_path / algorithm
        made = gather(
            out, qfix.train("FrozenLake-v1", algorithm, total_steps=50, out=out, eval_episodes=0, **options)
        )
        assert ("values kept after episodes1, 50, 500" in parsed(settings(made)).text) == told


def test_defaults_are_those_the_algorithm_settles_on():
    run = qfix.train(GRID, total_steps=500)
    assert default_options(run.spec) == run.spec.config
    unknown = RunSpec(GRID, {}, "not_there", {}, (0,), 10, "live")
    assert default_options(unknown) == {}


RUNS = [
    (GRID, {}, {}),
    (GRID, {}, {"seeds": [7]}),
    (GRID, {}, {"seeds": [3, 1, 2], "alpha": "Polynomial(1, 0.6, by=visit)", "gamma": 0.5, "initial": -1.5}),
    (GRID, {}, {"algorithm": "sarsa_lambda", "lambda_": 0.4, "explore": "boltzmann(0.5)"}),
    ("FrozenLake-v1", {"map_name": "8x8", "is_slippery": False}, {"seeds": 2}),
    ("FrozenLake-v1", {"desc": ["SFF", "FHF", "FFG"]}, {"store": "sparse"}),
]


@pytest.mark.parametrize(("env", "env_kwargs", "options"), RUNS)
def test_the_command_does_the_same_run_again(tmp_path, env, env_kwargs, options):
    run = qfix.train(
        env, total_steps=400, env_kwargs=env_kwargs, eval_episodes=7, out=tmp_path / "first", **options
    )
    command = command_line(run.spec)
    words = shlex.split(command)
    assert words[0] == "qfix"
    assert main([*words[1:], "--out", str(tmp_path / "again"), "--no-pictures", "--no-progress"]) == 0
    again = RunFolder(tmp_path / "again")
    assert run.spec.differences(again.spec) in ([], ["eval_episodes"])
    assert np.array_equal(qfix.load(tmp_path / "again").q, run.q)


@pytest.mark.parametrize(("env", "env_kwargs", "options"), RUNS)
def test_the_program_does_the_same_run_again(env, env_kwargs, options):
    run = qfix.train(env, total_steps=400, env_kwargs=env_kwargs, **options)
    (call,) = [line for line in program(run.spec).splitlines() if line.startswith("run = ")]
    again = eval(call.removeprefix("run = "), {"qfix": qfix})
    assert run.spec.differences(again.spec) == []


def test_what_cannot_be_typed_is_a_program(tmp_path):
    import gymnasium

    run = qfix.train(lambda: gymnasium.make(GRID), total_steps=50, out=tmp_path / "run")
    assert command_line(run.spec) is None
    text = parsed(reproduce(gather(tmp_path / "run", run))).text
    assert "qfix.train(make_env, 'q_learning', total_steps=50" in text
    assert "env=make_env" in text


@pytest.mark.parametrize(
    "env", ["$(touch x)", "a b; rm -rf c", "-x", "'\"`", "--out=elsewhere", "a\\b", "!!", "*", "~"]
)
def test_a_strangers_env_is_one_word_of_the_command_or_no_command(env):
    spec = RunSpec(env, {"a": env}, "q_learning", {}, (0,), 10, "live")
    command = command_line(spec)
    if command is None:
        assert env.startswith("-")
        return
    words = shlex.split(command)
    assert words[:4] == ["qfix", "train", env, "q_learning"]
    assert all(word.startswith("--") for word in words[4:])


# Findings and history


def test_alerts_are_told_by_kind_and_one_by_one():
    alerts = [Alert(step, step % 2, "q_beyond_bound", f"|q| is {step}") for step in (100, 201, 300)]
    root = parsed(findings(dossier({}, alerts=[*alerts, Alert(400, None, "odd_kind", "<odd>")])))
    kinds = root.all("table")[0]
    rows = [[cell.text for cell in row.inside] for row in kinds.all("tr")[1:]]
    assert rows == [
        ["values beyond what any return can be", "3", "2", "step 100: |q| is 100"],
        ["odd_kind", "1", "1", "step 400: <odd>"],
    ]
    assert len(root.all("details")[0].all("tr")) == 1 + 4
    assert "No alerts" in parsed(findings(dossier({}))).text


def test_long_logs_are_cut_and_say_so():
    alerts = [Alert(i, 0, "q_dead", "m") for i in range(5_000)]
    events = [Event(i, 1e9, i, "resumed", "m") for i in range(5_000)]
    made = dossier({}, alerts=alerts, events=events)
    assert "the first 100 of 5,000" in parsed(findings(made)).text
    assert "the last 200 of 5,000" in parsed(history(made)).text
    assert len(findings(made) + history(made)) < 100_000


def test_checkpoints_are_counted_and_not_listed():
    events = [Event(i, 0.0, 10 * i, "checkpoint", "") for i in range(3)]
    text = parsed(history(dossier({}, events=[Event(0, 0.0, 0, "started", "x"), *events]))).text
    assert "3 checkpoints, the last at step 20, 1970-01-01 00:00:00 UTC" in text


@pytest.mark.parametrize("seconds", [np.nan, np.inf, -1.0, 1e18])
def test_impossible_times_are_unknown(seconds):
    assert time_text(seconds) == "unknown"


def test_an_evaluation_before_the_end_says_when_it_was(tmp_path):
    recorder = Recorder.create(tmp_path / "run", RunSpec("X-v0", {}, "q_learning", {}, (0,), 100, "live"))
    recorder.store.add_evaluation(10, 0, "greedy", 1.0, 0.0, exact=False, eval_seed=0, episodes=5)
    recorder.store.add_metrics(90, [0], ["return"], np.ones((1, 1)))
    recorder.close()
    text = write_page(tmp_path / "run").read_text()
    assert "evaluated at step 10, before what is recorded since" in text


# Charts of what was measured


def charts(**metrics):
    """Titles of the charts of metrics, each with its highest and lowest number, and the line below them."""
    series = {
        name: MetricSeries(1_000 * np.arange(1, len(values) + 1), (0,), np.array([values], float))
        for name, values in metrics.items()
    }
    root = parsed(str(training(replace(dossier({"greedy": [1]}), metrics=series))))
    found = {}
    for figure in root.all("figure"):
        rows = [span.text for span in figure.all("span") if span.attributes.get("class") == "y"]
        found[figure.all("figcaption")[0].all("b")[0].text] = rows
    lines = [p.text for p in root.all("p")]
    return found, lines


def test_every_metric_of_a_learner_has_a_title():
    for module in (policy_report, soft_report, measure):
        found, lines = charts(**{name: [0.1, 0.2, 0.3] for name in module.NAMES})
        assert not set(module.NAMES) & set(found)
        assert lines == []


def test_what_never_changes_is_a_line_and_what_is_no_number_is_nothing():
    found, lines = charts(
        gradient_steps=[320.0] * 3,
        first_ratio=[1.0, 1.0000007, 1.0],
        clip_fraction=[np.nan] * 3,
        approx_kl=[np.nan] * 3,
        grad_norm=[0.5, 0.4, 0.6],
    )
    assert list(found) == ["Length of the gradient"]
    assert lines == ["Unchanged: First ratio 1 · Gradient steps 320."]


def test_an_axis_tells_its_numbers_apart():
    found, _ = charts(explained_variance=[0.9991, 0.9992, 0.99925])
    rows = found["Explained variance"]
    assert len(set(rows)) == len(rows) >= 2
